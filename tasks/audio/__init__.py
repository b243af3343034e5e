"""Sounds: decoded in a child process with limits, identified once for all pairs that name them, written as FLAC.

May import: `tasks.storage`, `tasks.workers` and what these may. Entry point: `sound_files.read_sound`.
"""
