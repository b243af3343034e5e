"""S3 objects behind the calls of `tasks.storage`: every request is repeated with patience while its fault may pass.

Credentials, region and endpoint come from the environment or the profile of the AWS tools (`AWS_ACCESS_KEY_ID`,
`AWS_PROFILE`, `AWS_ENDPOINT_URL`, ...) and are never arguments.
"""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, BinaryIO, NoReturn, cast

from botocore.exceptions import ClientError
from fsspec.asyn import sync
from s3fs import S3FileSystem
from s3fs.core import S3File

from manifests.files import FileStat
from tasks.local_files import HALF_WRITTEN
from tasks.patience import is_passing, patient
from tasks.storage_errors import StorageConflict, StorageUnreachable

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
READ_BLOCK_BYTES = 1 << 20
PART_BYTES = 8 << 20
PAGE_KEYS = 1_000

_WRITER = "timbreflow-writer"
_PRECONDITION_FAILED = 412


class ClosingClient(S3FileSystem):
    """A client that is closed on the loop it lives on, wherever the garbage collector finds it.

    s3fs closes it on the loop that runs where the collector happens to: within a run that may be Prefect's, which
    cannot wait for connections of another loop and says so with a traceback.
    """

    @staticmethod
    def close_session(loop: asyncio.AbstractEventLoop | None, s3: Any) -> None:
        """Close the connections of an aiobotocore client that was made on a loop."""
        if loop is not None and loop.is_running() and _running_loop() not in (None, loop):
            asyncio.run_coroutine_threadsafe(s3.__aexit__(None, None, None), loop)
        else:
            S3FileSystem.close_session(loop, s3)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class PatientS3File(S3File):
    """An object opened for reading, each of whose requests is repeated with patience."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        try:
            return self._fetch_patiently(start, end)
        except StorageUnreachable as error:
            raise StorageUnreachable(f"cannot read 's3://{self.path}': {error}") from error

    @patient
    def _fetch_patiently(self, start: int, end: int) -> bytes:
        return cast(bytes, super()._fetch_range(start, end))


class S3Files:
    """Objects below `s3://bucket/`."""

    @cached_property
    def _s3(self) -> ClosingClient:
        """The client, made at first use: planning on local files needs no S3, and it reads the environment then.

        Listings are not cached, other processes write too. Neither it nor botocore below it repeats a request: three
        loops within each other would multiply the patience.
        """
        client = ClosingClient(
            skip_instance_cache=True,
            use_listings_cache=False,
            config_kwargs={
                "retries": {"mode": "standard", "total_max_attempts": 1},
                "connect_timeout": CONNECT_TIMEOUT_S,
                "read_timeout": READ_TIMEOUT_S,
            },
        )
        client.retries = 1
        client.loop.set_exception_handler(_leave_to_patience)
        return client

    @patient
    def open(self, uri: str) -> BinaryIO:
        """Open an object for reading, in blocks, so that a header costs one request.

        All blocks are of one version: a request after the object was replaced fails (If-Match).
        """
        stream = PatientS3File(self._s3, self._s3._strip_protocol(uri), "rb", block_size=READ_BLOCK_BYTES)
        self._refuse_folder(uri, stream.details)
        return cast(BinaryIO, stream)

    def read(self, uri: str) -> bytes:
        """Return the whole object."""
        found = self.load(uri)
        if found is None:
            self._refuse_absent(uri)
        return found[0]

    @patient
    def stat(self, uri: str) -> FileStat:
        """Return size and ETag."""
        info = self._s3.info(uri)
        self._refuse_folder(uri, info)
        return FileStat(info["size"], info.get("ETag", "").strip('"'))

    def _refuse_folder(self, uri: str, info: Mapping[str, object]) -> None:
        if info["type"] == "directory":
            self._refuse_absent(uri)

    def _refuse_absent(self, uri: str) -> NoReturn:
        """Say what is there instead of an object; some servers still list a prefix whose last object is gone."""
        if self.is_folder(uri):
            raise IsADirectoryError(f"'{uri}' is a folder")
        raise FileNotFoundError(f"'{uri}' does not exist")

    def exists(self, uri: str) -> bool:
        """Return whether an object is there, or any below."""
        try:
            self.stat(uri)
        except FileNotFoundError:
            return False
        except IsADirectoryError:
            return True
        return True

    @patient
    def is_folder(self, uri: str) -> bool:
        """Return whether any object lies below; a folder marker, a key that ends with a slash, is none."""
        bucket, key, _ = self._s3.split_path(uri)
        prefix = f"{key.rstrip('/')}/" if key else ""
        try:
            page = self._s3.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=2)
        except FileNotFoundError:
            return False
        return any(not item["Key"].endswith("/") for item in page.get("Contents", ()))

    @patient
    def find(self, folder: str) -> list[str]:
        """Return every object below a prefix, sorted."""
        below = f"s3://{self._s3._strip_protocol(folder)}/"
        try:
            found = [f"s3://{key}" for key in self._s3.find(folder)]
        except FileNotFoundError:
            return []
        return sorted(uri for uri in found if uri.startswith(below) and not uri.endswith("/"))

    def sizes(self, folder: str) -> Iterator[tuple[str, int]]:
        """Give every object below a prefix with its size, page by page."""
        bucket, key, _ = self._s3.split_path(folder)
        more = {"Bucket": bucket, "Prefix": f"{key.rstrip('/')}/" if key else ""}
        while more:
            page = self._page(more)
            for item in page.get("Contents", ()):
                if not item["Key"].endswith("/"):
                    yield f"s3://{bucket}/{item['Key']}", int(item["Size"])
            token = page.get("NextContinuationToken")
            more = {**more, "ContinuationToken": token} if token else {}

    @patient
    def _page(self, request: Mapping[str, str]) -> Mapping[str, Any]:
        try:
            return cast(Mapping[str, Any], self._s3.call_s3("list_objects_v2", MaxKeys=PAGE_KEYS, **request))
        except FileNotFoundError:  # no such bucket
            return {}

    @patient
    def glob(self, pattern: str) -> list[str]:
        """Return the objects that match, sorted; `**` goes through folders."""
        matches = self._s3.glob(pattern, detail=True)
        return sorted(f"s3://{key}" for key, info in matches.items() if info["type"] == "file")

    @contextmanager
    def writing(self, uri: str) -> Iterator[BinaryIO]:
        """Replace an object whole at a clean exit: written to a local file first, then uploaded in one go."""
        with tempfile.NamedTemporaryFile(prefix=HALF_WRITTEN) as stream:
            yield cast(BinaryIO, stream)
            stream.flush()
            self._upload(stream.name, uri)

    @patient
    def _upload(self, path: str, uri: str) -> None:
        self._s3.put_file(path, uri, chunksize=PART_BYTES)

    def create(self, uri: str, data: bytes) -> None:
        """Write an object once, by a conditional PUT."""
        writer = uuid.uuid4().hex
        try:
            self._create(uri, data, writer)
        except StorageUnreachable:
            raise
        except OSError:
            if not self.exists(uri):
                raise
            if not self._was_written_by(uri, writer):
                raise FileExistsError(f"'{uri}' exists already") from None

    @patient
    def _create(self, uri: str, data: bytes, writer: str) -> None:
        self._s3.pipe_file(uri, data, mode="create", chunksize=PART_BYTES, Metadata={_WRITER: writer})

    def load(self, uri: str) -> tuple[bytes, str] | None:
        """Return an object's bytes and ETag from one request, None if it is absent."""
        try:
            return self._get(uri)
        except FileNotFoundError:
            return None

    @patient
    def _get(self, uri: str) -> tuple[bytes, str]:
        bucket, key, _ = self._s3.split_path(uri)

        async def get() -> tuple[bytes, str]:
            answer = await self._s3._call_s3("get_object", Bucket=bucket, Key=key)
            async with answer["Body"] as body:
                return await body.read(), answer["ETag"]

        return cast(tuple[bytes, str], sync(self._s3.loop, get))

    def swap(self, uri: str, data: bytes, version: str | None) -> str:
        """Replace an object if its ETag is still that one (None: absent), by a conditional PUT."""
        writer = uuid.uuid4().hex
        try:
            return self._swap(uri, data, version, writer)
        except OSError as error:
            if not isinstance(cause := error.__cause__, ClientError) or not _precondition_failed(cause):
                raise
            if self._was_written_by(uri, writer):
                return str(self._s3.info(uri)["ETag"])
            raise StorageConflict(f"'{uri}' was changed by another process") from error

    @patient
    def _swap(self, uri: str, data: bytes, version: str | None, writer: str) -> str:
        bucket, key, _ = self._s3.split_path(uri)
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
        answer = self._s3.call_s3(
            "put_object", Bucket=bucket, Key=key, Body=data, Metadata={_WRITER: writer}, **condition
        )
        return str(answer["ETag"])

    @patient
    def _was_written_by(self, uri: str, writer: str) -> bool:
        """Return whether an object is our own: if the answer to a PUT was lost, its repetition meets what it wrote."""
        try:
            return bool(self._s3.metadata(uri).get(_WRITER) == writer)
        except FileNotFoundError:
            return False

    def half_written(self, folder: str, older_than_s: float) -> list[str]:
        """Return nothing: an upload that is not complete is no object."""
        return []

    def delete(self, uri: str) -> None:
        """Remove an object."""
        self.stat(uri)
        self._delete(uri)

    @patient
    def _delete(self, uri: str) -> None:
        self._s3.rm_file(uri)


def _leave_to_patience(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Keep quiet about a connection that broke: the request fails too, and whoever waits for it hears of it there.

    aiohttp leaves the same fault in a task that nobody waits for, which asyncio would show with a traceback.
    """
    if not is_passing(context.get("exception")):
        loop.default_exception_handler(context)


def _precondition_failed(error: ClientError) -> bool:
    return bool(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == _PRECONDITION_FAILED)
