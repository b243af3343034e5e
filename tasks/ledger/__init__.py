"""The output root: who may write to it, what was committed, what users read of it, and what is removed.

May import: `tasks.planning` and all below. Entry point: `lease.holding`.
"""
