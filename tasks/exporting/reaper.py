"""A Reaper project with content, style and result of some pairs under each other, pair after pair, and their audio.

The audio lies beside the project in `audio/`, under names as `export folder` makes them, as links or copies, so that
the folder can be moved. The project itself is of `tasks/exporting/reaper_project.py`.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from manifests.files import absolute, join
from manifests.parquet import open_parquet
from manifests.results.history import check_version
from manifests.schema import SUCCEEDED
from manifests.style_text import short_name
from stylecore.settings import SoundOfPair
from tasks.audio.catalog import read_memo
from tasks.audio.style_catalog import Catalogue, catalogued
from tasks.exporting.export_errors import ExportError
from tasks.exporting.folder import Progress, placed, refuse_folder
from tasks.exporting.reaper_project import Item, Project, project_text
from tasks.exporting.shard_record import open_record
from tasks.exporting.starred_pairs import read_starred
from tasks.exporting.succeeded_pairs import NEEDED, REMEDY, SucceededPairs
from tasks.ledger.query import of_one_version, table_in_root
from tasks.ledger.selection import Selection, selected
from tasks.storage.storage import Storage

PROJECT_NAME = "timbreflow.RPP"
MOST_PAIRS = 500

GAP_S = 1.0
"""Between a pair and the next."""

MOST_STYLE_S = 30.0
"""Of a style that is longer than content and result, since a style may last a day."""

_EXCERPTS = tuple(f"{sound}_{end}_s" for sound in ("content", "style") for end in ("start", "end"))
_COLUMNS = (
    *("pair_id", "content", "style", "content_identity", "style_identity", *_EXCERPTS),
    *("output", "file_sha256", "duration_s", "sample_rate"),
)

Row = Mapping[str, Any]


class _Sound(NamedTuple):
    """A file that items are made of: what to call it, where it is, its bytes and its length."""

    stem: str
    uri: str
    sha256: str
    duration_s: float


class _Pair(NamedTuple):
    """The sounds of a pair on each track; those that are gone, or have changed since, are only counted."""

    row: Row
    tracks: Mapping[str, Sequence[_Sound]]
    changed: int


class ExportedProject(NamedTuple):
    """What became of an export: where the project is, its pairs, and how many sounds it lacks."""

    uri: str
    pairs: int
    missing: int

    def sentence(self) -> str:
        """Return it in one line."""
        text = f"{self.pairs} {'pair' if self.pairs == 1 else 'pairs'} in {self.uri}"
        return (
            f"{text}; {self.missing} sounds are gone or have changed since, and are left out" * bool(self.missing)
            or text
        )


def export_reaper(
    root: str,
    folder: str,
    wanted: Selection,
    copies: bool = False,
    progress: Progress = lambda done, total: None,
    starred: str | None = None,
) -> ExportedProject:
    """Make a folder a Reaper project of some succeeded pairs, or bring it up to date.

    Parameters
    ----------
    root : str
        Output root, or a snapshot of one; local or s3://.
    folder : str
        New, or that of an earlier export of the same root; local or s3://.
    wanted : Selection
        Which pairs, and in which order; its columns do not matter.
    copies : bool
        Whether files are copies where hard links would do.
    progress : callable, optional
        Is told how many files are done, and of how many.
    starred : str, optional
        A file of `read_starred`: of those pairs.

    Raises
    ------
    ExportError
        If the folder is of something else, or somebody has changed the project; nothing has been changed.
    FileNotFoundError, ManifestError, StorageError
        If there are no results, the selection is no SQL, or the storage fails; a second call goes on.
    """
    files, folder = Storage(), absolute(folder)
    base, rows = _rows(root, wanted, None if starred is None else read_starred(starred, files), files)
    refuse_folder(folder, base, files)
    if starred is not None and not rows:
        raise ExportError(f"starred='{starred}': none of its pairs has succeeded here. Are they of another root?")
    record = open_record(folder, base, "reaper", files)
    if record.is_edited(PROJECT_NAME):
        uri = record.uri(PROJECT_NAME)
        raise ExportError(f"'{uri}': somebody has changed it since. Choose another folder, or move it away")
    pairs = _pairs(base, rows, files)
    sounds = {sound.uri: sound for pair in pairs for track in pair.tracks.values() for sound in track}
    exported, names = placed(_to_place(base, sounds), join(folder, "audio"), copies, files, progress)
    paths = {uri: name for uri, name in zip(sounds, names.to_pylist(), strict=True) if name is not None}
    record.write_text(PROJECT_NAME, project_text(_project(pairs, paths)))
    missing = exported.missing + exported.taken + sum(pair.changed for pair in pairs)
    return ExportedProject(record.uri(PROJECT_NAME), len(pairs), missing)


def _rows(root: str, wanted: Selection, ids: Collection[str] | None, files: Storage) -> tuple[str, list[Row]]:
    """Return the output root, and the rows that are wanted of its table."""
    table, own_root = table_in_root(root, files)
    where = " and ".join(filter(None, (f"status = '{SUCCEEDED}'", _among(ids), wanted.where and f"({wanted.where})")))
    limit = MOST_PAIRS if wanted.limit is None else min(wanted.limit, MOST_PAIRS)

    def read() -> list[Row]:
        with open_parquet(table.uri, files, REMEDY) as parquet:
            check_version(parquet.schema_arrow, table.uri)
            columns = [name for name in _COLUMNS if name in parquet.schema_arrow.names]  # excerpts are newer than some
        with selected(table, files, Selection(where, wanted.sort, columns, limit)) as batches:
            return [row for batch in batches for row in batch.to_pylist()]

    return own_root, of_one_version(read)


def _among(ids: Collection[str] | None) -> str | None:
    """Return a condition for pairs with one of some ids."""
    if ids is None:
        return None
    texts = ", ".join("'" + one.replace("'", "''") + "'" for one in sorted(ids))
    return f"pair_id in ({texts})"


def _pairs(root: str, rows: Sequence[Row], files: Storage) -> list[_Pair]:
    contents, styles = {row["content"] for row in rows}, {row["style"] for row in rows}
    known = catalogued(sorted(contents), sorted(styles), read_memo(root, files), files)
    return [_pair(root, row, known) for row in rows]


def _pair(root: str, row: Row, known: Catalogue) -> _Pair:
    tracks = {
        "content": _unchanged(row, "content", [row["content"]], known),
        "style": _unchanged(row, "style", known.clips_of(row["style"]), known),
        "result": [_result(root, row)],
    }
    return _Pair(row, tracks, sum(not sounds for sounds in tracks.values()))


def _unchanged(row: Row, side: SoundOfPair, uris: Sequence[str], known: Catalogue) -> list[_Sound]:
    """Return the files of one side of a pair; none if one is gone, or is no longer what the result was made of."""
    now = known.of(side)[row[side]]
    if now.sha256 is None or now.sha256 != row[f"{side}_identity"]:
        return []
    return [_Sound(_stem(uri), uri, known.files[uri].identity, known.files[uri].duration_s) for uri in uris]


def _result(root: str, row: Row) -> _Sound:
    """Return the result of a pair: the root may have been moved since its table was written."""
    uri = join(root, "audio", *row["output"].split("/")[-2:])
    return _Sound(f"{_stem(row['content'])}__{short_name(row['style'])}", uri, row["file_sha256"], row["duration_s"])


def _stem(uri: str) -> str:
    return posixpath.splitext(posixpath.basename(uri))[0]


def _to_place(root: str, sounds: Mapping[str, _Sound]) -> SucceededPairs:
    """Return the files of a project as an export takes them, which are told apart by their URIs."""
    columns = [list(sounds), list(sounds), [sound.sha256 for sound in sounds.values()]]
    return SucceededPairs(root, [sound.stem for sound in sounds.values()], pa.table(columns, schema=NEEDED), "")


def _project(pairs: Sequence[_Pair], paths: Mapping[str, str]) -> Project:
    rates = Counter(pair.row["sample_rate"] for pair in pairs)
    project = Project(rates.most_common(1)[0][0] if rates else 44_100, {"content": [], "style": [], "result": []})
    position_s = 0.0
    for pair in pairs:
        project.markers.append((position_s, pair.row["pair_id"]))
        length_s = 0.0
        for track, sounds in pair.tracks.items():
            items = _items(pair.row, track, [sound for sound in sounds if sound.uri in paths], paths, position_s)
            project.tracks[track] += items
            length_s = max([length_s, *(item.position_s + item.length_s - position_s for item in items)])
        position_s += length_s + GAP_S
    return project


def _items(row: Row, track: str, sounds: Sequence[_Sound], paths: Mapping[str, str], position_s: float) -> list[Item]:
    """Return a track's items of a pair: one, or the clips of a style after each other."""
    start_s, end_s = row.get(f"{track}_start_s") or 0.0, row.get(f"{track}_end_s")
    left_s = max(MOST_STYLE_S, row["duration_s"]) if track == "style" else float("inf")
    items: list[Item] = []
    for sound in sounds:
        length_s = min((sound.duration_s if end_s is None else min(end_s, sound.duration_s)) - start_s, left_s)
        if length_s > 0:
            path = f"audio/{paths[sound.uri]}"
            items.append(Item(sound.stem, path, position_s, length_s, start_s))
            position_s, left_s = position_s + length_s, left_s - length_s
    return items
