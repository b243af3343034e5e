"""Plan a run: read the manifest, identify its sounds, cut shards, and leave out what the history already holds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from operator import itemgetter

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from prefect import task
from prefect.cache_policies import NO_CACHE

from manifests.files import Files, absolute, join
from manifests.fingerprint import fingerprint, seed_for
from manifests.history import read_history
from manifests.reader import Manifest, read_whole
from manifests.replacement import refuse_another_manifest
from manifests.schema import PASSING_ERRORS, ROW_SETTINGS
from manifests.shards import cut_batches, cut_shards
from stylecore.network import weights_digest
from stylecore.settings import CORE_VERSION, Settings
from tasks.devices import choose_device, encoder_on, shards_at_a_time
from tasks.options import RunOptions
from tasks.preflight import refuse_small_disk
from tasks.sounds import Sound, identify, read_memo, write_memo
from tasks.storage import Storage
from tasks.synthesis import PlannedPair, seconds_per_audio_second

COMPUTED = ("new", "changed", "failed")
"""Actions that mean work; the others leave a pair as it is."""


@dataclass(frozen=True)
class PlanCounts:
    """Pairs of a manifest by what a run does with them: one field per action."""

    new: int = 0
    changed: int = 0
    failed: int = 0
    up_to_date: int = 0
    failed_before: int = 0
    same_as_another: int = 0
    beyond_limit: int = 0
    other_shards: int = 0

    @property
    def pending(self) -> int:
        """Pairs that the run computes."""
        return self.new + self.changed + self.failed


@dataclass(frozen=True)
class Plan:
    """What travels between tasks: where the plan lies, which shards hold work, and how much.

    `seconds_per_second` is what a second of audio has cost in this output root so far, None if nothing has.
    """

    uri: str
    shards: tuple[int, ...]
    counts: PlanCounts
    pending_audio_s: float
    seconds_per_second: float | None


def plan_uri(root: str, run_id: str) -> str:
    """Return where a run's plan lies."""
    return join(root, "plans", f"{run_id}.parquet")


def user_columns_uri(root: str, run_id: str) -> str:
    """Return where a run keeps the user's own columns as they were when it was planned, row by row of the manifest."""
    return join(root, "plans", f"{run_id}.columns.parquet")


def make_plan(
    manifest: Manifest, output: str, settings: Settings, options: RunOptions, files: Storage
) -> tuple[pa.Table, Plan, dict[str, Sound]]:
    """Plan a run without writing anything.

    Parameters
    ----------
    manifest : Manifest
        The pairs, read and found good.
    output : str
        URI of the output root.
    settings, options
        Of the run; rows may put their own settings over them.
    files : Storage
        Local and S3 storage.

    Returns
    -------
    pa.Table
        One row per pair, sorted by shard: the manifest's columns, identities, settings, fingerprint,
        shard and action.
    Plan
        Its summary; `uri` is empty until the table is written.
    dict
        The manifest's sounds by URI.

    Raises
    ------
    ManifestError
        If the manifest lacks most pairs of the results so far; nothing has been computed then.
    """
    pairs = manifest.pairs
    if not options.replace:
        refuse_another_manifest(files, output, pairs["pair_id"].to_pylist())
    uris = pc.unique(pa.chunked_array([*pairs["content"].chunks, *pairs["style"].chunks])).to_pylist()
    sounds = identify(uris, read_memo(output, files), files)
    durations = [sounds[uri].duration_s for uri in pairs["content"].to_pylist()]
    planned = cut_shards(with_fingerprints(pairs, sounds, settings), durations, options.shard_audio_s)
    history = read_history(files, output)
    taken = actions(planned, history, options)
    planned = planned.append_column("action", pa.array(taken, pa.string()))
    pending = pending_rows(planned)
    plan = Plan(
        uri="",
        shards=tuple(sorted(set(pending["shard"].to_pylist()))),
        counts=PlanCounts(**Counter(taken)),
        pending_audio_s=pc.sum(pending["duration_s"]).as_py() or 0.0,
        seconds_per_second=_seconds_per_second(history),
    )
    return planned, plan, sounds


def pending_rows(planned: pa.Table) -> pa.Table:
    """Return the rows of a plan that mean work."""
    return planned.filter(pc.is_in(planned["action"], pa.array(COMPUTED)))


def with_fingerprints(pairs: pa.Table, sounds: Mapping[str, Sound], settings: Settings) -> pa.Table:
    """Add identities (null: not readable), settings as JSON (with the pair's own seed) and fingerprint to each pair."""
    digest = weights_digest(encoder_on("cpu"))
    resolved: dict[str, dict] = {}
    names = ("content_identity", "style_identity", "settings", "fingerprint")
    added: dict[str, list[str | None]] = {name: [] for name in names}
    for row in pairs.to_pylist():
        own = {name: row[name] for name in ROW_SETTINGS if row[name] is not None}
        own.setdefault("seed", seed_for(settings.seed, row["pair_id"]))
        seed = own.pop("seed")
        key = repr(own)
        if key not in resolved:  # a corpus has few different settings, and validation costs more than a look-up
            resolved[key] = settings.resolve(own).model_dump(mode="json")
        text = json.dumps({**resolved[key], "seed": seed}, sort_keys=True)
        content, style = sounds[row["content"]], sounds[row["style"]]
        identities = content.identity_for(row["pair_id"]), style.identity_for(row["pair_id"])
        print_ = fingerprint(*identities, text, digest, CORE_VERSION)
        for name, value in zip(added, (content.sha256, style.sha256, text, print_), strict=True):
            added[name].append(value)
    for name, values in added.items():
        pairs = pairs.append_column(name, pa.array(values, pa.string()))
    return pairs


def actions(planned: pa.Table, history: pa.Table, options: RunOptions) -> list[str]:
    """Say for each pair, in shard order, what this run does with it: a field of `PlanCounts`."""
    rows = history.select(["fingerprint", "status", "error_type"]).to_pylist()
    latest = {row["fingerprint"]: row for row in rows}
    known_ids = set(history["pair_id"].to_pylist())
    ours = options.slice.shards((pc.max(planned["shard"]).as_py() or 0) + 1)
    taken: set[str] = set()
    own = 0
    result = []
    columns = (planned[name].to_pylist() for name in ("fingerprint", "pair_id", "shard"))
    for print_, pair_id, shard in zip(*columns, strict=True):
        action = _action(latest.get(print_), pair_id in known_ids, options)
        if action in COMPUTED:
            if print_ in taken:
                action = "same_as_another"
            elif shard not in ours:
                taken.add(print_)
                action = "other_shards"
            elif options.limit is not None and own >= options.limit:
                action = "beyond_limit"
            else:
                taken.add(print_)
                own += 1
        result.append(action)
    return result


def _action(row: Mapping[str, str] | None, seen_before: bool, options: RunOptions) -> str:
    if row is None:
        return "changed" if seen_before else "new"
    if row["status"] == "succeeded":
        return "up_to_date"
    return "failed" if options.retry_failed or row["error_type"] in PASSING_ERRORS else "failed_before"


def _seconds_per_second(history: pa.Table) -> float | None:
    done = history.filter(pc.equal(history["status"], "succeeded"))
    audio_s = pc.sum(done["duration_s"]).as_py()
    return pc.sum(done["seconds_total"]).as_py() / audio_s if audio_s else None


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
    _, plan, _ = make_plan(read, absolute(output), settings, options, files)
    cost, basis = plan.seconds_per_second, "from the results so far"
    if cost is None:
        cost, basis = (
            seconds_per_audio_second(settings, device, options.threads),
            "from ten evaluations on a second of noise",
        )
    seconds = cost * plan.pending_audio_s / shards_at_a_time(options)
    return Preview(asdict(plan.counts), plan.pending_audio_s, seconds, basis)


def plan_run(manifest: Manifest, output: str, settings: Settings, options: RunOptions, run_id: str) -> Plan:
    """Plan a run and write the plan beside the results, where its shards read it."""
    files = Storage()
    planned, plan, sounds = make_plan(manifest, output, settings, options, files)
    refuse_small_disk(output, plan.pending_audio_s * settings.sample_rate, len(plan.shards))
    uri = plan_uri(output, run_id)
    with files.writing(uri) as sink:
        pq.write_table(planned, sink, row_group_size=4096)
    if manifest.user is not None:
        with files.writing(user_columns_uri(output, run_id)) as sink:
            pq.write_table(manifest.user, sink)
    write_memo(output, sounds.values(), files)
    return replace(plan, uri=uri)


def read_shard(plan_uri: str, shard: int, files: Files, batch_size: int) -> list[list[PlannedPair]]:
    """Return the pairs of a shard that mean work, batch by batch.

    Batches are cut from the whole shard, so that what is done already does not change the companions of the rest.
    """
    with files.open(plan_uri) as source:
        rows = pq.read_table(source, filters=pc.field("shard") == shard)
    pending = pending_rows(cut_batches(rows, batch_size)).to_pylist()
    return [list(batch) for _, batch in groupby(pending, key=itemgetter("batch"))]


plan = task(name="plan", cache_policy=NO_CACHE)(plan_run)
