"""S3 as AWS answers it, from a relay before a real server: what passes is repeated, what conflicts is decided."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from manifests.files import join
from manifests.sharding import ShardSlice
from tasks.ledger.lease import Lease, holding, lease_uri
from tasks.storage.retry import RETRY_TIMEOUT_VARIABLE
from tasks.storage.storage import CredentialsExpired, Storage, StorageConflict, StorageError, StorageUnreachable
from tests.conftest import BUCKET, use_bucket
from tests.s3_relay import (
    ABORTED,
    ABSENT,
    CONFLICT,
    DROPPED,
    EXPIRED,
    INTERNAL,
    INTERNAL_IN_200,
    NO_SUCH_UPLOAD,
    SLOW_DOWN,
    Choice,
    Fault,
    Request,
    S3Relay,
    each_once,
    numbered,
)
from tests.seaweed import SeaweedServer

PART_BYTES = 5 << 20
"""As small as S3 allows, so that a file of two parts is soon uploaded."""

LARGE = bytes(2 * PART_BYTES) + b"end"
COMPLETION = r"POST \S+uploadId="
ANY_CHANGE = "(PUT|POST|DELETE) "

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
FIRST, SECOND = ShardSlice(0, 2), ShardSlice(1, 2)

Relayed = Callable[..., Storage]


@pytest.fixture(scope="module")
def direct(seaweed: SeaweedServer) -> Storage:
    """Return a storage that speaks to the server itself, whatever the environment is later."""
    files = Storage()
    with pytest.MonkeyPatch.context() as patch:
        use_bucket(seaweed, patch)
        assert files.find(f"s3://{BUCKET}/nothing") == []
    return files


@pytest.fixture
def relayed(seaweed: SeaweedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relayed]:
    """Return what makes a storage whose requests pass a relay."""
    relays: list[S3Relay] = []

    def storage(*choices: Choice) -> Storage:
        relays.append(S3Relay(seaweed.address, *choices).__enter__())
        monkeypatch.setenv("AWS_ENDPOINT_URL", relays[-1].endpoint)
        return Storage()

    yield storage
    for relay in relays:
        relay.__exit__()


def write(files: Storage, uri: str, data: bytes) -> None:
    with files.writing(uri) as stream:
        stream.write(data)


def do_all(files: Storage, folder: str) -> None:
    """Change objects in every way there is, and assert each time what is there then."""
    uri = join(folder, "once.bin")
    files.create(uri, b"first")
    with pytest.raises(FileExistsError):
        files.create(uri, b"second")
    assert files.read(uri) == b"first"
    state = join(folder, "state.json")
    version = files.swap(state, b"1", None)
    version = files.swap(state, b"2", version)
    assert files.load(state) == (b"2", version)
    with pytest.raises(StorageConflict):
        files.swap(state, b"3", None)
    for data in (b"old", b"new"):
        write(files, join(folder, "table.bin"), data)
        assert files.read(join(folder, "table.bin")) == data
    files.delete(uri)
    assert files.find(folder) == [state, join(folder, "table.bin")]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(DROPPED, id="delivered, the answer dropped"),
        pytest.param(Fault(), id="dropped before it was delivered"),
        *(pytest.param(fault, id=fault.code) for fault in (CONFLICT, ABORTED, SLOW_DOWN, EXPIRED)),
        pytest.param(Fault(500, "InternalError", delivered=True), id="InternalError, but delivered"),
    ],
)
def test_every_change_is_made_once_whatever_its_first_answer_is(fault: Fault, s3: str, relayed: Relayed) -> None:
    do_all(relayed(each_once(ANY_CHANGE, fault)), s3)


@pytest.mark.parametrize("fault", [Fault(), SLOW_DOWN, EXPIRED, Fault(403, "ExpiredToken")], ids=str)
def test_every_look_is_repeated(fault: Fault, s3: str, direct: Storage, relayed: Relayed) -> None:
    uri = join(s3, "file.bin")
    direct.create(uri, b"data")
    files = relayed(each_once("(GET|HEAD) ", fault))
    assert files.find(s3) == files.glob(join(s3, "*.bin")) == [uri]
    assert files.stat(uri).size == 4
    assert files.exists(uri)
    assert files.is_folder(s3)
    assert files.read(uri) == b"data"
    with files.open(uri) as stream:
        assert stream.read() == b"data"


class TestConflicts:
    """A 409 says that another request was under way: which of the two came through is read, not guessed."""

    @pytest.mark.parametrize("present", [b"before", None])
    def test_if_another_process_was_faster_it_is_a_conflict(
        self, present: bytes | None, s3: str, direct: Storage, relayed: Relayed
    ) -> None:
        uri = join(s3, "lease.json")
        version = None if present is None else direct.swap(uri, present, None)
        files = relayed(while_another_writes(CONFLICT, lambda: direct.swap(uri, b"theirs", version)))
        with pytest.raises(StorageConflict, match=r"lease\.json"):
            files.swap(uri, b"mine", version)
        assert direct.read(uri) == b"theirs"

    def test_if_another_process_was_faster_the_file_exists(self, s3: str, direct: Storage, relayed: Relayed) -> None:
        uri = join(s3, "part.parquet")
        files = relayed(while_another_writes(CONFLICT, lambda: direct.create(uri, b"theirs")))
        with pytest.raises(FileExistsError, match=r"part\.parquet"):
            files.create(uri, b"mine")
        assert direct.read(uri) == b"theirs"

    def test_what_was_deleted_is_not_replaced(self, s3: str, direct: Storage, relayed: Relayed) -> None:
        """S3 answers 404 if the object of an `If-Match` is absent, where others answer 412."""
        uri = join(s3, "lease.json")
        version = direct.swap(uri, b"before", None)
        with pytest.raises(StorageConflict):
            relayed(numbered("PUT ", ABSENT)).swap(uri, b"mine", version)

    def test_a_missing_bucket_is_no_conflict(self, s3: str, relayed: Relayed) -> None:
        with pytest.raises(FileNotFoundError, match=r"lease\.json"):
            relayed(numbered("PUT ", Fault(404, "NoSuchBucket"))).swap(join(s3, "lease.json"), b"mine", '"1"')

    def test_without_end_it_is_a_storage_error(
        self, s3: str, relayed: Relayed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(RETRY_TIMEOUT_VARIABLE, "1")
        uri = join(s3, "lease.json")
        with pytest.raises(
            StorageUnreachable, match=r"lease\.json.*only answered with errors.*ConditionalRequest.*same"
        ):
            relayed(numbered("PUT ", CONFLICT, range(1, 1000))).swap(uri, b"mine", None)


def while_another_writes(fault: Fault, write: Callable[[], object]) -> Choice:
    """Return a choice in which another process writes as the first PUT comes in, which then meets the fault."""
    first = numbered("PUT ", fault)

    def choose(request: Request) -> Fault | None:
        found = first(request)
        if found:
            write()
        return found

    return choose


class TestUploads:
    """A large file is completed by a request of its own; if its answer is lost, the upload is no more to be found."""

    @pytest.fixture(autouse=True)
    def small_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tasks.storage.s3_files.PART_BYTES", PART_BYTES)

    @pytest.mark.parametrize(
        ("call", "fault"),
        [
            *((Storage.create, fault) for fault in (DROPPED, NO_SUCH_UPLOAD, INTERNAL_IN_200, CONFLICT)),
            *((write, fault) for fault in (DROPPED, NO_SUCH_UPLOAD, INTERNAL)),
        ],
        ids=lambda value: getattr(value, "__name__", str(value)),
    )
    def test_it_is_there_once(
        self, call: Callable[[Storage, str, bytes], None], fault: Fault, s3: str, direct: Storage, relayed: Relayed
    ) -> None:
        uri = join(s3, "large.bin")
        gone = numbered(r"DELETE \S+uploadId=", Fault(404, "NoSuchUpload"), range(1, 1000))
        call(relayed(numbered(COMPLETION, fault), gone), uri, LARGE)
        assert direct.read(uri) == LARGE

    def test_no_answer_of_it_is_missed(self, s3: str, direct: Storage, relayed: Relayed) -> None:
        files, uri = relayed(each_once(ANY_CHANGE, DROPPED)), join(s3, "large.bin")
        files.create(uri, LARGE)
        with pytest.raises(FileExistsError):
            files.create(uri, LARGE[1:])
        assert direct.read(uri) == LARGE

    def test_an_upload_that_is_no_more_is_begun_anew(self, s3: str, direct: Storage, relayed: Relayed) -> None:
        uri = join(s3, "large.bin")
        write(relayed(numbered(r"PUT \S+partNumber=2", Fault(404, "NoSuchUpload"))), uri, LARGE)
        assert direct.read(uri) == LARGE


class TestLease:
    def beat(self, direct: Storage, root: str) -> None:
        """Let another slice write the lease, as its heart does."""
        found = direct.load(lease_uri(root))
        assert found is not None
        holders = json.loads(found[0])["holders"]
        others = [{**one, "beats": one["beats"] + (one["owner"] == "other")} for one in holders]
        direct.swap(lease_uri(root), json.dumps({"holders": others}).encode(), found[1])

    def test_who_has_taken_it_unheard_is_not_refused_by_itself(
        self, s3: str, direct: Storage, relayed: Relayed
    ) -> None:
        """The PUT arrives, its answer does not, and before it is repeated another slice writes."""
        with holding(direct, s3, "other", FIRST):
            files = relayed(dropped_before(lambda: self.beat(direct, s3)))
            with holding(files, s3, "mine", SECOND) as lease:
                lease.check()

    def test_who_has_left_unheard_has_left(self, s3: str, direct: Storage, relayed: Relayed) -> None:
        with holding(direct, s3, "other", FIRST), holding(direct, s3, "mine", SECOND):
            files = relayed(dropped_before(lambda: self.beat(direct, s3)))
            assert not Lease(files, s3, "mine").begin_closing()
            assert [one["owner"] for one in json.loads(direct.read(lease_uri(s3)))["holders"]] == ["other"]


def dropped_before(act: Callable[[], object]) -> Choice:
    """Return a choice that drops the answer to the first PUT, and lets something happen before its repetition."""
    first, second = numbered("PUT ", DROPPED), numbered("PUT ", DROPPED, (2,))

    def choose(request: Request) -> Fault | None:
        if second(request):
            act()
        return first(request)

    return choose


class TestCredentials:
    """Some end in the middle of a run: whatever renews them, the run goes on with the new ones."""

    @pytest.fixture
    def expired(self) -> Choice:
        """Return a choice for which the first credentials have expired."""
        return lambda request: EXPIRED if request.access_key == "timbreflow" else None

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Let the AWS tools find nothing but what a test writes here."""
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        return tmp_path

    def in_the_file(self, folder: Path, found: dict[str, str]) -> None:
        (folder / "credentials").write_text(
            f"[default]\naws_access_key_id = {found['AWS_ACCESS_KEY_ID']}\n"
            f"aws_secret_access_key = {found['AWS_SECRET_ACCESS_KEY']}\n"
        )

    def from_a_process(self, folder: Path, found: dict[str, str]) -> None:
        names = {
            "Version": 1,
            "AccessKeyId": found["AWS_ACCESS_KEY_ID"],
            "SecretAccessKey": found["AWS_SECRET_ACCESS_KEY"],
        }
        (folder / "now.json").write_text(json.dumps(names))
        program = f"{sys.executable} -c \"print(open('{folder}/now.json').read())\""
        (folder / "config").write_text(f"[default]\ncredential_process = {program}\n")

    def in_the_environment(self, folder: Path, found: dict[str, str]) -> None:
        os.environ.update({name: found[name] for name in KEYS})

    @pytest.mark.parametrize("put", [in_the_file, from_a_process, in_the_environment])
    def test_new_ones_are_taken_up(
        self,
        put: Callable[[TestCredentials, Path, dict[str, str]], None],
        folder: Path,
        expired: Choice,
        s3: str,
        seaweed: SeaweedServer,
        relayed: Relayed,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for name in KEYS:
            monkeypatch.delenv(name)
        put(self, folder, seaweed.environment)
        ended = threading.Event()
        files = relayed(lambda request: expired(request) if ended.is_set() else None)
        files.create(join(s3, "before.bin"), b"data")
        with files.open(join(s3, "before.bin")) as stream:
            ended.set()
            renewal = threading.Timer(0.7, put, (self, folder, seaweed.renewed_environment))
            renewal.start()
            assert stream.read() == b"data"
        do_all(files, join(s3, "after"))
        renewal.join()

    def test_a_file_that_is_being_written_is_waited_for(
        self,
        folder: Path,
        expired: Choice,
        s3: str,
        seaweed: SeaweedServer,
        relayed: Relayed,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for name in KEYS:
            monkeypatch.delenv(name)
        self.in_the_file(folder, seaweed.environment)
        ended = threading.Event()
        files = relayed(lambda request: expired(request) if ended.is_set() else None)
        files.create(join(s3, "before.bin"), b"data")
        ended.set()
        (folder / "credentials").write_text("[default]\naws_access_key_id = tim")
        renewal = threading.Timer(0.7, self.in_the_file, (folder, seaweed.renewed_environment))
        renewal.start()
        assert files.read(join(s3, "before.bin")) == b"data"
        renewal.join()

    @pytest.mark.parametrize("call", [Storage.read, Storage.stat, Storage.delete])
    def test_without_new_ones_the_message_says_so(
        self,
        call: Callable[[Storage, str], object],
        expired: Choice,
        s3: str,
        direct: Storage,
        relayed: Relayed,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv(RETRY_TIMEOUT_VARIABLE, "1")
        uri = join(s3, "file.bin")
        direct.create(uri, b"data")
        with pytest.raises(CredentialsExpired, match=rf"{uri}.*have expired \(ExpiredToken.*Renew.*same command again"):
            call(relayed(expired), uri)

    def test_what_is_not_allowed_is_not_waited_for(
        self, s3: str, seaweed: SeaweedServer, relayed: Relayed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(RETRY_TIMEOUT_VARIABLE, "3600")
        for name in KEYS:
            monkeypatch.setenv(name, seaweed.reader_environment[name])
        with pytest.raises(StorageError, match=r"file\.bin.*PermissionError"):
            relayed().create(join(s3, "file.bin"), b"data")
        for name, wrong in (("AWS_SECRET_ACCESS_KEY", "wrong"), ("AWS_ACCESS_KEY_ID", "nobody")):
            monkeypatch.setenv(name, wrong)
            for call in (Storage.stat, Storage.read):
                with pytest.raises(StorageError, match=r"file\.bin.*PermissionError"):
                    call(relayed(), join(s3, "file.bin"))
