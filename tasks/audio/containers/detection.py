"""What kind of file some bytes are, by what they begin with, and the sounds in it."""

from __future__ import annotations

from tasks.audio.containers.aiff import aiff_parts, is_aiff
from tasks.audio.containers.codecs import HINT, foreign_kind, no_sound
from tasks.audio.containers.flac import flac_parts, is_flac
from tasks.audio.containers.mpeg import find_mpeg, is_like_mpeg, mpeg_parts
from tasks.audio.containers.nist import is_nist, nist_parts
from tasks.audio.containers.ogg import is_ogg, ogg_parts
from tasks.audio.containers.part import Part
from tasks.audio.containers.plain import au_parts, caf_parts, is_au, is_caf
from tasks.audio.containers.riff import is_wav, wav_parts
from tasks.audio.containers.tags import after_leading_tags
from tasks.audio.lengths import LONGEST_S
from tasks.audio.sound_errors import AudioError


def parts(data: bytes | memoryview, uri: str, longest_s: float = LONGEST_S) -> list[Part]:
    """Return the sounds in a file, one after the other: one, or as many as were joined.

    Parameters
    ----------
    data : bytes
        The whole file.
    uri : str
        Its name, for messages.
    longest_s : float
        How long the sounds may be.

    Raises
    ------
    AudioError
        Types `truncated`, `not_audio`, `too_long` and `empty`, where the bytes show it without being decoded.
    """
    whole = memoryview(data)
    view = whole[after_leading_tags(whole) :]
    if is_wav(view):
        return wav_parts(view, uri, longest_s)
    if is_aiff(view):
        return aiff_parts(view, uri, longest_s)
    if is_au(view):
        return au_parts(view, uri)
    if is_caf(view):
        return caf_parts(view, uri, longest_s)
    if is_flac(view):
        return flac_parts(view, uri, longest_s)
    if is_ogg(view):
        return ogg_parts(view, uri, longest_s)
    if is_nist(view):
        return nist_parts(view, uri)
    if what := no_sound(view):
        raise AudioError("not_audio", f"'{uri}' is {what}, and no sound")
    kind, demuxer = foreign_kind(view)
    if kind:
        return [Part((view,), codec=kind, demuxer=demuxer, is_foreign=True)]
    if find_mpeg(whole) is not None:
        return mpeg_parts(whole, uri, longest_s)
    if is_like_mpeg(view):
        what = "begins like MPEG audio, but its frames do not follow each other: it is damaged or of free format"
        raise AudioError("not_audio", f"'{uri}' {what}{HINT}")
    return [Part((whole,))]
