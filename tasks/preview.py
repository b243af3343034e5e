"""What a run would do, and how long it would take; nothing is written."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from manifests.files import absolute
from manifests.reader import read_whole
from stylecore.settings import Settings
from tasks.devices import choose_device, shards_at_a_time
from tasks.options import RunOptions
from tasks.planning import make_plan
from tasks.storage import Storage


@dataclass(frozen=True)
class Preview:
    """What a run would do: pairs by action, seconds of audio to compute, the estimated time and what it rests on."""

    counts: dict[str, int]
    pending_audio_s: float
    seconds: float
    basis: str


def preview_run(manifest: str, output: str, settings: Settings, options: RunOptions) -> Preview:
    """Plan a run, write nothing, and estimate its time from this output root's history or a short measurement."""
    device = choose_device(options.device)
    files = Storage()
    read = read_whole(absolute(manifest), files, settings.resolve)
    _, plan = make_plan(read, absolute(output), settings, options, files)
    cost, basis = plan.seconds_per_second, "from the results so far"
    if cost is None:
        from tasks.synthesis import seconds_per_audio_second  # torch takes seconds to import, and is not always needed

        cost, basis = (
            seconds_per_audio_second(settings, device, options.threads),
            "from ten evaluations on a second of noise",
        )
    seconds = cost * plan.pending_audio_s / shards_at_a_time(options)
    return Preview(asdict(plan.counts), plan.pending_audio_s, seconds, basis)
