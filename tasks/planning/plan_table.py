"""The table of a plan: compact in memory, complete on disk, and read back from there shard by shard."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests.files import Files, join
from manifests.fingerprint import fingerprints, seed_for, with_seed
from manifests.parquet import BATCH_ROWS, write_parquet
from manifests.reading.columns import is_text
from manifests.reading.compact_pairs import combinations
from manifests.results.planned_history import LostAudio
from manifests.schema import ROW_SETTINGS
from manifests.sharding import cut_batches
from stylecore.settings import CORE_VERSION, SOUNDS, Settings
from tasks.audio.catalog import Sound
from tasks.audio.style_catalog import Catalogue
from tasks.pair_state import PlannedPair
from tasks.planning.actions import COMPUTED

PLAN_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("pair_id", pa.string()),
        ("content", pa.string()),
        ("style", pa.string()),
        ("content_identity", pa.string()),
        ("style_identity", pa.string()),
        ("style_clips", pa.string()),
        ("settings", pa.string()),
        ("seed", pa.int64()),
        ("fingerprint", pa.string()),
        ("duration_s", pa.float64()),
        ("content_rate", pa.int32()),
        ("analysis_rate", pa.int32()),
        ("shard", pa.int32()),
        ("action", pa.string()),
        ("audio_lost_us", pa.int64()),
        ("content_licence", pa.string()),
        ("style_licence", pa.string()),
    ]
)
"""Of a plan on disk, sorted by shard. `settings` is JSON without the seed: pairs of equal settings share one text.
`style_clips` are the sounds of a style that is not the one that `style` names, as
`tasks.audio.style_catalog.PlannedStyle.clips_json` writes them, else null. `content_rate` is that of the content's
file, 0 where it cannot be read, `analysis_rate` that of the computation, in Hz. `audio_lost_us` is `LostAudio.until` of
a pair whose audio was gone when the run was planned, else null."""

LICENCES = ("content_licence", "style_licence")
"""Of the user's columns those that go into the files of results; `license` is read too."""

WEIGHTS_KEY = b"timbreflow.weights_digest"

_GROUP_ROWS = 4_096
"""A shard is read from one or two row groups."""


def plan_uri(root: str, run_id: str) -> str:
    """Return where a run's plan lies."""
    return join(root, "plans", f"{run_id}.parquet")


def user_columns_uri(root: str, run_id: str) -> str:
    """Return where a run keeps the user's own columns as they were when it was planned, row by row of the manifest."""
    return join(root, "plans", f"{run_id}.columns.parquet")


def with_fingerprints(pairs: pa.Table, sounds: Catalogue, settings: Settings, digest: str) -> pa.Table:
    """Give each pair the seed that it is computed with, and its fingerprint.

    Parameters
    ----------
    pairs : pyarrow.Table
        As `manifests.reading.compact_pairs.gather` gives them, in any order.
    sounds : Catalogue
        All of their sounds.
    settings : Settings
        Of the run.
    digest : str
        Of the network's weights.

    Returns
    -------
    pyarrow.Table
        `pairs` with `seed` (int64) and `fingerprint` (string).
    """
    seeds, prints = [], []
    for batch in _slices(pairs, BATCH_ROWS):
        own = _seeds(batch, settings.seed)
        content, style = (_identities(batch, side, sounds.of(side)) for side in SOUNDS)
        names = fingerprints(content, style, _settings_texts(batch, settings), own, digest, CORE_VERSION)
        seeds.append(pa.array(own, pa.int64()))
        prints.append(pa.array(names, pa.string()))
    bare = pairs.drop_columns(["seed"]) if "seed" in pairs.column_names else pairs
    bare = bare.append_column("seed", pa.chunked_array(seeds, pa.int64()).combine_chunks())
    return bare.append_column("fingerprint", pa.chunked_array(prints, pa.string()).combine_chunks())


def with_lost_audio(pairs: pa.Table, lost: LostAudio) -> pa.Table:
    """Give each pair whose audio is gone `audio_lost_us` (int64); where none is, the column is left out."""
    if not len(lost.fingerprints):
        return pairs
    found = pc.index_in(pairs.column("fingerprint"), value_set=lost.fingerprints)
    return pairs.append_column("audio_lost_us", pc.take(pa.array(lost.until), found))


def with_licences(pairs: pa.Table, user: pa.Table | None) -> pa.Table:
    """Give each pair the licences of its sounds, where the manifest has text columns that say so (`LICENCES`)."""
    if user is None:
        return pairs
    for name in LICENCES:
        given = [one for one in (name, name.replace("licence", "license")) if one in user.column_names]
        if given and is_text(user.schema.field(given[0]).type):
            said = user.column(given[0]).cast(pa.string())
            pairs = pairs.append_column(name, said.take(pairs.column("row")))
    return pairs


def lost_audio(plan: pa.Table) -> LostAudio:
    """Return what `with_lost_audio` wrote down, from a table with `fingerprint` and `audio_lost_us`."""
    lost = plan.select(["fingerprint", "audio_lost_us"]).drop_null().combine_chunks()
    return LostAudio(lost.column("fingerprint").combine_chunks(), lost.column("audio_lost_us").to_numpy())


def plan_rows(planned: pa.Table, sounds: Catalogue, settings: Settings) -> Iterator[pa.Table]:
    """Give a plan as it is written: in `PLAN_SCHEMA`, a row group at a time.

    Parameters
    ----------
    planned : pyarrow.Table
        As `with_fingerprints` gives it, with `duration_s`, `shard` and `action`, and `with_lost_audio`.
    sounds, settings
        As in `with_fingerprints`.
    """
    for side in SOUNDS:
        planned = _told(planned, f"{side}_identity", side, {uri: one.sha256 for uri, one in sounds.of(side).items()})
    planned = _told(planned, "style_clips", "style", {text: one.clips_json() for text, one in sounds.styles.items()})
    planned = _told(planned, "content_rate", "content", {uri: one.sample_rate for uri, one in sounds.files.items()})
    for batch in _slices(planned, _GROUP_ROWS):
        columns = {name: batch.column(name) for name in PLAN_SCHEMA.names if name in batch.column_names}
        columns["settings"] = pa.array(_settings_texts(batch, settings), pa.string())
        for name in ("audio_lost_us", *LICENCES):
            columns.setdefault(name, pa.nulls(batch.num_rows))
        yield pa.table([columns[field.name].cast(field.type) for field in PLAN_SCHEMA], schema=PLAN_SCHEMA)


def write_plan(uri: str, files: Files, rows: Iterator[pa.Table], weights_digest: str) -> None:
    """Write `plan_rows`, and of which weights their fingerprints are, where shards read them."""
    write_parquet(uri, files, rows, PLAN_SCHEMA.with_metadata({WEIGHTS_KEY: weights_digest.encode()}))


def planned_weights(plan_uri: str, files: Files) -> str:
    """Return the digest of the weights that a plan was made with."""
    with files.open(plan_uri) as source:
        return str(pq.read_schema(source).metadata[WEIGHTS_KEY], "ascii")


def read_shard(plan_uri: str, shard: int, files: Files, batch_size: int) -> list[list[PlannedPair]]:
    """Return the pairs of a shard that mean work, batch by batch.

    Batches are cut from the whole shard, so that what is done already does not change the companions of the rest.
    """
    with files.open(plan_uri) as source:
        rows = pq.read_table(source, filters=pc.field("shard") == shard)
    rows = cut_batches(rows, batch_size)
    pending = planned_pairs(rows.filter(pc.is_in(rows["action"], value_set=pa.array(COMPUTED))))
    return [list(batch) for _, batch in groupby(pending, key=itemgetter("batch"))]


def planned_pairs(rows: pa.Table) -> list[PlannedPair]:
    """Return rows in `PLAN_SCHEMA` one by one, their settings whole."""
    return [{**row, "settings": with_seed(row["settings"], row["seed"])} for row in rows.to_pylist()]


def _slices(table: pa.Table, rows: int) -> Iterator[pa.Table]:
    return (table.slice(start, rows) for start in range(0, table.num_rows, rows))


def _told(pairs: pa.Table, name: str, side: str, known: Mapping[str, object]) -> pa.Table:
    """Give each pair, as column `name`, what is known of its content or style; once in memory for each sound."""
    sounds = pairs.column(side).combine_chunks()
    values = pa.array([known[sound] for sound in sounds.dictionary.to_pylist()], PLAN_SCHEMA.field(name).type)
    return pairs.append_column(name, pa.DictionaryArray.from_arrays(sounds.indices, values))


def _texts(batch: pa.Table, name: str) -> list[str]:
    texts: list[str] = batch.column(name).cast(pa.string()).to_pylist()
    return texts


def _identities(batch: pa.Table, side: str, sounds: Mapping[str, Sound]) -> list[str]:
    """Return what each pair's fingerprint says of one of its sounds."""
    texts = _texts(batch, side)
    identities = {uri: sounds[uri].identity for uri in set(texts) if sounds[uri].readable}
    named = zip(texts, _texts(batch, "pair_id"), strict=True)
    return [identities.get(uri) or sounds[uri].identity_for(pair_id) for uri, pair_id in named]


def _seeds(batch: pa.Table, run_seed: int) -> list[int]:
    """Return the row's seed, or the one that its pair draws from the run's."""
    own: Sequence[int | None] = [None] * batch.num_rows
    if "seed" in batch.column_names:
        own = batch.column("seed").to_pylist()
    ids = _texts(batch, "pair_id")
    return [seed_for(run_seed, name) if seed is None else seed for seed, name in zip(own, ids, strict=True)]


def _settings_texts(batch: pa.Table, settings: Settings) -> list[str]:
    """Return each row's resolved settings without the seed, each distinct combination resolved once."""
    names = [name for name in ROW_SETTINGS if name in batch.column_names and name != "seed"]
    columns = {name: batch.column(name).combine_chunks() for name in names}
    codes, first_rows = combinations(columns, batch.num_rows)
    given = [tuple((name, columns[name][row].as_py()) for name in names) for row in first_rows.tolist()]
    texts: list[str] = np.array([_resolved(settings, own) for own in given], dtype=object)[codes].tolist()
    return texts


@lru_cache(maxsize=1 << 12)
def _resolved(settings: Settings, own: tuple[tuple[str, float | None], ...]) -> str:
    changes = {name: value for name, value in own if value is not None}
    values = json.loads(settings.resolve(changes).canonical_json())
    del values["seed"]
    return json.dumps(values, sort_keys=True)
