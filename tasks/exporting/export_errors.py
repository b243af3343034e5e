"""What is wrong with an export, in words for who asked for it."""

from __future__ import annotations


class ExportError(Exception):
    """Nothing can be exported as it was asked for; the message says what to write instead."""
