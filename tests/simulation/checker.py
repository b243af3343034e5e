"""Looks at every change of an output root as it happens: what must hold holds at every moment, not only in the end."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.files import join
from manifests.results.history import part_name, replaced_names
from manifests.results.layout import latest_uri

_COLUMNS = ("run_id", "shard", "pair_id", "fingerprint", "status", "error_type", "output", "file_sha256")
_TRANSIENT = ("out_of_memory",)


class Violation(AssertionError):
    """Something that must never happen has happened."""


@dataclass(frozen=True)
class Row:
    """What matters of a row of the history or of a table."""

    run_id: str
    shard: int
    pair_id: str
    fingerprint: str
    status: str
    error_type: str | None
    output: str | None
    file_sha256: str | None

    @property
    def is_final(self) -> bool:
        """Whether no run has reason to try the pair again."""
        return self.status == "succeeded" or self.error_type not in _TRANSIENT

    @property
    def attempt(self) -> tuple[str, str]:
        """Of an attempt and its copy in a compacted history the same."""
        return self.run_id, self.fingerprint


def rows_of(data: bytes) -> list[Row]:
    """Return the rows of a part or of a table."""
    table = pq.ParquetFile(pa.BufferReader(data)).read(list(_COLUMNS), use_threads=False)
    columns = [table.column(name).to_pylist() for name in _COLUMNS]
    return [Row(*row) for row in zip(*columns, strict=True)]


class Checker:
    """The rules, over the files of one output root; `effect` is told of every change.

    `may_drop` says whether who makes it may drop rows of the history, as a collection does.
    """

    def __init__(self, bodies: dict[str, bytes], root: str) -> None:
        self.bodies, self.root = bodies, root
        self.may_drop = False
        self.parts: dict[str, list[Row]] = {}
        self._told: dict[str, list[str]] = {}
        self._named: dict[str, str] = {}

    def effect(self, uri: str, data: bytes | None) -> None:
        """Look at a change.

        Raises
        ------
        Violation
            A pair is doubled, or a row has no audio.
        """
        if uri.startswith(join(self.root, "results", "")):
            self._part(uri, data)
        elif uri.startswith(join(self.root, "audio", "")):
            self._audio(uri)
        elif uri == latest_uri(self.root) and data is not None:
            self.check_table(rows_of(data), "the table")

    def history(self) -> list[Row]:
        """Return every attempt in the history; not those in files that another one stands for."""
        return [row for uri, rows in self.parts.items() if self._counts(uri) for row in rows]

    def check_table(self, rows: list[Row], what: str) -> None:
        """Assert that each pair is in a table once, with its audio."""
        ids = [row.pair_id for row in rows]
        if len(set(ids)) < len(ids):
            raise Violation(f"{what} has a pair twice: {sorted(ids)}")
        for row in rows:
            self._check_audio(row, what)

    def _part(self, uri: str, data: bytes | None) -> None:
        before = self.history()
        if data is None:
            del self.parts[uri], self._told[uri]
        else:
            rows = rows_of(data)
            for row in rows if self._counts(uri) else []:
                self._check_audio(row, uri)
                self._check_doubled(row, uri, before)
            self.parts[uri] = rows
            self._told[uri] = replaced_names(pq.read_schema(io.BytesIO(data)))
        self._check_kept(uri, before, self.history())
        self._named = {row.output: str(row.file_sha256) for row in self.history() if row.output is not None}

    def _counts(self, uri: str) -> bool:
        """Return whether no file stands for this one that counts itself; only later compactions do, of higher names."""
        name = part_name(self.root, uri)
        later = [other for other, names in self._told.items() if name in names]
        return not any(self._counts(other) for other in later)

    def _check_kept(self, uri: str, before: list[Row], after: list[Row]) -> None:
        attempts = Counter(row.attempt for row in after)
        lost = {row.attempt for row in before} - attempts.keys()
        if lost and not self.may_drop:
            raise Violation(f"{uri}: the history has lost {sorted(lost)}")
        twice = sorted(attempt for attempt, count in attempts.items() if count > 1)
        if twice:
            raise Violation(f"{uri}: the history has twice {twice}")

    def _check_doubled(self, row: Row, uri: str, history: list[Row]) -> None:
        if row in history:  # compacted
            return
        for other in history:
            if other.fingerprint == row.fingerprint and other.is_final:
                raise Violation(f"{uri}: {row.pair_id} was computed twice, also by {other.run_id} shard {other.shard}")

    def _check_audio(self, row: Row, what: str) -> None:
        if row.status != "succeeded":
            return
        data = self.bodies.get(str(row.output))
        if data is None:
            raise Violation(f"{what}: {row.pair_id} has no audio: {row.output}")
        if sha256(data).hexdigest() != row.file_sha256:
            raise Violation(f"{what}: {row.pair_id} has another audio than its row says: {row.output}")

    def _audio(self, uri: str) -> None:
        wanted, data = self._named.get(uri), self.bodies.get(uri)
        if wanted is not None and (data is None or sha256(data).hexdigest() != wanted):
            raise Violation(f"{uri}: a row names this audio, and it was {'removed' if data is None else 'replaced'}")
