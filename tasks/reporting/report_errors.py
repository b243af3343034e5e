"""What is wrong with a report, in words for who asked for it."""

from __future__ import annotations


class ReportError(Exception):
    """No report can be made as it was asked for; the message says what to write instead."""
