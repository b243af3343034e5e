"""A shard from its sounds to committed rows: read, synthesise, measure, commit.

May import: every other room. Entry point: `shards.compute_shards`.
"""
