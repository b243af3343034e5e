"""One pair without a manifest, a server or a table: for trying settings by ear."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from manifests.files import absolute, parent
from manifests.fingerprint import fingerprint
from manifests.results.layout import AUDIO_SUFFIXES
from manifests.style_text import mapped, paths_in
from stylecore.settings import CORE_VERSION, Settings
from stylecore.weights import Weights
from tasks.audio.style_catalog import catalogued
from tasks.cache import ByteLimitedCache
from tasks.devices.choice import choose_device
from tasks.devices.executors import SynthesisRequest
from tasks.pair_state import PairState, PlannedPair
from tasks.pipeline.in_process import InProcessExecutor
from tasks.pipeline.inputs import read_pair
from tasks.pipeline.long_pairs import LongPairs
from tasks.pipeline.rows import RowContext, rows_of
from tasks.pipeline.segments import is_long
from tasks.planning.planned_excerpts import LONGEST_USED_S, lengths_used
from tasks.storage.network_weights import read_weights
from tasks.storage.storage import Storage, StorageError


def synthesise_single(
    content: str, style: str, out: str, settings: Settings, device: str, weights: str | None = None
) -> dict[str, object]:
    """Synthesise one pair into a file.

    Parameters
    ----------
    content, style, out : str
        Local paths or s3:// URIs, the style in any form of `manifests.style_text`. `out` ends in .flac, .wav or .ogg,
        which says what is written.
    settings : Settings
        `seed` is used as it is.
    device, weights : str
        As in `RunOptions`.

    Returns
    -------
    dict
        The row that a run would have written, failed or not; its `output` is `out`.

    Raises
    ------
    WeightsError
        If the weights cannot be read.
    StorageError
        If `out` ends in anything else, or cannot be written.
    """
    suffix = out.lower().rsplit(".", 1)[-1]
    if suffix not in AUDIO_SUFFIXES:
        raise StorageError(f"{out}: the result is FLAC, WAV or Ogg; name a file that ends in .flac, .wav or .ogg")
    if suffix != settings.suffix:
        settings = settings.model_copy(update={"file_format": suffix})
    files, device, target = Storage(), choose_device(device), absolute(out)
    style = mapped(style, absolute)
    if target in (absolute(content), *paths_in(style)):
        raise StorageError(f"{out}: is one of the two sounds; name another file for the result")
    known = catalogued([absolute(content)], [style], {}, files)
    chosen = known.files[absolute(content)], known.styles[style].sound
    network, text = read_weights(weights, files), settings.canonical_json()
    start_s, end_s = settings.excerpt("content")
    ends = np.array([chosen[0].duration_s]), np.array([start_s]), np.array([np.inf if end_s is None else end_s])
    planned = {
        "pair_id": "single",
        "content": chosen[0].uri,
        "style": chosen[1].uri,
        "content_identity": chosen[0].sha256,
        "style_identity": chosen[1].sha256,
        "style_clips": known.styles[style].clips_json(),
        "content_rate": chosen[0].sample_rate,
        "duration_s": float(lengths_used(*ends, LONGEST_USED_S["content"])[0]),
        "settings": text,
        "fingerprint": fingerprint(chosen[0].identity, chosen[1].identity, text, network.digest, CORE_VERSION),
    }
    with TemporaryDirectory(prefix=".timbreflow-") as folder:
        outcome = _computed(planned, files, device, network, folder)
        (measured,) = rows_of([outcome], RowContext(parent(target), "single", 0, device, network.digest))
        if measured.audio is not None:
            audio = measured.audio
            with (
                files.writing(target) as sink,
                io.BytesIO(audio) if isinstance(audio, bytes) else audio.open("rb") as it,
            ):
                shutil.copyfileobj(it, sink, 1 << 20)
            measured.row["output"] = target
    return measured.row


def _computed(planned: PlannedPair, files: Storage, device: str, network: Weights, folder: str) -> PairState:
    """Compute a pair in this process; the file of a long one lies in the folder."""
    compute, sounds = InProcessExecutor(device), ByteLimitedCache(0)

    def synthesise(outcomes: Sequence[PairState]) -> str:
        request = SynthesisRequest(outcomes, device, torch.get_num_threads(), 0, network)
        compute.synthesise(request, compute.devices.all[0])
        return device

    if is_long(planned):
        return LongPairs(synthesise, compute.measure, 1, files, sounds, folder).compute(planned, Path(folder, "whole"))
    outcome = read_pair(planned, files, sounds)
    synthesise([outcome])
    compute.measure([outcome])
    return outcome
