"""What cannot work is refused with one clear error, before anything is computed where that can be known."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pandas as pd
import pytest

from manifests.files import join
from tasks.storage.storage import Storage
from tests.deployment import Server
from tests.faults.conftest import Command, Reference
from tests.faults.corpus import (
    FAST,
    assert_refused,
    assert_went_through,
    committed,
    damage,
    run_command,
    write_corpus,
)
from tests.faults.report import recorded
from tests.faults.whole_runs import run_whole
from tests.flows.processes import run, start, wait_for
from tests.flows.sounds import cut_sounds, pair
from tests.seaweed import SeaweedServer
from tests.tasks.corpus import parts, read_table, write_manifest

MountDisk = Callable[[str], Path]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a local manifest of one short pair."""
    folder = tmp_path_factory.mktemp("small")
    cut_sounds(folder)
    return write_manifest(folder / "m.parquet", [pair()])


@pytest.fixture
def mount_disk(tmp_path: Path) -> Iterator[MountDisk]:
    """Mount small disks of the test's own."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False) if os.geteuid() == 0 else None
        if done is None or done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip() if done else 'not root'}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def upload(local_manifest: str, s3: str) -> str:
    """Copy the small corpus to S3; return the manifest's URI."""
    folder = Path(local_manifest).parent
    for path in folder.rglob("*.*"):
        if path.suffix in (".wav", ".parquet"):
            Storage().create(join(s3, str(path.relative_to(folder))), path.read_bytes())
    return join(s3, "m.parquet")


@pytest.mark.usefixtures("s3")
class TestOnS3:
    def test_a_missing_bucket_is_named(self, small: str, command: Command) -> None:
        bucket = "s3://timbreflow-no-such-bucket"
        with recorded("missing bucket"):
            assert_refused(command(small, f"{bucket}/out"), bucket)
            assert_refused(command(f"{bucket}/m.parquet", f"{bucket}/out"), f"{bucket}/m.parquet")

    def test_a_missing_manifest_is_named(self, s3: str, command: Command) -> None:
        with recorded("missing manifest"):
            assert_refused(command(join(s3, "none.parquet"), join(s3, "out")), join(s3, "none.parquet"))
            assert Storage().find(s3) == []

    def test_a_missing_sound_is_a_failed_row(self, small: str, s3: str) -> None:
        upload(small, s3)
        rows = [pair("harp_phrase", pair_id="good"), pair("none.wav", pair_id="bad")]
        with recorded("missing sound"):
            run_whole(write_manifest(join(s3, "with_missing.parquet"), rows), join(s3, "out"))
            found = read_table(join(s3, "out")).set_index("pair_id")
            assert found["status"].to_dict() == {"good": "succeeded", "bad": "failed"}
            assert found.at["bad", "error_type"] == "missing"
            assert join(s3, "none.wav") in found.at["bad", "error_message"]

    @pytest.mark.parametrize("wrong", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
    def test_wrong_credentials_are_refused(
        self, wrong: str, small: str, s3: str, seaweed: SeaweedServer, command: Command
    ) -> None:
        value = "0123456789abcdef" * 2
        with recorded("wrong credentials"):
            result = command(small, join(s3, "out"), {wrong: value})
            assert_refused(result, join(s3, "out"), "redentials")
            assert seaweed.environment["AWS_SECRET_ACCESS_KEY"] not in result[1]
            assert value not in result[1]
            assert Storage().find(s3) == []

    def test_no_credentials_are_refused(self, small: str, s3: str, tmp_path: Path, command: Command) -> None:
        gone: dict[str, str | None] = {name: None for name in os.environ if name.startswith("AWS_") and "KEY" in name}
        assert gone
        bare = {**gone, "AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}
        with recorded("no credentials"):
            assert_refused(command(small, join(s3, "out"), bare), join(s3, "out"), "redentials")

    def test_no_permission_to_write_is_refused(
        self, small: str, s3: str, seaweed: SeaweedServer, command: Command
    ) -> None:
        manifest = upload(small, s3)
        before = Storage().find(s3)
        with recorded("no permission to write on S3"):
            result = command(manifest, join(s3, "out"), seaweed.reader_environment)
            assert_refused(result, join(s3, "out"), "redentials")
            assert Storage().find(s3) == before


class TestOnLocalDisks:
    def test_a_read_only_output_is_refused(self, small: str, command: Command, mount_disk: MountDisk) -> None:
        folder = mount_disk("ro")
        with recorded("read-only output"):
            assert_refused(command(small, str(folder / "out")), str(folder / "out"))

    def test_a_disk_that_is_too_small_is_refused(self, tmp_path: Path, command: Command, mount_disk: MountDisk) -> None:
        folder = mount_disk("size=200k")
        with recorded("disk too small"):
            result = command(write_corpus(str(tmp_path)), str(folder / "out"))
            assert_refused(result, str(folder), "Free some space")
            assert parts(folder / "out") == []

    @pytest.mark.slow
    def test_a_disk_that_fills_up_keeps_what_is_committed_and_the_same_command_completes_it(
        self, reference: Reference, prefect: Server, mount_disk: MountDisk
    ) -> None:
        folder = mount_disk("size=8m")
        output = folder / "out"
        with recorded("disk full during a run; then the same command again") as record:
            process = start("timbreflow", "run", reference.manifest, str(output), *FAST, env=prefect.env)
            wait_for(lambda: parts(output) or process.poll() is not None, "the first shard")
            fill(folder / "of others")
            said, _ = process.communicate(timeout=120)
            assert_refused((process.returncode, said), str(output), "No space left", "Free some space")
            before = committed(str(output))
            assert before

            (folder / "of others").unlink()
            assert_went_through(run_command(reference.manifest, str(output), prefect.env))
            after = committed(str(output))
            assert {uri: after[uri] for uri in before} == before
            found = damage(reference.table, str(output))
            record.lost, record.doubled = len(found.lost), len(found.doubled)
            assert (found.lost, found.doubled) == ([], [])


def fill(path: Path) -> None:
    """Write a file until its disk is full."""
    chunk = bytes(1 << 12)
    with path.open("wb", buffering=0) as sink, pytest.raises(OSError, match="No space left"):
        all(sink.write(chunk) for _ in count())


ONE_AFTER_THE_OTHER = f"""
import sys
from flows.cli import app
for output in sys.argv[2:]:
    try:
        app(["run", sys.argv[1], output, *{FAST}])
    except SystemExit as end:
        print("ended with", end.code)
"""
"""The command, twice in one process: it takes long to start."""


def test_credentials_are_written_nowhere(small: str, s3: str, seaweed: SeaweedServer, prefect: Server) -> None:
    """Neither shown, nor in results, plans or records, nor in Prefect's database: not when it works, nor if refused."""
    secret = seaweed.environment["AWS_SECRET_ACCESS_KEY"]
    manifest, home = upload(small, s3), Path(prefect.env["PREFECT_HOME"])
    env = {**prefect.env, **seaweed.environment, "PREFECT_LOGGING_LEVEL": "DEBUG"}
    with recorded("search for credentials in all that a run writes"):
        outputs = (join(s3, "out"), "s3://timbreflow-no-such-bucket/out")
        code, said = run("python", "-c", ONE_AFTER_THE_OTHER, manifest, *outputs, env=env)
        assert code == 0, said
        assert [line for line in said.splitlines() if line.startswith("ended")] == ["ended with 0", "ended with 2"]
        files = Storage()
        written = {uri: files.read(uri) for uri in files.find(join(s3, "out"))}
        written |= {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file()}
        written["shown"] = said.encode()
        assert any(name.endswith("prefect.db") for name in written)
        assert any("/runs/" in name for name in written)
        assert {"results.parquet", "lease.json"} & {Path(name).name for name in written}
        assert [name for name, data in written.items() if secret.encode() in data] == []
        for table in (uri for uri in written if uri.startswith("s3://") and uri.endswith(".parquet")):
            with files.open(table) as source:  # whose pages may be compressed
                assert secret not in pd.read_parquet(source).to_csv(), table
