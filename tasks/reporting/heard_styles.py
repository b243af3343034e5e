"""Styles of several clips, as a person hears them: what is listened to of each, one after the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from manifests.files import UriError
from manifests.reading.listing import is_pattern
from manifests.style_text import is_several
from tasks.audio.sound_errors import AudioError
from tasks.audio.style_catalog import catalogued
from tasks.audio.style_clips import heard_together
from tasks.storage.storage import Storage


def is_one_file(style: str, files: Storage) -> bool:
    """Return whether a style names a sound: no list, blend, pattern or folder."""
    try:
        return not (is_several(style) or is_pattern(style) or files.is_folder(style))
    except UriError:
        return True  # a path that only looks like a list


def heard_clips(style: str, files: Storage, identity: str, rate: int) -> NDArray[np.float32]:
    """Return what is listened to of the clips of a style, `[N]`, mono.

    Raises
    ------
    AudioError
        If a clip cannot be read, or they are not those that the identity tells of.
    StorageUnreachable
        If the storage stayed away.
    """
    found = catalogued([], [style], {}, files).styles[style]
    if found.sound.identity != identity:
        raise AudioError("storage", f"'{style}' has changed, or a clip of it is gone")
    clips = [clip for voice in found.voices for clip in voice.clips]
    return heard_together(clips, files, rate).samples
