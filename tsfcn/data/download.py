"""Download datasets into the archive: one zip each, from the archive's public site or from a mirror.

The address is the one that sktime uses. It has not been tried against the real site, only against a local
server that misbehaves in many ways (docs/data.md has the table). A download that breaks off is tried again after
growing pauses, and continues where it stopped if the server states that the file is still the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import socket
import ssl
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TextIO

from tsfcn.common import files
from tsfcn.common.errors import UserError, first_line
from tsfcn.common.escapes import printable
from tsfcn.common.streams import unescaped
from tsfcn.common.text import size
from tsfcn.data import importer, locate
from tsfcn.data.importer import Incoming
from tsfcn.data.safe_zip import open_zip

MAX_REDIRECTS = 5
MAX_DIGITS = 18  # of a length that a server states
MAX_WAIT_SECONDS = 60.0  # that a server may ask for
PROGRESS_BYTES = 100_000  # a try that brings so many starts the count of tries anew
BLOCK_BYTES = 1 << 16
# A zip of the site holds each value three times (.ts, .arff, .txt); the bundled .ts files zip to 4.7 bytes a value.
ZIPPED_BYTES = 14  # a value, for the estimate of a download
REMEDY = "try later, set another archive.mirror, or import your own copy with `tsfcn data import`"

Progress = Callable[[int, int | None], None]  # called with the bytes that have arrived, and all bytes if known


@dataclass(frozen=True)
class RetryPolicy:
    """How long a server is waited for, and how often it is asked. Times are in seconds."""

    max_tries: int = 5  # in a row without progress
    first_pause: float = 1.0  # before the second try, doubled for each further one
    max_pause: float = 30.0
    read_timeout: float = 30.0  # without a byte
    rate_window: float = 30.0  # over which the rate is measured
    min_rate: float = 1000.0  # bytes a second
    total_timeout: float = 3600.0  # for one dataset


class _RetryableError(Exception):
    """A failure that another try may mend.

    The message follows the address in a sentence: 'is not reachable'.

    Args:
        message: What happened.
        wait_seconds: The pause that the server asks for.
        restart: Whether what has arrived is useless.
    """

    def __init__(self, message: str, *, wait_seconds: float = 0.0, restart: bool = False) -> None:
        super().__init__(message)
        self.wait_seconds, self.restart = wait_seconds, restart


# ---------------------------------------------------------------------------------------------------------------------
# Addresses


def address(name: str, mirror: str | None = None) -> str:
    """Return the address of a dataset's zip.

    Args:
        name: The dataset.
        mirror: Another base address than that of the public site, or a complete one with {name} in it.

    Raises:
        UserError: The mirror is no http or https address, or contains a user name.

    >>> address("Coffee", "https://example.org/ucr"), address("Coffee", "http://example.org/{name}/data.zip")
    ('https://example.org/ucr/Coffee.zip', 'http://example.org/Coffee/data.zip')
    """
    base = (locate.SITE if mirror is None else mirror).strip()
    url = base.replace("{name}", name) if "{name}" in base else f"{base.rstrip('/')}/{name}.zip"
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise UserError("archive.mirror contains a user name, which is not sent: remove it from the address")
    if not host or parts.scheme not in ("http", "https") or re.search(r"[\s{}]", url):
        raise UserError(
            f"archive.mirror '{public_address(base)}' is not an http(s) address: "
            "write https://HOST/FOLDER or https://HOST/{name}.zip"
        )
    return url


def public_address(url: str) -> str:
    """Return an address for messages and records: without user, password, query and fragment, which may be secrets.

    >>> public_address("https://me:word@example.org/Coffee.zip?token=1")
    'https://example.org/Coffee.zip'
    """
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    host, slash, path = rest.partition("/")
    return re.split("[?#]", f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}", maxsplit=1)[0]


def estimate(names: Sequence[str]) -> int:
    """Return the approximate bytes of a download of datasets; those that are not in the catalogue count 0."""
    return ZIPPED_BYTES * sum(importer.n_values(name) or 0 for name in names)


# ---------------------------------------------------------------------------------------------------------------------
# One dataset


def fetch(
    name: str,
    root: Path,
    mirror: str | None = None,
    policy: RetryPolicy | None = None,
    progress: Progress = lambda n_bytes, n_total: None,
    notify: Callable[[str], None] = lambda line: None,
) -> bool:
    """Download one dataset to ROOT/NAME unless it is there. Returns whether it was downloaded now.

    It is read and checked against the catalogue before it appears there. A failure leaves nothing behind; an
    interruption leaves ROOT/.incoming/NAME, from which the next call continues. Several processes may call it at once.

    Args:
        name: The dataset.
        root: The archive.
        mirror: As for `address`.
        policy: How long to wait and how often to try.
        progress: Called with the bytes that have arrived, and all bytes where the server states them.
        notify: Receives a line when another process downloads the same dataset.

    Raises:
        UserError: The dataset could not be downloaded, or is not what its name says.
    """
    url = address(name, mirror)
    if importer.is_present(name, root):
        return False
    with Incoming(name, root, notify) as place:
        if importer.is_present(name, root):  # imported by another process while this one waited
            return False
        download = _Download(url, place, policy or RetryPolicy(), progress)
        was_resumed = download.run()
        try:
            _install(download.label, place)
        except UserError:
            if not was_resumed:
                raise
            place.part.truncate(0)  # the server may have joined two files although it stated that they are the same
            download.run()
            _install(download.label, place)
    return True


def _install(label: str, place: Incoming) -> None:
    """Put the dataset of a complete download into the archive. Raises UserError if there is none, or a wrong one."""
    with open_zip(place.part, label) as zipped:
        pairs = importer.find_datasets(zipped.entries, label)
        if place.name not in pairs:
            content = ", ".join(sorted(pairs)[:3]) or "no dataset"
            if zipped.is_encrypted:
                content += ", encrypted"
            raise UserError(
                f"'{label}' does not contain dataset '{place.name}' (it contains {content}): set another archive.mirror"
            )
        pair = pairs[place.name]
        if isinstance(pair, UserError):
            raise pair
        importer.check_free_space(place.root, sum(map(zipped.n_bytes, pair)))
        place.install(importer.read_files(zipped, place.name, pair), label)


class _Download:
    """The download of one file to the `part` of an Incoming.

    Args:
        url: The address.
        place: Where it goes.
        policy: How long to wait and how often to try.
        progress: Called with the bytes that have arrived, and all bytes if known.
    """

    def __init__(self, url: str, place: Incoming, policy: RetryPolicy, progress: Progress) -> None:
        self.url, self.place, self.policy, self.progress = url, place, policy, progress
        self.label = public_address(url)
        self.max_bytes = 3 * importer.max_file_bytes(place.name)
        self.deadline = time.monotonic() + policy.total_timeout
        self.n_arrived = 0
        self.n_total: int | None = None  # as far as the server states it

    def run(self) -> bool:
        """Download the file in as many tries as it takes. Returns whether it continues an older part.

        Raises UserError when the policy allows no further try, or where none would help.
        """
        n_tries, furthest, was_resumed = 0, _length(self.place.part), False
        while True:
            try:
                return self._try() or was_resumed
            except _RetryableError as error:
                n_kept = _length(self.place.part)
                if error.restart and n_kept > 0:
                    self.place.part.truncate(0)  # a second time there is nothing that could be useless
                    continue
                was_resumed = was_resumed or n_kept > 0
                if n_kept > furthest + PROGRESS_BYTES:
                    n_tries = 0
                furthest = max(furthest, n_kept)
                n_tries += 1
                self._pause(n_tries, error)

    def _pause(self, n_tries: int, error: _RetryableError) -> None:
        """Wait before the next try. Raises UserError if there is to be none."""
        pause = max(min(self.policy.first_pause * 2 ** (n_tries - 1), self.policy.max_pause), error.wait_seconds)
        if n_tries >= self.policy.max_tries or time.monotonic() + pause > self.deadline:
            tries = f", tried {n_tries} times" if n_tries > 1 else ""
            raise UserError(f"'{self.label}' {error}{tries}: {REMEDY}") from error
        time.sleep(pause)

    def _try(self) -> bool:
        """Ask for what is missing and write it. Returns whether it continues an older part."""
        part = self.place.part
        validator, self.n_total = self._load_state()
        n_kept = _length(part) if validator or self.n_total == _length(part) else 0
        if n_kept and n_kept == self.n_total:
            return True  # the process was killed after all had arrived
        headers = {"User-Agent": "tsfcn", "Accept-Encoding": "identity"}
        if n_kept:
            headers |= {"Range": f"bytes={n_kept}-", "If-Range": validator}
        with _response(self.url, headers, self.policy) as response:
            if response.status == 206:
                self._check_range(response, n_kept, validator)
            else:
                n_kept, self.n_total = 0, _stated_length(response.headers.get("Content-Length", ""))
            part.truncate(n_kept)
            part.seek(n_kept)
            self._check_total(n_kept)
            self._save_state(_validator(response) or (validator if n_kept else ""))
            self._write_body(response, n_kept)
        return n_kept > 0

    def _check_range(self, response: http.client.HTTPResponse, n_kept: int, validator: str) -> None:
        """Take the total from a partial answer. Raises _RetryableError if it is not the part that was asked for."""
        new_validator = _validator(response)
        stated = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        is_same = not new_validator or new_validator == validator
        if not n_kept or stated is None or _stated_length(stated[1]) != n_kept or not is_same:
            raise _RetryableError("sent another part of the file than was asked for", restart=True)
        self.n_total = _stated_length(stated[2])

    def _check_total(self, n_kept: int) -> None:
        """Raise UserError if the file, as the server states it, is too large for the dataset or the disk."""
        if self.n_total is None:
            return
        if self.n_total > self.max_bytes:
            raise self._too_large(f"{size(self.n_total)}, ")
        importer.check_free_space(self.place.root, self.n_total - n_kept)

    def _write_body(self, response: http.client.HTTPResponse, n_kept: int) -> None:
        """Write what arrives behind the `n_kept` bytes of the part, until the end of the file."""
        rate = _RateMeter(self.policy)
        self.n_arrived = n_kept
        while data := self._receive(response):
            if self.n_arrived == 0 and not data.startswith(b"PK"[: len(data)]):
                content = "a web page, not a zip" if data.lstrip().startswith(b"<") else "not a zip"
                raise UserError(f"'{self.label}' is {content}: {REMEDY}")
            self._write(data)
            self.n_arrived += len(data)
            if self.n_arrived > self.max_bytes:
                raise self._too_large()
            self.progress(self.n_arrived, self.n_total)
            if rate.is_too_slow(len(data)):
                limit = f"under {size(self.policy.min_rate)} a second for {self.policy.rate_window:g} s"
                raise _RetryableError(f"is too slow, {limit}, after {self._arrived()}")
            if time.monotonic() > self.deadline:
                limit = f"{self._arrived()} in {self.policy.total_timeout:g} s"
                raise UserError(f"'{self.label}' is too slow, {limit}: {REMEDY}")
        if self.n_total is not None and self.n_arrived < self.n_total:
            raise _RetryableError(f"was cut off after {self._arrived()}")

    def _receive(self, response: http.client.HTTPResponse) -> bytes:
        """Return the bytes that are there, if only one; b'' at the end. Raises _RetryableError."""
        try:
            return response.read1(BLOCK_BYTES)  # `read` would wait for a whole block
        except TimeoutError:
            silence = f"sent nothing for {self.policy.read_timeout:g} s"
            raise _RetryableError(f"{silence} after {self._arrived()}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _RetryableError(f"was cut off after {self._arrived()} ({_reason(error)})") from error

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self.place.part.write(rest) :]
        except OSError as error:
            raise importer.not_writable(self.place.root, error.strerror) from error

    def _arrived(self) -> str:
        return size(self.n_arrived) if self.n_total is None else f"{self.n_arrived} of {self.n_total} bytes"

    def _too_large(self, stated: str = "") -> UserError:
        return UserError(
            f"'{self.label}' is too large, {stated}more than the limit of {size(self.max_bytes)}: {REMEDY}"
        )

    # What is known of the part that an interrupted download left

    def _fingerprint(self) -> str:
        """Return what identifies the address; it may contain a secret, which is not written to disk."""
        return hashlib.sha256(self.url.encode(errors="replace")).hexdigest()

    def _load_state(self) -> tuple[str, int | None]:
        """Return validator and total of the part; ('', None) if they are unknown or those of another address."""
        try:
            state = json.loads(self.place.state_file.read_text(encoding="utf-8"))
            if state["url"] != self._fingerprint():
                return "", None
            return str(state["same"]), _stated_length(str(state["total"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return "", None

    def _save_state(self, validator: str) -> None:
        state = json.dumps({"url": self._fingerprint(), "same": validator, "total": self.n_total}).encode()
        try:
            files.replace(self.place.state_file, lambda file: file.write(state), sync=False)
        except OSError as error:
            raise importer.not_writable(self.place.root, error.strerror) from error


class _RateMeter:
    """Measures the rate of a download over one window of time after another."""

    def __init__(self, policy: RetryPolicy) -> None:
        self.policy = policy
        self.start, self.n_bytes = time.monotonic(), 0

    def is_too_slow(self, n_bytes: int) -> bool:
        """Count bytes that arrive now. Returns whether a window ends with too few."""
        now = time.monotonic()
        self.n_bytes += n_bytes
        if now - self.start < self.policy.rate_window:
            return False
        is_slow = self.n_bytes < self.policy.min_rate * (now - self.start)
        self.start, self.n_bytes = now, 0
        return is_slow


def _length(file: IO[bytes]) -> int:
    return file.seek(0, os.SEEK_END)


def _stated_length(text: str) -> int | None:
    """Return the length that a server states; None where it is none, or too long to be one."""
    return int(text) if re.fullmatch(rf"[0-9]{{1,{MAX_DIGITS}}}", text) else None


def _validator(response: http.client.HTTPResponse) -> str:
    """Return what distinguishes this file from later ones at its address: a strong ETag, else its date, else ''."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


# ---------------------------------------------------------------------------------------------------------------------
# HTTP


class _Watchdog:
    """Breaks connections that take too long to answer: a timeout starts anew with each byte of the headers."""

    def __init__(self, seconds: float) -> None:
        self.connections: list[http.client.HTTPConnection] = []
        self.has_ended = threading.Event()
        self.timer = threading.Timer(seconds, self.end)
        self.timer.daemon = True

    def end(self) -> None:
        """Break all connections."""
        self.has_ended.set()
        for connection in self.connections:
            with contextlib.suppress(OSError, AttributeError):
                connection.sock.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def _response(url: str, headers: dict[str, str], policy: RetryPolicy) -> Generator[http.client.HTTPResponse]:
    """Ask for the file and give the answer, if it contains the file. Raises _RetryableError or UserError otherwise."""
    watchdog = _Watchdog(policy.read_timeout * 2)
    slow = _RetryableError(f"sent no complete answer within {policy.read_timeout * 2:g} s{_via_proxy(url)}")
    watchdog.timer.start()
    try:
        request = urllib.request.Request(url, headers=headers)
        response = _opener(watchdog.connections).open(request, timeout=policy.read_timeout)
    except urllib.error.HTTPError as error:
        error.close()
        raise _status_error(url, error) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise slow if watchdog.has_ended.is_set() else _connection_error(url, error, policy) from None
    finally:
        watchdog.timer.cancel()
    with response:
        if watchdog.has_ended.is_set():  # an answer that ends within its headers looks like one that has no more
            raise slow
        yield response


def _connection_error(url: str, error: Exception, policy: RetryPolicy) -> Exception:
    """Return the error for a connection that failed."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return _RetryableError(f"sent nothing for {policy.read_timeout:g} s{_via_proxy(url)}")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return UserError(
            f"'{public_address(url)}' is not trusted ({cause.verify_message}): correct this machine's certificates or "
            "clock, or set another archive.mirror"
        )
    return _RetryableError(f"is not reachable ({_reason(cause)}){_via_proxy(url)}")


def _status_error(url: str, error: urllib.error.HTTPError) -> Exception:
    """Return the error for an answer with a status that means that it is not the file."""
    label, code = public_address(url), error.code
    status = f"{code} {http.client.responses.get(code, '')}".strip()
    if code in (301, 302, 303, 307, 308):
        target = urllib.parse.urljoin(error.url or url, error.headers.get("Location", ""))
        if _may_follow(error.url or url, target):
            return UserError(f"'{label}' is redirected again and again: {REMEDY}")
        shown = printable(public_address(target)[:200])
        return UserError(f"'{label}' is redirected to '{shown}', which is not followed: {REMEDY}")
    if code in (404, 410):
        return UserError(f"'{label}' does not exist ({status}): {REMEDY}")
    if code == 416:
        return _RetryableError("has another length than before", restart=True)
    if code in (408, 425, 429) or code >= 500:
        wait_seconds = min(float(_stated_length(error.headers.get("Retry-After", "")) or 0), MAX_WAIT_SECONDS)
        return _RetryableError(f"is not available now ({status})", wait_seconds=wait_seconds)
    return UserError(f"'{label}' is refused ({status}){_via_proxy(url)}: {REMEDY}")


class _Http(urllib.request.HTTPHandler):
    """Opens http and keeps the connections, for the watchdog."""

    def __init__(self, connections: list[http.client.HTTPConnection]) -> None:
        super().__init__()
        self.connections = connections

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """Send a request and return the answer."""
        return self.do_open(self._connect, request)  # type: ignore[arg-type]

    def _connect(self, host: str, /, **options: float) -> http.client.HTTPConnection:
        self.connections.append(http.client.HTTPConnection(host, timeout=options["timeout"]))
        return self.connections[-1]


class _Https(urllib.request.HTTPSHandler):
    """Opens https and keeps the connections, for the watchdog."""

    def __init__(self, connections: list[http.client.HTTPConnection]) -> None:
        super().__init__()
        self.connections = connections

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """Send a request and return the answer."""
        return self.do_open(self._connect, request)  # type: ignore[arg-type]

    def _connect(self, host: str, /, **options: float) -> http.client.HTTPSConnection:
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, timeout=options["timeout"], context=context)
        self.connections.append(connection)
        return connection


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections as `_may_follow` allows, without reading their bodies, which may have no end."""

    max_redirections = MAX_REDIRECTS

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the request for the new address; None, which makes the answer an error, where it is not followed."""
        if not _may_follow(req.full_url, newurl):
            return None
        fp.close()  # the base class reads the body, of which nothing is left then
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(connections: list[http.client.HTTPConnection]) -> urllib.request.OpenerDirector:
    """Return what opens http and https and nothing else, through the proxies of the environment.

    connections: receives each connection that is made.
    """
    director = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        _Http(connections),
        _Https(connections),
        _Redirects(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        director.add_handler(handler)
    return director


def _may_follow(old: str, new: str) -> bool:
    """Return whether a redirection stays with http or https, and with https where it was."""
    before, after = urllib.parse.urlsplit(old).scheme, urllib.parse.urlsplit(new).scheme
    return after == "https" or (after == "http" and before == "http")


def _via_proxy(url: str) -> str:
    """Return the words that name the proxy, without its password; '' without a proxy."""
    parts = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy or urllib.request.proxy_bypass(parts.hostname or ""):
        return ""
    return f" through the proxy '{proxy.rpartition('@')[2].rstrip('/')}'"


def _reason(error: object) -> str:
    """Return what went wrong, in a word or a line."""
    if isinstance(error, http.client.IncompleteRead):
        return "incomplete"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return printable(first_line(error) if isinstance(error, BaseException) else str(error))


# ---------------------------------------------------------------------------------------------------------------------
# Several datasets


class Bar:
    """The line on a terminal that shows how far the download of one dataset is. Elsewhere nothing is drawn."""

    def __init__(self, label: str, out: TextIO) -> None:
        self.label, self.out = label, unescaped(out)
        self.start = self.drawn_at = time.monotonic()
        self.n_kept: int | None = None  # bytes that were there before

    def __call__(self, n_bytes: int, n_total: int | None) -> None:
        """Draw the line, five times a second at most."""
        now = time.monotonic()
        if self.n_kept is None:
            self.n_kept = n_bytes
        if not self.out.isatty() or now - self.drawn_at < 0.2:
            return
        self.drawn_at = now
        rate = size((n_bytes - self.n_kept) / (now - self.start))
        of = f" of {size(n_total)}" if n_total else ""
        print(f"\r\x1b[K{self.label}  {size(n_bytes)}{of}, {rate} a second", end="", file=self.out, flush=True)

    def clear(self) -> None:
        """Remove the line."""
        if self.out.isatty():
            print("\r\x1b[K", end="", file=self.out, flush=True)


@dataclass(frozen=True)
class Result:
    """What became of the download of one dataset."""

    name: str
    line: str  # for the user
    reason: str | None = None  # why it failed; None if it did not


def fetch_several(
    names: Sequence[str], root: Path, mirror: str | None = None, policy: RetryPolicy | None = None
) -> Iterator[Result]:
    """Download datasets one after another and yield the result of each.

    A site that failed three times in a row is not asked for the rest.

    Args:
        names: The datasets.
        root: The archive.
        mirror: As for `address`.
        policy: How long to wait and how often to try.

    Raises:
        UserError: The mirror is no address; nothing was asked for.
    """
    urls = [address(name, mirror) for name in names]
    n_failed = 0
    for number, (name, url) in enumerate(zip(names, urls, strict=True), start=1):
        if n_failed == 3:
            skipped = "not asked for, the site failed three times before"
            reason = f"'{public_address(url)}' is {skipped}: {REMEDY}"
            yield Result(name, f"failed: {name}: {skipped}", reason)
            continue
        label = f"{name} ({number} of {len(names)})" if len(names) > 1 else name
        bar, start = Bar(label, sys.stderr), time.monotonic()
        try:
            is_new = fetch(name, root, mirror, policy, bar, _print_line)
        except UserError as error:
            n_failed = n_failed + 1 if isinstance(error.__cause__, _RetryableError) else 0
            result = Result(name, f"failed: {name}: {error}", str(error))
        else:
            n_failed = 0
            state = f"downloaded, {time.monotonic() - start:.1f} s" if is_new else "already present"
            result = Result(name, f"{name}: {state}")
        bar.clear()
        yield result


def _print_line(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
