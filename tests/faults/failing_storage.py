"""A storage whose n-th call fails: before it has done anything, or when all is done and only the answer is missing."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Self
from unittest.mock import patch

from tasks.storage.local_files import LocalFiles
from tasks.storage.s3_files import S3Files


class Failure:
    """The n-th call of a stage of a run, which fails once. A context manager: every storage made within may meet it.

    Parameters
    ----------
    stage : str
        Calls of other stages are neither counted nor harmed.
    number : int
        Which call fails, from 1.
    moment : str
        `before` or `after` it has had its effect.
    of : str
        Only calls are counted whose name or file holds this text.

    Attributes
    ----------
    call : str
        What failed; empty as long as nothing did.
    """

    def __init__(self, stage: str, number: int, moment: str, of: str = "") -> None:
        self._stage, self._number, self._moment, self._of = stage, number, moment, of
        self._present, self._calls = "", 0
        self._counting = threading.Lock()
        self.call = ""
        self._patches = ExitStack()

    def __enter__(self) -> Self:
        for kind in (LocalFiles, S3Files):
            self._patches.enter_context(patch(f"tasks.storage.storage.{kind.__name__}", partial(_failing, kind, self)))
        return self

    def __exit__(self, *_: object) -> None:
        self._patches.close()

    @contextmanager
    def during(self, stage: str) -> Iterator[None]:
        """Say which stage a run is in; one within another ends with it."""
        before, self._present = self._present, stage
        try:
            yield
        finally:
            self._present = before

    def turn(self, call: str) -> str:
        """Count a call that is about to be made; return the moment at which it is to fail, if its turn has come."""
        with self._counting:
            if self._present != self._stage or self._of not in call:
                return ""
            self._calls += 1
            if self._calls != self._number:
                return ""
            self.call = call
            return self._moment


class _Failing:
    """The calls of some files, each of which may be the one that fails."""

    def __init__(self, files: LocalFiles | S3Files, failure: Failure) -> None:
        self._files, self._failure = files, failure

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._files, name)

        def call(uri: str, *arguments: Any) -> Any:
            named = f"{name} {uri}"
            moment = self._failure.turn(named)
            if moment == "before":
                raise _error(named)
            result = method(uri, *arguments)
            if moment == "after":
                raise _error(named)
            return result

        return call

    @contextmanager
    def writing(self, uri: str) -> Iterator[Any]:
        """Fail with all bytes written: before the file appears, or after it has."""
        named = f"writing {uri}"
        moment = self._failure.turn(named)
        with self._files.writing(uri) as stream:
            yield stream
            if moment == "before":
                raise _error(named)
        if moment == "after":
            raise _error(named)


def _failing(kind: type[LocalFiles | S3Files], failure: Failure) -> _Failing:
    return _Failing(kind(), failure)


def _error(call: str) -> OSError:
    return OSError(errno.EIO, f"made to fail: {call}")
