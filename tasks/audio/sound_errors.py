"""What is wrong with a sound, in a type and a message."""

from __future__ import annotations


class AudioError(Exception):
    """A sound cannot be used.

    Attributes
    ----------
    error_type : str
        One of `manifests.schema.ERROR_TYPES`.
    """

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type

    def __reduce__(self) -> tuple[type[AudioError], tuple[str, str]]:
        return AudioError, (self.error_type, str(self))
