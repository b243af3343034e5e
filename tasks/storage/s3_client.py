"""The client of S3: s3fs's, with credentials that may be renewed while a run is at work.

Credentials, region and endpoint come from the environment or the profile of the AWS tools (`AWS_ACCESS_KEY_ID`,
`AWS_PROFILE`, `AWS_ENDPOINT_URL`, ...) and are never arguments.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import lru_cache
from typing import Any

from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError
from botocore.loaders import Loader
from fsspec.asyn import sync_wrapper
from s3fs import S3FileSystem

from tasks.storage.s3_answers import REFUSED_STATUS, answer_of, is_transient, refuses_credentials

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60


def make_client() -> S3Client:
    """Return a new client, which reads the environment at its first request.

    Listings are not cached, other processes write too. Neither it nor botocore below it repeats a request: three loops
    within each other would multiply the timeout.
    """
    client = S3Client(
        session=_new_session(),
        skip_instance_cache=True,
        use_listings_cache=False,
        config_kwargs={
            "retries": {"mode": "standard", "total_max_attempts": 1},
            "signature_version": "s3v4",  # of signed addresses too: botocore would give some of them an older one
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": READ_TIMEOUT_S,
        },
    )
    client.retries = 1
    client.loop.set_exception_handler(_leave_to_retry)
    return client


class S3Client(S3FileSystem):
    """A client that looks for new credentials when its own are refused.

    botocore renews credentials whose end it knows. Of those in a file, which another program replaces every hour, it
    does not know it, and uses the old ones for ever.
    """

    session: AioSession

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._renewing = asyncio.Lock()

    async def _call_s3(self, method: str, *options: Any, **arguments: Any) -> Any:
        """Make a request; once more, if it was refused and there are new credentials by now."""
        client = await self.set_session()
        try:
            return await super()._call_s3(method, *options, **arguments)
        except (OSError, BotoCoreError) as error:
            refusal = await self._explained(error, method, arguments)
            if refusal is not None and not (refuses_credentials(refusal) and await self._renewed(client)):
                raise refusal  # noqa: B904 - its cause is the answer
        return await super()._call_s3(method, *options, **arguments)

    call_s3 = sync_wrapper(_call_s3)

    async def _explained(self, error: Exception, method: str, arguments: dict[str, Any]) -> Exception | None:
        """Return the error that says why, None if the refusal is gone.

        An answer to HEAD has no body to name a reason in: that of an expired token reads `Bad Request`. One to GET has.
        """
        if method != "head_object" or answer_of(error).status not in REFUSED_STATUS:
            return error
        try:
            answer = await super()._call_s3("get_object", **arguments, Range="bytes=0-0")
        except (OSError, BotoCoreError) as told:
            return told if answer_of(told).status in REFUSED_STATUS else None
        answer["Body"].close()
        return None

    async def _renewed(self, refused: Any) -> bool:
        """Return whether another client is in use than the one that was refused; make it if there are credentials."""
        async with self._renewing:  # of many requests that are refused together, the first makes it
            if self._s3 is refused:
                session = _new_session()
                found = await _credentials(session)
                if found is not None and found != await _credentials(self.session):
                    self.session = session
                    await self.set_session(refresh=True)
            return self._s3 is not refused

    async def _abort_mpu(self, bucket: str, key: str, mpu: str) -> None:
        """Give an upload up, if that can be done: it may be complete already, and only its answer was lost.

        s3fs does so after any fault of an upload, and that fault is the one to tell.
        """
        with suppress(OSError, BotoCoreError):
            await super()._abort_mpu(bucket, key, mpu)

    @staticmethod
    def close_session(loop: asyncio.AbstractEventLoop | None, s3: Any) -> None:
        """Close the connections of an aiobotocore client on the loop that it lives on.

        s3fs closes them on the loop that runs where the garbage collector finds the client: within a run that may be
        Prefect's, which cannot wait for connections of another loop and says so with a traceback.
        """
        if loop is not None and loop.is_running() and _running_loop() not in (None, loop):
            asyncio.run_coroutine_threadsafe(s3.__aexit__(None, None, None), loop)
        else:
            S3FileSystem.close_session(loop, s3)


def _new_session() -> AioSession:
    """Return a session that knows no credentials yet, and shares the descriptions of S3 with all others."""
    session = AioSession()
    session.register_component("data_loader", _descriptions())
    return session


@lru_cache(maxsize=1)
def _descriptions() -> Loader:
    """Return what reads botocore's descriptions of S3, and keeps them: they take most of the start of a client."""
    return AioSession().get_component("data_loader")


async def _credentials(session: AioSession) -> tuple[str, ...] | None:
    """Return the credentials of a session; None if there are none, or not now: a file may be half written."""
    try:
        found = await session.get_credentials()
        return None if found is None else tuple(await found.get_frozen_credentials())
    except (BotoCoreError, OSError, ValueError):
        return None


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _leave_to_retry(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Keep quiet about a connection that broke: the request fails too, and whoever waits for it hears of it there.

    aiohttp leaves the same fault in a task that nobody waits for, which asyncio would show with a traceback.
    """
    if not is_transient(context.get("exception")):
        loop.default_exception_handler(context)
