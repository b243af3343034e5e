"""The suffixes of the sounds that the installed libsndfile reads."""

from __future__ import annotations

from functools import cache

import soundfile

_OTHERS = {
    "WAV": ("wave", "bwf"),
    "AIFF": ("aif", "aifc"),
    "AU": ("snd",),
    "OGG": ("oga", "opus"),
    "MP3": ("mp2", "mp1", "mpga"),
    "SVX": ("iff", "8svx", "16svx"),
    "NIST": ("sph",),
    "IRCAM": ("sf",),
}
"""Suffixes beside the format's own name, by that name."""

_NOT_BY_SUFFIX = frozenset({"RAW", "MAT4", "MAT5", "SD2", "WAVEX", "MPC2K"})
"""Formats without a suffix of their own, without a header, or whose files mostly hold something else than sound."""


@cache
def audio_suffixes() -> tuple[str, ...]:
    """Return the suffixes of sounds, with their dot and in lower case, sorted."""
    names = set(soundfile.available_formats()) - _NOT_BY_SUFFIX
    suffixes = {suffix for name in names for suffix in (name.lower(), *_OTHERS.get(name, ()))}
    return tuple(sorted(f".{suffix}" for suffix in suffixes))
