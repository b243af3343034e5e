"""Bytes to samples, in a child process (`tasks.audio.sandbox_worker`): libsndfile parses what anybody may have made.

Whatever is wrong with a file becomes an `AudioError` with a type from `manifests.schema.ERROR_TYPES` and a message
with the path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray

from stylecore.channels import downmix
from tasks.audio.excerpts import WHOLE, Excerpt
from tasks.audio.lengths import LONGEST_S, LONGEST_STYLE_S, MAX_DURATION_S, refuse_short
from tasks.audio.sound_errors import AudioError
from tasks.audio.streams import MAX_VALUES, SoundInfo, blocks_of, measure, nothing, samples_of
from tasks.audio.style_pieces import LISTENED_S, HeardStyle, joined_pieces, loudest_pieces

SILENCE_PEAK = 2.0**-14
"""Peak, -84 dBFS, up to which a sound counts as silence: the dither of 16-bit silence stays under it."""

LOUDEST = 2.0**32
"""Largest sample that is believed: full scale is 1, and of integers that were written as if they were numbers 2^31."""

MOST_CHANNELS = 8
"""Of a result: no more fit into a FLAC file."""


class ResultForm(NamedTuple):
    """What the result of a content is to be like: its sampling rate in Hz, and whether it keeps the channels."""

    sample_rate: int
    keeps_channels: bool

    def length(self, n_samples: int, own_rate: int) -> int:
        """Return how many samples the result of so many samples of a content has."""
        return round(n_samples * self.sample_rate / own_rate)


class DecodedContent(NamedTuple):
    """A content, and what its result is measured by.

    `samples` `[N]`, mono, at the rate of the computation; `length`, in samples, of the result; `channels`
    `[length, channels]` at the result's rate, None where it has one.
    """

    samples: NDArray[np.float32]
    length: int
    channels: NDArray[np.float32] | None


def inspect(
    data: bytes | memoryview, uri: str, longest_s: float = LONGEST_S, on_block: Callable[[], None] = nothing
) -> SoundInfo:
    """Find out how long a sound is, from the size of its data or by decoding it.

    Parameters
    ----------
    data : bytes
        The whole file.
    uri : str
        Its name, for messages.
    longest_s : float
        How long it may be.
    on_block : callable
        Called now and then while it is decoded.

    Raises
    ------
    AudioError
        Types `empty`, `truncated`, `not_audio`, `too_long` and `decode_limit`.
    MemoryError
        If it takes more memory than there is.
    """
    return measure(data, uri, longest_s, on_block)


def decode(data: bytes | memoryview, uri: str, sample_rate: int, excerpt: Excerpt = WHOLE) -> NDArray[np.float32]:
    """Return a sound, or an excerpt of it, as mono at one sampling rate, at its own level: `[N]`, full scale is 1.

    Parameters
    ----------
    data : bytes
        The whole file.
    uri : str
        Its name, for messages.
    sample_rate : int
        Of the result, in Hz.
    excerpt : Excerpt
        Which samples of the file are read, before they get the other rate.

    Raises
    ------
    AudioError
        As `inspect`, and `too_short`, `beyond_end`, `silent` and `not_finite`.
    MemoryError
        As `inspect`.
    """
    channels, own_rate = _checked_channels(data, uri, excerpt)
    return _analysed(downmix(channels), own_rate, sample_rate, excerpt.named(uri))


def decode_style(
    data: bytes | memoryview,
    uri: str,
    sample_rate: int,
    excerpt: Excerpt = WHOLE,
    listened_s: float = LISTENED_S,
    on_block: Callable[[], None] = nothing,
) -> HeardStyle:
    """Return what is listened to of a style, mono at one sampling rate: all of it, or pieces from all over a long one.

    Parameters
    ----------
    data, uri, sample_rate, excerpt
        As for `decode`.
    listened_s : float
        How much of it is listened to, s; a sixtieth more is let pass.
    on_block : callable
        Called now and then while it is decoded.

    Raises
    ------
    AudioError
        As `decode`; `too_long` beyond a day.
    MemoryError
        As `inspect`.
    """
    name = excerpt.named(uri)
    whole, n_samples = list[NDArray[np.float32]](), 0
    for block, own_rate in blocks_of(data, uri, excerpt, LONGEST_STYLE_S):
        whole.append(block)
        n_samples += len(block)
        _refuse_wide(n_samples, block.shape[1], name)
        if n_samples > listened_s * LONGEST_S / MAX_DURATION_S * own_rate:
            break
    else:
        channels = _checked(whole[0] if len(whole) == 1 else np.concatenate(whole), own_rate, name)
        return HeardStyle(_analysed(downmix(channels), own_rate, sample_rate, name), 1)
    del whole, block
    pieces = _loudest(data, uri, excerpt, listened_s, on_block)
    if not pieces:
        raise AudioError("silent", f"{name} is silent (peak at most {_dbfs(SILENCE_PEAK)} dBFS)")
    samples = _analysed(downmix(joined_pieces(pieces, own_rate)), own_rate, sample_rate, name)
    return HeardStyle(samples, len(pieces))


def _loudest(
    data: bytes | memoryview, uri: str, excerpt: Excerpt, listened_s: float, on_block: Callable[[], None]
) -> list[NDArray[np.float32]]:
    """Return the pieces of a long style."""
    info = measure(data, uri, LONGEST_STYLE_S, on_block)
    first, last = excerpt.samples(info.sample_rate)
    end = info.n_samples if last is None else min(last, info.n_samples)

    def blocks() -> Iterator[NDArray[np.float32]]:
        for block, _ in blocks_of(data, uri, excerpt, LONGEST_STYLE_S):
            on_block()
            if len(block):
                refuse_extremes(block, excerpt.named(uri))
            yield block

    return loudest_pieces(blocks(), end - first, info.sample_rate, listened_s)


def _refuse_wide(n_samples: int, channels: int, name: str) -> None:
    """Refuse what has too many channels to be held until it is mixed down."""
    if n_samples * channels > MAX_VALUES:
        size = f"{n_samples} samples and more in each of {channels} channels"
        raise AudioError("decode_limit", f"{name} has {size}, more than {MAX_VALUES} together")


def _dbfs(peak: float) -> str:
    return f"{20 * np.log10(peak):.0f}"


def decode_content(
    data: bytes | memoryview, uri: str, sample_rate: int, form: ResultForm, excerpt: Excerpt = WHOLE
) -> DecodedContent:
    """Return a content, with the channels that its result is to have.

    Parameters
    ----------
    data, uri, sample_rate, excerpt
        As for `decode`.
    form : ResultForm
        Of the result.

    Raises
    ------
    AudioError
        As `decode`, and `too_many_channels`.
    MemoryError
        As `inspect`.
    """
    channels, own_rate = _checked_channels(data, uri, excerpt)
    return content_of(channels, own_rate, sample_rate, form, uri, excerpt)


def content_of(
    channels: NDArray[np.float32], own_rate: int, sample_rate: int, form: ResultForm, uri: str, excerpt: Excerpt
) -> DecodedContent:
    """Return a content from its channels `[N, channels]` at the rate of its file.

    Raises
    ------
    AudioError
        Types `silent` and `too_many_channels`.
    """
    samples = _analysed(downmix(channels), own_rate, sample_rate, excerpt.named(uri))
    length = form.length(len(channels), own_rate)
    if not form.keeps_channels or channels.shape[1] == 1:
        return DecodedContent(samples, length, None)
    if channels.shape[1] > MOST_CHANNELS:
        message = f"'{uri}' has {channels.shape[1]} channels; up to {MOST_CHANNELS} are kept. Ask for a mono result"
        raise AudioError("too_many_channels", f"{message}: channels=mono")
    return DecodedContent(samples, length, fitted(_resampled(channels, own_rate, form.sample_rate), length))


def fitted(samples: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Return samples `[N]` or `[N, channels]` with a length: resampling rounds up or down.

    >>> fitted(np.array([1, 2, 3], np.float32), 2), fitted(np.array([1], np.float32), 2)
    (array([1., 2.], dtype=float32), array([1., 0.], dtype=float32))
    """
    missing = [(0, max(0, length - len(samples)))] + [(0, 0)] * (samples.ndim - 1)
    return np.pad(samples[:length], missing)


def _checked_channels(data: bytes | memoryview, uri: str, excerpt: Excerpt) -> tuple[NDArray[np.float32], int]:
    """Return a sound's channels `[N, channels]` and their rate, or say what is wrong with all of them."""
    channels, own_rate = samples_of(data, uri, excerpt)
    return _checked(channels, own_rate, excerpt.named(uri)), own_rate


def _checked(channels: NDArray[np.float32], own_rate: int, name: str) -> NDArray[np.float32]:
    refuse_short(len(channels) / own_rate, name)
    refuse_extremes(channels, name)
    return channels


def _analysed(mono: NDArray[np.floating], own_rate: int, sample_rate: int, name: str) -> NDArray[np.float32]:
    """Return a sound `[N]` at another rate, unless it is silent there."""
    samples = _resampled(mono, own_rate, sample_rate)
    # Also after resampling: a sound wholly above the new band is silent too. A constant is a sound at its ends only.
    constant = float(mono.mean(dtype=np.float64))
    heard = samples if abs(constant) <= SILENCE_PEAK else _resampled(mono - np.float32(constant), own_rate, sample_rate)
    if min(_peak(mono - np.float32(constant)), _peak(heard)) <= SILENCE_PEAK:
        peak = f"peak at most {_dbfs(SILENCE_PEAK)} dBFS"
        around = "" if abs(constant) <= SILENCE_PEAK else f" around a constant {constant:.3g}"
        raise AudioError("silent", f"{name} is silent ({peak}{around})")
    return samples


def refuse_extremes(channels: NDArray[np.float32], name: str) -> None:
    """Raise `not_finite` for samples that no sound has."""
    # The ends of a range hold NaN if anything does, and need no copy of the sound.
    low, high = float(channels.min()), float(channels.max())
    if not np.isfinite([low, high]).all():
        raise AudioError("not_finite", f"{name} holds NaN or Inf samples")
    peak = max(-low, high)
    if peak > LOUDEST:
        raise AudioError("not_finite", f"{name} holds a sample of {peak:.3g}, where 1 is full scale: it is damaged")


def _resampled(samples: NDArray[np.floating], own_rate: int, sample_rate: int) -> NDArray[np.float32]:
    resampled: NDArray[np.float32] = soxr.resample(samples, own_rate, sample_rate, quality="HQ").astype(np.float32)
    return resampled


def _peak(samples: NDArray[np.floating]) -> float:
    return float(np.abs(samples).max(initial=0))
