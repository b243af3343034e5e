"""Which audio of an output root is there: found by one listing, whoever deleted what.

A listing names a file without asking for it. Of each name 8 bytes are kept: a million files take 8 MB, and the chance
that one of them hides the absence of another is below one in ten million.
"""

from __future__ import annotations

from binascii import unhexlify
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manifests.files import Files, absolute, is_s3, join
from manifests.fingerprint import FINGERPRINT_DIGITS
from manifests.parquet import BATCH_ROWS
from manifests.results.layout import AUDIO_SUFFIXES

_ENDING = "|".join(AUDIO_SUFFIXES)
_ADDRESS = rf"^(?P<folder>..)/(?P<name>[0-9a-f]{{{FINGERPRINT_DIGITS}}})(?:-[0-9a-zA-Z-]+)?\.(?:{_ENDING})$"
"""Of a fingerprint's audio below `audio/`, in a folder named by its first digits; that of an attempt may be longer."""

_KEY_DIGITS = 16

MANY = 2_560
"""Files from which on the 256 folders of `audio/` are listed side by side on S3, which gives a thousand names a time.

A disk answers at once: threads that ask it wait for each other, and take twice the time of one.
"""

_THREADS = 16


def missing_audio(files: Files, root: str, fingerprints: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Return which fingerprints have no audio under an output root, `[N]`; an empty file counts as none.

    Parameters
    ----------
    files : Files
        The file system.
    root : str
        The output root.
    fingerprints : pyarrow.ChunkedArray of str
        Of N succeeded pairs. Where there are none, nothing is listed.

    Raises
    ------
    OSError
        If `audio/` cannot be listed: that says nothing about what it holds.
    """
    if not len(fingerprints):
        return np.zeros(0, dtype=bool)
    folder = join(absolute(root), "audio")
    if len(fingerprints) < MANY or not is_s3(folder):
        found = _keys_below(files, folder)
    else:
        folders = [join(folder, f"{first:02x}") for first in range(256)]
        with ThreadPoolExecutor(_THREADS) as pool:
            found = np.concatenate(list(pool.map(lambda one: _keys_below(files, one), folders)))
    there = pc.is_in(pa.array(_keys(fingerprints.combine_chunks())), value_set=pa.array(found))
    return np.asarray(~there.to_numpy(zero_copy_only=False))


def _keys_below(files: Files, folder: str) -> NDArray[np.uint64]:
    filled = (uri.rpartition("/audio/")[2] for uri, size in files.sizes(folder) if size)
    plain = filter(str.isascii, filled)  # a name from elsewhere may be no text at all
    keys = [np.zeros(0, dtype=np.uint64)]
    while some := list(islice(plain, BATCH_ROWS)):
        found = pc.extract_regex(pa.array(some), _ADDRESS).drop_null()
        names = pc.struct_field(found, "name")
        in_its_folder = pc.equal(pc.utf8_slice_codeunits(names, 0, 2), pc.struct_field(found, "folder"))
        keys.append(_keys(names.filter(in_its_folder)))
    return np.concatenate(keys)


def _keys(names: pa.StringArray) -> NDArray[np.uint64]:
    """Return the first digits of hexadecimal names as numbers."""
    if not len(names):
        return np.zeros(0, dtype=np.uint64)
    _, _, digits = pc.utf8_slice_codeunits(names, 0, _KEY_DIGITS).buffers()
    return np.frombuffer(unhexlify(digits), dtype=">u8").astype(np.uint64)
