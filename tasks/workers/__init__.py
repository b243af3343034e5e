"""Child processes that answer requests, and their supervision: what dies or stands still is replaced.

May import: the modules directly under `tasks`. Entry point: `supervision.Worker`.
"""
