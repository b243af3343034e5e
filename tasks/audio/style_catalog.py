"""What a run knows of its styles before it computes: which clips each is made of, with what shares, and its identity.

A style names a sound, a folder or a pattern, several of them, or a blend (`manifests.style_text`). What a folder or a
pattern holds is looked up here, when the run is planned, and travels with the plan. A style that cannot be had spoils
its own pairs and no others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import NamedTuple

from manifests.files import is_s3
from manifests.reading.listing import all_below, is_pattern
from manifests.reading.sound_listing import LeftOut, is_sound
from manifests.style_text import MOST_CLIPS, normalised, parsed, paths_in
from stylecore.settings import SoundOfPair
from tasks.audio.catalog import UNREADABLE, Sound, identify, unreadable
from tasks.audio.sound_errors import AudioError
from tasks.storage.storage import Storage, StorageUnreachable

MOST_FILES = 100_000
"""Below a folder that is looked through for the sounds of a style."""


class Clip(NamedTuple):
    """A sound of a style: where, and the sha256 of its bytes; None if it could not be read."""

    uri: str
    identity: str | None


class PlannedVoice(NamedTuple):
    """Clips that are one style together, in the order of their identities, and what share they have in a blend."""

    share: float
    clips: tuple[Clip, ...]

    @property
    def identity(self) -> str:
        """That of its only clip, or one made of those of all: neither names nor order count."""
        identities = [str(clip.identity) for clip in self.clips]
        return identities[0] if len(identities) == 1 else _digest(["clips", *identities])


class PlannedStyle(NamedTuple):
    """A style as planning sees it: like a sound, with the voices that it is of; none for the sound that it names."""

    sound: Sound
    voices: tuple[PlannedVoice, ...]

    def clips_json(self) -> str | None:
        """Return its voices as JSON, for a plan; None if there are none.

        >>> voice = PlannedVoice(1.0, (Clip("/a.wav", "1f"), Clip("/b.wav", "2e")))
        >>> PlannedStyle(Sound("/snd", 0, "", "3d", 2.0, 0, 0), (voice,)).clips_json()
        '[[1.0, [["/a.wav", "1f"], ["/b.wav", "2e"]]]]'
        """
        return json.dumps(self.voices) if self.voices else None


def voices_from_json(text: str) -> tuple[PlannedVoice, ...]:
    """Return what `PlannedStyle.clips_json` has written."""
    return tuple(PlannedVoice(share, tuple(Clip(*clip) for clip in clips)) for share, clips in json.loads(text))


Held = tuple[str, ...] | AudioError
"""The sounds that a path stands for, or why there are none."""


@dataclass(frozen=True)
class Catalogue:
    """All sounds of a manifest.

    Attributes
    ----------
    files : mapping
        Each file that is a content or a clip, by its URI.
    styles : mapping
        Each style by its text.
    held : mapping
        What each path in those texts stands for.
    """

    files: Mapping[str, Sound]
    styles: Mapping[str, PlannedStyle]
    held: Mapping[str, Held]

    def of(self, side: SoundOfPair) -> Mapping[str, Sound]:
        """Return what is known of the sounds of one side, by what a manifest calls them."""
        return self.files if side == "content" else self._style_sounds

    @cached_property
    def _style_sounds(self) -> dict[str, Sound]:
        return {text: style.sound for text, style in self.styles.items()}

    def clips_of(self, style: str) -> list[str]:
        """Return the URIs of the files that a style is made of, as far as they are known."""
        clips = [clip.uri for voice in self.styles[style].voices for clip in voice.clips]
        return clips or [style] * (style in self.files)

    def unread(self, side: SoundOfPair, name: str) -> list[str]:
        """Return the files for which a sound, by what a manifest calls it, cannot be read; itself if none is known."""
        voices = self.styles[name].voices if side == "style" else ()
        return [clip.uri for voice in voices for clip in voice.clips if clip.identity is None] or [name]

    def corrected(self, files: Mapping[str, Sound]) -> Catalogue:
        """Return it with what is now known of some files."""
        return _composed(self.styles, {**self.files, **files}, self.held)


def catalogued(contents: Iterable[str], styles: Iterable[str], memo: Mapping[str, Sound], files: Storage) -> Catalogue:
    """Identify the sounds of a manifest.

    Parameters
    ----------
    contents : iterable of str
        URIs.
    styles : iterable of str
        Texts of `manifests.style_text`, with URIs.
    memo : mapping
        What earlier runs knew of files.
    files : Storage
        Local and S3 storage.

    Raises
    ------
    StorageUnreachable
        If the storage stayed away: that says nothing about any sound.
    """
    styles = list(styles)
    paths = list(dict.fromkeys(path for style in styles for path in paths_in(style)))
    known = identify(list(dict.fromkeys([*contents, *paths])), memo, files)
    held = {path: _held(known[path], files) for path in paths}
    clips = [uri for uris in held.values() if not isinstance(uris, AudioError) for uri in uris if uri not in known]
    return _composed(styles, {**known, **identify(list(dict.fromkeys(clips)), memo, files)}, held)


def expanded(style: str, files: Storage) -> list[str]:
    """Return the URIs of all sounds that a style is made of now.

    Raises
    ------
    AudioError
        If a folder or a pattern in it holds no sound, or too many.
    StorageUnreachable
        If the storage stayed away.
    """
    found = catalogued([], [style], {}, files)
    for held in found.held.values():
        if isinstance(held, AudioError):
            raise held
    for voice in found.styles[style].voices:
        _refuse_many(style, voice.clips)
    return found.clips_of(style)


def _composed(styles: Iterable[str], files: Mapping[str, Sound], held: Mapping[str, Held]) -> Catalogue:
    return Catalogue(files, {style: _style(style, files, held) for style in styles}, held)


def _style(text: str, files: Mapping[str, Sound], held: Mapping[str, Held]) -> PlannedStyle:
    if held.get(text) == (text,):
        return PlannedStyle(files[text], ())
    voices: tuple[PlannedVoice, ...] = ()
    try:
        voices = _voices(text, files, held)
        for voice in voices:
            _refuse_many(text, voice.clips)
            _refuse_unread(voice.clips, files)
    except AudioError as error:
        return PlannedStyle(unreadable(text, error.error_type), voices)
    merged = _merged(voices)
    duration_s = sum(files[clip.uri].duration_s for voice in merged for clip in voice.clips)
    return PlannedStyle(Sound(text, 0, "", _identity(merged), duration_s, 0, 0), merged)


def _voices(text: str, files: Mapping[str, Sound], held: Mapping[str, Held]) -> tuple[PlannedVoice, ...]:
    """Return the voices that a text names, or raise why a folder or a pattern in it gives none."""
    named = parsed(text)
    groups = [(share, [path]) for path, share in named.items()] if isinstance(named, Mapping) else [(1.0, named)]
    voices = []
    for share, paths in groups:
        uris: list[str] = []
        for path in paths:
            found = held[path]
            if isinstance(found, AudioError):
                raise found
            uris += found
        voices.append(_voice(share, [files[uri] for uri in uris]))
    return tuple(voices)


def _voice(share: float, sounds: Sequence[Sound]) -> PlannedVoice:
    """Return sounds as one voice: of those with the same bytes the first."""
    clips: dict[str, Clip] = {}
    for sound in sounds:
        clips.setdefault(sound.identity if sound.readable else sound.uri, Clip(sound.uri, sound.sha256))
    return PlannedVoice(share, tuple(clips[key] for key in sorted(clips)))


def _merged(voices: Sequence[PlannedVoice]) -> tuple[PlannedVoice, ...]:
    """Return voices in the order of their identities; what is the same counts together."""
    by_identity = {voice.identity: voice.clips for voice in voices}
    shares = normalised([(voice.identity, voice.share) for voice in voices])
    return tuple(PlannedVoice(share, by_identity[identity]) for identity, share in shares.items())


def _identity(voices: Sequence[PlannedVoice]) -> str:
    if len(voices) == 1:
        return voices[0].identity
    return _digest(["blend", *([voice.identity, voice.share] for voice in voices)])


def _digest(parts: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _held(sound: Sound, files: Storage) -> Held:
    """Return the sounds that a path of a style stands for: itself, or those of a folder or a pattern."""
    problem = "" if sound.readable else sound.identity.removeprefix(UNREADABLE)
    if problem == "is_folder":
        pattern = all_below(sound.uri)
    elif problem == "missing" and is_pattern(sound.uri):
        pattern = sound.uri
    else:
        return (sound.uri,)
    if _is_too_much(sound.uri if problem == "is_folder" else pattern.partition("**")[0], files):
        message = f"'{sound.uri}': more than {MOST_FILES} files lie below it. Name a folder of fewer"
        return AudioError("style_clips", message)
    if is_s3(pattern) and is_pattern(pattern.split("/")[2]):
        return AudioError("style_clips", f"'{pattern}': the name of a bucket cannot be a pattern. Name one bucket")
    try:
        matches, left_out = files.glob(pattern), LeftOut()
    except StorageUnreachable:
        raise
    except ValueError as error:
        return AudioError("style_clips", f"'{sound.uri}': {error}. Write ** between two slashes, as in voices/**/*.wav")
    except OSError as error:
        return AudioError("storage", str(error))
    found = [uri for uri in matches if is_sound(uri, pattern, left_out)]
    if not found:
        why = "".join(f"; {sentence}" for sentence in left_out.sentences())
        message = f"no sound among the {len(matches)} files of '{sound.uri}'{why}. Name a sound, or a folder of some"
        return AudioError("style_clips", message)
    return tuple(found)


def _is_too_much(folder: str, files: Storage) -> bool:
    """Return whether a folder is one to keep out of, such as that of a whole disk; nothing lies below what is none."""
    try:
        return sum(1 for _ in islice(files.sizes(folder), MOST_FILES + 1)) > MOST_FILES
    except StorageUnreachable:
        raise
    except OSError:
        return False  # looking for sounds there says what is wrong


def _refuse_many(style: str, clips: Sequence[Clip]) -> None:
    if len(clips) > MOST_CLIPS:
        remedy = "Name those that show what it is like, by a list or a narrower pattern"
        raise AudioError("style_clips", f"'{style}' is {len(clips)} clips > {MOST_CLIPS}. {remedy}")


def _refuse_unread(clips: Sequence[Clip], files: Mapping[str, Sound]) -> None:
    for uri, identity in clips:
        if identity is None:
            raise AudioError(files[uri].identity.removeprefix(UNREADABLE), f"'{uri}' cannot be read")
