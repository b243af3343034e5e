"""What people are shown of results: read in pieces, failures by their cause, and whether the audio is there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.results.layout import snapshot_uri, write_part
from manifests.schema import RESULT_SCHEMA, VERSION_KEY, ManifestError
from tasks.ledger import query as overview
from tasks.ledger.query import SHOWN, Overview, find_table, lost_audio, read_overview, table_in_root
from tasks.storage.storage import Storage
from tests.tasks.conftest import PAIRS, Corpus

FILES = Storage()


def read(written: str | Path, most_rows: int = 50) -> Overview:
    return read_overview(find_table(str(written), FILES), FILES, most_rows)


def failed(name: str, error_type: str, message: str) -> dict[str, Any]:
    sounds = {"content": "/c.wav", "style": "/s.wav"}
    told = {"status": "failed", "error_type": error_type, "error_message": message}
    return {"pair_id": name, "fingerprint": name, **sounds, **told}


def test_it_has_the_first_rows_and_the_means_of_all(finished: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished.folder)
    monkeypatch.setattr(overview, "BATCH_ROWS", 2)
    table, found = finished.first.table, read("out", 3)
    assert [row["pair_id"] for row in found.rows] == [pair["pair_id"] for pair in PAIRS[:3]]
    assert [row["output"] for row in found.rows] == table["output"].tolist()[:3]
    assert (found.succeeded, found.failed.total()) == (len(PAIRS), 0)
    for name in SHOWN:
        mean = table[name].mean()
        assert found.means[name] == (None if mean != mean else pytest.approx(mean))


def test_failures_are_gathered_by_their_cause(tmp_path: Path) -> None:
    rows = [failed(f"m{number}", "missing", "'/x.wav' does not exist") for number in range(5)]
    rows += [failed("s1", "silent", "'/y.wav' is silent"), failed("m9", "missing", "'/z.wav' does not exist")]
    uri = write_part(FILES, str(tmp_path), "r1", 0, rows)
    found = read(uri)
    assert found.failed == {"missing": 6, "silent": 1}
    first, second = found.reasons["missing"].values()
    assert (first.pairs, first.names) == (5, ["m0", "m1", "m2"])
    assert (second.pairs, second.names) == (1, ["m9"])
    assert (found.rows, found.means) == ([], dict.fromkeys(SHOWN))


def test_a_table_is_shown_wherever_it_lies(corpus: Corpus, tmp_path: Path) -> None:
    snapshot = snapshot_uri(str(corpus.root), corpus.first.summary.run_id)
    copy = shutil.copy(snapshot, tmp_path / "copy.parquet")
    for table, root in ((corpus.root / "results.parquet", corpus.root), (snapshot, corpus.root), (copy, None)):
        assert read(table).succeeded == len(PAIRS)
        assert find_table(str(table), FILES).root == (None if root is None else str(root))


def test_audio_that_is_gone_is_named(corpus: Corpus) -> None:
    table = find_table(str(corpus.root), FILES)
    assert lost_audio(table, FILES) == frozenset()
    gone = next((corpus.root / "audio").rglob("*.flac"))
    gone.unlink()
    assert lost_audio(table, FILES) == {gone.stem}
    shutil.rmtree(corpus.root / "audio")
    assert len(lost_audio(table, FILES)) == len(PAIRS)


def test_before_any_run_the_message_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="timbreflow run") as caught:
        read(tmp_path / "out")
    assert str(tmp_path / "out" / "results.parquet") in str(caught.value)


def of_version(version: str | None, **columns: Any) -> pa.Table:
    return pa.table(columns).replace_schema_metadata({VERSION_KEY: version} if version else None)


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(b"no", id="two bytes"),
        pytest.param(b"PAR1" + b"\0" * 100 + b"PAR1", id="a wrong footer"),
        pytest.param(of_version(None, a=[1]), id="of somebody else"),
        pytest.param(of_version("99", pair_id=["a"]), id="of a newer version"),
        pytest.param(of_version("one", pair_id=["a"]), id="of no version"),
        pytest.param(of_version("1", timbre_transfer=["high"]), id="of other types"),
    ],
)
def test_what_is_no_table_of_results_is_refused(tmp_path: Path, table: bytes | pa.Table) -> None:
    path = tmp_path / "results.parquet"
    path.write_bytes(table) if isinstance(table, bytes) else pq.write_table(table, path)
    with pytest.raises(ManifestError) as caught:
        read(tmp_path)
    assert str(path) in str(caught.value)


def test_a_table_that_is_cut_short_is_refused(corpus: Corpus) -> None:
    path = corpus.root / "results.parquet"
    path.write_bytes(path.read_bytes()[:-1_000])
    with pytest.raises(ManifestError):
        read(corpus.root)


def test_an_empty_table_is_one(tmp_path: Path) -> None:
    pq.write_table(RESULT_SCHEMA.empty_table(), tmp_path / "results.parquet")
    assert read(tmp_path).succeeded == 0


def test_a_table_that_is_replaced_while_it_is_read_is_read_anew(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the last slice of a run does it while another one shows what there is."""
    generator = np.random.default_rng(0)
    long = [failed(f"p{number}", "internal", generator.bytes(20_000).hex()) for number in range(120)]
    uri = write_part(FILES, s3, "r1", 0, long)
    other = FILES.read(write_part(FILES, s3, "r1", 1, [failed("q", "missing", "'/q.wav' does not exist")]))
    opens, replaced = Storage.open, []

    def replacing(self: Storage, name: str) -> BinaryIO:
        stream = opens(self, name)
        if not replaced:
            replaced.append(name)
            FILES.swap(name, other, FILES.load(name)[1])  # type: ignore[index]
        return stream

    monkeypatch.setattr(Storage, "open", replacing)
    assert read(uri).failed == {"missing": 1}


def test_a_table_that_lies_in_no_output_root_has_no_audio(tmp_path: Path) -> None:
    uri = write_part(FILES, str(tmp_path / "root"), "r1", 0, [failed("a", "missing", "gone")])
    elsewhere = str(tmp_path / "copied.parquet")
    shutil.copy(uri, elsewhere)
    with pytest.raises(ManifestError, match=r"copied\.parquet: lies in no output root"):
        table_in_root(elsewhere, FILES)
