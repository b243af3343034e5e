"""Write the smallest SF2 file that names programs, instruments and recordings."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def write_soundfont(path: Path, waveforms: dict[int, NDArray[np.int16]], bank: int = 0) -> Path:
    """Write a soundfont whose program p plays `waveforms[p]` through one instrument each."""
    bounds = np.cumsum([0, *(len(waveform) + 46 for waveform in waveforms.values())])
    starts = list(zip(waveforms, bounds[:-1], waveforms.values(), strict=False))
    count = len(waveforms)
    name = b"x".ljust(20, b"\0")
    presets = [
        *(struct.pack("<20sHHH12x", name, program, bank, n) for n, program in enumerate(waveforms)),
        struct.pack("<20sHHH12x", b"EOP", 0, 0, count),
    ]
    instruments = [struct.pack("<20sH", name, n) for n in range(count + 1)]
    bags = [struct.pack("<HH", n, 0) for n in range(count + 1)]
    samples = [struct.pack("<20sIIIIIBbHH", name, s, s + len(w), s, s, 16_000, 60, 0, 0, 1) for _, s, w in starts]
    chunks = {
        b"phdr": presets,
        b"pbag": bags,
        b"pgen": [struct.pack("<HH", 41, n) for n in range(count)] + [bytes(4)],
        b"inst": instruments,
        b"ibag": bags,
        b"igen": [struct.pack("<HH", 53, n) for n in range(count)] + [bytes(4)],
        b"shdr": [*samples, bytes(46)],
    }
    silence = bytes(92)
    waves = _chunk(b"smpl", b"".join(w.astype("<i2").tobytes() + silence for w in waveforms.values()))
    described = b"".join(_chunk(name, b"".join(parts)) for name, parts in chunks.items())
    lists = _chunk(b"LIST", b"sdta" + waves) + _chunk(b"LIST", b"pdta" + described)
    path.write_bytes(_chunk(b"RIFF", b"sfbk" + lists))
    return path


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
