"""The tables of an output root: write-once parts, the history they make up, snapshots, compaction.

May import: the modules directly under `manifests`. Entry point: `history.stream_rows`.
"""
