"""Patience with a storage that does not answer for a while: bounded, growing pauses, and then an honest end."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import aiohttp
from botocore import exceptions as aws
from botocore.parsers import ResponseParserError
from fsspec.exceptions import FSTimeoutError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, stop_when_event_set
from tenacity.wait import wait_random_exponential

from tasks.interruption import STOP_REQUESTED
from tasks.logs import get_logger
from tasks.storage_errors import StorageUnreachable

PATIENCE_VARIABLE = "TIMBREFLOW_STORAGE_PATIENCE_S"
DEFAULT_PATIENCE_S = 180.0
LONGEST_PAUSE_S = 10.0
GRACE_S = 10.0
"""What is left of patience once the run is asked to stop: it still wants to write its snapshot."""

PASSING = (
    aws.HTTPClientError,
    aws.ConnectionError,
    ResponseParserError,
    aws.IncompleteReadError,
    aiohttp.ClientError,
    ConnectionError,
    TimeoutError,
    FSTimeoutError,
)
"""Connections that are refused, break off or time out, and answers that are cut short."""

PASSING_STATUS = frozenset({429, 500, 502, 503, 504})

Self = TypeVar("Self")
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


def patience_s() -> float:
    """Return how many seconds one request is tried again for: `TIMBREFLOW_STORAGE_PATIENCE_S`, or 180."""
    return float(os.environ.get(PATIENCE_VARIABLE) or DEFAULT_PATIENCE_S)


def is_passing(error: BaseException | None) -> bool:
    """Return whether a fault may be gone in a moment: of the connection, or a server too busy or just starting.

    s3fs translates the server's answers into plain OSErrors, whose cause is the answer.
    """
    while error is not None:
        answer = error.response if isinstance(error, aws.ClientError) else {}
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if isinstance(error, PASSING) or status in PASSING_STATUS:
            return True
        error = error.__cause__
    return False


def patient(
    request: Callable[Concatenate[Self, Arguments], Result],
) -> Callable[Concatenate[Self, Arguments], Result]:
    """Try a request again while its fault is a passing one, until patience or the run ends.

    The request must be safe to repeat: its first attempt may have arrived although its answer did not.

    Raises
    ------
    StorageUnreachable
        If patience ran out; its cause is the last fault.
    """

    @functools.wraps(request)
    def persistent(self: Self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        patience = patience_s()
        retrying = Retrying(
            retry=retry_if_exception(is_passing),
            wait=wait_random_exponential(multiplier=0.25, max=LONGEST_PAUSE_S),
            stop=stop_after_delay(patience) | (stop_when_event_set(STOP_REQUESTED) & stop_after_delay(GRACE_S)),
            sleep=_pause,
            before_sleep=functools.partial(_say, patience),
            retry_error_callback=_give_up,
        )
        return retrying(request, self, *args, **kwargs)

    return persistent


def _pause(seconds: float) -> None:
    """Sleep, but not on through a request to stop."""
    if STOP_REQUESTED.wait(seconds):
        time.sleep(min(seconds, 1.0))


def _say(patience: float, state: RetryCallState) -> None:
    """Say once per request that the storage is being waited for."""
    if state.attempt_number == 3:  # the first two pauses are shorter than a second
        get_logger("timbreflow.storage").warning("%s; trying again for up to %.0f s", _fault(state), patience)


def _give_up(state: RetryCallState) -> None:
    raise StorageUnreachable(
        f"the storage has not answered for {state.seconds_since_start or 0.0:.0f} s ({_fault(state)}). "
        "Run the same command again once it does; what is committed stays"
    ) from (state.outcome.exception() if state.outcome else None)


def _fault(state: RetryCallState) -> str:
    error = state.outcome.exception() if state.outcome else None
    return f"{type(error).__name__}: {error}"
