"""Tests of `download` against a real server on localhost that misbehaves in every way that we could think of.

`CASES` is also the table of docs/data.md: case, message, what is left on disk.
"""

from __future__ import annotations

import hashlib
import json
import socket
import stat
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.processes import until
from tests.server import ITALY, TAG, Behaviour, Request, Server, encrypted, italy, real, serving, zipped
from tsfcn.common.errors import UserError
from tsfcn.common.text import size
from tsfcn.data import archive, download

ROOT = Path(__file__).parents[3]
PATIENT = download.RetryPolicy(max_tries=2, first_pause=0.01, read_timeout=60, rate_window=60, total_timeout=120)
# For servers that are silent or slow on purpose; on a busy machine a good one may be so, too.
HASTY = replace(PATIENT, read_timeout=0.3)
SLOW = replace(PATIENT, rate_window=0.3)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def server(root: Path) -> Iterator[Server]:
    """Yield a server that downloads to `root` are from."""
    with serving() as running:
        running.part = root / ".incoming" / ITALY / "part"
        yield running


def left(root: Path) -> list[str]:
    """Return every file and folder under root."""
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


DATASET = [ITALY, f"{ITALY}/{ITALY}_TEST.ts", f"{ITALY}/{ITALY}_TRAIN.ts"]

# ---------------------------------------------------------------------------------------------------------------------
# The server's ways


def trickle(request: Request) -> None:
    request.head(Content_Length=len(italy()))
    for byte in italy():
        request.wfile.write(bytes([byte]))
        time.sleep(0.02)


def trickle_of_headers(request: Request) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    for _ in range(100):
        request.wfile.write(b"x")
        time.sleep(0.05)


def silent(request: Request) -> None:
    time.sleep(1)


def silent_half_way(request: Request) -> None:
    request.head(Content_Length=len(italy()))
    request.wfile.write(italy()[: len(italy()) // 2])
    time.sleep(1)


def reset(request: Request) -> None:
    request.head(Content_Length=len(italy()))
    request.wfile.write(italy()[: len(italy()) // 2])
    request.reset_when_arrived(len(italy()) // 2)


def longer_than_it_is(request: Request) -> None:
    request.head(Content_Length=len(italy()) + 1000)
    request.wfile.write(italy())


def shorter_than_it_is(request: Request) -> None:
    request.head(Content_Length=len(italy()) // 2)
    request.wfile.write(italy())


def truncated(request: Request) -> None:
    request.head(Connection="close")
    request.wfile.write(italy()[: len(italy()) // 2])


def redirect(request: Request) -> None:
    if request.path == "/elsewhere":
        request.ranged(italy())
    else:
        request.body(b"", 302, Location="/elsewhere")


def redirect_to(address: str) -> Behaviour:
    return lambda request: request.body(b"", 302, Location=address)


def redirect_on(request: Request) -> None:
    request.body(b"", 302, Location=f"/{len(request.server.requests)}")


def answer(status: int, **headers: str) -> Behaviour:
    return lambda request: request.body(b"<html>", status, **headers)


def error_then_well(request: Request) -> None:
    if len(request.server.requests) == 1:
        request.body(b"", 500)
    else:
        request.ranged(italy())


def reset_then_well(request: Request) -> None:
    if len(request.server.requests) == 1:
        request.head(Content_Length=len(italy()), ETag=TAG)
        request.wfile.write(italy()[: len(italy()) // 2])
        request.reset_when_arrived(len(italy()) // 2)
    else:
        request.ranged(italy())


def chunked(data: Callable[[], bytes], end: bytes = b"0\r\n\r\n") -> Behaviour:
    def behave(request: Request) -> None:
        request.head(Transfer_Encoding="chunked")
        for at in range(0, len(data()), 10_000):
            piece = data()[at : at + 10_000]
            request.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        request.wfile.write(end)

    return behave


def endless(request: Request) -> None:
    request.head(Connection="close")
    request.wfile.write(b"PK\3\4")
    while True:
        request.wfile.write(bytes(1 << 16))


def says_huge(request: Request) -> None:
    request.head(Content_Length=10**13)
    request.wfile.write(b"PK\3\4")


def serve(data: Callable[[], bytes]) -> Behaviour:
    return lambda request: request.body(data())


def corrupt() -> bytes:
    data = bytearray(italy())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(64)
    return bytes(data)


def renamed(source: str) -> bytes:
    return zipped({path.replace(source, ITALY): data for path, data in real(source).items()})


def with_member(name: str, mode: int = stat.S_IFREG | 0o644) -> bytes:
    info = zipfile.ZipInfo(name)
    info.external_attr, info.create_system = mode << 16, 3
    return zipped([*real(ITALY).items(), (info, b"/etc/passwd")])


def twice() -> bytes:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return zipped([*real(ITALY).items(), *real(ITALY).items()])


def with_train(data: bytes) -> bytes:
    return zipped({**real(ITALY), f"{ITALY}_TRAIN.ts": data})


def lying_bomb() -> bytes:
    """Return a zip whose list of entries says that a file is smaller than what is in it."""
    data = bytearray(with_train(b"0," * 900_000))
    for sign, offset in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        at = data.index(sign) + offset
        data[at : at + 4] = (1000).to_bytes(4, "little")
    return bytes(data)


def crowded() -> bytes:
    return zipped({**{f"{n}.txt": b"" for n in range(10_001)}, **real(ITALY)})


# ---------------------------------------------------------------------------------------------------------------------
# The table


@dataclass(frozen=True)
class Case:
    """What the server does, what is said, in the terms of `said`, and what is left: nothing, or the dataset."""

    name: str
    behave: Behaviour
    message: str  # "" if the dataset comes

    @property
    def left(self) -> str:
        """What is left on disk."""
        return "nothing" if self.message else "the dataset"


CASES = [
    Case("slow trickle", trickle, "{url} is too slow, under 1.0 kB a second for {window} s, {after}{tries}: {else}"),
    Case("trickle of headers", trickle_of_headers, "{url} sent no complete answer within {silence2} s{tries}: {else}"),
    Case("no answer", silent, "{url} sent nothing for {silence} s{tries}: {else}"),
    Case("silence in the middle", silent_half_way, "{url} sent nothing for {silence} s after {half}{tries}: {else}"),
    Case("reset in the middle", reset, "{url} was cut off after {half} (Connection reset by peer){tries}: {else}"),
    Case("reset in the middle, once", reset_then_well, ""),
    Case("redirection", redirect, ""),
    Case("redirection in a circle", redirect_to("/"), "{url} is redirected again and again: {else}"),
    Case("redirection without end", redirect_on, "{url} is redirected again and again: {else}"),
    Case(
        "redirection to a file",
        redirect_to("file:///etc/passwd"),
        "{url} is redirected to 'file:///etc/passwd', which is not followed: {else}",
    ),
    Case("404", answer(404), "{url} does not exist (404 Not Found): {else}"),
    Case("403", answer(403), "{url} is refused (403 Forbidden): {else}"),
    Case("500 for ever", answer(500), "{url} is not available now (500 Internal Server Error){tries}: {else}"),
    Case("500, then well", error_then_well, ""),
    Case("429", answer(429, Retry_After="0"), "{url} is not available now (429 Too Many Requests){tries}: {else}"),
    Case("length over the body's", longer_than_it_is, "{url} was cut off after {whole}{tries}: {else}"),
    Case("length under the body's", shorter_than_it_is, "{url} is cut short or damaged: {again}"),
    Case("body cut short, no length", truncated, "{url} is cut short or damaged: {again}"),
    Case("in chunks, without a length", chunked(italy), ""),
    Case(
        "chunks that end early",
        chunked(italy, b"2710\r\nPK"),
        "{url} was cut off after {all} (incomplete){tries}: {else}",
    ),
    Case("empty body", serve(bytes), "{url} is empty: {again}"),
    Case("web page with status 200", serve(lambda: b"\n<!DOCTYPE html><p>"), "{url} is a web page, not a zip: {else}"),
    Case("no zip", serve(lambda: b"Rar!\x1a\x07"), "{url} is not a zip: {else}"),
    Case("corrupt zip", serve(corrupt), "{url} is damaged, '{name}_TEST.ts' {spoilt}: {again}"),
    Case(
        "another dataset",
        serve(lambda: zipped(real("GunPoint"))),
        "{url} does not contain dataset '{name}' (it contains GunPoint): set another archive.mirror",
    ),
    Case(
        "another dataset under this name",
        serve(lambda: renamed("GunPoint")),
        "dataset '{name}' in {url} is of the content of 'GunPoint': take the "
        "official files of the UCR 2018 archive, or give yours another name",
    ),
    Case(
        "a line that is no data",
        serve(lambda: with_train(b"@data\n1,2,x:1\n")),
        "file '{address}/{name}_TRAIN.ts' line 2 column 3 is 'x': write a number, or NaN for a missing value",
    ),
    Case("half a dataset", serve(lambda: zipped(dict([*real(ITALY).items()][:1]))), "{holds_half}"),
    Case(
        "oversized, as it says",
        says_huge,
        "{url} is too large, 10000 GB, more than the limit of 5.5 MB: {else}",
    ),
    Case("oversized, unsaid", endless, "{url} is too large, more than the limit of 5.5 MB: {else}"),
    Case(
        "oversized file in it",
        serve(lambda: with_train(bytes(50_000_000))),
        "{url} is too large, '{name}_TRAIN.ts' has 50 MB, the limit is 1.8 MB: use the official files",
    ),
    Case(
        "bomb",
        serve(lambda: with_train(bytes(1_800_000))),
        "{url} is a zip bomb, '{name}_TRAIN.ts' unpacks to far more than it takes up: use the official files",
    ),
    Case(
        "bomb that lies",
        serve(lying_bomb),
        "{url} is a zip bomb, '{name}_TRAIN.ts' unpacks to far more than it takes up: use the official files",
    ),
    Case(
        "path traversal",
        serve(lambda: with_member("../../evil.ts")),
        "{url} is unsafe, it contains '../../evil.ts', a path that leaves the folder: use the official files",
    ),
    Case(
        "absolute path",
        serve(lambda: with_member("/etc/evil.ts")),
        "{url} is unsafe, it contains '/etc/evil.ts', a path that leaves the folder: use the official files",
    ),
    Case(
        "drive letter",
        serve(lambda: with_member("C:\\evil.ts")),
        "{url} is unsafe, it contains 'C:/evil.ts', a path that leaves the folder: use the official files",
    ),
    Case(
        "symbolic link",
        serve(lambda: with_member("evil.ts", stat.S_IFLNK | 0o777)),
        "{url} is unsafe, it contains 'evil.ts', a link or a device: use the official files",
    ),
    Case(
        "a name that plays with the terminal",
        serve(lambda: with_member("\x1b[2Jevil.ts")),
        "{url} is unsafe, it contains '\\x1b[2Jevil.ts', a name with control characters: use the official files",
    ),
    Case("member twice", serve(twice), "{url} is unsafe, it contains '{name}_TRAIN.ts' twice: use the official files"),
    Case("10,003 members", serve(crowded), "{url} has 10003 entries, the limit is 10000: use the official files"),
    Case(
        "zip in a zip",
        serve(lambda: zipped({f"{ITALY}.zip": italy()})),
        "{url} does not contain dataset '{name}' (it contains no dataset): set another archive.mirror",
    ),
    Case(
        "encrypted",
        serve(lambda: encrypted(real(ITALY), b"secret")),
        "{url} is encrypted: use `tsfcn data import`, which asks for the password",
    ),
]


def said(message: str, url: str, policy: download.RetryPolicy, n_bytes: int) -> str:
    """Return a message of CASES as it reads for this address, policy and size of the good zip."""
    terms = {
        "url": f"'{url}'",
        "address": url,
        "name": ITALY,
        "tries": f", tried {policy.max_tries} times",
        "window": f"{policy.rate_window:g}",
        "silence": f"{policy.read_timeout:g}",
        "silence2": f"{2 * policy.read_timeout:g}",
        "half": f"{n_bytes // 2} of {n_bytes} bytes",
        "all": size(n_bytes),
        "whole": f"{n_bytes} of {n_bytes + 1000} bytes",
        "else": download.REMEDY,
        "again": "download it again, or from elsewhere",
        "holds_half": f"'{url}' contains half of dataset '{ITALY}', '{ITALY}_TRAIN.ts': "
        "both _TRAIN and _TEST are needed",
        # Two words stand for what depends on the moment or on zlib's version.
        "after": "after N bytes",
        "spoilt": "cannot be decompressed",
    }
    return message.format(**terms)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_misbehaving_server(case: Case, server: Server, root: Path) -> None:
    server.behave = case.behave
    policy = HASTY if "{silence" in case.message else SLOW if "{window}" in case.message else PATIENT
    url = f"{server.url}/{ITALY}.zip"
    (root / "Mine").mkdir()
    (root / "Mine" / "notes.txt").write_text("stays")
    before = left(root)
    if not case.message:
        assert download.fetch(ITALY, root, server.url, policy)
        assert left(root) == sorted([*before, *DATASET])
        assert archive.load(ITALY, root).passport["content"] == archive.load(ITALY).passport["content"]
        return
    with pytest.raises(UserError) as caught:
        download.fetch(ITALY, root, server.url, policy)
    message = str(caught.value)
    assert "\n" not in message and str(root) not in message
    if case.name == "slow trickle":
        words = message.split("after ")[1].split(" bytes", maxsplit=1)[0]
        message = message.replace(f"after {words} bytes", "after N bytes")
        assert words.endswith(f" of {len(italy())}")
    if case.name == "corrupt zip":
        message = message.replace("does not match its checksum", "cannot be decompressed")
    assert message == said(case.message, url, policy, len(italy()))
    assert left(root) == before


def test_the_table_of_the_documentation() -> None:
    address = f"https://MIRROR/{ITALY}.zip"
    rows = ["| the server sends | message | left on disk |", "| --- | --- | --- |"]
    for case in CASES:
        message = said(case.message, address, download.RetryPolicy(), 150_000).replace(download.REMEDY, "…")
        rows.append(f"| {case.name} | {message.replace('|', '&#124;')} | {case.left} |")
    table = "\n".join(rows)
    text = (ROOT / "docs" / "data.md").read_text()
    assert table in text, f"docs/data.md lacks this table:\n{table}"


def test_connection_refused(root: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with pytest.raises(UserError) as caught:
        download.fetch(ITALY, root, url, PATIENT)
    expected = f"'{url}/{ITALY}.zip' is not reachable (Connection refused), tried 2 times: {download.REMEDY}"
    assert str(caught.value) == expected
    assert left(root) == []


def test_unknown_host(root: Path) -> None:
    with pytest.raises(UserError, match=r"is not reachable \(.+\), tried 2 times: try later"):
        download.fetch(ITALY, root, "http://nowhere.invalid", PATIENT)
    assert left(root) == []


def test_a_proxy_is_used_and_named_without_its_password(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(UserError) as caught:
        download.fetch(ITALY, root, "http://archive.invalid", PATIENT)
    assert "is not reachable (Connection refused) through the proxy '127.0.0.1:9', tried 2 times" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_https_is_not_left() -> None:
    assert download._may_follow("http://a/x", "https://b/y") and download._may_follow("http://a/x", "http://b/y")
    assert download._may_follow("https://a/x", "https://b/y")
    assert not download._may_follow("https://a/x", "http://a/x")
    assert not download._may_follow("http://a/x", "file:///x") and not download._may_follow("http://a/x", "ftp://a/x")


@pytest.mark.parametrize(
    "mirror", ["ftp://a/b", "example.org/ucr", "http://", "https://a b/c", "http://a/{n}", "", "http://a:x/"]
)
def test_a_mirror_that_is_no_address(mirror: str) -> None:
    with pytest.raises(
        UserError, match=r"^archive\.mirror '.*' is not an http\(s\) address: write https://HOST/FOLDER or "
    ):
        download.address("Coffee", mirror)


def test_a_mirror_with_a_password_is_refused_without_telling_it() -> None:
    with pytest.raises(UserError) as caught:
        download.address("Coffee", "https://me:secret@example.org")
    assert str(caught.value) == ("archive.mirror contains a user name, which is not sent: remove it from the address")


# ---------------------------------------------------------------------------------------------------------------------
# Going on


class Stop:
    """Interrupts a download, as Ctrl-C does, when half of it has arrived."""

    def __call__(self, arrived: int, total: int | None) -> None:
        if arrived >= len(italy()) // 2:
            raise KeyboardInterrupt


def halves(request: Request) -> None:
    """Send the first half, and the rest when it was seen."""
    request.head(Content_Length=len(italy()), ETag=TAG)
    request.wfile.write(italy()[: len(italy()) // 2])
    request.wfile.flush()
    time.sleep(0.5)


def interrupt(server: Server, root: Path, behave: Behaviour = halves) -> int:
    """Leave half a download behind and return its bytes."""
    server.behave = behave
    with pytest.raises(KeyboardInterrupt):
        download.fetch(ITALY, root, server.url, PATIENT, Stop())
    assert left(root) == [".incoming", f".incoming/{ITALY}", f".incoming/{ITALY}/part", f".incoming/{ITALY}/part.json"]
    server.requests.clear()
    return (root / ".incoming" / ITALY / "part").stat().st_size


def test_an_interrupted_download_goes_on(server: Server, root: Path) -> None:
    n_bytes = interrupt(server, root)
    server.behave = lambda request: request.ranged(italy())
    arrived: list[int] = []
    assert download.fetch(ITALY, root, server.url, PATIENT, lambda now, total: arrived.append(now))
    ((_, headers),) = server.requests
    assert (headers["Range"], headers["If-Range"]) == (f"bytes={n_bytes}-", TAG)
    assert arrived[0] > n_bytes and arrived[-1] == len(italy())
    assert left(root) == DATASET


@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(lambda request: request.ranged(italy(), '"b"'), id="changed, as a good server says"),
        pytest.param(lambda request: request.body(italy(), ETag=TAG), id="no ranges"),
        pytest.param(
            lambda request: (
                request.body(
                    italy()[int(request.headers["Range"][6:-1]) :],
                    206,
                    ETag='"b"',
                    Content_Range=f"bytes {request.headers['Range'][6:-1]}-{len(italy()) - 1}/{len(italy())}",
                )
                if "Range" in request.headers
                else request.body(italy(), ETag='"b"')
            ),
            id="changed, and sends a range of it all the same",
        ),
        pytest.param(
            lambda request: (
                request.body(italy()[7:], 206, Content_Range=f"bytes 7-{len(italy()) - 1}/{len(italy())}", ETag=TAG)
                if "Range" in request.headers
                else request.body(italy())
            ),
            id="another range",
        ),
        pytest.param(
            lambda request: (
                request.body(italy()[1:], 206, ETag=TAG) if "Range" in request.headers else request.body(italy())
            ),
            id="a range that is not named",
        ),
        pytest.param(
            lambda request: request.body(b"", 416) if "Range" in request.headers else request.body(italy()),
            id="range refused",
        ),
    ],
)
def test_a_download_starts_anew_where_it_cannot_go_on(behave: Behaviour, server: Server, root: Path) -> None:
    interrupt(server, root)
    server.behave = behave
    assert download.fetch(ITALY, root, server.url, PATIENT)
    assert left(root) == DATASET


def test_a_part_of_unknown_origin_is_not_gone_on_with(server: Server, root: Path) -> None:
    def untold(request: Request) -> None:
        request.head(Content_Length=len(italy()))  # neither ETag nor date
        request.wfile.write(italy()[: len(italy()) // 2])
        request.wfile.flush()
        time.sleep(0.5)

    interrupt(server, root, untold)
    server.behave = lambda request: request.ranged(italy())
    assert download.fetch(ITALY, root, server.url, PATIENT)
    assert all("Range" not in headers for _, headers in server.requests)


def test_a_weak_tag_does_not_count_but_the_date_does(server: Server, root: Path) -> None:
    date = "Mon, 01 Jan 2024 00:00:00 GMT"

    def dated(request: Request) -> None:
        request.head(Content_Length=len(italy()), ETag='W/"a"', Last_Modified=date)
        request.wfile.write(italy()[: len(italy()) // 2])
        request.wfile.flush()
        time.sleep(0.5)

    interrupt(server, root, dated)
    server.behave = lambda request: request.ranged(italy())
    assert download.fetch(ITALY, root, server.url, PATIENT)
    assert server.requests[0][1]["If-Range"] == date


def test_a_part_of_another_mirror_is_not_gone_on_with(server: Server, root: Path) -> None:
    interrupt(server, root)
    with serving() as other:
        assert download.fetch(ITALY, root, other.url, PATIENT)
        assert all("Range" not in headers for _, headers in other.requests)
    assert left(root) == DATASET


def test_two_files_in_one_are_downloaded_again(server: Server, root: Path) -> None:
    """A server that says that a file is the same although it is not."""

    def other_half(request: Request) -> None:
        request.ranged(italy() if "Range" not in request.headers else corrupt()[:-9] + bytes(9))

    interrupt(server, root)
    server.behave = other_half
    assert download.fetch(ITALY, root, server.url, PATIENT)
    assert len(server.requests) == 2 and left(root) == DATASET


def test_what_a_kill_left_is_replaced(server: Server, root: Path) -> None:
    place = root / ".incoming" / ITALY
    (place / "unpacked" / ITALY).mkdir(parents=True)
    (place / "unpacked" / ITALY / f"{ITALY}_TRAIN.ts").write_text("torn")
    (place / "part").write_bytes(b"torn")
    (place / "part.json").write_text("{")
    assert download.fetch(ITALY, root, server.url, PATIENT)
    assert left(root) == DATASET


def test_a_complete_part_needs_no_server(root: Path) -> None:
    place = root / ".incoming" / ITALY
    place.mkdir(parents=True)
    (place / "part").write_bytes(italy())
    url = download.address(ITALY, "http://127.0.0.1:9")
    (place / "part.json").write_text(
        json.dumps({"url": hashlib.sha256(url.encode()).hexdigest(), "same": "", "total": len(italy())})
    )
    assert download.fetch(ITALY, root, "http://127.0.0.1:9", PATIENT)
    assert left(root) == DATASET


# ---------------------------------------------------------------------------------------------------------------------
# What is there already


def test_a_dataset_that_is_there_is_not_asked_for(server: Server, root: Path) -> None:
    assert download.fetch(ITALY, root, server.url, PATIENT)
    assert not download.fetch(ITALY, root, server.url, PATIENT)
    assert len(server.requests) == 1


def test_an_empty_folder_is_no_hindrance(server: Server, root: Path) -> None:
    (root / ITALY).mkdir()
    assert download.fetch(ITALY, root, server.url, PATIENT)
    assert left(root) == DATASET


@pytest.mark.parametrize("name", ["notes.txt", f"{ITALY}_TRAIN.ts"])
def test_what_is_there_is_never_touched(name: str, server: Server, root: Path) -> None:
    (root / ITALY).mkdir()
    (root / ITALY / name).write_text("mine")
    with pytest.raises(
        UserError,
        match=rf"^(dataset|folder) '.*{ITALY}' (is present but|exists without) .*move '.*' away and start again",
    ):
        download.fetch(ITALY, root, server.url, PATIENT)
    assert left(root) == [ITALY, f"{ITALY}/{name}"] and (root / ITALY / name).read_text() == "mine"
    assert server.requests == []


def test_several_at_once_download_once(server: Server, root: Path) -> None:
    news: list[bool] = []
    lines: list[str] = []

    def when_all_wait(request: Request) -> None:
        until(lambda: len(lines) == 4)
        request.ranged(italy())

    server.behave = when_all_wait
    threads = [
        threading.Thread(
            target=lambda: news.append(download.fetch(ITALY, root, server.url, PATIENT, notify=lines.append))
        )
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(news) == [False] * 4 + [True]
    assert lines == [f"{ITALY}: waiting for another process that imports it"] * 4
    assert len(server.requests) == 1 and left(root) == DATASET


# ---------------------------------------------------------------------------------------------------------------------
# Several


def test_a_site_that_is_down_is_not_asked_for_each(server: Server, root: Path) -> None:
    server.behave = answer(503)
    names = ["Coffee", "Beef", "Adiac", "BME", "Chinatown"]
    results = list(download.fetch_several(names, root, server.url, PATIENT))
    assert [result.name for result in results if result.reason] == names
    assert len(server.requests) == 3 * PATIENT.max_tries
    assert results[3].line == "failed: BME: not asked for, the site failed three times before"
    assert left(root) == []


def test_one_failure_stops_no_other(server: Server, root: Path) -> None:
    server.behave = lambda request: request.ranged(italy()) if ITALY in request.path else request.body(b"", 404)
    results = list(download.fetch_several(["Coffee", ITALY, "Beef"], root, server.url, PATIENT))
    assert [result.reason is None for result in results] == [False, True, False]
    assert left(root) == DATASET


@pytest.mark.parametrize("name", [ITALY, "BasicMotions"])
def test_an_estimate_is_of_the_right_order(name: str) -> None:
    three = {f"{path}{n}": data for path, data in real(name).items() for n in range(3)}
    assert 0.5 < download.estimate([name]) / len(zipped(three)) < 2
    assert download.estimate(["Coffee", "no such"]) == download.estimate(["Coffee"])


@pytest.mark.parametrize("name", ["BasicMotions", "JapaneseVowels"])
def test_a_multivariate_dataset_is_downloaded(name: str, server: Server, root: Path) -> None:
    equal = {path.replace("_T", "_eq_T"): data for path, data in real(name).items()}  # as in the zip of JapaneseVowels
    server.behave = lambda request: request.ranged(zipped({**equal, **real(name)}))
    assert download.fetch(name, root, server.url)
    assert [path for path, _ in server.requests] == [f"/{name}.zip"]
    assert left(root) == [name, f"{name}/{name}_TEST.ts", f"{name}/{name}_TRAIN.ts"]
    assert archive.passport(name, root) == {**archive.passport(name), "source": "ts"}


# ---------------------------------------------------------------------------------------------------------------------
# What a hostile server can send


def test_the_body_of_a_redirection_is_not_read(server: Server, root: Path) -> None:
    sent: list[int] = []

    def endless_redirection(request: Request) -> None:
        if request.path == "/elsewhere":
            request.ranged(italy())
            return
        request.head(302, Location="/elsewhere", Connection="close")
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        for _ in range(2000):  # 131 MB
            request.wfile.write(bytes(1 << 16))
            sent.append(1 << 16)

    server.behave = endless_redirection
    assert download.fetch(ITALY, root, server.url, replace(HASTY, read_timeout=10))
    assert sum(sent) < 20_000_000


LONG = "9" * 5000


@pytest.mark.parametrize(
    "behave",
    [
        lambda request: (request.head(Content_Length=LONG, Connection="close"), request.wfile.write(italy())),
        lambda request: (
            request.head(503, Retry_After=LONG) if len(request.server.requests) == 1 else serve(italy)(request)
        ),
    ],
    ids=["length", "pause"],
)
def test_numbers_of_5000_digits_are_no_numbers(behave: Behaviour, server: Server, root: Path) -> None:
    server.behave = behave
    assert download.fetch(ITALY, root, server.url, HASTY)
    assert left(root) == DATASET


def test_a_range_of_5000_digits_is_no_range(server: Server, root: Path) -> None:
    interrupt(server, root)
    server.behave = lambda request: (
        request.body(b"x", 206, Content_Range=f"bytes {LONG}-{LONG}/{LONG}", ETag=TAG)
        if "Range" in request.headers
        else request.ranged(italy())
    )
    assert download.fetch(ITALY, root, server.url, HASTY)
    assert left(root) == DATASET


def test_a_status_line_is_escaped(server: Server, root: Path) -> None:
    def status(request: Request) -> None:
        request.wfile.write(b"\x1b[2J\x1b]0;title\x07 not HTTP\r\n\r\n")

    server.behave = status
    with pytest.raises(UserError) as caught:
        download.fetch(ITALY, root, server.url, HASTY)
    assert str(caught.value).isprintable() and "\\x1b[2J" in str(caught.value)


def test_the_target_of_a_redirection_is_escaped_and_without_its_query(server: Server, root: Path) -> None:
    server.behave = redirect_to("file:///a%1b[2J?token=SECRET#x")
    with pytest.raises(UserError) as caught:
        download.fetch(ITALY, root, server.url, HASTY)
    assert "is redirected to 'file:///a%1b[2J', which" in str(caught.value)


# ---------------------------------------------------------------------------------------------------------------------
# Addresses with secrets


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://me:SECRET@example.org/a.zip?token=SECRET#SECRET", "https://example.org/a.zip"),
        ("https://me:SECRET?SECRET@example.org/a.zip", "https://example.org/a.zip"),
        ("http://example.org?SECRET", "http://example.org"),
        ("example.org?SECRET", "example.org"),
        ("me:SECRET@example.org", "example.org"),
        ("ftp://me:SECRET@example.org/a", "ftp://example.org/a"),
        ("https://example.org/a@b/c", "https://example.org/a@b/c"),
    ],
)
def test_a_public_address_has_no_secrets(url: str, expected: str) -> None:
    assert download.public_address(url) == expected


MISBEHAVIOURS = {
    "404": answer(404),
    "503": answer(503),
    "redirect": redirect_to("/"),
    "page": serve(lambda: b"<html>"),
    "other": serve(lambda: zipped(real("GunPoint"))),
    "renamed": serve(lambda: renamed("GunPoint")),
    "reset": reset,
}


@pytest.mark.parametrize("behave", MISBEHAVIOURS.values(), ids=MISBEHAVIOURS)
def test_messages_and_files_have_no_query(behave: Behaviour, server: Server, root: Path) -> None:
    server.behave = behave
    mirror = f"{server.url}/{{name}}.zip?token=SECRET"
    (result,) = download.fetch_several([ITALY], root, mirror, HASTY)
    assert result.reason is not None and "SECRET" not in result.line + result.reason
    assert "token=SECRET" in server.requests[0][0]
    server.behave = halves
    with pytest.raises(KeyboardInterrupt):
        download.fetch(ITALY, root, mirror, HASTY, Stop())
    assert "SECRET" not in (root / ".incoming" / ITALY / "part.json").read_text()


def test_a_wrong_mirror_is_named_without_its_secrets() -> None:
    for mirror in ("ftp://example.org/a?SECRET", "ftp://me:SECRET@example.org"):
        with pytest.raises(UserError, match=r"^archive\.mirror ") as caught:
            download.address("Coffee", mirror)
        assert "SECRET" not in str(caught.value)
