"""File names that are safe on Windows, macOS and Linux, and that no two pairs share.

Names that differ in case only are one name on Windows and macOS: they count as the same everywhere, so that a folder
can be copied from one to the other.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from hashlib import blake2b, sha256

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

MOST_BYTES = 200
"""Length of a name in UTF-8: file systems take 255, and what copies a file may put something before or behind."""

ENDING_DIGITS = (0, 8, 16, 64)
"""Digits of the sha256 of its pair id that a name ends with: none, and more for as long as it is not the only one."""

NAMELESS = "unnamed"
"""The name of a pair whose template leaves nothing of it."""

_FORBIDDEN = re.compile(r'[<>:"/\\|?*]')
_BLANKS = re.compile(r"\s+")
_RESERVED = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|CLOCK\$|(COM|LPT)[0-9\u00b9\u00b2\u00b3])", re.IGNORECASE)
"""Names of devices on Windows, whatever follows behind a dot."""

_REPLACED = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of characters that some system refuses: control characters, surrogates, and what is not assigned."""

_DROPPED = "Cf"
"""Characters that are not seen: some turn the direction of the text around, so that a name reads as another."""


def safe_name(stem: str, suffix: str, ending: str = "") -> str:
    r"""Return a file name that any system takes, as like a text as possible.

    Parameters
    ----------
    stem : str
        Any text.
    suffix : str
        Of the file, with its dot; taken off the text if that ends with it.
    ending : str
        What has to stand before the suffix, also if the text has to be cut for it.

    Examples
    --------
    >>> safe_name("what/is: this?", ".flac"), safe_name("aux.take 1", ".wav"), safe_name(" a. ", ".ogg", "1f")
    ('what_is_ this_.flac', 'aux_.take 1.wav', 'a_1f.ogg')
    """
    if stem.lower().endswith(suffix.lower()):
        stem = stem[: len(stem) - len(suffix)]
    text = _stripped(_plain(stem)) or NAMELESS
    device, dot, rest = text.partition(".")
    if _RESERVED.fullmatch(device.rstrip()):
        text = f"{device}_{dot}{rest}"
    tail = f"_{ending}{suffix}" if ending else suffix
    return f"{_cut(text, MOST_BYTES - len(tail.encode()))}{tail}"


def unique_names(
    stems: Sequence[str], suffixes: Sequence[str], pair_ids: pa.Array, taken: Collection[str] = ()
) -> pa.StringArray:
    """Return a safe file name for each of N pairs; where two would get the same, both end with digits of their ids.

    So a name depends on the set of the pairs, and not on their order.

    Parameters
    ----------
    stems, suffixes : sequence of str
        N each.
    pair_ids : pyarrow.Array of str
        N, all different.
    taken : collection of str
        Names of files that none of the pairs may have.
    """
    levels = np.zeros(len(stems), dtype=np.int64)
    names = np.array([safe_name(*pair) for pair in zip(stems, suffixes, strict=True)], dtype=object)
    keys = _keys(names)
    others = _keys(sorted(taken))
    while True:
        _, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
        clashing = ((counts[places] > 1) | np.isin(keys, others)) & (levels < len(ENDING_DIGITS) - 1)
        if not clashing.any():
            return pa.array(names, pa.string())
        levels[clashing] += 1
        for row in np.flatnonzero(clashing).tolist():
            ending = sha256(pair_ids[row].as_py().encode()).hexdigest()[: ENDING_DIGITS[levels[row]]]
            names[row] = safe_name(stems[row], suffixes[row], ending)
        keys[clashing] = _keys(names[clashing])


def folded(name: str) -> str:
    """Return what names have in common that some system takes for the same.

    >>> folded("STRASSE.flac") == folded("straße.flac"), folded("A.flac") == folded("b.flac")
    (True, False)
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).upper().casefold())


def _keys(names: Sequence[str] | NDArray[np.object_]) -> NDArray[np.uint64]:
    """Return 64 bits of each folded name: a chance agreement gives a name an ending that it would not need."""
    digests = (blake2b(folded(name).encode(errors="surrogatepass"), digest_size=8).digest() for name in names)
    return np.frombuffer(b"".join(digests), dtype=np.uint64).copy()


def _plain(text: str) -> str:
    """Return a text without what some file system refuses in a name."""
    kept = []
    for character in _BLANKS.sub(" ", unicodedata.normalize("NFC", text)):
        category = unicodedata.category(character)
        if category in _REPLACED or _FORBIDDEN.match(character):
            kept.append("_")
        elif category != _DROPPED:
            kept.append(" " if category == "Zs" else character)
    return unicodedata.normalize("NFC", "".join(kept))


def _stripped(text: str) -> str:
    """Return a text without blanks at its ends, dots that would hide a file, and dots that Windows takes off."""
    return text.strip(" .")


def _cut(text: str, most_bytes: int) -> str:
    return _stripped(text.encode()[:most_bytes].decode(errors="ignore"))
