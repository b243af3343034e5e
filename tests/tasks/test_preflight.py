"""What is known about an output root before anything is computed."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from tasks.storage.preflight import refuse_links, refuse_small_disk, refuse_small_temporary_folder
from tasks.storage.storage import StorageError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "out" / "audio" / "ab").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize("name", ["results", "audio/cd", "snapshots", "lease.json"])
def test_a_link_out_of_the_root_is_named(root: Path, name: str) -> None:
    (root / name).symlink_to(root.parent / "elsewhere")
    with pytest.raises(StorageError, match=rf"{name}' is a link out of the output root, to '.*elsewhere'"):
        refuse_links(str(root))


def test_a_link_that_leads_nowhere_is_named_too(root: Path) -> None:
    (root / "audio" / "cd").symlink_to("/nowhere/at/all")
    with pytest.raises(StorageError, match="nowhere"):
        refuse_links(str(root))


def test_links_within_the_root_and_to_it_are_good(root: Path) -> None:
    (root / "audio" / "cd").symlink_to(root / "audio" / "ab")
    (root.parent / "link").symlink_to(root)
    for named in (root, root.parent / "link", root.parent / "absent"):
        refuse_links(str(named))
    refuse_links("s3://bucket/out")


def test_a_disk_that_is_certainly_too_small_is_refused(root: Path) -> None:
    free = shutil.disk_usage(root).free
    with pytest.raises(StorageError, match="Free some space"):
        refuse_small_disk(str(root / "deep" / "absent"), n_samples=2.0 * free, n_shards=1)
    refuse_small_disk(str(root), n_samples=16_000, n_shards=1)
    refuse_small_disk("s3://bucket/out", n_samples=2.0 * free, n_shards=1)


def test_a_folder_for_temporary_files_that_is_certainly_too_small_is_refused() -> None:
    free = shutil.disk_usage(tempfile.gettempdir()).free
    with pytest.raises(StorageError, match=r"sorting the table needs at least .* MB\. Free some space, or set TMPDIR"):
        refuse_small_temporary_folder(free // 100)
    with pytest.raises(StorageError, match=r"unpacking the longest content needs at least .* MB\."):
        refuse_small_temporary_folder(1_000, 2.0 * free)
    refuse_small_temporary_folder(1_000, 1_000_000)
