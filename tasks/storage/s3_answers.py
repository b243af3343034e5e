"""What the answers of S3 mean: which faults pass, which concern the credentials, which tell that a condition failed.

s3fs translates an answer into a plain OSError, whose cause is botocore's `ClientError`. Requests that are refused by
the connection, or for want of credentials, have no answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import aiohttp
from botocore import exceptions as aws
from botocore.parsers import ResponseParserError
from fsspec.exceptions import FSTimeoutError

NOT_FOUND, PRECONDITION_FAILED = 404, 412
REFUSED_STATUS = (400, 401, 403)

UNANSWERED = (
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

TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})

TRANSIENT_CODES = frozenset({
    "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestTimeout",
    "ConditionalRequestConflict", "OperationAborted", "Conflict",
    "NoSuchUpload",
    "BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch",
})  # fmt: skip
"""A server too busy; another request for the same object at the same time; an upload that ended, so that it is begun
anew; bytes that were damaged on their way."""

EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"})
REFUSED_CODES = EXPIRED_CODES | {"InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
"""Credentials that are accepted no more; unlike those that have expired, these may never have been right."""

NOT_RENEWED = (aws.CredentialRetrievalError, aws.TokenRetrievalError, aws.SSOError)
"""The source of the credentials has none at the moment."""


class Answer(NamedTuple):
    """HTTP status and error code of an answer; a request that got none has status 0."""

    status: int = 0
    code: str = ""


def answer_of(error: BaseException | None) -> Answer:
    """Return the answer that led to an error."""
    for one in _causes(error):
        if isinstance(one, aws.ClientError):
            status = one.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return Answer(status, str(one.response.get("Error", {}).get("Code", "")))
    return Answer()


def is_transient(error: BaseException | None) -> bool:
    """Return whether a fault may be gone in a moment, so that the request is worth repeating."""
    answer = answer_of(error)
    answered = answer.status in TRANSIENT_STATUS or answer.code in TRANSIENT_CODES
    return answered or any(isinstance(one, UNANSWERED) for one in _causes(error)) or has_expired(error)


def has_expired(error: BaseException | None) -> bool:
    """Return whether a request failed since its credentials have come to their end: new ones let it go on."""
    return answer_of(error).code in EXPIRED_CODES or any(isinstance(one, NOT_RENEWED) for one in _causes(error))


def refuses_credentials(error: BaseException | None) -> bool:
    """Return whether other credentials, if there are any by now, would be worth a try."""
    return answer_of(error).code in REFUSED_CODES or has_expired(error)


def condition_failed(error: BaseException | None) -> bool:
    """Return whether a conditional PUT found something else there than it was to replace, or nothing at all."""
    return answer_of(error) == (NOT_FOUND, "NoSuchKey") or answer_of(error).status == PRECONDITION_FAILED


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
