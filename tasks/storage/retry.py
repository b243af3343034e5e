"""Requests to a storage that does not answer for a while: repeated after growing pauses, until a timeout."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, stop_when_event_set
from tenacity.wait import wait_random_exponential

from tasks.interruption import STOP_REQUESTED
from tasks.logs import get_logger
from tasks.storage.s3_answers import answer_of, has_expired, is_transient
from tasks.storage.storage_errors import CredentialsExpired, StorageUnreachable

RETRY_TIMEOUT_VARIABLE = "TIMBREFLOW_STORAGE_RETRY_TIMEOUT_S"
DEFAULT_RETRY_TIMEOUT_S = 180.0
LONGEST_PAUSE_S = 10.0
GRACE_S = 10.0
"""What is left of retry_timeout once the run is asked to stop: it still wants to write its snapshot."""

_STAYS = "what is committed stays"

Self = TypeVar("Self")
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


def retry_timeout_s() -> float:
    """Return how many seconds one request is tried again for: `TIMBREFLOW_STORAGE_RETRY_TIMEOUT_S`, or 180."""
    return float(os.environ.get(RETRY_TIMEOUT_VARIABLE) or DEFAULT_RETRY_TIMEOUT_S)


def patient(
    request: Callable[Concatenate[Self, Arguments], Result],
) -> Callable[Concatenate[Self, Arguments], Result]:
    """Try a request again while its fault is transient, until the timeout or the run ends.

    The request must be safe to repeat: its first attempt may have arrived although its answer did not.

    Raises
    ------
    StorageUnreachable, CredentialsExpired
        At the timeout; its cause is the last fault.
    """

    @functools.wraps(request)
    def persistent(self: Self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        retry_timeout = retry_timeout_s()
        retrying = Retrying(
            retry=retry_if_exception(is_transient),
            wait=wait_random_exponential(multiplier=0.25, max=LONGEST_PAUSE_S),
            stop=stop_after_delay(retry_timeout) | (stop_when_event_set(STOP_REQUESTED) & stop_after_delay(GRACE_S)),
            sleep=_pause,
            before_sleep=functools.partial(_say, retry_timeout),
            retry_error_callback=_give_up,
        )
        return retrying(request, self, *args, **kwargs)

    return persistent


def _pause(seconds: float) -> None:
    """Sleep, but not on through a request to stop."""
    if STOP_REQUESTED.wait(seconds):
        time.sleep(min(seconds, 1.0))


def _say(retry_timeout: float, state: RetryCallState) -> None:
    """Say once per request what is being waited for."""
    if state.attempt_number == 3:  # the first two pauses are shorter than a second
        waits = "waiting for new ones" if has_expired(_error(state)) else "trying again"
        get_logger("timbreflow.storage").warning("%s; %s for up to %.0f s", _fault(state), waits, retry_timeout)


def _give_up(state: RetryCallState) -> None:
    error, fault, waited = _error(state), _fault(state), f"for {state.seconds_since_start or 0.0:.0f} s"
    if has_expired(error):
        raise CredentialsExpired(
            f"{fault}, and no new ones have come {waited}. Renew them, and run the same command again; {_STAYS}"
        ) from error
    does = "has only answered with errors" if answer_of(error).status else "has not answered"
    raise StorageUnreachable(
        f"the storage {does} {waited} ({fault}). Run the same command again once it answers; {_STAYS}"
    ) from error


def _fault(state: RetryCallState) -> str:
    error = _error(state)
    told = f"{answer_of(error).code or type(error).__name__}: {error}"
    return f"the credentials have expired ({told})" if has_expired(error) else told


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
