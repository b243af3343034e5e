"""The succeeded pairs of a table of results: how each is to be called, where its audio lies, and which bytes it has."""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Collection
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from manifests.files import join
from manifests.parquet import BATCH_ROWS, open_parquet, parquet_errors
from manifests.results.history import check_version
from manifests.schema import SUCCEEDED
from tasks.exporting.export_errors import ExportError
from tasks.exporting.name_template import NameTemplate
from tasks.ledger.query import of_one_version, table_in_root
from tasks.storage.storage import Storage

REMEDY = "Run the manifest again: that writes it anew"
NEEDED = pa.schema([(name, pa.string()) for name in ("pair_id", "source", "sha256")])
_ALWAYS = ("pair_id", "status", "output", "file_sha256")


class SucceededPairs(NamedTuple):
    """What an export needs of N pairs, in the order of the table.

    Attributes
    ----------
    root : str
        The output root.
    stems : list of str
        Names by the template, without a suffix, neither safe nor unique.
    rows : pyarrow.Table
        `pair_id`, `source` (where below `base` the file lies) and `sha256` of its bytes.
    base : str
        The folder of the audio; empty where sources are URIs.
    """

    root: str
    stems: list[str]
    rows: pa.Table
    base: str

    def source(self, row: int) -> str:
        """Return the URI of a pair's audio: the root may have been moved since its table was written."""
        below = self.rows.column("source")[row].as_py()
        return join(self.base, below) if self.base else below

    def suffixes(self) -> list[str]:
        """Return the suffix of each pair's audio."""
        suffixes = (posixpath.splitext(source.as_py())[1] for source in self.rows.column("source"))
        return [sys.intern(suffix) for suffix in suffixes]


def read_succeeded(
    written: str, template: str, files: Storage, wanted: Collection[str] | None = None
) -> SucceededPairs:
    """Read the succeeded pairs of an output root, or of a snapshot of one, and name them by a template.

    Of all of them, or of those with a wanted id.

    Raises
    ------
    ExportError
        If the template does not fit the table, or no pair is wanted.
    FileNotFoundError
        If nothing has been computed there yet.
    ManifestError, OSError
        If the table is damaged, lies in no output root, or cannot be read.
    """
    table, root = table_in_root(written, files)
    uri = table.uri
    values = None if wanted is None else pa.array(wanted, pa.string())
    pairs = of_one_version(lambda: _read(root, uri, template, files, values))
    if wanted is not None and not pairs.stems:
        raise ExportError(f"'{uri}': no succeeded pair has one of the {len(wanted)} ids. Are they of another root?")
    return pairs


def audio_below(rows: pa.Table) -> pa.ChunkedArray:
    """Return where below its root's `audio/` the audio of each row lies, from `output`; null where it names none."""
    return pc.struct_field(pc.extract_regex(rows.column("output"), r"(?P<source>[^/]+/[^/]+)$"), "source")


def _read(root: str, uri: str, text: str, files: Storage, wanted: pa.Array | None) -> SucceededPairs:
    stems: list[str] = []
    pieces: list[pa.Table] = []
    with open_parquet(uri, files, REMEDY) as parquet:
        check_version(parquet.schema_arrow, uri)
        template = NameTemplate(text, parquet.schema_arrow)
        columns = list(dict.fromkeys([*_ALWAYS, *template.columns]))
        with parquet_errors(uri, REMEDY):
            for batch in parquet.iter_batches(BATCH_ROWS, columns=columns):
                rows = _with_audio(pa.table(batch))
                if wanted is not None:
                    rows = rows.filter(pc.is_in(rows.column("pair_id"), value_set=wanted))
                stems += template.stems(rows)
                pieces.append(rows.select(NEEDED.names).cast(NEEDED))
    rows = pa.concat_tables([NEEDED.empty_table(), *pieces]).combine_chunks()
    return SucceededPairs(root, stems, rows, join(root, "audio"))


def _with_audio(rows: pa.Table) -> pa.Table:
    """Return the succeeded rows, with where their audio lies and which bytes it has."""
    rows = rows.filter(pc.equal(rows.column("status"), SUCCEEDED))
    below = audio_below(rows)
    rows = rows.append_column("source", below).append_column("sha256", rows.column("file_sha256"))
    return rows.filter(pc.and_(pc.is_valid(below), pc.is_valid(rows.column("sha256"))))
