"""Where the page of a report finds files: beside itself, or at addresses that are signed for some hours."""

from __future__ import annotations

import posixpath
from typing import NamedTuple
from urllib.parse import quote

from manifests.files import is_s3, join, relative_to
from tasks.reporting.report_errors import ReportError
from tasks.storage.storage import Storage

LONGEST_HOURS = 168.0
"""A signature of S3's is valid for a week at most."""


class Addresses(NamedTuple):
    """Where a page in a folder below an output root finds files.

    Attributes
    ----------
    root, folder : str
        The output root, and where the page lies.
    files : Storage
        Signs addresses.
    hours : float or None
        For how long they are signed; None: not at all.
    """

    root: str
    folder: str
    files: Storage
    hours: float | None

    def audio(self, name: str) -> str | None:
        """Return where a result is, by its name below `audio/`."""
        if self.hours is not None:
            return self.signed(join(self.root, "audio", name))
        return f"../audio/{name}"

    def source(self, uri: str) -> str | None:
        """Return where a sound of the manifest is; None where the page cannot reach it, as a style of several."""
        if not is_s3(uri) and not posixpath.isabs(uri):
            return None
        if self.hours is not None and is_s3(uri):
            return self.signed(uri)
        return web_address(uri, self.folder)

    def signed(self, uri: str) -> str:
        """Return an address of an object on S3 that works without credentials, for those hours."""
        return self.files.presigned(uri, round((self.hours or 0.0) * 3_600))

    def of_page(self, name: str) -> str:
        """Return where a person opens the page."""
        page = join(self.folder, name)
        return page if self.hours is None else self.signed(page)

    def of_files(self, names: list[str]) -> dict[str, str] | None:
        """Return the signed addresses of the report's own files; None where they are beside the page."""
        return None if self.hours is None else {name: self.signed(join(self.folder, name)) for name in names}


def web_address(uri: str, folder: str) -> str | None:
    """Return how a page in a folder names a file; None for what lies on S3 and the page does not.

    >>> web_address("/data/my sounds/a#1.wav", "/data/out/report"), web_address("s3://b/a.wav", "/data/out/report")
    ('../../my%20sounds/a%231.wav', None)
    """
    near = relative_to(uri, folder)
    if is_s3(near):
        return None
    return f"file://{quote(near)}" if posixpath.isabs(near) else quote(near)


def refuse_signing(root: str, hours: float | None) -> None:
    """Refuse signatures where there can be none.

    Raises
    ------
    ReportError
        If the output root is not on S3, or the time is too long for S3.
    """
    if hours is None:
        return
    if not is_s3(root):
        raise ReportError(f"presign={hours:g}: '{root}' is not on S3, and its files need no signature. Leave it out")
    if not 0 < hours <= LONGEST_HOURS:
        raise ReportError(f"presign={hours:g}: S3 signs for a week at most. Give above 0 to {LONGEST_HOURS:g} hours")
