"""What a run would do, and how long it would take; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.files import absolute
from manifests.reading.reader import read_whole
from manifests.schema import ERROR_TYPES
from stylecore.settings import RATES, SOUNDS, Settings, SoundOfPair
from tasks.audio.catalog import UNREADABLE
from tasks.devices.choice import choose_device, shards_at_a_time
from tasks.options import RunOptions
from tasks.planning.plan import PlannedManifest, make_plan
from tasks.planning.planned_excerpts import seconds_used
from tasks.storage.network_weights import read_weights
from tasks.storage.storage import Storage

_SHOWN_SOUNDS = 3


@dataclass(frozen=True)
class Preview:
    """What a run would do: pairs by action, seconds of audio to compute, the estimated time and what it rests on.

    `notes` are sentences on sounds that cannot be read, and on excerpts that cannot be used.
    """

    counts: dict[str, int]
    pending_audio_s: float
    seconds: float
    basis: str
    notes: tuple[str, ...] = ()


def preview_run(manifest: str, output: str, settings: Settings, options: RunOptions) -> Preview:
    """Plan a run, write nothing, and estimate its time from this output root's history or a short measurement."""
    device = choose_device(options.device)
    files = Storage()
    read = read_whole(absolute(manifest), files, settings.resolve)
    planned, plan = make_plan(read, absolute(output), settings, options, files)
    cost, basis = plan.seconds_per_second, "from the results so far"
    if cost is None:
        from tasks.devices.speed import (
            seconds_per_audio_second,  # torch takes seconds to import, and is not always needed
        )

        cost, basis = (
            seconds_per_audio_second(
                settings.model_copy(update={"sample_rate": RATES[0]}),
                device,
                options.threads,
                read_weights(options.weights, files),
            ),
            "from ten evaluations on a second of noise",
        )
    seconds = cost * plan.pending_work_s / shards_at_a_time(options)
    return Preview(
        asdict(plan.counts), plan.pending_audio_s, seconds, basis, (*unreadable_notes(planned), *excerpt_notes(planned))
    )


def unreadable_notes(planned: PlannedManifest) -> Iterator[str]:
    """Give a sentence on the sounds that planning could not read, for each kind of fault, with the pairs they spoil."""
    kinds: dict[str, dict[SoundOfPair, list[str]]] = {}
    for side in SOUNDS:
        named = planned.pairs.column(side).combine_chunks().dictionary.to_pylist()
        known = planned.sounds.of(side)
        for uri in named:
            if not known[uri].readable:
                kind = known[uri].identity.removeprefix(UNREADABLE)
                kinds.setdefault(kind, {side: [] for side in SOUNDS})[side].append(uri)
    for kind, by_side in sorted(kinds.items()):
        spoilt = [_names_one_of(planned.pairs.column(side), uris) for side, uris in by_side.items()]
        pairs = pc.sum(pc.or_(*spoilt)).as_py()
        uris = {uri for side, names in by_side.items() for name in names for uri in planned.sounds.unread(side, name)}
        shown = ", ".join([*sorted(uris)[:_SHOWN_SOUNDS], *(["..."] if len(uris) > _SHOWN_SOUNDS else [])])
        counted = f"{_counted(len(uris), 'sound')} of {_counted(pairs, 'pair')}"
        yield f"{counted} cannot be read, {kind} ({ERROR_TYPES[kind]}): {shown}"


def _names_one_of(column: pa.ChunkedArray, uris: Sequence[str]) -> pa.ChunkedArray:
    return pc.is_in(column.cast(pa.string()), pa.array(uris, pa.string()))


def excerpt_notes(planned: PlannedManifest) -> Iterator[str]:
    """Give a sentence on the excerpts that reading will refuse, for each of the two sounds of a pair."""
    for sound in SOUNDS:
        uris = planned.pairs.column(sound).combine_chunks()
        known = planned.sounds.of(sound)
        readable = np.array([known[uri].readable for uri in uris.dictionary.to_pylist()])
        seconds = seconds_used(planned.pairs, sound, known, planned.settings)
        refused = planned.pairs.filter(pa.array((seconds == 0) & readable[uris.indices.to_numpy()]))
        if refused.num_rows:
            shown = refused.column("pair_id").slice(0, _SHOWN_SOUNDS).to_pylist()
            more = ["..."] if refused.num_rows > len(shown) else []
            pairs = _counted(refused.num_rows, "pair")
            yield (
                f"what {pairs} would use of the {sound} is too short, too long, or not there: "
                f"{', '.join([*shown, *more])}"
            )


def _counted(count: int, name: str) -> str:
    return f"{count} {name}{'' if count == 1 else 's'}"
