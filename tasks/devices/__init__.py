"""Devices: which there are, who has them, and the executors that run a batch on one.

May import: `tasks.audio` and all below. Entry point: `choice.subprocess_executor`.
"""
