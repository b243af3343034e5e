"""What a run is to do: each pair of a manifest against the history of its output root.

May import: `tasks.devices` and all below. Entry point: `plan.plan_run`.
"""
