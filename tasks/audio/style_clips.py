"""Clips that are one style together, as it is listened to."""

from __future__ import annotations

from collections.abc import Sequence

from manifests.files import Files
from tasks.audio.excerpts import WHOLE, Excerpt
from tasks.audio.sound_files import read_planned_style
from tasks.audio.style_catalog import Clip
from tasks.audio.style_pieces import LISTENED_S, HeardStyle, joined_pieces


def heard_together(clips: Sequence[Clip], files: Files, sample_rate: int, excerpt: Excerpt = WHOLE) -> HeardStyle:
    """Return clips as one style: each gives as much as the others, and all of them what is listened to of one.

    Raises
    ------
    AudioError, StorageUnreachable
        As `tasks.audio.sound_files.read_planned_style`, for the first clip at fault.
    """
    listened_s = LISTENED_S / len(clips)
    heard = [read_planned_style(uri, files, sample_rate, str(sha256), excerpt, listened_s) for uri, sha256 in clips]
    return HeardStyle(joined_pieces([one.samples for one in heard], sample_rate), sum(one.n_pieces for one in heard))
