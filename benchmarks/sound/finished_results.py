"""What was measured before: one line of JSON per finished result, and what makes a result the same as one to come."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from benchmarks.judged_pairs import JudgedPair
from benchmarks.sound.systems import System

ROOT = Path(__file__).resolve().parents[2]
DECISIVE = (
    *("stylecore/*.py", "tasks/audio/sound_files.py", "tasks/pipeline/rendering.py", "benchmarks/judged_pairs.py"),
    *(f"benchmarks/sound/{name}.py" for name in ("baselines", "judging", "laid_out_style", "systems")),
)
"""The code that decides a result or its figures."""
TOWARDS_TRUTH = ("benchmarks/sound/truth_figures.py",)
"""The code that decides the figures of a pair with a truth, besides."""

Row = dict[str, object]


def key_of(pair: JudgedPair, system: System) -> str:
    """Return 40 hex digits over sounds, settings, weights and code: equal keys mean equal results."""
    decisive: dict[str, object] = {
        "system": system.name,
        "identity": system.identity,
        "content": pair.content.sha256,
        "style": pair.style.sha256,
        "code": code_digest(),
    }
    if pair.truth is not None:
        decisive["truth"] = [pair.truth.sha256, digest_of(TOWARDS_TRUTH)]
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:40]


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Return a sha256 over the decisive code as Python reads it: comments and docstrings do not count."""
    return digest_of(DECISIVE)


@lru_cache(maxsize=4)
def digest_of(patterns: tuple[str, ...]) -> str:
    """Return a sha256 over the code of the files that patterns find from the repository's root."""
    digest = hashlib.sha256()
    for pattern in patterns:
        for path in sorted(ROOT.glob(pattern)):
            digest.update(f"{path.relative_to(ROOT)}\n{meaning(path.read_text(encoding='utf-8'))}\n".encode())
    return digest.hexdigest()


def meaning(source: str) -> str:
    r"""Return a module's syntax tree as text, without its docstrings.

    >>> meaning("x = 1  # one\n'How many.'") == meaning("x = 1")
    True
    >>> meaning("x = 1") == meaning("x = 2")
    False
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [s for s in node.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    return ast.dump(tree)


class Ledger:
    """Results in a file to which lines are only added; a line that a kill cut short is passed over.

    Parameters
    ----------
    folder : Path
        Holds the file, and under `audio/` the sounds that the rows name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "finished.jsonl"
        self._rows = {str(row["key"]): row for row in _read(self.path)}

    def finished(self, key: str) -> Row | None:
        """Return the row of an equal result, if its audio is still what was measured."""
        row = self._rows.get(key)
        return row if row is not None and self._sounds_as_measured(row) else None

    def knows(self, names: Mapping[str, object]) -> bool:
        """Return whether any row, of whatever key, has these values: such a result is about to be computed anew."""
        return any(all(row.get(name) == value for name, value in names.items()) for row in self._rows.values())

    def add(self, row: Row) -> None:
        """Add a finished result, at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            # Where a kill cut a line short, the next one begins on its own.
            start = b"" if file.tell() == 0 or _last_byte(self.path) == b"\n" else b"\n"
            file.write(start + json.dumps(row, allow_nan=False).encode() + b"\n")
        self._rows[str(row["key"])] = row

    def _sounds_as_measured(self, row: Row) -> bool:
        if row["audio"] is None:
            return True
        path = self.folder / str(row["audio"])
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == row["audio_sha256"]


def _read(path: Path) -> Iterable[Row]:
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict) and "key" in row:
            yield row


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1)
