"""Audio that somebody deleted, one file or all of it: it is noticed, told, and made again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pytest

from manifests.files import join
from manifests.results import audio_files
from manifests.results.audio_files import missing_audio
from manifests.results.layout import audio_uri, write_part
from tasks.ledger.close import close_run, write_run_snapshot
from tasks.planning.plan_table import read_shard
from tasks.storage import s3_files
from tasks.storage.s3_files import S3Files
from tasks.storage.storage import Storage, StorageError
from tests.tasks.conftest import Corpus
from tests.tasks.corpus import CPU, begin, compute, read_table, run_all, write_manifest

NAMES = [f"{number:040x}"[::-1] for number in range(1, 12)]
"""Of eleven fingerprints."""

TOLD = ("pair_id", "content", "style", "fingerprint")


def sounds_of(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "audio").rglob("*.flac")}


def put(root: str, name: str, data: bytes = b"fLaC") -> None:
    with Storage().writing(name if "/" in name else audio_uri(root, name)) as sink:
        sink.write(data)


def is_missing(root: str, names: list[str]) -> list[bool]:
    return missing_audio(Storage(), root, pa.chunked_array([pa.array(names, pa.string())])).tolist()


class TestListing:
    @pytest.mark.parametrize("many", [1, 1_000], ids=["folder by folder", "in one go"])
    def test_what_is_there_is_told_from_what_is_not(
        self, anywhere: str, monkeypatch: pytest.MonkeyPatch, many: int
    ) -> None:
        monkeypatch.setattr(audio_files, "MANY", many)
        monkeypatch.setattr(s3_files, "PAGE_KEYS", 3)
        for name in NAMES[:7]:
            put(anywhere, name)
        put(anywhere, NAMES[7], b"")
        put(anywhere, join(anywhere, "audio", "00", f"{NAMES[8]}.flac"))  # not where it belongs
        put(anywhere, join(anywhere, "audio", f"{NAMES[9]}.flac"))
        put(anywhere, join(anywhere, "audio", "notes.txt"))
        put(anywhere, join(anywhere, "audio", NAMES[10][:2], f"{NAMES[10]}-20260101T000000-ab12.flac"))
        assert is_missing(anywhere, NAMES) == [False] * 7 + [True] * 3 + [False]

    def test_names_that_are_no_text_and_links_to_themselves_are_passed_over(self, tmp_path: Path) -> None:
        put(str(tmp_path), NAMES[0])
        with open(os.fsencode(tmp_path / "audio" / NAMES[0][:2]) + b"/\xff.flac", "wb") as file:
            file.write(b"fLaC")
        (tmp_path / "audio" / "loop").symlink_to("loop")
        assert is_missing(str(tmp_path), NAMES[:2]) == [False, True]

    def test_audio_behind_a_link_to_another_disk_is_there(self, tmp_path: Path) -> None:
        put(str(tmp_path / "elsewhere"), NAMES[0])
        (tmp_path / "audio").symlink_to(tmp_path / "elsewhere" / "audio")
        assert is_missing(str(tmp_path), NAMES[:2]) == [False, True]

    def test_without_any_folder_all_is_missing(self, anywhere: str) -> None:
        assert is_missing(join(anywhere, "new"), NAMES) == [True] * 11
        assert is_missing(anywhere, []) == []

    def test_on_s3_a_request_is_for_a_page_and_none_for_a_file(self, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in NAMES:
            put(s3, name)
        monkeypatch.setattr(s3_files, "PAGE_KEYS", 4)
        client, asked = S3Files(), []
        real = client._s3.call_s3
        monkeypatch.setattr(client._s3, "call_s3", lambda *call, **more: asked.append(call) or real(*call, **more))
        assert [size for _, size in client.sizes(s3)] == [4] * 11
        assert asked == [("list_objects_v2",)] * 3

    def test_a_listing_that_fails_does_not_say_that_files_are_gone(self, gone_s3: str) -> None:
        with pytest.raises(StorageError):
            is_missing(gone_s3, NAMES)


def delete_one(root: Path) -> int:
    next((root / "audio").rglob("*.flac")).unlink()
    return 1


def empty_one(root: Path) -> int:
    next((root / "audio").rglob("*.flac")).write_bytes(b"")
    return 1


def delete_all(root: Path) -> int:
    shutil.rmtree(root / "audio")
    return 5


@pytest.mark.parametrize("harm", [delete_one, empty_one, delete_all])
def test_it_is_made_again(corpus: Corpus, harm: Callable[[Path], int]) -> None:
    before = set(sounds_of(corpus.root))
    harmed = harm(corpus.root)
    second = run_all(corpus.manifest, corpus.root)
    assert second.summary.counts["audio_missing"] == second.summary.computed == harmed
    assert second.table["run_id"].eq(second.summary.run_id).sum() == harmed
    assert set(sounds_of(corpus.root)) >= before  # an empty file is not replaced: `timbreflow gc` removes it
    sums = [sha256(Path(output).read_bytes()).hexdigest() for output in second.table["output"]]
    assert second.table["file_sha256"].tolist() == sums
    assert run_all(corpus.manifest, corpus.root).summary.counts["up_to_date"] == 5


@pytest.mark.slow
def test_it_is_made_again_on_s3(s3: str, finished: Corpus) -> None:
    """As on local files; that the listing on S3 tells what is missing is shown below."""
    files, root = Storage(), join(s3, "out")
    for path in [*(finished.folder / "sounds").iterdir(), *(finished.root / "results").rglob("*.parquet")]:
        put(root, join(s3, str(path.relative_to(finished.folder))), path.read_bytes())
    for path in (finished.root / "audio").rglob("*.flac"):
        put(root, path.stem, path.read_bytes())
    manifest = write_manifest(join(s3, "pairs.parquet"), finished_rows(finished))
    files.delete(audio_uri(root, str(finished.first.row("harp-fork")["fingerprint"])))
    assert run_all(manifest, root).summary.counts["audio_missing"] == 1
    assert run_all(manifest, root).summary.counts["up_to_date"] == 5


def finished_rows(finished: Corpus) -> list[dict[str, object]]:
    rows = finished.first.table[["pair_id", "content", "style"]].to_dict("records")
    return [{name: str(value).removeprefix(f"{finished.folder}/") for name, value in row.items()} for row in rows]


def test_a_row_without_audio_is_in_no_table(corpus: Corpus) -> None:
    """Not before the pair is computed, and not if it is beyond the limit."""
    shutil.rmtree(corpus.root / "audio")
    run, plan = begin(corpus.manifest, corpus.root, options=CPU.model_copy(update={"limit": 2}))
    assert write_run_snapshot(run, plan) == 0
    compute(run, plan)
    summary = close_run(run, plan, "completed")
    assert (summary.computed, summary.counts["audio_missing"], summary.counts["beyond_limit"]) == (2, 2, 3)
    assert summary.without_result == 3
    assert [Path(output).is_file() for output in read_table(corpus.root)["output"]] == [True, True]


def test_an_attempt_that_failed_since_is_what_counts(corpus: Corpus) -> None:
    shutil.rmtree(corpus.root / "audio")
    run, plan = begin(corpus.manifest, corpus.root)
    rows = [pair for shard in plan.shards for batch in read_shard(plan.uri, shard, Storage(), 9) for pair in batch]
    told = {"status": "failed", "error_type": "diverged", "finished_at": datetime.now(UTC)}
    write_part(Storage(), run.output, run.run_id, 0, [{**{name: row[name] for name in TOLD}, **told} for row in rows])
    close_run(run, plan, "completed")
    assert read_table(corpus.root)["status"].tolist() == ["failed"] * 5
    again = run_all(corpus.manifest, corpus.root)
    assert again.summary.counts["failed_before"] == 5
    assert again.table["status"].tolist() == ["failed"] * 5


def test_what_another_slice_made_again_meanwhile_is_in_the_table(corpus: Corpus) -> None:
    """Both were planned when it was gone; one is done before the other writes the table."""
    shutil.rmtree(corpus.root / "audio")
    ours, our_plan = begin(corpus.manifest, corpus.root)
    other, other_plan = begin(corpus.manifest, corpus.root, options=CPU.model_copy(update={"limit": 3}))
    compute(other, other_plan)
    assert write_run_snapshot(ours, our_plan) == 3
