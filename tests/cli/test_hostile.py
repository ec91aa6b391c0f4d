"""What results folders, tables, datasets and experiments of strangers hold reaches no terminal, page or mirror."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.records import record, save
from tests.server import serving
from tsfcn import __main__ as command
from tsfcn.analysis import tables
from tsfcn.common.errors import UserError
from tsfcn.jobs import artifacts

ROOT = Path(__file__).resolve().parents[2]
ESCAPE = "\x1b]0;title\x07\x1b[2J\u202e"
LINK = "![x](http://example.org/x.png)"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Return a results folder whose names and reasons hold commands to a terminal, with a heartbeat that does too."""
    name = f"Mine{ESCAPE}"
    results = save(
        tmp_path / "results",
        record(name, f"fcn{ESCAPE}", protocol=f"smoke{ESCAPE}", off_paper=True, architecture="fcn"),
        record(name, f"mlp{ESCAPE}", protocol=f"smoke{ESCAPE}", off_paper=True, architecture="fcn", accuracy=0.8),
        record(name, seed=1, status="failed", reason=f"bad{ESCAPE}\nok: forged", key="f" * 16, architecture="fcn"),
    )
    job = {"key": "a" * 16, "dataset": name, "model": ESCAPE, "protocol": ESCAPE, "seed": 0, "resample": 0, "worker": 0}
    running = [{**job, "epoch": 1, "epochs": 9, "loss": 0.5, "rate": None}]
    done = {"ok": 0, f"failed{ESCAPE}": 1, "skipped": 0}
    state = {"total": 2, "done": done, "elsewhere": 0, "share": 0.1, "per_minute": None, "left_seconds": 5.0}
    heartbeat = {
        "id": f"r{ESCAPE}",
        "host": ESCAPE,
        "pid": 1,
        "machine": "other",
        "state": {**state, "running": running},
    }
    (results / "runners").mkdir()
    (results / "runners" / "r.json").write_text(json.dumps(heartbeat))
    (results / "commands.txt").write_text(f"python -m tsfcn.run{ESCAPE}\n```\n{LINK}\n")
    return results


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return all that a command prints, which holds no control character but the ends of lines."""
    command.main(list(words))
    printed = "".join(capsys.readouterr())
    assert printed.replace("\n", "").isprintable(), printed
    return printed


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("results", "status", "--jobs"), "bad"),
        (("results", "why", "ffff"), "bad"),
        (("watch", "--once"), "epoch 1 of 9"),
        (("table",), "0.9000"),
        (("table", "--markdown"), "0.9000"),
        (("compare",), "beats"),
    ],
)
def test_a_results_folder_prints_no_commands_to_the_terminal(
    words: tuple[str, ...], what: str, hostile: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = shown(capsys, *words, str(hostile))
    assert "\\x1b]0;title\\x07\\x1b[2J\\u202e" in printed.replace("\\\\", "\\")
    assert "\nok: forged" not in printed
    if what != "beats":
        assert what in printed


def test_tables_and_datasets_print_no_commands_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TSFCN_CACHE", str(tmp_path / "cache"))
    rows = "".join(f"{name},0.9,0.8\n" for name in ("Coffee", "Beef", f"Mine{ESCAPE}"))
    (tmp_path / "mine.csv").write_text(f"dataset,A{ESCAPE},B{ESCAPE}\n{rows}")
    assert "\\x1b" in shown(capsys, "compare", str(tmp_path / "mine.csv"))
    folder = tmp_path / "root" / "Mine"
    folder.mkdir(parents=True)
    for split in ("TRAIN", "TEST"):
        (folder / f"Mine_{split}.tsv").write_text("a\x1b[2J\t1\t2\nb\x9b31m\t2\t1\n")
    assert "class a\\x1b[2J: 1 training" in shown(capsys, "data", "show", "Mine", "--root", str(tmp_path / "root"))
    assert "\\x1b" in shown(capsys, "data", "show", ESCAPE, "--root", str(tmp_path / "root"))
    assert "\\x1b" in shown(capsys, "run", f"dataset='{ESCAPE}'", "dry_run=true")


def test_pages_and_csvs_have_no_live_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    formula = "=HYPERLINK(1)"
    results = save(
        tmp_path / "results",
        record(formula, LINK, protocol=LINK, off_paper=True),
        record("Coffee", seed=1, status="failed", reason=f"{formula} {LINK}", key="f" * 16),
        record("Beef", status="failed", reason=formula, key="e" * 16),
    )
    (results / "commands.txt").write_text(f"```\n{LINK}\n````\n")
    assert command.main(["table", str(results)]) == 0
    page = (results / "README.md").read_text()
    outside, fenced = re.fullmatch(r"(.*?)\n`````sh\n(.*)\n`````\n.*", page, re.DOTALL).groups()  # type: ignore[union-attr]
    assert LINK in fenced and LINK not in outside and "\\![x]\\(http" in outside
    cells = [cell for path in (results / "tables").glob("*.csv") for cell in re.split("[,\n]", path.read_text())]
    assert f"'{formula}" in cells and not [cell for cell in cells if cell.startswith(("=", '"='))]


@pytest.mark.parametrize("stated", [True, False])
def test_predictions_that_unpack_to_more_than_their_record_allows_are_not_unpacked(
    stated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3 MB of zeros unpack to 3 GB; here a limit on the file's own size takes the place of the memory's."""
    each = record(key="a" * 16, accuracy=1.0, n_test=10 if stated else None, n_classes=2 if stated else None)
    path = artifacts.predictions_path(tmp_path, each.key)
    path.parent.mkdir()
    header = io.BytesIO()
    n_values = 10_000_000 if stated else artifacts.MAX_PREDICTION_BYTES // 2
    np.lib.format.write_array_header_1_0(header, {"descr": "<f2", "fortran_order": False, "shape": (n_values,)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("probabilities.npy", "w") as entry:
        entry.write(header.getvalue())
        for _ in range(0, 2 * n_values, 1 << 20):
            entry.write(bytes(1 << 20))
    with pytest.raises(UserError, match=r"is unreadable \(ValueError\): delete .* and repeat the run"):
        tables.predictions(each, tmp_path)


def test_predictions_of_a_pipe_are_not_waited_for(tmp_path: Path) -> None:
    each = record(key="a" * 16)
    path = artifacts.predictions_path(tmp_path, each.key)
    path.parent.mkdir()
    os.mkfifo(path)
    assert tables.predictions(each, tmp_path) is None


def test_an_experiment_of_a_stranger_reads_no_environment(tmp_path: Path) -> None:
    """Neither are its values resolved, nor is a mirror asked with them."""
    ignore = shutil.ignore_patterns("__pycache__", "*.csv.gz")
    shutil.copytree(ROOT / "tsfcn", tmp_path / "tsfcn", ignore=ignore)
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    with serving() as server:
        (tmp_path / "conf" / "experiment" / "stranger.yaml").write_text(
            "# @package _global_\ndataset: Coffee\narchive:\n  download: auto\n"
            f"  mirror: {server.url}/${{oc.env:SECRET}}/{{name}}\n"
        )
        environment = {name: value for name, value in os.environ.items() if name != "TSFCN_ARCHIVE"}
        environment |= {"SECRET": "word", "PYTHONPATH": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
        done = subprocess.run(
            [sys.executable, "-m", "tsfcn.run", "experiment=stranger", "protocol=smoke"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert server.requests == []
    expected = f"error: setting 'archive.mirror' calls a function, '{server.url}/${{oc.env:SECRET}}/{{name}}': "
    assert (done.returncode, done.stdout) == (2, "") and done.stderr == expected + "write the value itself\n"
    assert not (tmp_path / "results").exists()


def test_a_record_of_a_failed_download_has_no_query(tmp_path: Path) -> None:
    with serving() as server:
        server.behave = lambda request: request.body(b"", 404)
        environment = {name: value for name, value in os.environ.items() if name != "TSFCN_ARCHIVE"}
        environment |= {"PYTHONPATH": str(ROOT), "XDG_DATA_HOME": str(tmp_path / "data"), "NO_PROXY": "*"}
        mirror = f"archive.mirror='{server.url}/{{name}}.zip?token=SECRET'"
        words = ["dataset=Coffee", "protocol=smoke", "archive.download=auto", mirror, "executor=inline"]
        done = subprocess.run(
            [sys.executable, "-m", "tsfcn.run", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "token=SECRET" in server.requests[0][0]
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert done.returncode == 3 and "does not exist (404 Not Found)" in "".join(written)
    assert "SECRET" not in done.stdout + done.stderr + "".join(written)
