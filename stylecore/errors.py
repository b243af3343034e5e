"""Errors of the optimiser core; every one derives from `StylecoreError`."""


class StylecoreError(Exception):
    """Root of all errors that the core raises on purpose."""


class WeightsError(StylecoreError):
    """A weights file is missing, damaged or belongs to another architecture."""


class SignalError(StylecoreError):
    """A sound cannot be processed: too short, silent, or not finite."""


class DependencyError(StylecoreError):
    """A program or a data file that pre-training needs is not installed."""


class Interrupted(StylecoreError):
    """The caller asked a running optimisation to stop."""
