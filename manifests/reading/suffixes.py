"""The suffixes of the sounds that the installed libsndfile reads, and PyAV where it is installed."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

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

_BY_PYAV = frozenset(
    {"aac", "ac3", "amr", "ape", "asf", "dff", "dsf", "dts", "eac3", "m4a", "m4b", "m4r", "mka", "mpc"}
    | {"ra", "shn", "tak", "tta", "weba", "webm", "wma", "wv", "3gp", "3gpp"}
)
"""Suffixes of sounds that PyAV reads and libsndfile does not; those of films are left out."""

EXTRA = "timbreflow[av]"
"""What to install for them."""

_NOT_BY_SUFFIX = frozenset({"RAW", "MAT4", "MAT5", "SD2", "WAVEX", "MPC2K"})
"""Formats without a suffix of their own, without a header, or whose files mostly hold something else than sound."""


def audio_suffixes() -> tuple[str, ...]:
    """Return the suffixes of sounds, with their dot and in lower case, sorted."""
    return tuple(sorted({*_libsndfiles_suffixes(), *(pyav_suffixes() if has_pyav() else ())}))


def pyav_suffixes() -> tuple[str, ...]:
    """Return the suffixes of sounds that PyAV alone reads, whether or not it is installed."""
    return tuple(sorted({f".{suffix}" for suffix in _BY_PYAV} - set(_libsndfiles_suffixes())))


@cache
def has_pyav() -> bool:
    """Return whether PyAV is installed; it is not imported."""
    return find_spec("av") is not None


@cache
def _libsndfiles_suffixes() -> tuple[str, ...]:
    names = set(soundfile.available_formats()) - _NOT_BY_SUFFIX
    suffixes = {suffix for name in names for suffix in (name.lower(), *_OTHERS.get(name, ()))}
    return tuple(sorted(f".{suffix}" for suffix in suffixes))
