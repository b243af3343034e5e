"""How long what is used of a sound may be, and what is said of one that is not. A name has its quotes already."""

from __future__ import annotations

import math
from typing import NoReturn

from tasks.audio.sound_errors import AudioError

MIN_DURATION_S, MAX_DURATION_S = 0.2, 30.0

TOLERANCE_S = 0.5
"""Above the maximum: a clip of 30 s comes out of an encoder with up to a few hundredths of a second of padding."""

SHORT_TOLERANCE_S = 0.02
"""Below the minimum: what rounding and encoders take from a clip of 0.2 s."""

END_TOLERANCE_S = 0.1
"""Behind the end of a sound: where an excerpt may still end. Players count the padding of an MP3, and people round."""

LONGEST_S, SHORTEST_S = MAX_DURATION_S + TOLERANCE_S, round(MIN_DURATION_S - SHORT_TOLERANCE_S, 6)
"""Of what is computed in one piece."""

MAX_CONTENT_S = 3600.0
LONGEST_CONTENT_S = MAX_CONTENT_S + TOLERANCE_S
"""Of a content; one longer than `LONGEST_S` is computed in segments."""

LONGEST_STYLE_S = 86_400.0
"""Of a style: a day. One longer than `LONGEST_S` is listened to in pieces; all of it is decoded to find them."""

ANY_LENGTH_S = math.inf
"""How long a file may be of which an excerpt is read: its bytes are limited, and the time to decode them."""


def refuse_long(duration_s: float, name: str, longest_s: float = LONGEST_S) -> None:
    """Raise `too_long`, with the excess, for a sound of that length if it is longer than is read."""
    if duration_s > longest_s:
        most = longest_s - TOLERANCE_S
        excess = f"{seconds_text(duration_s - most)} more than {most:g} s"
        message = f"{name} lasts {seconds_text(duration_s)}, {excess} ({TOLERANCE_S:g} s more is let pass)"
        raise AudioError("too_long", message)


def refuse_endless(duration_s: float, name: str, longest_s: float = LONGEST_S) -> NoReturn:
    """Raise `too_long` for a sound of which no more than that length was looked at."""
    most = longest_s - TOLERANCE_S
    raise AudioError("too_long", f"{name} lasts more than {duration_s:g} s; up to {most:g} s are read")


def refuse_short(duration_s: float, name: str) -> None:
    """Raise `too_short`, with what is missing, for a sound of that length if it is shorter than is read."""
    if duration_s < SHORTEST_S:
        lack = f"{seconds_text(MIN_DURATION_S - duration_s)} less than {MIN_DURATION_S:g} s"
        message = f"{name} lasts {seconds_text(duration_s)}, {lack} ({SHORT_TOLERANCE_S:g} s less is let pass)"
        raise AudioError("too_short", message)


def seconds_text(duration_s: float) -> str:
    """Return a length with its milliseconds, but without needless zeros.

    >>> seconds_text(31.0), seconds_text(30.613), seconds_text(1e9)
    ('31 s', '30.613 s', '1000000000 s')
    """
    return f"{duration_s:.3f}".rstrip("0").rstrip(".") + " s"
