"""The listening report: a page on which a person sees whether a run went well, and hears the best and the worst of it.

May import: `tasks.ledger`, `tasks.storage` and what these may. Entry point: `listening_report.write_report`.
"""
