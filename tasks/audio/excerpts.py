"""Which part of a sound a pair uses: in seconds, in samples, and in words."""

from __future__ import annotations

from typing import NamedTuple

from tasks.audio.lengths import END_TOLERANCE_S, LONGEST_S, refuse_long, seconds_text
from tasks.audio.sound_errors import AudioError


class Excerpt(NamedTuple):
    """The part of a sound between two times in s; an end of None is the sound's own.

    Examples
    --------
    >>> Excerpt(1.5, 4.0).named("a.wav"), Excerpt(1.5).named("a.wav"), Excerpt().named("a.wav")
    ("'a.wav' from 1.5 s to 4 s", "'a.wav' from 1.5 s on", "'a.wav'")
    """

    start_s: float = 0.0
    end_s: float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the sound."""
        return self == WHOLE

    def named(self, uri: str) -> str:
        """Return what to call it in a message."""
        if self.is_whole:
            return f"'{uri}'"
        end = "on" if self.end_s is None else f"to {seconds_text(self.end_s)}"
        return f"'{uri}' from {seconds_text(self.start_s)} {end}"

    def samples(self, rate_hz: int) -> tuple[int, int | None]:
        """Return the first sample and the one behind the last.

        >>> Excerpt(0.5, 1.25).samples(1_000), Excerpt(0.5).samples(1_000)
        ((500, 1250), (500, None))
        """
        return round(self.start_s * rate_hz), None if self.end_s is None else round(self.end_s * rate_hz)

    def refuse_long(self, uri: str, longest_s: float = LONGEST_S) -> None:
        """Raise `too_long` if its two times are further apart than what is read is long."""
        if self.end_s is not None:
            refuse_long(self.end_s - self.start_s, self.named(uri), longest_s)

    def refuse_beyond(self, sound_s: float, uri: str) -> None:
        """Raise `beyond_end` if it begins behind the end of a sound of that length, or ends behind it.

        A little may be missing at its end.
        """
        lasts = f"'{uri}' lasts {seconds_text(sound_s)}"
        if self.start_s >= sound_s:
            raise AudioError("beyond_end", f"{lasts}, and its excerpt begins at {seconds_text(self.start_s)}")
        if self.end_s is not None and self.end_s > sound_s + END_TOLERANCE_S:
            message = f"{lasts}, and its excerpt ends at {seconds_text(self.end_s)}"
            raise AudioError("beyond_end", f"{message}: leave its end out for the sound's own")


WHOLE = Excerpt()
