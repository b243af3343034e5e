"""Rows of the results: what a pair is, what became of it, and what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version

import numpy as np

from manifests.results.layout import audio_uri
from manifests.schema import ROW_SETTINGS
from stylecore.settings import CORE_VERSION
from tasks.clock import clock
from tasks.ledger.commit import ResultRow
from tasks.pair_state import PairState, Rendered


@dataclass(frozen=True)
class RowContext:
    """What all rows of a shard share."""

    root: str
    run_id: str
    shard: int
    device: str
    weights_digest: str


def rows_of(outcomes: Sequence[PairState], run: RowContext) -> list[ResultRow]:
    """Return the row of each outcome, in order: of those that were measured, and of those that have failed."""
    return [failed(outcome, run) if outcome.failed else succeeded(outcome, run) for outcome in outcomes]


def failed(outcome: PairState, run: RowContext) -> ResultRow:
    """Return the row of a pair that has no result."""
    return ResultRow(_common_row(outcome, run), None)


def succeeded(outcome: PairState, run: RowContext) -> ResultRow:
    """Return the row of a pair that was rendered and measured, and its file."""
    rendered, found = outcome.rendered, outcome.measurement
    assert rendered is not None
    assert found is not None
    for stage, seconds in found.seconds.items():
        outcome.take_time(stage, seconds)
    row = {
        **_common_row(outcome, run),
        **_loss_columns(outcome, rendered),
        "output": audio_uri(run.root, str(outcome.planned["fingerprint"]), suffix=outcome.settings.suffix),
        "status": "succeeded",
        "file_sha256": found.file_sha256,
        "samples_sha256": found.samples_sha256,
        "n_samples": found.n_samples,
        "duration_s": found.n_samples / found.sample_rate,
        "sample_rate": found.sample_rate,
        "n_channels": found.n_channels,
        "gain_db": 20.0 * float(np.log10(rendered.gain * found.gain)),
        **found.figures,
        "spectral_convergence_db": rendered.convergence_db,
    }
    return ResultRow(row, found.audio)


def _common_row(outcome: PairState, run: RowContext) -> dict[str, object]:
    planned, settings = outcome.planned, outcome.settings
    own = ("pair_id", "content", "style", "fingerprint", "content_identity", "style_identity", "settings")
    return {
        **{name: planned[name] for name in own},
        **{name: getattr(settings, name) for name in ROW_SETTINGS},
        "status": "failed",
        "error_type": outcome.error_type,
        "error_message": outcome.error_message,
        **{f"seconds_{stage}": seconds for stage, seconds in outcome.seconds.items()},
        "seconds_total": sum(outcome.seconds.values()),
        "device": run.device,
        "version": _version("timbreflow"),
        "core_version": CORE_VERSION,
        "torch_version": _version("torch"),
        "weights_digest": run.weights_digest,
        "run_id": run.run_id,
        "shard": run.shard,
        "started_at": outcome.started_at,
        "finished_at": clock().now(),
    }


def _loss_columns(outcome: PairState, rendered: Rendered) -> dict[str, object]:
    """Return the columns of the losses; the last ones are those heard in the audio as written."""
    settings, heard = outcome.settings, rendered.heard_terms
    return {
        **{f"loss_first_{name}": value for name, value in rendered.first_terms.items()},
        **{f"loss_last_{name}": value for name, value in heard.items()},
        "loss_first_total": rendered.loss_curve[0],
        "loss_last_total": sum(weight * value for weight, value in zip(settings.weights, heard.values(), strict=True)),
        "loss_curve": rendered.loss_curve,
        "evaluations": rendered.evaluations,
        "stop_reason": rendered.stop_reason,
    }


_version = lru_cache(maxsize=4)(version)
