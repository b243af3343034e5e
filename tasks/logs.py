"""Loggers below Prefect's: they write where its own do, and importing them costs a device process nothing."""

from __future__ import annotations

import logging


def get_logger(name: str) -> logging.Logger:
    """Return the logger that `prefect.logging.get_logger` would."""
    return logging.getLogger(f"prefect.{name}")
