"""How long a sound may be, and what is said of one that is not."""

from __future__ import annotations

from typing import NoReturn

from tasks.audio.sound_errors import AudioError

MIN_DURATION_S, MAX_DURATION_S = 0.2, 30.0

TOLERANCE_S = 0.5
"""Above the maximum: a clip of 30 s comes out of an encoder with up to a few hundredths of a second of padding."""

SHORT_TOLERANCE_S = 0.02
"""Below the minimum: what rounding and encoders take from a clip of 0.2 s."""

LONGEST_S, SHORTEST_S = MAX_DURATION_S + TOLERANCE_S, round(MIN_DURATION_S - SHORT_TOLERANCE_S, 6)


def refuse_long(duration_s: float, uri: str) -> None:
    """Raise `too_long`, with the excess, for a sound of that length if it is longer than is read."""
    if duration_s > LONGEST_S:
        excess = f"{_seconds(duration_s - MAX_DURATION_S)} more than {MAX_DURATION_S:g} s"
        message = f"'{uri}' lasts {_seconds(duration_s)}, {excess} ({TOLERANCE_S:g} s more is let pass)"
        raise AudioError("too_long", message)


def refuse_endless(duration_s: float, uri: str) -> NoReturn:
    """Raise `too_long` for a sound of which no more than that length was looked at."""
    raise AudioError("too_long", f"'{uri}' lasts more than {duration_s:g} s; up to {MAX_DURATION_S:g} s are read")


def refuse_short(duration_s: float, uri: str) -> None:
    """Raise `too_short`, with what is missing, for a sound of that length if it is shorter than is read."""
    if duration_s < SHORTEST_S:
        lack = f"{_seconds(MIN_DURATION_S - duration_s)} less than {MIN_DURATION_S:g} s"
        message = f"'{uri}' lasts {_seconds(duration_s)}, {lack} ({SHORT_TOLERANCE_S:g} s less is let pass)"
        raise AudioError("too_short", message)


def _seconds(duration_s: float) -> str:
    """Return a length with its milliseconds, but without needless zeros.

    >>> _seconds(31.0), _seconds(30.613), _seconds(1e9)
    ('31 s', '30.613 s', '1000000000 s')
    """
    return f"{duration_s:.3f}".rstrip("0").rstrip(".") + " s"
