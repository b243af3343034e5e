"""S3 objects behind the calls of `Storage`: every request is repeated while its fault is transient.

An answer may be lost although its request has arrived, and the repetition then meets what the first attempt wrote. So
what is written on a condition carries the name of its writer.
"""

from __future__ import annotations

import mimetypes
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

from fsspec.asyn import sync
from s3fs.core import S3File

from manifests.files import FileStat
from tasks.storage.local_files import HALF_WRITTEN
from tasks.storage.retry import patient
from tasks.storage.s3_answers import PRECONDITION_FAILED, answer_of, condition_failed
from tasks.storage.s3_client import S3Client, make_client
from tasks.storage.storage_errors import StorageConflict, StorageUnreachable

READ_BLOCK_BYTES = 1 << 20
PART_BYTES = 8 << 20
PAGE_KEYS = 1_000

_WRITER = "timbreflow-writer"


class PatientS3File(S3File):
    """An object opened for reading, each of whose requests is repeated while its fault is transient."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        try:
            return self._fetch_patiently(start, end)
        except StorageUnreachable as error:
            raise type(error)(f"cannot read 's3://{self.path}': {error}") from error

    @patient
    def _fetch_patiently(self, start: int, end: int) -> bytes:
        return cast(bytes, super()._fetch_range(start, end))


class S3Files:
    """Objects below `s3://bucket/`."""

    @cached_property
    def _s3(self) -> S3Client:
        """The client, made at first use: planning on local files needs no S3."""
        return make_client()

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
        bucket, below, _ = self._s3.split_path(folder)
        for key, size in self._listed({"Bucket": bucket, "Prefix": f"{below.rstrip('/')}/" if below else ""}):
            yield f"s3://{bucket}/{key}", size

    def entries(self, folder: str) -> Iterator[tuple[str, int]]:
        """Give the objects right below a prefix by the rest of their keys; a prefix may be one of them as well."""
        bucket, below, _ = self._s3.split_path(folder)
        prefix = f"{below.rstrip('/')}/" if below else ""
        for key, size in self._listed({"Bucket": bucket, "Prefix": prefix, "Delimiter": "/"}):
            yield key.removeprefix(prefix), size

    def _listed(self, request: Mapping[str, str]) -> Iterator[tuple[str, int]]:
        more = dict(request)
        while more:
            page = self._page(more)
            for item in page.get("Contents", ()):
                if not item["Key"].endswith("/"):
                    yield item["Key"], int(item["Size"])
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

    @contextmanager
    def replacing(self, uri: str, present: FileStat | None) -> Iterator[BinaryIO]:
        """Replace an object whole at a clean exit if it still is what it was, by one conditional PUT."""
        with tempfile.NamedTemporaryFile(prefix=HALF_WRITTEN) as stream:
            yield cast(BinaryIO, stream)
            stream.flush()
            self.swap(uri, Path(stream.name), present and f'"{present.version}"')

    @patient
    def _upload(self, path: str, uri: str) -> None:
        # Of the local file's name nothing can be told: a page that a bucket serves is one only if it says so.
        kind = mimetypes.guess_type(uri)[0]
        self._s3.put_file(path, uri, chunksize=PART_BYTES, **({"ContentType": kind} if kind else {}))

    def presigned(self, uri: str, seconds: int) -> str:
        """Return an address of an object that needs no credentials for so many seconds; makes no request."""
        return str(self._s3.url(uri, expires=seconds))

    def create(self, uri: str, data: bytes | Path) -> None:
        """Write an object once, by a conditional PUT."""
        writer = uuid.uuid4().hex
        try:
            self._create(uri, data, writer)
        except OSError as error:
            if not isinstance(error, FileExistsError) and answer_of(error).status != PRECONDITION_FAILED:
                raise
            if self._version_by(writer, uri) is None:
                raise FileExistsError(f"'{uri}' exists already") from None

    @patient
    def _create(self, uri: str, data: bytes | Path, writer: str) -> None:
        if isinstance(data, bytes):
            self._s3.pipe_file(uri, data, mode="create", chunksize=PART_BYTES, Metadata={_WRITER: writer})
        else:
            self._s3.put_file(str(data), uri, mode="create", chunksize=PART_BYTES, Metadata={_WRITER: writer})

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

    def swap(self, uri: str, data: bytes | Path, version: str | None) -> str:
        """Replace an object if its ETag is still that one (None: absent), by a conditional PUT of bytes or a file."""
        writer = uuid.uuid4().hex
        try:
            return self._swap(uri, data, version, writer)
        except OSError as error:
            if not condition_failed(error):
                raise
            if (written := self._version_by(writer, uri)) is not None:
                return written
            raise StorageConflict(f"'{uri}' was changed by another process") from error

    @patient
    def _swap(self, uri: str, data: bytes | Path, version: str | None, writer: str) -> str:
        bucket, key, _ = self._s3.split_path(uri)
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
        with nullcontext(data) if isinstance(data, bytes) else data.open("rb") as body:
            answer = self._s3.call_s3(
                "put_object", Bucket=bucket, Key=key, Body=body, Metadata={_WRITER: writer}, **condition
            )
        return str(answer["ETag"])

    @patient
    def _version_by(self, writer: str, uri: str) -> str | None:
        """Return the version of an object if it is what this writer wrote: its answer was lost, and it was repeated."""
        bucket, key, _ = self._s3.split_path(uri)
        try:
            found = self._s3.call_s3("head_object", Bucket=bucket, Key=key)
        except FileNotFoundError:
            return None
        return str(found["ETag"]) if found["Metadata"].get(_WRITER) == writer else None

    def half_written(self, folder: str, older_than_s: float) -> list[str]:
        """Return nothing: an upload that is not complete is no object."""
        return []

    def delete(self, uri: str) -> None:
        """Remove an object."""
        self.stat(uri)
        with suppress(FileNotFoundError):  # deleted by an attempt whose answer was lost
            self._delete(uri)

    @patient
    def _delete(self, uri: str) -> None:
        self._s3.rm_file(uri)
