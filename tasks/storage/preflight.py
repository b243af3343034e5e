"""What can be known about an output root before anything is computed."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from manifests.files import is_s3
from tasks.storage.storage_errors import StorageError

MIN_BYTES_PER_SAMPLE = 1.0
"""24-bit FLAC takes two to three; less than this is certainly too little."""

BYTES_PER_SHARD = 1 << 16
"""Of its rows: a hundred columns of Parquet."""

MIN_BYTES_PER_PAIR = 512
"""Of the table while it is sorted: its digests and curve of losses alone, which do not compress, take as much."""


def refuse_links(root: str) -> None:
    """Refuse an output root whose folders are links to elsewhere: writing there would change files of others.

    The root itself may be a link: it was named by the user.

    Raises
    ------
    StorageError
        Naming the link.
    """
    if is_s3(root) or not Path(root).is_dir():
        return
    inside = Path(root).resolve()
    for folder in (inside, *(path for path in inside.iterdir() if path.is_dir())):
        for path in folder.iterdir():
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                raise StorageError(
                    f"'{path}' is a link out of the output root, to '{path.resolve()}'. Remove it, or choose another"
                )


def existing_folder(path: Path) -> Path:
    """Return the folder itself, or the nearest one above it that is there already."""
    while not path.exists():
        path = path.parent
    return path


def refuse_small_disk(root: str, n_samples: float, n_shards: int) -> None:
    """Refuse a local disk that cannot hold a run's results; S3 has no end that could be asked for.

    Parameters
    ----------
    root : str
        Output root.
    n_samples : float
        Samples to be written.
    n_shards : int
        Shards to be written.

    Raises
    ------
    StorageError
        Naming what is needed and what is free.
    """
    if is_s3(root):
        return
    needed = n_samples * MIN_BYTES_PER_SAMPLE + n_shards * BYTES_PER_SHARD
    _refuse_less(existing_folder(Path(root)), needed, f"'{root}'", "the results need", "choose another root")


def refuse_small_temporary_folder(n_pairs: int, unpacked_bytes: float = 0.0) -> None:
    """Refuse a folder for temporary files that cannot hold what a run puts there.

    Parameters
    ----------
    n_pairs : int
        Of the table, which is sorted there at the end.
    unpacked_bytes : float
        Of the largest content that is unpacked there.

    Raises
    ------
    StorageError
        Naming what is needed and what is free.
    """
    folder, needed = tempfile.gettempdir(), float(n_pairs * MIN_BYTES_PER_PAIR)
    for what, least in (("sorting the table", needed), ("unpacking the longest content", unpacked_bytes)):
        _refuse_less(Path(folder), least, f"'{folder}'", f"{what} needs", "set TMPDIR to a larger folder")


def _refuse_less(folder: Path, needed: float, named: str, need: str, otherwise: str) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StorageError(
            f"{named} has {free / 1e6:.1f} MB free, and {need} at least {needed / 1e6:.1f} MB. Free some space, or "
            f"{otherwise}"
        )
