"""Commands in terminals of several widths and encodings, and where nobody reads what they print."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.terminal import in_terminal, screens
from tsfcn.jobs import store

ROOT = Path(__file__).resolve().parents[2]
TINY = ("protocol=smoke", "model.fcn.filters=[3]", "model.fcn.kernels=[3]", "dataset=ItalyPowerDemand")
FAST = f"results={ROOT / 'benchmarks' / 'engines'}"


def piped(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a verb with its output in pipes."""
    return subprocess.run(
        [sys.executable, "-m", "tsfcn", *words],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        timeout=120,
        check=False,
    )


def shell(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which `tsfcn` is the command; fails where any part of a pipe does."""
    line = f'set -o pipefail; tsfcn() {{ {sys.executable} -m tsfcn "$@"; }}; {command}'
    return subprocess.run(["bash", "-c", line], cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


# ---------------------------------------------------------------------------------------------------------------------
# Widths


@pytest.mark.parametrize("columns", [80, 40])
def test_a_run_fits_into_the_terminal(columns: int, tmp_path: Path) -> None:
    words = (*TINY, "protocol.epochs=300", "seeds=2", "executor=inline")
    code, out = in_terminal("-m", "tsfcn", "run", *words, columns=columns, cwd=tmp_path)
    assert code == 0, out
    *during, end = screens(out)
    assert any(re.search(r"━ \d+ %\n[^%]*of 2 jobs done, [^%]*elapsed,\s", screen) for screen in during)
    assert any("epoch" in screen for screen in during)
    assert "━" not in end and end.count(": accuracy ") == 2  # the display is gone, what is finished stays
    table = end.partition("\ndataset")[2].partition("\n±")[0]
    assert "ItalyPowerDemand" in table and "off-paper" in table
    assert max(map(len, table.splitlines())) <= columns
    assert end.endswith("\nresults: results (tables/accuracy.csv, README.md); next: tsfcn report results\n")


@pytest.mark.parametrize(
    "words",
    [
        ("data", "list", "bundled"),
        ("data", "show", "GunPoint"),
        ("published", "show", "karim2019"),
        ("results", "status", str(ROOT / "benchmarks" / "engines")),
        ("compare", str(ROOT / "benchmarks" / "engines"), "published:fawaz2019_ucr128/FCN"),
    ],
)
def test_tables_fold_in_a_terminal_and_not_in_a_pipe(words: tuple[str, ...], tmp_path: Path) -> None:
    plain = piped(*words, cwd=tmp_path).stdout.decode()
    code, narrow = in_terminal("-m", "tsfcn", *words, columns=40, cwd=tmp_path)
    assert code == 0, narrow
    code, wide = in_terminal("-m", "tsfcn", *words, columns=300, cwd=tmp_path)
    if words[:2] != ("data", "show"):  # whose pictures are as wide as the terminal
        assert wide == plain
    rows = [line for line in narrow.splitlines() if re.search(r"\S {2,}\S", line) and "⠀" not in line]
    assert rows and max(map(len, rows)) <= 40
    cells = {word for line in plain.splitlines() if re.search(r"\S {2,}\S", line) for word in line.split()}
    joined = re.sub(r"\s+", "", narrow)
    missing = [word for word in cells if not set(word) <= set("-") and len(word) < 9 and word not in joined]
    assert not missing


# ---------------------------------------------------------------------------------------------------------------------
# Encodings


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", "0.9938 ? 0.0010"), ("cp1252", "0.9938 ± 0.0010")])
def test_what_an_encoding_lacks_is_replaced(encoding: str, shown: str, tmp_path: Path) -> None:
    done = piped("table", str(copied(tmp_path)), cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout.decode(encoding)
    code, out = in_terminal("-m", "tsfcn.run", *TINY, columns=80, cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert code == 0 and "Traceback" not in out and "━" not in out
    assert re.search(r"\n-* +\d+ %\n", screens(out)[0])  # a bar of what there is
    assert "ItalyPowerDemand" in screens(out)[-1]


def copied(folder: Path) -> Path:
    """Return a copy of the committed records of the default engine."""
    target = folder / "fast" / "records"
    target.mkdir(parents=True)
    for path in (ROOT / "benchmarks" / "engines" / "records").iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target.parent


# ---------------------------------------------------------------------------------------------------------------------
# Pipes, disks, signals, mistakes


@pytest.mark.parametrize("words", ["data list", "published show karim2019", "--help", "data --help"])
def test_a_reader_that_has_seen_enough_is_no_error(words: str, tmp_path: Path) -> None:
    done = shell(f"tsfcn {words} | head -n 1", tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.count("\n") == 1
    done = shell(f"tsfcn {words} | true", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_behind_stdout_is_one_line(tmp_path: Path) -> None:
    done = shell("tsfcn published list > /dev/full", tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: the output is not usable: No space left on device\n"


RUN = f"tsfcn run {shlex.join(TINY)} seeds=3"


@pytest.mark.parametrize(
    "end",
    [
        "executor=inline 2> >(head -n 1)",
        "executor=inline 2>&-",
        "executor.workers=1 2>&-",
        "executor=inline 2>/dev/full",
    ],
)
def test_a_run_goes_on_whatever_happens_to_standard_error(end: str, tmp_path: Path) -> None:
    if "/dev/full" in end and not Path("/dev/full").exists():
        pytest.skip("there is no device that is always full")
    done = shell(f"{RUN} {end}", tmp_path)
    assert done.returncode == 0 and "ItalyPowerDemand" in done.stdout
    records = store.read(tmp_path / "results")
    assert [record.status for record in records] == ["ok"] * 3


def test_a_run_that_failed_says_so_where_nobody_reads_its_table(tmp_path: Path) -> None:
    done = shell(f"{RUN} executor=inline protocol.lr=1e30 2>/dev/null | true", tmp_path)
    assert done.returncode == 1  # of `tsfcn run`: true is 0
    assert "failed" in {record.status for record in store.read(tmp_path / "results")}


def reader_of_folders() -> str:
    """Return the prefix of a command that may not write to folders without the right to; skips where there is none."""
    if os.geteuid() != 0:
        return ""
    if shutil.which("setpriv") is None:
        pytest.skip("root may write to every folder, and setpriv is not here")
    return "setpriv --bounding-set=-dac_override --inh-caps=-dac_override "


def test_a_folder_that_is_read_only_is_printed_all_the_same(tmp_path: Path) -> None:
    results = copied(tmp_path)
    read_only = reader_of_folders()
    assert shell(f"tsfcn table {results}", tmp_path).returncode == 0
    for path in (results, results / "tables"):
        path.chmod(0o555)
    command = f"{read_only}{sys.executable} -m tsfcn"
    done = shell(f"{command} table {results}", tmp_path)
    assert (done.returncode, done.stdout.count("ItalyPowerDemand")) == (0, 1)
    assert done.stderr == (
        f"not written: {results / 'tables'} and README.md, since results folder '{results}' is not writable "
        "(Permission denied): check its permissions and the disk\n"
    )
    done = shell(f"{command} run results={results}", tmp_path)  # all of it is done
    assert done.returncode == 0 and done.stdout.count("ItalyPowerDemand") == 1
    assert "3 done before, 0 to run" in done.stderr and "\nnot written: " in done.stderr


PYTHON = """
import tsfcn
frame = tsfcn.run(
    "ItalyPowerDemand", {"fcn": {"filters": [3], "kernels": [3]}}, {"name": "smoke", "epochs": 1},
    seeds=2, executor="inline", lr=[0.1, 0.2],
)
assert list(frame["protocol"]) == ["smoke[epochs=1, lr=0.1]", "smoke[epochs=1, lr=0.2]"], frame
"""


def test_a_run_in_python_replaces_what_the_encoding_lacks(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PYTHON], cwd=tmp_path, env=environment, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b" ? " in done.stdout and done.stdout.isascii()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_interrupted_ends_with_one_line(how: signal.Signals, tmp_path: Path) -> None:
    code = (
        "import time; from tsfcn.common import exit_codes as codes; "
        "raise SystemExit(codes.run(lambda: print('go', flush=True) or time.sleep(60) or 0, resume='all is kept'))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 (before any thread)
    )
    assert process.stdout is not None and process.stdout.readline() == "go\n"
    process.send_signal(how)
    _, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (130, "\nstopped: all is kept\n")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("table", "--metrik"), "error: unrecognized arguments: --metrik: see `tsfcn table --help`\n"),
        (("data",), "error: the following arguments are required: VERB: see `tsfcn data --help`\n"),
        (("data", "show"), "error: the following arguments are required: NAME: see `tsfcn data show --help`\n"),
        (("watch", "nowhere"), "error: results 'nowhere' is not a folder: name a results folder of a run\n"),
        (("ablate", "nowhere"), "error: results folder 'nowhere' has no records: run `tsfcn run results=nowhere`"),
        (
            ("ablate",),
            "error: dataset= is missing: name a dataset, as dataset=DiatomSizeReduction, or a results folder\n",
        ),
    ],
)
def test_every_mistake_is_one_line(words: tuple[str, ...], line: str, tmp_path: Path) -> None:
    done = piped(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().startswith(line) and done.stderr.count(b"\n") == 1


def test_a_dry_run_does_not_say_what_comes_next(tmp_path: Path) -> None:
    done = piped("run", FAST, "dry_run=true", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
