"""A folder of readable names: complete, up to date, and never at the cost of a file that no export has made."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from manifests.files import join
from tasks.exporting import folder as exporting
from tasks.exporting.export_errors import ExportError
from tasks.exporting.folder import Exported, export_folder, refuse_export
from tasks.exporting.in_threads import in_threads
from tasks.exporting.link_or_copy import ExportedFile
from tasks.storage.storage import Storage, StorageError
from tests.tasks.corpus import write_manifest
from tests.tasks.output_root import exported_row, failed_row, files_in, put, write_root

RECORD = "timbreflow-export.parquet"


def rows(*pair_ids: str) -> list[dict[str, object]]:
    return [exported_row(pair_id) for pair_id in pair_ids]


def export(where: str, template: str = "{pair_id}", copies: bool = False) -> Exported:
    return export_folder(join(where, "root"), join(where, "names"), template, copies)


def counts(done: Exported) -> tuple[int, int, int]:
    """Return the files that were there, that are new, and that were removed."""
    return done.kept, done.linked + done.copied, done.removed


def test_succeeded_pairs_have_their_names_and_a_second_export_does_nothing(anywhere: str) -> None:
    root, names = join(anywhere, "root"), join(anywhere, "names")
    write_root(root, [*rows("a", "b"), failed_row("c"), exported_row("d", suffix=".wav")])
    seen: list[tuple[int, int]] = []
    done = export_folder(root, names, "{pair_id}", progress=lambda count, total: seen.append((count, total)))
    assert counts(done) == (0, 3, 0)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert files_in(names) == {f"{name}": f"audio of {name[0]}".encode() for name in ("a.flac", "b.flac", "d.wav")}
    before = Storage().stat(join(names, RECORD))
    assert counts(export(anywhere)) == (3, 0, 0)
    assert Storage().stat(join(names, RECORD)) == before


def test_what_is_gone_goes_and_what_was_computed_again_is_replaced(anywhere: str) -> None:
    root, names = join(anywhere, "root"), join(anywhere, "names")
    write_root(root, rows("a", "b", "c"))
    export(anywhere)
    write_root(root, [exported_row("a", b"again"), failed_row("b"), *rows("c", "d")])
    assert counts(export(anywhere)) == (1, 2, 1)
    assert files_in(names) == {"a.flac": b"again", "c.flac": b"audio of c", "d.flac": b"audio of d"}
    write_root(root, rows("e"))
    assert counts(export(anywhere, "{content} {pair_id}")) == (0, 1, 3)
    assert list(files_in(names)) == ["voice e.flac"]


def test_between_s3_and_here_audio_is_copied(s3: str, tmp_path: Path) -> None:
    here, there = str(tmp_path / "root"), join(s3, "root")
    for root, names in ((here, join(s3, "names")), (there, str(tmp_path / "names"))):
        write_root(root, rows("a", "b"))
        done = export_folder(root, names, "{pair_id}")
        assert (done.copied, done.linked) == (2, 0)
        assert files_in(names) == {"a.flac": b"audio of a", "b.flac": b"audio of b"}
        assert counts(export_folder(root, names, "{pair_id}")) == (2, 0, 0)


def test_local_files_are_links_where_there_are_any_and_copies_if_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_root(str(tmp_path / "root"), rows("a"))
    assert export(str(tmp_path)).linked == 1
    assert (tmp_path / "names" / "a.flac").stat().st_nlink == 2
    shutil.rmtree(tmp_path / "names")
    assert export(str(tmp_path), copies=True).copied == 1
    assert (tmp_path / "names" / "a.flac").stat().st_nlink == 1
    shutil.rmtree(tmp_path / "names")

    def another_disk(*names: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", another_disk)
    assert export(str(tmp_path)).copied == 1
    assert files_in(str(tmp_path / "names")) == {"a.flac": b"audio of a"}
    assert not list((tmp_path / "names").glob(".timbreflow-*"))


def test_files_of_others_stay_and_pairs_get_other_names(anywhere: str) -> None:
    root, names = join(anywhere, "root"), join(anywhere, "names")
    mine = {"a.flac": b"my own", "B.flac": b"mine too", "notes.txt": b"text", "sub/c.flac": b"deep"}
    for name, data in mine.items():
        put(names, name, data)
    write_root(root, rows("a", "b", "c"))
    first = export(anywhere)
    assert counts(first) == (0, 3, 0)
    found = files_in(names)
    assert mine.items() <= found.items()
    new = sorted(found.keys() - mine.keys())
    assert [name[:2] for name in new] == ["a_", "b_", "c."]
    assert counts(export(anywhere)) == (3, 0, 0)
    write_root(root, rows("z"))
    assert counts(export(anywhere)) == (0, 1, 3)
    assert files_in(names) == {**mine, "z.flac": b"audio of z"}


@pytest.mark.parametrize("edited", [b"edited, and longer than before", b"AUDIO OF A"])
def test_what_somebody_has_changed_is_somebodys(tmp_path: Path, edited: bytes) -> None:
    folder = str(tmp_path)
    root, names = join(folder, "root"), join(folder, "names")
    write_root(root, rows("a", "b"))
    export(folder, copies=True)
    put(names, "a.flac", edited)
    write_root(root, [exported_row("a", b"again"), *rows("b")])
    assert counts(export(folder)) == (1, 1, 0)
    found = files_in(names)
    assert found.pop("a.flac") == edited
    assert sorted(found.values()) == [b"again", b"audio of b"]
    write_root(root, rows("b"))
    assert counts(export(folder)) == (1, 0, 1)
    assert files_in(names) == {"a.flac": edited, "b.flac": b"audio of b"}


def test_what_is_no_file_is_nobody_elses_to_replace(tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.mkdir()
    (names / "a.flac").mkdir()
    (names / "b.flac").symlink_to(tmp_path / "nothing")
    os.mkfifo(names / "c.flac")
    write_root(str(tmp_path / "root"), rows("a", "b", "c"))
    assert counts(export(str(tmp_path))) == (0, 3, 0)
    assert counts(export(str(tmp_path))) == (3, 0, 0)
    assert (names / "a.flac").is_dir()
    assert (names / "b.flac").is_symlink()
    assert (names / "c.flac").is_fifo()


def test_a_file_that_somebody_removed_comes_back(tmp_path: Path) -> None:
    write_root(str(tmp_path / "root"), rows("a", "b"))
    export(str(tmp_path))
    (tmp_path / "names" / "a.flac").unlink()
    assert counts(export(str(tmp_path))) == (1, 1, 0)


def test_an_export_that_was_broken_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_root(str(tmp_path / "root"), rows(*"abcdef"))
    put_one = exporting.linked_or_copied

    def dying(source: str, target: str, sha256: str, files: Storage) -> ExportedFile | None:
        if target.endswith("d.flac"):
            raise StorageError("cannot write: the disk is full")
        return put_one(source, target, sha256, files)

    monkeypatch.setattr(exporting, "linked_or_copied", dying)
    with pytest.raises(StorageError, match="disk is full"):
        export(str(tmp_path))
    monkeypatch.undo()
    assert {"a.flac", "b.flac", "c.flac"} <= files_in(str(tmp_path / "names")).keys()
    done = export(str(tmp_path))
    assert done.kept >= 3
    assert done.kept + done.linked == 6


def test_after_a_fault_no_further_file_is_begun() -> None:
    begun = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 3:
            raise StorageError("away")
        return -number

    given = in_threads(work, range(100_000))
    assert [next(given) for _ in range(3)] == [(0, 0), (1, -1), (2, -2)]
    with pytest.raises(StorageError):
        next(given)
    assert len(begun) < 100
    assert list(in_threads(lambda number: number, range(1_000))) == [(number, number) for number in range(1_000)]
    assert list(in_threads(work, [])) == []


def test_files_of_an_export_that_was_killed_are_known_by_their_bytes(tmp_path: Path) -> None:
    write_root(str(tmp_path / "root"), rows("a", "b"))
    export(str(tmp_path), copies=True)
    (tmp_path / "names" / RECORD).unlink()  # it is written after the files
    assert counts(export(str(tmp_path))) == (2, 0, 0)
    write_root(str(tmp_path / "root"), rows("b"))
    assert counts(export(str(tmp_path))) == (1, 0, 1)


def test_unfinished_files_go_once_nobody_can_be_at_work_on_them(tmp_path: Path) -> None:
    names = tmp_path / "names"
    (names / "sub").mkdir(parents=True)
    for name, age_s in {
        ".timbreflow-old": 3 * 86_400,
        ".timbreflow-new": 60,
        "sub/.timbreflow-old": 3 * 86_400,
    }.items():
        (names / name).write_bytes(b"half")
        os.utime(names / name, (time.time() - age_s,) * 2)
    write_root(str(tmp_path / "root"), rows("a"))
    export(str(tmp_path))
    assert sorted(path.name for path in names.iterdir()) == [".timbreflow-new", "a.flac", "sub", RECORD]
    assert (names / "sub" / ".timbreflow-old").exists()


def test_audio_that_is_gone_or_is_another_is_told_and_its_last_file_stays_known(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_root(str(root), rows("a", "b", "c"))
    export(str(tmp_path))
    write_root(str(root), [exported_row("a", b"new a"), exported_row("b", b"new b"), *rows("c", "d")])
    for audio in (root / "audio").rglob("*.flac"):
        if audio.read_bytes() in (b"new a", b"audio of d"):
            audio.unlink()
        elif audio.read_bytes() == b"new b":
            audio.write_bytes(b"")
    done = export(str(tmp_path))
    assert (done.missing, *counts(done)) == (3, 1, 0, 0)
    assert "3 have no audio any more" in done.sentence()
    write_root(str(root), rows("c"))
    assert counts(export(str(tmp_path))) == (1, 0, 2)


def test_a_copy_with_other_bytes_than_its_row_says_does_not_appear(tmp_path: Path) -> None:
    write_root(str(tmp_path / "root"), rows("a"))
    (audio,) = (tmp_path / "root" / "audio").rglob("*.flac")
    audio.write_bytes(b"bit rot")
    assert export(str(tmp_path), copies=True).missing == 1
    assert files_in(str(tmp_path / "names")) == {}


def test_the_record_says_which_file_is_of_which_pair(tmp_path: Path) -> None:
    write_root(str(tmp_path / "root"), rows("a", "b"))
    export(str(tmp_path), "take")
    record, found = pd.read_parquet(tmp_path / "names" / RECORD), files_in(str(tmp_path / "names"))
    assert {pair: found.pop(name) for name, pair in zip(record["name"], record["pair_id"], strict=True)} == {
        "a": b"audio of a",
        "b": b"audio of b",
    }
    assert found == {}


def test_a_root_that_was_moved_is_exported_from_where_it_is(tmp_path: Path) -> None:
    write_root(str(tmp_path / "root"), rows("a"))
    shutil.move(tmp_path / "root", tmp_path / "moved")
    assert export_folder(str(tmp_path / "moved"), str(tmp_path / "names"), "{pair_id}").linked == 1


@pytest.mark.parametrize("inside", ["root", "root/audio", "root/audio/x", "root/results", "root/../root/runs"])
def test_the_results_themselves_are_no_folder_for_names(tmp_path: Path, inside: str) -> None:
    write_root(str(tmp_path / "root"), rows("a"))
    with pytest.raises(ExportError, match="the results themselves"):
        export_folder(str(tmp_path / "root"), str(tmp_path / inside), "{pair_id}")
    assert export_folder(str(tmp_path / "root"), str(tmp_path / "root" / "listen"), "{pair_id}").linked == 1


def test_folders_that_cannot_be_exported_to_are_refused(tmp_path: Path) -> None:
    write_root(str(tmp_path / "root"), rows("a"))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ExportError, match="is a file"):
        export_folder(str(tmp_path / "root"), str(tmp_path / "file"), "{pair_id}")
    with pytest.raises(FileNotFoundError, match="no results yet"):
        export_folder(str(tmp_path / "none"), str(tmp_path / "names"), "{pair_id}")
    export(str(tmp_path))
    write_root(str(tmp_path / "other"), rows("b"))
    with pytest.raises(ExportError, match="another output root"):
        export_folder(str(tmp_path / "other"), str(tmp_path / "names"), "{pair_id}")
    (tmp_path / "names" / RECORD).write_bytes(b"no table")
    with pytest.raises(ExportError, match="no record of an export"):
        export(str(tmp_path))
    assert files_in(str(tmp_path / "names")) == {"a.flac": b"audio of a"}


def test_a_record_that_names_files_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious.flac").write_bytes(b"audio of a")
    write_root(str(tmp_path / "root"), rows("a"))
    export(str(tmp_path))
    record = tmp_path / "names" / RECORD
    table = pq.read_table(record)
    pq.write_table(table.set_column(0, table.schema.field(0), [["../precious.flac"]]), record)
    write_root(str(tmp_path / "root"), rows("b"))
    with pytest.raises(ExportError, match="outside of its folder"):
        export(str(tmp_path))
    assert (tmp_path / "precious.flac").exists()


def test_a_run_is_refused_before_it_computes_if_its_export_is_wrong(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "m.parquet", [{"content": "a.wav", "style": "b.wav", "mood": "warm"}])
    refuse_export(manifest, str(tmp_path / "out"), str(tmp_path / "names"), "{mood}-{content}-{timbre_transfer:.2f}")
    with pytest.raises(ExportError, match=r"unknown field 'genre'; known are .*mood"):
        refuse_export(manifest, str(tmp_path / "out"), str(tmp_path / "names"), "{genre}")
    with pytest.raises(ExportError, match="the results themselves"):
        refuse_export(manifest, str(tmp_path / "out"), str(tmp_path / "out"), "{mood}")
