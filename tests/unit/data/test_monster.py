"""Datasets of MONSTER by aeon's own loader, from a local server with the addresses of the real one."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.server import Request, Server, serving
from tsfcn.common.errors import UserError
from tsfcn.data import archive, monster

HAS_AEON = all(importlib.util.find_spec(name) is not None for name in ("aeon", "huggingface_hub"))
with_aeon = pytest.mark.skipif(not HAS_AEON, reason="needs aeon and huggingface_hub")
N_CASES, N_CHANNELS, N_TIMEPOINTS, N_TEST = 60, 3, 20, 12


def files() -> dict[str, bytes]:
    """Return the files of a dataset of 60 cases as MONSTER has them: float32 values, labels, five folds."""
    random = np.random.default_rng(0)
    values = random.normal(size=(N_CASES, N_CHANNELS, N_TIMEPOINTS)).astype(np.float32)
    arrays: dict[str, np.ndarray] = {"Walks_X.npy": values, "Walks_y.npy": np.arange(N_CASES) % 4}
    content = {}
    for name, array in arrays.items():
        out = io.BytesIO()
        np.save(out, array)
        content[name] = out.getvalue()
    folds = random.permutation(N_CASES).reshape(5, N_TEST)
    for number, fold in enumerate(folds):
        content[f"test_indices_fold_{number}.txt"] = "\n".join(map(str, sorted(fold.tolist()))).encode()
    return content


def behave(request: Request) -> None:
    """Answer as huggingface.co does: a list of datasets, and the files of one with their hash."""
    path = request.path.partition("?")[0]
    if path == "/api/datasets":
        entry = {"id": "monster-monash/Walks", "author": "monster-monash", "private": False, "downloads": 0, "tags": []}
        request.body(json.dumps([entry]).encode(), Content_Type="application/json")
        return
    content = files().get(path.rpartition("/")[2]) if path.startswith("/datasets/monster-monash/Walks/") else None
    if content is None:
        request.head(404, Content_Length=0, X_Error_Code="EntryNotFound")
        return
    tag = hashlib.sha1(content).hexdigest()
    head: dict[str, Any] = {"ETag": f'"{tag}"', "X_Repo_Commit": "0" * 40, "Accept_Ranges": "bytes"}
    if request.command == "HEAD":
        request.head(200, Content_Length=len(content), **head)
    else:
        request.body(content, **head)


@pytest.fixture
def server() -> Iterator[Server]:
    """Yield a server with one dataset, 'Walks'."""
    with serving() as running:
        running.behave = behave
        yield running


def fetch(server: Server, tmp_path: Path, *words: str) -> tuple[int, str]:
    """Run the command in a process of its own, since the address is read when the library is loaded."""
    places = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_DISABLE_XET": "1"}
    call = [sys.executable, "-m", "tsfcn", "data", "fetch", *words, "--root", str(tmp_path / "root")]
    done = subprocess.run(call, check=False, capture_output=True, text=True, env=os.environ | places, timeout=300)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


@with_aeon
@pytest.mark.slow
def test_a_dataset_is_fetched_and_read_by_its_name(server: Server, tmp_path: Path) -> None:
    code, out = fetch(server, tmp_path, "monster:Walks")
    assert (code, out.splitlines()[0]) == (0, "Walks: downloaded, as dataset=Walks")
    dataset = archive.load("Walks", tmp_path / "root")
    test = np.loadtxt(io.BytesIO(files()["test_indices_fold_0.txt"]), dtype=int)
    values, labels = (np.load(io.BytesIO(files()[f"Walks_{part}.npy"])) for part in "Xy")
    np.testing.assert_array_equal(dataset.x_test, values[test])
    np.testing.assert_array_equal(dataset.x_train, np.delete(values, test, axis=0))
    assert dataset.y_test.tolist() == list(map(str, labels[test]))
    assert (dataset.passport["archive"], dataset.passport["n_channels"]) == ("user", N_CHANNELS)
    assert fetch(server, tmp_path, "monster:Walks")[1].startswith("Walks: already present")


@with_aeon
@pytest.mark.slow
def test_fewer_cases_of_another_fold_are_another_dataset(server: Server, tmp_path: Path) -> None:
    code, out = fetch(server, tmp_path, "monster:Walks", "--cases", "12", "--fold", "1")
    assert (code, out.splitlines()[0]) == (0, "Walks-fold1-12: downloaded, as dataset=Walks-fold1-12")
    dataset = archive.load("Walks-fold1-12", tmp_path / "root")
    test = np.loadtxt(io.BytesIO(files()["test_indices_fold_1.txt"]), dtype=int)
    values = np.load(io.BytesIO(files()["Walks_X.npy"]))
    np.testing.assert_array_equal(dataset.x_test, values[test])
    assert 10 <= len(dataset.x_train) <= 14 and set(dataset.y_train) == {"0", "1", "2", "3"}
    rest = {case.tobytes() for case in np.delete(values, test, axis=0).astype(np.float64)}
    assert {case.tobytes() for case in dataset.x_train} <= rest


@with_aeon
@pytest.mark.slow
def test_what_cannot_be_had_is_one_line_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    code, out = fetch(server, tmp_path, "monster:Runs")
    assert code == 1 and "not found in the Monster collection" in out
    server.behave = lambda request: request.head(500, Content_Length=0)
    code, out = fetch(server, tmp_path, "monster:Walks")
    first, last = out.splitlines()
    assert code == 1 and first.startswith("failed: Walks: dataset 'monster:Walks' cannot be had by aeon (")
    assert last.startswith("0 of 1 datasets are in") and not list((tmp_path / "root").rglob("*"))


@pytest.mark.skipif(HAS_AEON, reason="aeon is installed")
def test_without_aeon_one_line_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        monster.fetch("Pedestrian", tmp_path)
    message = str(caught.value)
    assert message.startswith("dataset 'monster:Pedestrian' needs ")
    assert message.endswith(", which is not installed: pip install aeon huggingface_hub")
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("../x",), "dataset 'monster:../x' is not a name of MONSTER: write monster:Pedestrian"),
        (("Coffee",), "dataset 'monster:Coffee' is not a name of MONSTER: write monster:Pedestrian"),
        (("",), "dataset 'monster:' is not a name of MONSTER: write monster:Pedestrian"),
        (("Traffic", 5), "--fold 5 is out of range: use 0 to 4"),
        (("Traffic", 0, 0), "--cases 0 is out of range: use 1 or more"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: tuple[object, ...], message: str, tmp_path: Path) -> None:
    name, *rest = arguments
    with pytest.raises(UserError) as caught:
        monster.fetch(str(name), tmp_path, *rest)  # type: ignore[arg-type]
    assert str(caught.value) == message
