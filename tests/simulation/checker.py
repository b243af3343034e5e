"""Looks at every change of an output root as it happens: what must hold holds at every moment, not only in the end."""

from __future__ import annotations

import io
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pyarrow.parquet as pq

from manifests.files import join
from manifests.results.history import part_name, replaced_names
from manifests.results.layout import latest_uri

_COLUMNS = ("run_id", "shard", "pair_id", "fingerprint", "status", "error_type", "output", "file_sha256")
_IN_PASSING = ("out_of_memory",)


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
        return self.status == "succeeded" or self.error_type not in _IN_PASSING

    @property
    def attempt(self) -> tuple[str, str]:
        """Of an attempt and its copy in a compacted history the same."""
        return self.run_id, self.fingerprint


def rows_of(data: bytes) -> list[Row]:
    """Return the rows of a part or of a table."""
    table: list[dict[str, Any]] = pq.read_table(io.BytesIO(data), columns=list(_COLUMNS)).to_pylist()
    return [Row(**row) for row in table]


class Checker:
    """The rules, over the files of one output root; `effect` is told of every change."""

    def __init__(self, bodies: dict[str, bytes], root: str) -> None:
        self.bodies, self.root = bodies, root
        self.parts: dict[str, list[Row]] = {}
        self._replaced: set[str] = set()
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
        """Return every attempt in the history, once; not those in files that a collection has replaced."""
        current = (rows for uri, rows in self.parts.items() if part_name(self.root, uri) not in self._replaced)
        return list({row.attempt: row for rows in current for row in rows}.values())

    def check_table(self, rows: list[Row], what: str) -> None:
        """Assert that each pair is in a table once, with its audio."""
        ids = [row.pair_id for row in rows]
        if len(set(ids)) < len(ids):
            raise Violation(f"{what} has a pair twice: {sorted(ids)}")
        for row in rows:
            self._check_audio(row, what)

    def _part(self, uri: str, data: bytes | None) -> None:
        if data is None:
            del self.parts[uri]
        else:
            rows, history = rows_of(data), self.history()
            for row in rows:
                self._check_audio(row, uri)
                self._check_doubled(row, uri, history)
            self.parts[uri] = rows
            self._replaced.update(replaced_names(pq.read_schema(io.BytesIO(data))))
        self._named = {row.output: str(row.file_sha256) for row in self.history() if row.output is not None}

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
