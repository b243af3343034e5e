"""An HTTP relay before a real S3 server, which answers some requests itself, as AWS would, or drops the answer.

SeaweedFS answers neither 409 nor 503 of its own accord, and no answer of its own is ever lost.
"""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass(frozen=True)
class Request:
    """A request as it came in; names of headers are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def line(self) -> str:
        """Method and target: what patterns are matched with."""
        return f"{self.method} {self.target}"

    @property
    def access_key(self) -> str:
        """Name of the credentials that it was signed with."""
        return self.headers.get("authorization", "").partition("Credential=")[2].partition("/")[0]

    @property
    def essence(self) -> tuple[str, ...]:
        """What a request has in common with its repetition: of an upload begun anew, all but its id."""
        target = re.sub("uploadId=[^&]*", "", self.target)
        conditions = (self.headers.get(name, "") for name in ("if-match", "x-amz-meta-timbreflow-writer"))
        return (self.method, target, sha256(self.body).hexdigest(), *conditions)


@dataclass(frozen=True)
class Fault:
    """What a client gets for a request: an error or, of status 0, no answer at all.

    Attributes
    ----------
    status : int
        Of the answer; 0: the connection is closed instead.
    code : str
        S3's name of the error.
    delivered : bool
        Whether the server has got the request all the same.
    """

    status: int = 0
    code: str = ""
    delivered: bool = False

    def body(self) -> bytes:
        """Return the answer as S3 words it."""
        return f"<Error><Code>{self.code}</Code><Message>{self.code} of the relay</Message></Error>".encode()


DROPPED = Fault(delivered=True)
CONFLICT = Fault(409, "ConditionalRequestConflict")
ABORTED = Fault(409, "OperationAborted")
ABSENT = Fault(404, "NoSuchKey")
SLOW_DOWN = Fault(503, "SlowDown")
INTERNAL = Fault(500, "InternalError")
INTERNAL_IN_200 = Fault(200, "InternalError")
"""An upload is completed with status 200 at once: what goes wrong then is told in the body."""
NO_SUCH_UPLOAD = Fault(404, "NoSuchUpload", delivered=True)
EXPIRED = Fault(400, "ExpiredToken")

Choice = Callable[[Request], Fault | None]
"""Says what becomes of a request; None: the server answers it. Called for one request at a time."""


def numbered(pattern: str, fault: Fault, numbers: Container[int] = (1,)) -> Choice:
    """Return a choice that faults the n-th requests, from 1, whose line matches a pattern."""
    count = 0

    def choose(request: Request) -> Fault | None:
        nonlocal count
        if not re.match(pattern, request.line):
            return None
        count += 1
        return fault if count in numbers else None

    return choose


def each_once(pattern: str, fault: Fault) -> Choice:
    """Return a choice that faults every request whose line matches, but not its repetition."""
    seen: set[tuple[str, ...]] = set()

    def choose(request: Request) -> Fault | None:
        if not re.match(pattern, request.line) or request.essence in seen:
            return None
        seen.add(request.essence)
        return fault

    return choose


class S3Relay:
    """A relay on the loopback device, as a context manager.

    Clients sign the host they speak to: the server gets the Host header as it came, or it would refuse the signature.

    Parameters
    ----------
    server : tuple of str and int
        Address of the S3 server.
    *choices : callable
        Asked in turn about each request; the first that names a fault decides.

    Attributes
    ----------
    endpoint : str
        URL to use instead of the server's own.
    faults : list of str
        Lines of the requests that met a fault.
    """

    def __init__(self, server: tuple[str, int], *choices: Choice) -> None:
        self._address, self._choices = server, choices
        self._deciding = threading.Lock()
        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._listener.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._listener.server_address[1]}"
        self.faults: list[str] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown()
        self._listener.server_close()

    def fault_of(self, request: Request) -> Fault | None:
        """Return what becomes of a request."""
        with self._deciding:
            for choose in self._choices:
                if fault := choose(request):
                    self.faults.append(request.line)
                    return fault
        return None

    def deliver(self, request: Request) -> tuple[http.client.HTTPResponse, bytes]:
        """Pass a request on as it came; return the server's answer."""
        connection = http.client.HTTPConnection(*self._address, timeout=60)
        try:
            connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                if name not in ("connection", "expect"):
                    connection.putheader(name, value)
            connection.endheaders(request.body)
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"

    def __init__(self, relay: S3Relay, *rest: Any) -> None:
        self._relay = relay
        super().__init__(*rest)

    def _answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        request = Request(self.command, self.path, headers, body)
        fault = self._relay.fault_of(request)
        if fault is None:
            answer, body = self._relay.deliver(request)
            self._send(answer.status, dict(answer.getheaders()), body)
            return
        if fault.delivered:
            self._relay.deliver(request)
        if fault.status:
            self._send(fault.status, {"Content-Type": "application/xml"}, fault.body())
        else:
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        is_head = self.command == "HEAD"
        length = headers.get("Content-Length", "0") if is_head else str(len(body))
        self.send_header("Content-Length", length)
        self.end_headers()
        if not is_head:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""
