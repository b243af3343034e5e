"""Results for other programs: files and folders that are made of an output root, and kept up to date with it.

May import: `tasks.ledger`, `tasks.storage` and what these may. Entry point: `folder.export_folder`.
"""
