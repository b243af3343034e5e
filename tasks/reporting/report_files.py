"""The files of a report: below `report/` of an output root, written once each, and those of an older report removed."""

from __future__ import annotations

import re
from contextlib import suppress

from manifests.files import absolute, join
from tasks.storage.storage import Storage

FOLDER = "report"
PAGE = "index.html"

_NAMED_BY_CONTENT = re.compile(r"(sounds/[0-9a-f]{16}\.js|pictures/[0-9a-f]{16}(-[0-9a-f]{16})?\.png)")
_OURS = re.compile(rf"{_NAMED_BY_CONTENT.pattern}|rows-\d{{3,}}\.js")


def report_folder(root: str) -> str:
    """Return where the report of an output root lies."""
    return join(absolute(root), FOLDER)


class ReportFiles:
    """What a report writes.

    Parameters
    ----------
    folder : str
        Where to.
    files : Storage
        The storage.

    Attributes
    ----------
    folder : str
        As given.
    names : list of str
        What was written, or was there already.
    size : int
        Bytes of it.
    """

    def __init__(self, folder: str, files: Storage) -> None:
        self.folder, self._files = folder, files
        self._present = {uri.removeprefix(f"{folder}/"): size for uri, size in files.sizes(folder)}
        self.names: list[str] = []
        self.size = 0

    def write(self, name: str, data: bytes) -> None:
        """Write a file; one that is named by what it was made of, and is there already with that size, is left."""
        if name in self.names:
            return
        if not (_NAMED_BY_CONTENT.fullmatch(name) and self._present.get(name) == len(data)):
            with self._files.writing(join(self.folder, name)) as sink:
                sink.write(data)
        self.names.append(name)
        self.size += len(data)

    def remove_older(self) -> None:
        """Remove what an older report has written and this one has not; files of others stay."""
        for name in sorted(set(self._present) - set(self.names)):
            if _OURS.fullmatch(name):
                with suppress(FileNotFoundError):
                    self._files.delete(join(self.folder, name))
