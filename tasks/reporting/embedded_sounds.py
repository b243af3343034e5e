"""Sounds that a report holds: decoded once more, and written as scripts that hand FLAC to the page, with pictures.

A page that is opened from a disk may load scripts but not fetch sounds, and a sound that was moved since is heard all
the same. 16 bits, two channels and 48 kHz are enough to judge by; the result itself is linked beside it.
"""

from __future__ import annotations

import base64
import io
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from manifests.files import is_s3, join
from stylecore.channels import downmix
from tasks.audio.decoding import ResultForm
from tasks.audio.excerpts import WHOLE, Excerpt
from tasks.audio.lengths import MAX_DURATION_S
from tasks.audio.sound_errors import AudioError
from tasks.audio.sound_files import SAMPLE_RATE, read_planned_content
from tasks.reporting.heard_styles import heard_clips, is_one_file
from tasks.reporting.report_files import ReportFiles
from tasks.reporting.report_rows import audio_name
from tasks.reporting.spectrogram_pictures import Array, band_powers, difference_png, spectrogram_png, top_hz
from tasks.storage.storage import Storage, StorageUnreachable

MOST_BYTES = 128 << 20
"""Of all embedded sounds, as FLAC: pairs beyond it are linked only."""

_HIGHEST_RATE = 48_000
_MOST_CHANNELS = 2
_KEY_DIGITS = 16


PLAYABLE = frozenset({"too_long", "too_many_channels", "decode_limit", "out_of_memory"})
"""Why a sound cannot be embedded that a browser may play all the same, from where it lies."""


class Track(NamedTuple):
    """A sound of a report: the name of its script and its picture, its length in s, and its band powers.

    `cut` says that it is the beginning of a longer one.
    """

    key: str
    seconds: float
    powers: Array
    cut: bool


class _Source(NamedTuple):
    """A sound of a pair: content, style or result, where it is, the sha256 of its bytes, and what of it."""

    name: str
    uri: str
    identity: str
    excerpt: Excerpt


class NotEmbedded(Exception):
    """There is no room for more sounds in the report."""


class EmbeddedSounds:
    """The sounds of a report, each written once however many pairs have it.

    Parameters
    ----------
    root : str
        The output root.
    report : ReportFiles
        Where they go.
    files : Storage
        Where they come from.
    """

    def __init__(self, root: str, report: ReportFiles, files: Storage) -> None:
        self._root, self._report, self._files = root, report, files
        self._tracks: dict[str, Track] = {}
        self._problems: dict[tuple[str, str], AudioError] = {}
        self._away: dict[str, str] = {}
        self._bytes = 0

    def pair(self, row: dict[str, Any], root: str | None = None) -> dict[str, Any]:
        """Write the sounds of a succeeded pair, and return for the page where they are.

        A sound that is gone, has changed, or cannot be read is left out, and `problems` says why; `linked` are those
        that a browser may play.

        Parameters
        ----------
        row : dict
            Of the table of results.
        root : str, optional
            The output root of its result, if it is another one.

        Raises
        ------
        NotEmbedded
            If there is no room for them.
        """
        if self._bytes >= MOST_BYTES:
            raise NotEmbedded
        rate = min(row["sample_rate"] or SAMPLE_RATE, _HIGHEST_RATE)
        told: dict[str, Any] = {"tracks": {}, "problems": {}, "linked": [], "top_hz": top_hz(rate)}
        found: dict[str, Track] = {}
        for source in _sources(row, root or self._root):
            try:
                found[source.name] = self._track(source, rate)
                told["tracks"][source.name] = _told(found[source.name])
            except AudioError as error:
                told["problems"][source.name] = _sentence(str(error))
                if error.error_type in PLAYABLE:
                    told["linked"].append(source.name)
        if "content" in found and "result" in found:
            told["difference"] = self._difference(found["result"], found["content"])
        return told

    def _track(self, source: _Source, rate: int) -> Track:
        key = sha256(f"{source.identity} {source.excerpt} {rate}".encode()).hexdigest()[:_KEY_DIGITS]
        if (key, source.uri) in self._problems:
            raise self._problems[key, source.uri]
        if key not in self._tracks:
            try:
                self._tracks[key] = self._written(key, *self._decoded(source, rate), rate)
            except AudioError as error:  # of this file: another one may have the same bytes
                self._problems[key, source.uri] = error
                raise
        return self._tracks[key]

    def _decoded(self, source: _Source, rate: int) -> tuple[NDArray[np.float32], bool]:
        """Do `_read`; a storage that stays away is waited for once, and not for each of its sounds."""
        storage = source.uri.split("/", 3)[2] if is_s3(source.uri) else source.uri
        if storage in self._away:
            raise AudioError("storage", self._away[storage])
        try:
            return _read(source, self._files, rate)
        except StorageUnreachable as error:
            self._away[storage] = str(error)
            raise AudioError("storage", str(error)) from error
        except OSError as error:
            raise AudioError("storage", str(error)) from error

    def _written(self, key: str, samples: NDArray[np.float32], cut: bool, rate: int) -> Track:
        file = io.BytesIO()
        soundfile.write(file, np.clip(samples[:, :_MOST_CHANNELS], -1, 1), rate, format="FLAC", subtype="PCM_16")
        self._bytes += len(file.getvalue())
        text = base64.b64encode(file.getvalue()).decode()
        self._report.write(f"sounds/{key}.js", f'timbreflow.receiveSound("{key}", "{text}");\n'.encode())
        powers = band_powers(downmix(samples), rate)
        self._report.write(f"pictures/{key}.png", spectrogram_png(powers))
        return Track(key, len(samples) / rate, powers, cut)

    def _difference(self, result: Track, content: Track) -> str:
        key = f"{result.key}-{content.key}"
        self._report.write(f"pictures/{key}.png", difference_png(result.powers, content.powers))
        return key


def _sources(row: dict[str, Any], root: str) -> list[_Source]:
    """Return content, style and result of a row of an output root."""
    given = []
    for name in ("content", "style"):
        excerpt = Excerpt(row[f"{name}_start_s"] or 0.0, row[f"{name}_end_s"])
        given.append(_Source(name, row[name], row[f"{name}_identity"] or "", excerpt))
    result = join(root, "audio", audio_name(row["output"]) or "")
    return [*given, _Source("result", result, row["file_sha256"] or "", WHOLE)]


def _told(track: Track) -> dict[str, Any]:
    told = {"sound": track.key, "seconds": round(track.seconds, 3)}
    return {**told, "cut": True} if track.cut else told


def _read(source: _Source, files: Storage, rate: int) -> tuple[NDArray[np.float32], bool]:
    """Return a sound `[N, channels]`, of a long one the beginning, and whether it is only that.

    Its bytes have to be those that the row tells of. Of a style of several clips it is what is listened to of them.
    """
    name, uri, identity, excerpt = source
    if name == "style" and not is_one_file(uri, files):
        return heard_clips(uri, files, identity, rate)[:, None], False
    form, cut = ResultForm(rate, True), False
    try:
        content = read_planned_content(uri, files, rate, form, identity, excerpt)
    except AudioError as error:
        if error.error_type != "too_long":
            raise
        begun, cut = Excerpt(excerpt.start_s, excerpt.start_s + MAX_DURATION_S), True
        content = read_planned_content(uri, files, rate, form, identity, begun)
    samples = content.samples[: content.length, None] if content.channels is None else content.channels
    return np.ascontiguousarray(samples), cut


def _sentence(problem: str) -> str:
    """Return what is wrong with a sound for who looks at a report: a run has nothing to do with it any more."""
    return problem.partition("; it was there when")[0].partition(" since the run was planned")[0]
