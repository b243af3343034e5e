"""Sounds in and out: any file that libsndfile reads becomes mono at the rate of the computation, results become FLAC.

Whatever is wrong with a file becomes an `AudioError` with a type from `manifests.schema.ERROR_TYPES` and a message
with the path: the pair's row shows both, and no other pair is harmed. Only a storage that stays away is no fault of any
one sound, and passes as `StorageUnreachable`. The bytes are read here and decoded in a child process.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import soundfile
from numpy.typing import NDArray

from manifests.files import Files
from tasks.audio.decoding import SILENCE_PEAK, DecodedContent, ResultForm, SoundInfo
from tasks.audio.excerpts import WHOLE, Excerpt
from tasks.audio.large_files import SoundData, on_disk, sha256_of
from tasks.audio.lengths import LONGEST_S, MAX_DURATION_S, MIN_DURATION_S
from tasks.audio.sandbox import DECODERS
from tasks.audio.sound_errors import AudioError
from tasks.audio.style_pieces import LISTENED_S, HeardStyle
from tasks.audio.unpacking import UnpackedSound
from tasks.storage.storage_errors import StorageUnreachable

__all__ = [
    "MAX_DURATION_S",
    "MIN_DURATION_S",
    "SAMPLE_RATE",
    "SILENCE_PEAK",
    "AudioError",
    "DecodedContent",
    "ResultForm",
    "SoundInfo",
    "decode_flac",
    "encode_flac",
    "pcm_of",
    "pcm_to_float",
    "probe",
    "probe_identified",
    "quantised",
    "read_planned",
    "read_planned_content",
    "read_planned_style",
    "read_sound",
    "read_style",
    "samples_sha256",
    "unpacked_planned",
]

SAMPLE_RATE = 16_000

MAX_FILE_BYTES = 32 << 30
"""Larger files are not read: a day in 2 channels of 24 bits at 48 kHz is 25 GB."""

_LARGE_BYTES = 16 << 20
"""Larger files are not taken into memory as a whole: planning reads 16 at a time."""

_TOO_MUCH: dict[Hashable, str] = {}
"""What was said of sounds that could not be decoded within the limits, by URI, size, version and what was wanted."""

_PCM_24 = 2**23
_PCM_24_IN_32 = 2**8


def probe(uri: str, files: Files) -> SoundInfo:
    """Find out length, sampling rate and channels of a sound.

    Parameters
    ----------
    uri : str
        Local path or S3 URI.
    files : Files
        Where to read it.

    Raises
    ------
    AudioError
        Types `missing`, `is_folder`, `empty`, `truncated`, `not_audio`, `too_long`, `decode_limit`, `out_of_memory`
        and `storage`. A sound that is too short, silent or not finite shows itself only to `read_sound`.
    StorageUnreachable
        If the storage stayed away.
    """
    return probe_identified(uri, files)[0]


def probe_identified(uri: str, files: Files, longest_s: float = LONGEST_S) -> tuple[SoundInfo, str]:
    """Do `probe`, and return the identity too: the sha256 of the bytes it is about.

    With `ANY_LENGTH_S` a sound may be longer than is read, as it is if only excerpts of it are.
    """
    with _loaded(uri, files, longest_s) as data:
        return DECODERS.inspect(data, uri, longest_s), sha256_of(data)


def read_sound(uri: str, files: Files, sample_rate: int = SAMPLE_RATE, excerpt: Excerpt = WHOLE) -> NDArray[np.float32]:
    """Read a sound, or an excerpt of it, as mono at one sampling rate, at its own level.

    Parameters
    ----------
    uri : str
        Local path or S3 URI of a wav, flac, ogg, mp3 or aiff file, of any sampling rate and number of channels; it,
        or the excerpt, 0.2 s to 30 s long (`tasks.audio.lengths` has the tolerances).
    files : Files
        Where to read it.
    sample_rate : int
        Of the result, in Hz.
    excerpt : Excerpt
        Which part of it.

    Returns
    -------
    ndarray of float32
        `[N]`; full scale is 1.

    Raises
    ------
    AudioError
        Types `missing`, `is_folder`, `empty` (no bytes or no samples), `truncated` (damaged, or fewer samples than the
        header says), `not_audio`, `too_short`, `too_long`, `beyond_end`, `silent`, `not_finite`, `decode_limit`,
        `out_of_memory` and `storage`.
    StorageUnreachable
        If the storage stayed away.
    """
    with _loaded(uri, files, excerpt) as data:
        return DECODERS.decode(data, uri, sample_rate, excerpt)


def read_planned(
    uri: str, files: Files, sample_rate: int, identity: str, excerpt: Excerpt = WHOLE
) -> NDArray[np.float32]:
    """Do `read_sound` for a sound that planning has met: what is gone or has changed is a transient fault.

    Parameters
    ----------
    uri, files, sample_rate
        As for `read_sound`.
    identity : str
        The sha256 of the bytes that planning has met.
    excerpt : Excerpt
        Which part of the sound.

    Raises
    ------
    AudioError
        As `read_sound`; of type `storage` if the sound is gone or has other bytes now, whatever those are.
    StorageUnreachable
        If the storage stayed away.
    """
    with _planned(uri, files, identity, excerpt) as data:
        return DECODERS.decode(data, uri, sample_rate, excerpt)


def read_planned_content(
    uri: str, files: Files, sample_rate: int, form: ResultForm, identity: str, excerpt: Excerpt = WHOLE
) -> DecodedContent:
    """Do `read_planned` for a content, whose result is to have its channels.

    Raises
    ------
    AudioError
        As `read_planned`, and `too_many_channels`.
    StorageUnreachable
        If the storage stayed away.
    """
    with _planned(uri, files, identity, excerpt) as data:
        return DECODERS.decode_content(data, uri, sample_rate, form, excerpt)


def read_style(uri: str, files: Files, excerpt: Excerpt = WHOLE) -> HeardStyle:
    """Do `read_sound` for a style, of any length.

    Raises
    ------
    AudioError
        As `read_sound`, `too_long` beyond a day.
    StorageUnreachable
        If the storage stayed away.
    """
    with _loaded(uri, files, excerpt) as data:
        return DECODERS.decode_style(data, uri, SAMPLE_RATE, excerpt)


def read_planned_style(
    uri: str, files: Files, sample_rate: int, identity: str, excerpt: Excerpt = WHOLE, listened_s: float = LISTENED_S
) -> HeardStyle:
    """Do `read_planned` for a style, of which no more than some seconds are listened to.

    Raises
    ------
    AudioError
        As `read_planned`.
    StorageUnreachable
        If the storage stayed away.
    """
    with _planned(uri, files, identity, excerpt) as data:
        return DECODERS.decode_style(data, uri, sample_rate, excerpt, listened_s)


@contextmanager
def unpacked_planned(uri: str, files: Files, identity: str, excerpt: Excerpt = WHOLE) -> Iterator[UnpackedSound]:
    """Unpack a long content into a temporary file, which is there as long as the block lasts.

    Raises
    ------
    AudioError
        As `read_planned`, but for `silent`.
    StorageUnreachable
        If the storage stayed away.
    """
    with tempfile.NamedTemporaryFile(prefix=".timbreflow-") as file:
        with _planned(uri, files, identity, excerpt) as data:
            sound = DECODERS.unpack(data, uri, excerpt, file.name)
        yield sound


@contextmanager
def _planned(uri: str, files: Files, identity: str, excerpt: Excerpt) -> Iterator[SoundData]:
    """Give a file, if its bytes are those that planning has met."""
    try:
        with _loaded(uri, files, excerpt) as data:
            if sha256_of(data) != identity:
                raise AudioError("storage", f"'{uri}' has changed since the run was planned: run again")
            yield data
    except AudioError as error:
        if error.error_type not in ("missing", "is_folder"):
            raise
        raise AudioError("storage", f"{error}; it was there when the run was planned: run again") from None


def quantised(samples: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return samples in the steps of a 24-bit file: what `encode_flac` writes of them, and is read again.

    Raises
    ------
    ValueError
        If a sample is not finite or exceeds full scale: clipping would be silent damage.
    """
    return pcm_to_float(pcm_of(samples))


def encode_flac(samples: NDArray[np.floating], sample_rate: int) -> bytes:
    """Return a sound as a 24-bit FLAC file; equal samples give equal bytes with the same libsndfile.

    Parameters
    ----------
    samples : ndarray of float
        `[N]` or `[N, channels]`, within full scale, -1 to 1.
    sample_rate : int
        In Hz.

    Raises
    ------
    ValueError
        As `quantised`.
    """
    file = io.BytesIO()
    soundfile.write(file, pcm_of(samples), sample_rate, format="FLAC", subtype="PCM_24")
    return file.getvalue()


def pcm_of(samples: NDArray[np.floating]) -> NDArray[np.int32]:
    """Return samples in steps of 24 bits, full scale 2^31; rounded here, so that every libsndfile writes the same.

    Raises
    ------
    ValueError
        As `quantised`.
    """
    peak = float(np.abs(samples).max(initial=0))
    if not peak <= 1:
        raise ValueError(f"peak={peak} is not within full scale, 1")
    steps = np.rint(np.asarray(samples, dtype=np.float64) * _PCM_24)
    pcm: NDArray[np.int32] = np.clip(steps, -_PCM_24, _PCM_24 - 1).astype(np.int32) * np.int32(_PCM_24_IN_32)
    return pcm


def decode_flac(data: bytes) -> NDArray[np.int32]:
    """Return the samples of a file of `encode_flac`, exactly as written and shaped; full scale is 2^31."""
    pcm: NDArray[np.int32] = soundfile.read(io.BytesIO(data), dtype="int32")[0]
    return pcm


def pcm_to_float(pcm: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return decoded samples with full scale 1; exact, since 24 bits fit a float32."""
    return (pcm / 2.0**31).astype(np.float32)


def samples_sha256(pcm: NDArray[np.int32]) -> str:
    """Return the sha256 of decoded samples as little-endian int32: the sound's, whatever the encoder did."""
    return hashlib.sha256(pcm.astype("<i4").tobytes()).hexdigest()


@contextmanager
def _loaded(uri: str, files: Files, wanted: Hashable) -> Iterator[SoundData]:
    """Give a file: in memory, or on the local disk if it is large.

    `wanted` is how much of the sound will be decoded: what takes too long for one excerpt may not for another.
    """
    with _typed(uri):
        stat = files.stat(uri)
    if stat.size > MAX_FILE_BYTES:
        message = f"'{uri}' has {stat.size} bytes, more than the {MAX_FILE_BYTES} that are read"
        raise AudioError("decode_limit", message)
    with _refused_once((uri, *stat, wanted)), ExitStack() as held:
        with _typed(uri):
            is_large = stat.size > _LARGE_BYTES
            data = held.enter_context(on_disk(uri, files, stat)) if is_large else _read(uri, files, stat.size)
        yield data
        with _typed(uri):
            if is_large and files.stat(uri) != stat:
                raise AudioError("storage", f"'{uri}' changed while it was read")


def _read(uri: str, files: Files, size: int) -> bytes:
    with files.open(uri) as stream:
        # A byte more than there should be: a file may grow while it is read.
        data = stream.read(size + 1)
    if len(data) != size:
        raise AudioError("storage", f"'{uri}' changed while it was read: {len(data)} bytes, not {size}")
    return data


@contextmanager
def _refused_once(sound: Hashable) -> Iterator[None]:
    """Let no sound use up its time or its memory again for each pair that names it, unless it has changed."""
    if sound in _TOO_MUCH:
        raise AudioError("decode_limit", _TOO_MUCH[sound])
    try:
        yield
    except AudioError as error:
        if error.error_type == "decode_limit":
            _TOO_MUCH[sound] = str(error)
        raise


@contextmanager
def _typed(uri: str) -> Iterator[None]:
    """Turn what reading a file can raise into an AudioError."""
    try:
        yield
    except StorageUnreachable:
        raise
    except FileNotFoundError as error:
        raise AudioError("missing", f"'{uri}' does not exist") from error
    except IsADirectoryError as error:
        raise AudioError("is_folder", f"'{uri}' is a folder, not a sound") from error
    except OSError as error:
        raise AudioError("storage", f"reading '{uri}' failed: {error}") from error
