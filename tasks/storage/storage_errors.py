"""What can go wrong with a storage, and who has to put it right."""

from __future__ import annotations


class StorageError(OSError):
    """Something could not be read or written: the message says what, where and why."""


class StorageUnreachable(StorageError):
    """The storage itself stayed away for longer than the retry timeout: no fault of any one pair, so the run stops."""


class CredentialsExpired(StorageUnreachable):
    """The credentials came to their end, and no new ones have come within the retry timeout."""


class StorageConflict(StorageError):
    """A file is not what it was when it was read: another process has written it since."""
