"""timbreflow from Python: `timbreflow.transfer(content, style)` is one pair, as `timbreflow pair` makes it.

>>> import timbreflow                                                                        # doctest: +SKIP
>>> sound = timbreflow.transfer("voice.wav", "glass.wav", strength=0.8)                      # doctest: +SKIP

Corpora are for `timbreflow run`, whose results pandas reads.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile
from numpy.typing import ArrayLike, NDArray

from timbreflow_main import shadows

for _name, _path in shadows():
    raise ImportError(f"'{_path}' is in the way of timbreflow's own package '{_name}': rename it")

from stylecore.errors import StylecoreError  # noqa: E402 (only if it is ours)
from stylecore.settings import preset as preset_of  # noqa: E402

__all__ = ["TransferError", "transfer"]

Sound = str | PathLike[str] | ArrayLike


class TransferError(StylecoreError):
    """Why there is no result: an error type of docs/results.md, and a message."""


def transfer(
    content: Sound,
    style: Sound,
    rate: int | None = None,
    *,
    style_rate: int | None = None,
    preset: str = "default",
    device: str = "auto",
    weights: str | None = None,
    **settings: Any,
) -> NDArray[np.float32]:
    """Return the content's phrase in the style's voice.

    Parameters
    ----------
    content, style : path or array_like
        A file, local or s3://, or samples `[N]` or `[N, channels]` with full scale 1. A style may also be a folder, a
        pattern or a JSON list of files, as in a manifest.
    rate : int, optional
        Sampling rate of samples, in Hz.
    style_rate : int, optional
        Of the style's samples, where it is another.
    preset : str
        `default` or `paper`.
    device, weights : str
        As for `timbreflow run`.
    **settings
        Over the preset's: `strength=0.8`, `notes="style"`, `seed=3`, ...

    Returns
    -------
    ndarray of float32
        `[N]` or `[N, channels]`: at the content's sampling rate, as long as it and in its channels, unless the settings
        say otherwise.

    Raises
    ------
    TransferError
        If a sound cannot be used; its message begins with the error type.
    SettingsError
        If a setting is unknown or out of its range.
    ValueError
        If samples come without their rate, or are no sound.

    Examples
    --------
    >>> time_s = np.arange(8_000) / 16_000
    >>> tone, buzz = np.sin(2765 * time_s), np.sign(np.sin(1571 * time_s)) / 2
    >>> sound = transfer(tone / 2, buzz, 16_000, iterations=2, sound_iterations=1)
    >>> sound.shape, sound.dtype
    ((8000,), dtype('float32'))
    """
    from tasks.pipeline.single import synthesise_single

    chosen = preset_of(preset).resolve({**settings, "file_format": "wav-float"})
    with TemporaryDirectory(prefix=".timbreflow-") as folder:
        sung, voice = (Path(folder, f"{name}.wav") for name in ("content", "style"))
        paths = _path_of(content, rate, sung), _path_of(style, style_rate or rate, voice)
        row = synthesise_single(*paths, f"{folder}/result.wav", chosen, device, weights)
        if row["status"] == "failed":
            raise TransferError(f"{row['error_type']}: {row['error_message']}")
        samples: NDArray[np.float32] = soundfile.read(row["output"], dtype="float32")[0]
    return samples


def _path_of(sound: Sound, rate: int | None, path: Path) -> str:
    """Return where a sound lies; samples are written to a path."""
    if isinstance(sound, str | PathLike):
        return str(sound)
    samples = np.asarray(sound, dtype=np.float32)
    if samples.ndim not in (1, 2) or not samples.size:
        raise ValueError(f"{path.stem}: samples of shape {samples.shape}; give [N] or [N, channels]")
    if rate is None:
        raise ValueError(f"{path.stem}: samples need their rate, in Hz")
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return str(path)
