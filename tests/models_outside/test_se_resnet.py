"""A model from outside the package, added as CONTRIBUTING.md says: trained by the command, in the table, off-paper."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tsfcn
from tests.records import require
from tsfcn.analysis import tables
from tsfcn.common.errors import UserError
from tsfcn.config import model_spec, models
from tsfcn.config.compose import compose
from tsfcn.jobs import cost, store
from tsfcn.jobs.plan import Job
from tsfcn.models import initialisers, register, registry
from tsfcn.runs.planning import planned

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SMALL = ("model=se_resnet", "model.se_resnet.filters=[4,6]", "model.se_resnet.reduction=2", "protocol=smoke")
NAME = re.compile(r"se_resnet\+[0-9a-f]{6}\[filters=\[4,6\], reduction=2\]")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the package of this folder is installed, as far as Python needs: by its metadata."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    site = tmp_path_factory.mktemp("site")
    (site / "se_resnet").symlink_to(HERE / "se_resnet")
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [line for group, entries in groups for line in (f"[{group}]", *(f"{n} = {v}" for n, v in entries.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return site


def command(*words: str, site: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Call `python -m tsfcn WORDS` where the package in `site` is installed."""
    paths = os.pathsep.join(map(str, (ROOT, site)))
    environment = {**os.environ, "PYTHONPATH": paths}
    words = (sys.executable, "-m", "tsfcn", *words)
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=150, check=False)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[model_spec.ModelSpec]:
    """Register the model in Python, in this process alone."""
    monkeypatch.syspath_prepend(HERE)
    from se_resnet import MODEL

    yield register(MODEL)
    model_spec.unregister(MODEL.name)


@pytest.mark.slow
def test_a_network_that_was_changed_is_another_row_and_a_broken_one_is_refused(site: Path, tmp_path: Path) -> None:
    package = tmp_path / "site" / "se_resnet"
    shutil.copytree(site, package.parent, symlinks=False)
    words = ("dataset=ItalyPowerDemand", *SMALL, "executor.workers=1")
    text = (package / "network.py").read_text()
    for change, n_done in (("", 0), ("# changed\n", 0), ("", 1)):
        (package / "network.py").write_text(text + change)
        done = command("run", *words, site=package.parent, cwd=tmp_path)
        assert done.returncode == 0 and f"1 job: {n_done} done before" in done.stderr, done.stderr
    first, second = store.read(tmp_path / "results")
    assert first.code is not None and second.code is not None and first.model != second.model
    assert first.code | {"source": ""} == {"package": "se-resnet", "version": "1.0", "source": ""}
    assert first.code["source"] != second.code["source"] and first.accuracy == second.accuracy
    (package / "network.py").write_text("import nothing_of_this_name\n")
    broken = command("run", *words, site=package.parent, cwd=tmp_path)
    assert broken.returncode != 0 and "cannot be imported" in broken.stdout + broken.stderr
    assert "Traceback" not in broken.stderr


@pytest.mark.slow
def test_a_model_of_an_installed_package_is_trained_by_workers(site: Path, tmp_path: Path) -> None:
    words = ("dataset=ItalyPowerDemand", *SMALL, "protocol.models.se_resnet.lr=0.01", "executor.workers=1")
    done = command("run", *words, "save_weights=true", site=site, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("ItalyPowerDemand"))
    assert NAME.search(row) and "off-paper" in done.stdout
    (record,) = store.read(tmp_path / "results")
    assert (record.status, record.architecture, record.engine) == ("ok", "se_resnet", "reference")
    assert record.off_paper and record.settings["lr"] == 0.01 and record.settings["cells"] == []
    assert record.model_settings == {
        "filters": [4, 6],
        "kernels": [8, 5, 3],
        "input_norm": False,
        "bn_momentum": 0.99,
        "bn_eps": 0.001,
        "reduction": 2,
    }
    assert record.accuracy > 0.5 and require(record.n_parameters) > 0
    again = command("run", *words, site=site, cwd=tmp_path)
    assert again.returncode == 0 and "1 done before, 0 to run" in again.stderr
    # Where the package is not installed, as here, the folder is read all the same, and the model refused in one line.
    assert tables.accuracy([record])["model"].tolist() == [record.model] and NAME.fullmatch(record.model)
    assert cost.Model([record], record.hardware).observed == {}
    bare = tmp_path / "bare"
    bare.mkdir()
    refused = command("run", *words, site=bare, cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr == "error: model 'se_resnet' is not known: did you mean 'resnet'?\n"
    (weights,) = (tmp_path / "results" / "weights").glob("*.safetensors")
    with pytest.raises(UserError, match=r"^model 'se_resnet' is not registered here: install the package"):
        tsfcn.load_network(weights)


def test_a_model_registered_in_python_is_trained_in_this_process(
    registered: model_spec.ModelSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    how: dict[str, Any] = {"results": str(tmp_path / "results")}
    table = tsfcn.run("ItalyPowerDemand", "se_resnet", "smoke", *SMALL[1:3], "executor=inline", **how)
    ((dataset, model, marks),) = table[["dataset", "model", "marks"]].values.tolist()
    assert (dataset, marks) == ("ItalyPowerDemand", "off-paper") and NAME.fullmatch(model)
    with pytest.raises(UserError) as refused:
        tsfcn.run("ItalyPowerDemand", "se_resnet", "smoke", **how)
    assert str(refused.value) == (
        "model 'se_resnet' is registered in this process alone, where workers do not see it: "
        "use executor=inline, or declare it as an entry point of the group tsfcn.models"
    )


def test_settings_are_checked_and_a_mask_is_refused(registered: model_spec.ModelSpec) -> None:
    for word, message in (
        ("model.se_resnet.reduction=0", "reduction=0 is out of range: give a number at least 1"),
        ("model.se_resnet.reductoin=2", "did you mean 'model.se_resnet.reduction'"),
        (
            "protocol.length=mask",
            "is not for se_resnet, which has no mask: use pad or cut, or leave se_resnet out",
        ),
        ("protocol.cells=[3]", "nothing in this run reads cells"),
    ):
        with pytest.raises(UserError, match=message.replace("[", r"\[")):
            compose(["model=se_resnet", "protocol=smoke", word])
    run, _ = compose(["model=[se_resnet,fcn]", "protocol=fawaz2019"])
    assert list(run.model.configs()) == ["fcn", "se_resnet"]


def test_time_and_memory_are_estimated_from_what_it_declares(registered: model_spec.ModelSpec) -> None:
    jobs = {}
    for model in ("resnet", "se_resnet"):
        run, unchanged = compose(["dataset=Coffee", f"model={model}", "protocol=fawaz2019"])
        (jobs[model],), _ = planned(run, unchanged)
        assert json.loads(json.dumps(jobs[model].to_json()))["architecture"] == model
    gates = 2 * (64 * 4 + 128 * 8 + 128 * 8)
    assert cost.macs(jobs["se_resnet"], 1, 286) == cost.macs(jobs["resnet"], 1, 286) + gates
    assert 0 < cost.Model().seconds(jobs["resnet"]) < cost.Model().seconds(jobs["se_resnet"])
    assert cost.memory(jobs["resnet"]) < cost.memory(jobs["se_resnet"]) < 1.1 * cost.memory(jobs["resnet"])
    assert jobs["se_resnet"].off_paper and not jobs["resnet"].off_paper


def test_gates_that_are_open_leave_the_residual_network(registered: model_spec.ModelSpec) -> None:
    config = registered.settings()
    network = registry.build("se_resnet", config, 2, 20, 3, cells=0).double()
    initialisers.initialise(network, "he_uniform", torch.Generator().manual_seed(0))
    plain = registry.build("resnet", models.spec("resnet").settings(), 2, 20, 3, cells=0).double()
    plain.load_state_dict({k: v for k, v in network.state_dict().items() if not k.startswith("gates.")})
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 2, 20)))
    with torch.no_grad():
        assert not torch.allclose(network.eval()(x), plain.eval()(x))
        for name, value in network.named_parameters():
            if ".excite.bias" in name:
                value.fill_(50.0)
        torch.testing.assert_close(network(x), plain(x))
    gates = (2 * 64 * 4 + 4 + 64) + 2 * (2 * 128 * 8 + 8 + 128)
    assert registry.n_parameters(network) == registry.n_parameters(plain) + gates


def test_the_model_takes_about_sixty_lines() -> None:
    lines = [line for path in (HERE / "se_resnet").glob("*.py") for line in path.read_text().splitlines()]
    assert len([line for line in lines if line.strip()]) <= 65


def test_the_key_of_a_job_holds_name_and_settings(registered: model_spec.ModelSpec) -> None:
    run, unchanged = compose(["dataset=Coffee", *SMALL])
    (job,), _ = planned(run, unchanged)
    assert isinstance(job, Job)
    assert job.content["architecture"] == "se_resnet" and job.content["model"]["reduction"] == 2
