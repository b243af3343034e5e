"""NIST SPHERE, in which corpora of speech come: a header of text, which says how many samples follow."""

from __future__ import annotations

import re

from tasks.audio.containers.chunks import Chunk, Container
from tasks.audio.containers.part import Part

_MAGIC, _MOST_HEADER = b"NIST_1A\n", 1 << 16
_FIELD = re.compile(rb"^(\w+) -(?:i|s\d+) (\S+)", re.MULTILINE)
_READ = frozenset({b"pcm", b"ulaw", b"mu-law", b"alaw"})


def is_nist(data: memoryview) -> bool:
    """Return whether a file is a NIST SPHERE."""
    return bytes(data[: len(_MAGIC)]) == _MAGIC


def nist_parts(data: memoryview, uri: str) -> list[Part]:
    """Return the sound of a NIST file.

    Raises
    ------
    AudioError
        As `Container.extent`.
    """
    size = bytes(data[len(_MAGIC) : len(_MAGIC) + 8]).strip()
    start = int(size) if size.isdigit() else 0
    fields = dict(_FIELD.findall(bytes(data[: min(start, _MOST_HEADER)])))
    coding = fields.get(b"sample_coding", b"pcm")
    counts = [fields.get(name, b"1") for name in (b"sample_count", b"channel_count", b"sample_n_bytes")]
    if coding not in _READ:
        return [Part((data,), codec=f"{coding.decode('latin-1')} (sample_coding)")]
    if not start or not all(count.isdigit() for count in counts):
        return [Part((data,))]
    n_samples, channels, n_bytes = map(int, counts)
    Container(data, None, None, (_MAGIC[:4],), uri).extent(Chunk(b"", start, n_samples * channels * n_bytes))
    return [Part((data,))]
