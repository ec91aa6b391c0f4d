"""Download datasets: one zip each from the archive's public site, or from a mirror, into the archive's root.

The address is the one that sktime and aeon use; it was never tried against the real site, only against a server of our
own that misbehaves in every way we could think of (docs/data.md has the table). A download that breaks off is tried
again with growing pauses and goes on where it stopped if the server says that the file is still the same.
"""

from __future__ import annotations

import contextlib
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

from tsfcn.common.errors import UserError, first_line
from tsfcn.data import importer, locate
from tsfcn.data.importer import Incoming, size

REDIRECTS = 5
# A zip of the site holds each value three times (.ts, .arff, .txt); the bundled .ts files zip to 4.7 bytes a value.
ZIPPED_BYTES = 14  # a value: what a download is estimated at
ELSEWHERE = "try later, set another archive.mirror, or `tsfcn data import` what you have"


@dataclass(frozen=True)
class Patience:
    """How long a server is borne with. Times are seconds."""

    tries: int = 5  # in a row without progress
    pause: float = 1.0  # before the second try, doubled for each further one
    longest_pause: float = 30.0
    silence: float = 30.0  # without a byte
    window: float = 30.0  # over which
    slowest: float = 1000.0  # bytes a second must arrive
    total: float = 3600.0  # for one dataset


class _Again(Exception):
    """What went wrong may go right the next time.

    after: seconds that the server asks to wait. anew: what has arrived is of no use.
    """

    def __init__(self, what: str, *, after: float = 0.0, anew: bool = False) -> None:
        super().__init__(what)
        self.after, self.anew = after, anew


Progress = Callable[[int, int | None], None]  # bytes that have arrived, and bytes in all if the server says


def address(name: str, mirror: str | None = None) -> str:
    """Return the address of a dataset's zip.

    mirror: another base address than the public site's, or a whole one with {name} in it. Raises UserError unless it
    is an http or https address without a password.

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
    if not host or parts.scheme not in ("http", "https") or re.search(r"[\s{}]", url):
        raise UserError(
            f"archive.mirror '{mirror}' is no http(s) address: write https://HOST/FOLDER or https://HOST/{{name}}.zip"
        )
    if parts.username is not None:
        raise UserError("archive.mirror is an address with a user's name in it, which is not sent: write it without")
    return url


def estimate(names: Sequence[str]) -> int:
    """Return about how many bytes downloading these datasets takes; those that the catalogue does not know count 0."""
    return ZIPPED_BYTES * sum(importer.values(name) or 0 for name in names)


def fetch(
    name: str,
    root: Path,
    mirror: str | None = None,
    patience: Patience | None = None,
    progress: Progress = lambda arrived, total: None,
    tell: Callable[[str], None] = lambda line: None,
) -> bool:
    """Download one dataset to root/NAME unless it is there. Returns whether it was downloaded now.

    It is read and checked against the catalogue before it appears there. A failure leaves nothing behind; an
    interruption leaves root/.incoming/NAME, from which the next call goes on. Safe in several processes at once.
    Raises UserError, of one line, for whatever goes wrong.
    """
    url, patience = address(name, mirror), patience or Patience()
    if importer.there(name, root):
        return False
    with Incoming(name, root, tell) as place:
        if importer.there(name, root):  # by another process, while this one waited
            return False
        resumed = _download(url, place, patience, progress)
        try:
            _install(url, place)
        except UserError:
            if not resumed:
                raise
            place.part.truncate(0)  # perhaps two files in one: the server said that it was the same, and was wrong
            _download(url, place, patience, progress)
            _install(url, place)
    return True


def _install(url: str, place: Incoming) -> None:
    with importer.opened(place.part, url) as zipped:
        found = importer.datasets(zipped.members, url)
        if place.name not in found:
            held = f"it holds {', '.join(sorted(found)[:3])}" if found else "it holds no dataset"
            if zipped.encrypted:
                held += ", encrypted"
            raise UserError(f"'{url}' is without dataset '{place.name}', {held}: set another archive.mirror")
        paths = found[place.name]
        if isinstance(paths, UserError):
            raise paths
        importer.room(place.root, sum(zipped.members[path].file_size for path in paths))
        place.put(zipped.files(place.name, paths), url)


# ---------------------------------------------------------------------------------------------------------------------
# HTTP


def _download(url: str, place: Incoming, patience: Patience, progress: Progress) -> bool:
    """Bring the file at url to place.part, in as many tries as it takes. Returns whether an older part went into it."""
    started, tries, furthest, resumed = time.monotonic(), 0, _length(place.part), False
    while True:
        try:
            return _attempt(url, place, patience, progress, started) or resumed
        except _Again as trouble:
            arrived = _length(place.part)
            if trouble.anew and arrived > 0:
                place.part.truncate(0)  # then nothing can be wrong with it a second time
                continue
            resumed = resumed or arrived > 0
            if arrived > furthest + 100_000:
                tries = 0
            furthest = max(furthest, arrived)
            tries += 1
            pause = max(min(patience.pause * 2 ** (tries - 1), patience.longest_pause), trouble.after)
            if tries >= patience.tries or time.monotonic() - started + pause > patience.total:
                often = f", tried {tries} times" if tries > 1 else ""
                raise UserError(f"'{url}' is {trouble}{often}: {ELSEWHERE}") from trouble
            time.sleep(pause)


def _attempt(url: str, place: Incoming, patience: Patience, progress: Progress, started: float) -> bool:
    part, limit = place.part, 3 * importer.largest(place.name)
    same, total = _facts(place, url)
    have = _length(part) if same or total == _length(part) else 0
    if have and have == total:
        return True  # all had arrived when the process was killed
    headers = {"User-Agent": "tsfcn", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": same}
    with _answer(url, headers, patience) as response:
        status, same_now = response.status, _validator(response)
        if status == 206:
            where = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            if not have or where is None or int(where[1]) != have or (same_now and same_now != same):
                raise _Again("answering with another part of the file than was asked for", anew=True)
            total = None if where[2] == "*" else int(where[2])
        else:
            have, total = 0, _content_length(response)
        part.truncate(have)
        part.seek(have)
        if total is not None:
            if total > limit:
                raise _oversized(url, limit, f"{size(total)}, ")
            importer.room(place.root, total - have)
        _remember(place, url, same_now or (same if have else ""), total)
        _body(url, response, place, patience, progress, have, total, limit, started)
    return have > 0


def _body(
    url: str,
    response: http.client.HTTPResponse,
    place: Incoming,
    patience: Patience,
    progress: Progress,
    have: int,
    total: int | None,
    limit: int,
    started: float,
) -> None:
    """Write what arrives to place.part, which holds `have` bytes, until all `total` are there."""
    window_began, window_bytes, arrived = time.monotonic(), 0, have
    while True:
        try:
            data = response.read1(1 << 16)  # what is there, be it one byte: `read` would wait for all of it
        except TimeoutError:
            raise _Again(f"silent for {patience.silence:g} s after {_of(arrived, total)}") from None
        except (OSError, http.client.HTTPException) as error:
            raise _Again(f"cut off after {_of(arrived, total)} ({_reason(error)})") from error
        if not data:
            break
        if arrived == 0 and not data.startswith(b"PK"[: len(data)]):
            what = "a web page" if data.lstrip().startswith(b"<") else "something else"
            raise UserError(f"'{url}' is {what}, not a zip: {ELSEWHERE}")
        try:
            view = memoryview(data)
            while view:
                view = view[place.part.write(view) :]
        except OSError as error:
            raise importer.not_writable(place.root, error.strerror) from error
        arrived += len(data)
        if arrived > limit:
            raise _oversized(url, limit)
        progress(arrived, total)
        now, window_bytes = time.monotonic(), window_bytes + len(data)
        if now - window_began >= patience.window:
            if window_bytes < patience.slowest * (now - window_began):
                raise _Again(
                    f"too slow, under {size(patience.slowest)} a second for {patience.window:g} s, "
                    f"after {_of(arrived, total)}"
                )
            window_began, window_bytes = now, 0
        if now - started > patience.total:
            raise UserError(f"'{url}' is too slow, {_of(arrived, total)} in {patience.total:g} s: {ELSEWHERE}")
    if total is not None and arrived < total:
        raise _Again(f"cut off after {_of(arrived, total)}")


@contextlib.contextmanager
def _answer(url: str, headers: dict[str, str], patience: Patience) -> Generator[http.client.HTTPResponse]:
    """Ask for the file and give the answer, if it is one with the file. Raises _Again or UserError else."""
    connections: list[http.client.HTTPConnection] = []
    ended = threading.Event()

    def end() -> None:  # a timeout begins anew with each byte: a trickle of headers would hold us for ever
        ended.set()
        for connection in connections:
            with contextlib.suppress(OSError, AttributeError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    watch = threading.Timer(patience.silence * 2, end)
    slow = _Again(f"without a whole answer for {patience.silence * 2:g} s{_proxy(url)}")
    watch.daemon = True
    watch.start()
    try:
        try:
            opener = _opener(connections)
            response = opener.open(urllib.request.Request(url, headers=headers), timeout=patience.silence)
        finally:
            watch.cancel()
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(url, error) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if ended.is_set():
            raise slow from None
        if isinstance(cause, TimeoutError):
            raise _Again(f"silent for {patience.silence:g} s{_proxy(url)}") from None
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise UserError(
                f"'{url}' is not trusted ({cause.verify_message}): mend this machine's certificates or clock, or set "
                "another archive.mirror"
            ) from None
        raise _Again(f"not reachable ({_reason(cause)}){_proxy(url)}") from error
    with response:
        if ended.is_set():  # what ends in the middle of its headers looks like an answer that has no more of them
            raise slow
        yield response


def _opener(connections: list[http.client.HTTPConnection]) -> urllib.request.OpenerDirector:
    """Return what opens http and https and nothing else, through the proxies of the environment.

    connections: gets each connection that is made.
    """

    class Http(urllib.request.HTTPHandler):
        def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            def connect(host: str, /, **options: float) -> http.client.HTTPConnection:
                connections.append(http.client.HTTPConnection(host, timeout=options["timeout"]))
                return connections[-1]

            return self.do_open(connect, request)  # type: ignore[arg-type]

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            def connect(host: str, /, **options: float) -> http.client.HTTPSConnection:
                context = ssl.create_default_context()
                connection = http.client.HTTPSConnection(host, timeout=options["timeout"], context=context)
                connections.append(connection)
                return connection

            return self.do_open(connect, request)  # type: ignore[arg-type]

    class Redirect(urllib.request.HTTPRedirectHandler):
        max_redirections = REDIRECTS

        def redirect_request(
            self,
            req: urllib.request.Request,
            fp: IO[bytes],
            code: int,
            msg: str,
            headers: http.client.HTTPMessage,
            newurl: str,
        ) -> urllib.request.Request | None:
            if not _follows(req.full_url, newurl):
                return None  # then it is an error like any other answer without the file
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    director = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        Http(),
        Https(),
        Redirect(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        director.add_handler(handler)
    return director


def _follows(old: str, new: str) -> bool:
    """Say whether a redirection stays with http or https, and with https where it was."""
    before, after = urllib.parse.urlsplit(old).scheme, urllib.parse.urlsplit(new).scheme
    return after == "https" or (after == "http" and before == "http")


def _refused(url: str, error: urllib.error.HTTPError) -> Exception:
    """Return the error for an answer that is not the file."""
    code, said = error.code, f"{error.code} {http.client.responses.get(error.code, '')}".strip()
    if code in (301, 302, 303, 307, 308):
        new = urllib.parse.urljoin(error.url or url, error.headers.get("Location", ""))
        if _follows(error.url or url, new):
            return UserError(f"'{url}' is redirected over and over: {ELSEWHERE}")
        return UserError(f"'{url}' is redirected to {new[:200]!r}, which is not followed: {ELSEWHERE}")
    if code in (404, 410):
        return UserError(f"'{url}' is not there ({said}): {ELSEWHERE}")
    if code == 416:
        return _Again("of another length than before", anew=True)
    if code in (408, 425, 429) or code >= 500:
        wait = error.headers.get("Retry-After", "")
        return _Again(f"not available now ({said})", after=min(float(wait), 60.0) if wait.isdecimal() else 0.0)
    return UserError(f"'{url}' is refused ({said}){_proxy(url)}: {ELSEWHERE}")


def _oversized(url: str, limit: int, said: str = "") -> UserError:
    return UserError(f"'{url}' is oversized, {said}more than the {size(limit)} that it can have: {ELSEWHERE}")


def _proxy(url: str) -> str:
    """Return the words that name the proxy between us and the server, without its password, or nothing."""
    parts = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy or urllib.request.proxy_bypass(parts.hostname or ""):
        return ""
    return f" through the proxy '{proxy.rpartition('@')[2].rstrip('/')}'"


def _reason(error: object) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return "incomplete"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return first_line(error) if isinstance(error, BaseException) else str(error)


def _of(arrived: int, total: int | None) -> str:
    return size(arrived) if total is None else f"{arrived} of {total} bytes"


def _content_length(response: http.client.HTTPResponse) -> int | None:
    written = response.headers.get("Content-Length", "")
    return int(written) if written.isdecimal() else None


def _validator(response: http.client.HTTPResponse) -> str:
    """Return what tells this file from later ones at its address: a strong ETag, else its date, else nothing."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


# ---------------------------------------------------------------------------------------------------------------------
# The part that a killed download leaves


def _length(file: IO[bytes]) -> int:
    return file.seek(0, os.SEEK_END)


def _facts(place: Incoming, url: str) -> tuple[str, int | None]:
    """Return validator and total of what is in place.part, ('', None) if nothing is known or it is of another url."""
    try:
        kept = json.loads(place.facts.read_text(encoding="utf-8"))
        known = kept["url"] == url
        return (str(kept["same"]), kept["total"] and int(kept["total"])) if known else ("", None)
    except (OSError, ValueError, KeyError, TypeError):
        return "", None


def _remember(place: Incoming, url: str, same: str, total: int | None) -> None:
    temporary = place.facts.with_suffix(".tmp")
    try:
        temporary.write_text(json.dumps({"url": url, "same": same, "total": total}), encoding="utf-8")
        os.replace(temporary, place.facts)
    except OSError as error:
        raise importer.not_writable(place.root, error.strerror) from error


# ---------------------------------------------------------------------------------------------------------------------
# Several


class Bar:
    """The line on a terminal that says how far the download of one dataset is. Elsewhere nothing is drawn."""

    def __init__(self, label: str, out: TextIO) -> None:
        self.label, self.out = label, out
        self.began = self.drawn = time.monotonic()
        self.first: int | None = None  # bytes that were there before

    def __call__(self, arrived: int, total: int | None) -> None:
        """Draw the line, five times a second at most."""
        now = time.monotonic()
        if self.first is None:
            self.first = arrived
        if not self.out.isatty() or now - self.drawn < 0.2:
            return
        self.drawn = now
        rate = size((arrived - self.first) / (now - self.began))
        of = f" of {size(total)}" if total else ""
        print(f"\r\x1b[K{self.label}  {size(arrived)}{of}, {rate} a second", end="", file=self.out, flush=True)

    def clear(self) -> None:
        """Take the line away."""
        if self.out.isatty():
            print("\r\x1b[K", end="", file=self.out, flush=True)


def several(
    names: Sequence[str], root: Path, mirror: str | None = None, patience: Patience | None = None
) -> Iterator[tuple[str, str | None, str]]:
    """Download datasets one after the other; yield of each its name, why it failed or None, and a line that tells.

    A site that failed three times in a row is not asked for the rest. Raises UserError, before anything is asked for,
    for a mirror that is no address.
    """
    urls = [address(name, mirror) for name in names]
    down = 0
    for number, (name, url) in enumerate(zip(names, urls, strict=True), start=1):
        if down == 3:
            reason = f"'{url}' is not asked for, the site failed three times before: {ELSEWHERE}"
            yield name, reason, f"failed: {name}: not asked for, the site failed three times before"
            continue
        label = f"{name} ({number} of {len(names)})" if len(names) > 1 else name
        bar, began = Bar(label, sys.stderr), time.monotonic()
        try:
            new = fetch(name, root, mirror, patience, bar, lambda line: print(line, file=sys.stderr, flush=True))
        except UserError as error:
            bar.clear()
            down = down + 1 if isinstance(error.__cause__, _Again) else 0
            yield name, str(error), f"failed: {name}: {error}"
            continue
        bar.clear()
        down = 0
        yield name, None, f"{name}: {f'downloaded, {time.monotonic() - began:.1f} s' if new else 'is there'}"
