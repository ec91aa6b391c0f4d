"""A real HTTP server on localhost that misbehaves as a test says, and zips of real datasets for it to serve."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import socket
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.processes import until

ITALY = "ItalyPowerDemand"
TAG = '"a"'


@cache
def real(name: str) -> dict[str, bytes]:
    """Return the two files of a dataset that sktime bundles, by name."""
    spec = importlib.util.find_spec("sktime")
    assert spec is not None and spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / name
    return {f"{name}_{split}.ts": (folder / f"{name}_{split}.ts").read_bytes() for split in ("TRAIN", "TEST")}


def zipped(files: dict[str, bytes] | list[tuple[str | zipfile.ZipInfo, bytes]]) -> bytes:
    """Return a deflated zip of files; a list may name one twice."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items() if isinstance(files, dict) else files:
            file.writestr(name, data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


@cache
def italy() -> bytes:
    """Return what a good server serves: a zip with more in it than the two files that are wanted."""
    return zipped({**real(ITALY), f"{ITALY}.txt": b"about the data", f"{ITALY}_TRAIN.arff": b"@relation x"})


def encrypted(files: dict[str, bytes], password: bytes) -> bytes:
    """Return a zip in the traditional encryption, which Python can read but not write."""
    out, directory = bytearray(), bytearray()
    for path, data in files.items():
        deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        checksum = zlib.crc32(data)
        secret = _encrypt(bytes(11) + bytes([checksum >> 24]) + deflate.compress(data) + deflate.flush(), password)
        name = path.encode()
        head = struct.pack("<HHHHHIIIHH", 20, 1, 8, 0, 0x21, checksum, len(secret), len(data), len(name), 0)
        directory += b"PK\1\2" + struct.pack("<H", 20) + head + struct.pack("<HHHII", 0, 0, 0, 0o100644 << 16, len(out))
        directory += name
        out += b"PK\3\4" + head + name + secret
    end = struct.pack("<HHHHIIH", 0, 0, len(files), len(files), len(directory), len(out), 0)
    return bytes(out + directory + b"PK\5\6" + end)


def _encrypt(data: bytes, password: bytes) -> bytes:
    """Encrypt as PKWARE's APPNOTE 6.1 says, with zlib's checksum for the table."""
    out = bytearray()
    keys = [0x12345678, 0x23456789, 0x34567890]

    def update(byte: int) -> None:
        keys[0] = ~zlib.crc32(bytes([byte]), ~keys[0] & 0xFFFFFFFF) & 0xFFFFFFFF
        keys[1] = ((keys[1] + (keys[0] & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
        keys[2] = ~zlib.crc32(bytes([keys[1] >> 24]), ~keys[2] & 0xFFFFFFFF) & 0xFFFFFFFF

    for byte in password:
        update(byte)
    for byte in data:
        key = keys[2] | 2
        out.append(byte ^ (key * (key ^ 1) >> 8) & 0xFF)
        update(byte)
    return bytes(out)


class Request(BaseHTTPRequestHandler):
    """One request, which the server's `behave` answers."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        self.close_connection = True
        with contextlib.suppress(ConnectionError):
            self.server.behave(self)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass

    def head(self, status: int = 200, **headers: object) -> None:
        """Send status and headers ('_' for '-')."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def body(self, data: bytes, status: int = 200, **headers: object) -> None:
        """Send an answer with its right length."""
        self.head(status, Content_Length=len(data), **headers)
        self.wfile.write(data)

    def ranged(self, data: bytes, tag: str = TAG) -> None:
        """Serve a file as a good server does: from where it is asked for, if it is still the same."""
        asked = self.headers.get("Range", "")
        if asked and self.headers.get("If-Range") == tag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            where = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self.body(data[start:], 206, Content_Range=where, ETag=tag)
        else:
            self.body(data, ETag=tag)

    def reset_when_arrived(self, n_bytes: int) -> None:
        """Break the connection, as a machine that crashes does, once `n_bytes` are in the client's part file."""
        self.wfile.flush()
        until(lambda: self.server.part.exists() and self.server.part.stat().st_size >= n_bytes)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


Behaviour = Callable[[Request], None]


class Server(ThreadingHTTPServer):
    """The server. `behave` can be changed at any time; `requests` holds path and headers of what was asked for."""

    daemon_threads = True
    behave: Behaviour
    part: Path  # where the client keeps what has arrived, for `reset_when_arrived`

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.behave = lambda request: request.ranged(italy())

    @property
    def url(self) -> str:
        """The base address."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: half of the connections here break on purpose."""


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """Run a server in a thread."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
