"""`tsfcn data` as a user meets it: what it says, what it leaves, and what survives an interruption."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server import ITALY, TAG, Request, Server, encrypted, italy, real, serving, zipped
from tsfcn.cli.data import main
from tsfcn.data import archive

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = b"some one"
DATASET = [ITALY, f"{ITALY}/{ITALY}_TEST.ts", f"{ITALY}/{ITALY}_TRAIN.ts"]
TINY = ("protocol=smoke", "model.fcn.filters=[3]", "model.fcn.kernels=[3]", "executor=inline")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder to work in, with an empty archive `root`; downloads go elsewhere."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    work = tmp_path / "work"
    (work / "root").mkdir(parents=True)
    monkeypatch.chdir(work)
    return work


def left(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


def start(*words: str, **options: Any) -> subprocess.Popen[str]:
    """Start `python -m tsfcn WORDS`."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-m", "tsfcn", *words], text=True, **(pipes | options))


def on_terminal(answer: str, *words: str) -> tuple[int, str]:
    """Run `python -m tsfcn WORDS` on a terminal of its own, type the answer, return exit code and what was shown."""
    ours, theirs = os.openpty()
    process = start(*words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    shown, typed = "", False
    while True:
        try:
            shown += os.read(ours, 4096).decode()
        except OSError:  # the other end is closed
            break
        if not typed and ("[y/N] " in shown or "Password: " in shown):
            os.write(ours, f"{answer}\n".encode())
            typed = True
    os.close(ours)
    return process.wait(timeout=60), shown.replace("\r\n", "\n")


# ---------------------------------------------------------------------------------------------------------------------
# fetch


def test_fetch(server: Server, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    served = {f"/{ITALY}.zip": italy(), "/GunPoint.zip": zipped(real("GunPoint"))}
    server.behave = lambda request: (
        request.ranged(served[request.path]) if request.path in served else request.body(b"", 404)
    )
    call = ["fetch", f"{ITALY},GunPoint", "Coff*", "--mirror", server.url, "--root", "root"]
    assert main(call) == 1
    out, err = capsys.readouterr()
    assert err == "downloading 3 datasets, about 1.0 MB, to 'root'\n"
    first, second, third, last = out.splitlines()
    assert first.startswith(f"{ITALY}: downloaded, ") and second.startswith("GunPoint: downloaded, ")
    assert third.startswith(f"failed: Coffee: '{server.url}/Coffee.zip' does not exist (404 Not Found): ")
    assert last == "2 of 3 datasets are in 'root'"
    assert main([*call, "--exclude", "Coffee"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and out.splitlines() == [
        f"{ITALY}: already present",
        "GunPoint: already present",
        "2 of 2 datasets are in 'root'",
    ]
    assert archive.load("GunPoint", "root").passport["content"] == archive.load("GunPoint").passport["content"]


def test_a_set_of_uea_is_fetched(server: Server, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    served = zipped(real("JapaneseVowels"))
    server.behave = lambda request: request.ranged(served) if "Japanese" in request.path else request.body(b"", 404)
    assert main(["fetch", "uea_unequal", "--exclude", "Spoken*,Insect*", "--mirror", server.url]) == 1
    out, err = capsys.readouterr()
    assert err.startswith("downloading 2 datasets, about 25 MB, to '")
    assert "JapaneseVowels: downloaded" in out and "failed: CharacterTrajectories: " in out
    assert archive.passport("JapaneseVowels")["source"] == "ts"


def test_what_is_fetched_is_found_without_a_word(server: Server, here: Path) -> None:
    assert main(["fetch", ITALY, "--mirror", server.url]) == 0
    assert archive.passport(ITALY)["source"] == "ts"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fetch", "Cofee"], "dataset 'Cofee' is not in the archive; did you mean 'Coffee'?"),
        (["fetch", "Xyz*"], "dataset 'Xyz*' matches no dataset: a glob is compared with names as in 'GunPoint*'"),
        (["fetch", "Coffee", "--exclude", "all"], "exclude ['all'] leaves nothing of dataset ['Coffee']: exclude less"),
        (["fetch", "Coffee", "--tries", "0"], "--tries 0 is out of range: use 1 or more"),
        (
            ["fetch", "Coffee", "--cases", "9"],
            "--cases and --fold are without effect: they are for datasets of MONSTER, monster:NAME",
        ),
        (
            ["fetch", "Coffee", "--mirror", "ftp://x"],
            "archive.mirror 'ftp://x' is not an http(s) address: write https://HOST/FOLDER or https://HOST/{name}.zip",
        ),
        (
            ["fetch", "Coffee", "--root", "file"],
            "archive root 'file' cannot be created (File exists): use another folder",
        ),
        (["import", "no.zip"], "file 'no.zip' is not readable (No such file or directory): use a zip or a folder"),
        (["import", "file"], "'file' is not a zip: download it again, or from elsewhere"),
    ],
)
def test_bad_input(words: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "file").write_text("text")
    assert main(words) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"error: {message}\n")
    assert left(here) == ["file", "root"]


def slow(request: Request) -> None:
    """Send the file in two halves, the second after a while; go on where it is asked to."""
    if "Range" in request.headers:
        request.ranged(italy())
        return
    request.head(Content_Length=len(italy()), ETag=TAG)
    request.wfile.write(italy()[: len(italy()) // 2])
    request.wfile.flush()
    time.sleep(5)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_fetch_goes_on(sign: signal.Signals, server: Server, here: Path) -> None:
    server.behave = slow
    call = ("data", "fetch", ITALY, "--mirror", server.url, "--root", "root")
    process = start(*call)
    part = here / "root" / ".incoming" / ITALY / "part"
    until = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size == len(italy()) // 2):
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(sign)
    out, err = process.communicate(timeout=30)
    if sign == signal.SIGINT:
        assert (process.returncode, out) == (130, "")
        assert err == "\nstopped: finished datasets are kept, the same command continues\n"
    folder = f".incoming/{ITALY}"
    assert left(here / "root") == [".incoming", folder, f"{folder}/part", f"{folder}/part.json"]
    out, err = (process := start(*call)).communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert server.requests[-1][1]["Range"] == f"bytes={len(italy()) // 2}-"
    assert left(here / "root") == DATASET


def test_two_commands_at_once(server: Server, here: Path) -> None:
    def slowly(request: Request) -> None:
        time.sleep(1)
        request.ranged(italy())

    server.behave = slowly
    call = ("data", "fetch", ITALY, "--mirror", server.url, "--root", "root")
    processes = [start(*call) for _ in range(3)]
    outs = [process.communicate(timeout=60)[0].splitlines()[0].split(",")[0] for process in processes]
    assert sorted(outs) == [f"{ITALY}: already present", f"{ITALY}: already present", f"{ITALY}: downloaded"]
    assert len(server.requests) == 1 and left(here / "root") == DATASET


def test_a_disk_that_takes_no_more(server: Server, here: Path) -> None:
    resource = pytest.importorskip("resource")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    call = ("data", "fetch", ITALY, "--mirror", server.url, "--root", "root")
    process = start(*call, preexec_fn=limit, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (1, "")
    assert out.startswith(f"failed: {ITALY}: archive root 'root' is not writable (File too large): free some space, ")
    assert left(here / "root") == []


# ---------------------------------------------------------------------------------------------------------------------
# import


def official(here: Path) -> Path:
    """Write an encrypted zip in the layout of the official one, with a dataset that is not what it says."""
    files = {f"UCRArchive_2018/{ITALY}/{path}": data for path, data in real(ITALY).items()}
    files |= {f"UCRArchive_2018/Coffee/{path.replace('GunPoint', 'Coffee')}": d for path, d in real("GunPoint").items()}
    (here / "U.zip").write_bytes(encrypted({**files, "UCRArchive_2018/read me.txt": b"text"}, PASSWORD))
    return here / "U.zip"


def check_imported(out: str, here: Path) -> None:
    first, second, last = out.splitlines()[-3:]
    assert first.startswith("refused: Coffee: dataset 'Coffee' in 'U.zip' is of the content of 'GunPoint': take ")
    assert second == f"{ITALY}: imported"
    assert last == "1 of 2 datasets are in 'root'"
    assert left(here / "root") == DATASET


def test_import_with_a_password_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    official(here)
    (here / "password").write_bytes(PASSWORD + b"\nnot this\n")
    call = ["import", "U.zip", "--root", "root", "--password-file"]
    assert main([*call, "password"]) == 1
    check_imported(capsys.readouterr().out, here)
    (here / "wrong").write_bytes(b"other")
    assert main([*call, "wrong"]) == 2
    expected = "error: password of 'U.zip' is wrong: the archive's web page states it beside the download\n"
    assert capsys.readouterr().err == expected
    assert main([*call, "nowhere"]) == 2
    said = "error: --password-file 'nowhere' is not readable (No such file or directory): use another\n"
    assert capsys.readouterr().err == said


def test_import_asks_for_the_password_on_a_terminal_alone(here: Path) -> None:
    official(here)
    call = ("data", "import", "U.zip", "--root", "root")
    code, shown = on_terminal("other", *call)
    assert code == 2 and "error: password of 'U.zip' is wrong: the archive's web page" in shown
    assert "other" not in shown
    assert left(here / "root") == []
    code, shown = on_terminal(PASSWORD.decode(), *call)
    assert code == 1
    check_imported(shown, here)
    out, err = (process := start(*call)).communicate(timeout=30)
    assert (process.returncode, out) == (2, "")
    assert err == "error: 'U.zip' is encrypted and there is no terminal to ask on: use --password-file FILE\n"


def test_import_of_a_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, data in {**real(ITALY), "Mine_TRAIN.tsv": b"a\t1\nb\t2\n", "Mine_TEST.tsv": b"a\t1\nb\t2\n"}.items():
        folder = here / "from" / path.partition("_")[0]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    assert main(["import", "from", "--root", "root"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{ITALY}: imported",
        "Mine: imported, not in the catalogue",
        "2 of 2 datasets are in 'root'",
    ]
    assert main(["import", "from", "--root", "root"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{ITALY}: already present"


# ---------------------------------------------------------------------------------------------------------------------
# archive.download in a run


@pytest.fixture
def coffee(archive_root: Path) -> bytes:
    """Return a zip of a dataset that is not bundled."""
    folder = archive_root / "Coffee"
    return zipped({f"Coffee_{split}.tsv": (folder / f"Coffee_{split}.tsv").read_bytes() for split in ("TRAIN", "TEST")})


def words(server: Server, *more: str) -> tuple[str, ...]:
    return ("run", f"dataset=[{ITALY},Coffee,Beef]", *TINY, f"archive.mirror={server.url}", *more)


def test_a_run_downloads_what_is_missing(coffee: bytes, server: Server, here: Path) -> None:
    server.behave = lambda request: request.ranged(coffee) if "Coffee" in request.path else request.body(b"", 404)
    code, shown = on_terminal("y", *words(server))
    assert "2 datasets are not here: Coffee, Beef\ndownload about 619 kB from" in shown, shown
    assert shown.count("[y/N]") == 1
    assert "Coffee: downloaded, " in shown
    assert f"dataset 'Beef' is not available: '{server.url}/Beef.zip' does not exist (404 Not Found)" in shown
    assert code == 3 and "3 jobs: 0 done before, 2 to run, 1 dataset not usable" in shown
    err = (process := start(*words(server, "archive.download=auto"))).communicate(timeout=60)[1]
    assert process.returncode == 3 and "downloading 1 dataset to" in err
    assert "3 jobs: 2 done before, 0 to run, 1 dataset not usable" in err  # neither setting is part of a key


@pytest.mark.parametrize(("more", "asks"), [("archive.download=ask", True), ("archive.download=never", False)])
def test_a_run_downloads_nothing_without_a_yes(more: str, asks: bool, server: Server, here: Path) -> None:
    call = ("run", "dataset=[Coffee,Beef]", *TINY, f"archive.mirror={server.url}")
    code, shown = on_terminal("", *call, more)
    assert ("2 datasets are not here: Coffee, Beef\n" in shown and "[y/N]" in shown) == asks
    assert code == 3 and "`tsfcn data fetch NAME` downloads" in shown
    assert server.requests == [] and not (here.parent / "data").exists()


def test_a_run_asks_nobody_where_there_is_no_terminal(server: Server, here: Path) -> None:
    call = ("run", "dataset=[Coffee,Beef]", *TINY, f"archive.mirror={server.url}")
    out, err = (process := start(*call)).communicate(timeout=60)
    assert process.returncode == 3 and "[y/N]" not in out + err and server.requests == []


def test_a_dry_run_downloads_nothing(server: Server, here: Path) -> None:
    call = ("run", "dataset=[Coffee,Beef]", *TINY, f"archive.mirror={server.url}", "dry_run=true")
    for more in ("archive.download=ask", "archive.download=auto"):
        code, shown = on_terminal("y", *call, more)
        assert code == 0 and "nothing was run" in shown and "[y/N]" not in shown and server.requests == []


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("archive.download=yes", "archive.download=yes is not known: use one of ask, auto, never"),
        (
            "archive.mirror=example.org",
            "archive.mirror 'example.org' is not an http(s) address: write https://HOST/FOLDER or https://HOST/{name}.zip",
        ),
    ],
)
def test_settings_of_a_run_that_cannot_be(word: str, message: str, here: Path) -> None:
    out, err = (process := start("run", word)).communicate(timeout=60)
    assert (process.returncode, out, err) == (2, "", f"error: {message}\n")
