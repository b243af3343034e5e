"""Results for other programs: files and folders that are made of an output root, and kept up to date with it.

May import: `tasks.ledger`, `tasks.storage` and what these may. Entry point: `folder.export_folder`; beside it
`sharded.export_shards` with its two forms, and `reaper.export_reaper`.
"""
