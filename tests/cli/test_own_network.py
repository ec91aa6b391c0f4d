"""A network of the user's own in `tsfcn.run`: from a script, from a module, by workers; and what is refused."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import tsfcn
from tests.networks import Mixed, Pooled
from tests.records import require
from tsfcn.common.errors import UserError
from tsfcn.config.compose import compose
from tsfcn.config.model_spec import ModelSpec, of_class, register
from tsfcn.jobs import artifacts, store
from tsfcn.jobs.record import Record
from tsfcn.runs import placement

ROOT = Path(__file__).resolve().parents[2]

NETWORK = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.conv, self.drop = nn.Conv1d(n_in, n_out, 3), nn.Dropout(0.2)

    def forward(self, x):
        return self.drop(torch.relu(self.conv(x)))

class MyNet(nn.Module):
    def forward(self, x):
        return self.head(self.block(x).mean(dim=2))

    def __init__(self, n_channels, n_timepoints, n_classes, width=4):
        super().__init__()
        self.block, self.head = Block(n_channels, width), nn.Linear(width, n_classes)
"""

SCRIPT = """
import tsfcn
if __name__ == "__main__":
    tsfcn.run("ItalyPowerDemand", MyNet, "smoke", save_weights=True)
"""


def python(*words: str, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Call Python in a folder. path: a folder of modules."""
    paths = os.pathsep.join(str(each) for each in (ROOT, path) if each is not None)
    environment = {**os.environ, "PYTHONPATH": paths}
    words = (sys.executable, *words)
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=150, check=False)


def records(results: Path) -> list[Record]:
    found = store.read(results)
    assert all(record.is_ok for record in found), [record.reason for record in found]
    return found


@pytest.mark.slow
def test_a_script_finds_its_finished_jobs_and_trains_a_changed_network_anew(tmp_path: Path) -> None:
    def run(text: str) -> str:
        (tmp_path / "script.py").write_text(text + SCRIPT)
        done = python("script.py", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stderr

    first = run(NETWORK)
    assert "model my_net, which is known in this process alone: all jobs are trained here" in first
    assert "1 job: 0 done before, 1 to run" in first
    assert "1 job: 1 done before, 0 to run" in run(NETWORK + "\nUNUSED = 1\n")
    assert "1 job: 0 done before, 1 to run" in run(NETWORK.replace("nn.Dropout(0.2)", "nn.Dropout(0.3)"))
    one, two = records(tmp_path / "results")
    assert require(one.code)["source"] != require(two.code)["source"] and one.model != two.model
    assert one.model == f"my_net+{require(one.code)['source'][:6]}" and one.off_paper
    assert one.curve != two.curve

    weights = artifacts.weights_path(tmp_path / "results", one.key)
    for command in (("predict", str(weights), "unused.csv"), ("explain", "dataset=ItalyPowerDemand", "model=my_net")):
        refused = python("-m", "tsfcn", *command, cwd=tmp_path)
        assert refused.returncode == 2
        assert refused.stderr.startswith("error: model 'my_net' is not ") and refused.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_class_of_an_installed_package_is_trained_by_workers_with_the_same_bits(tmp_path: Path) -> None:
    site = tmp_path / "site"
    info = site / "my_package-1.2.dist-info"
    info.mkdir(parents=True)
    (site / "my_networks.py").write_text(NETWORK)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[tsfcn.models]\nmy_net = my_networks:MyNet\n")
    (tmp_path / "script.py").write_text("from my_networks import MyNet\n" + SCRIPT)
    alone = python("script.py", cwd=tmp_path, path=site)
    assert alone.returncode == 0 and "executor=inline" not in alone.stderr, alone.stderr
    words = ("-m", "tsfcn", "run", "dataset=ItalyPowerDemand", "model=my_net", "protocol=smoke", "save_weights=true")
    again = python(*words, cwd=tmp_path, path=site)
    assert "1 job: 1 done before, 0 to run" in again.stderr, again.stderr
    other = python(*words, "results=here", "executor=inline", cwd=tmp_path, path=site)
    assert other.returncode == 0, other.stderr
    (of_worker,), (of_this,) = records(tmp_path / "results"), records(tmp_path / "here")
    assert of_worker.code == of_this.code and require(of_this.code)["package"] == "my-package"
    assert require(of_this.code)["version"] == "1.2" and of_worker.curve == of_this.curve


def test_lists_settings_and_specs(tmp_path: Path, forgotten_models: None, capsys: pytest.CaptureFixture[str]) -> None:
    results = str(tmp_path / "results")
    given = ["mlp", Pooled, of_class(Mixed, "mixture")]
    table = tsfcn.run(
        "ItalyPowerDemand", given, "smoke", "model.mlp.units=[3]", "model.mlp.dropout=[0,0]", results=results
    )
    assert [name.partition("+")[0].partition("[")[0] for name in table["model"]] == ["mixture", "mlp", "pooled"]
    assert (
        "workers cannot import model pooled, mixture, which is known in this process alone" in capsys.readouterr().err
    )
    for named in ({Pooled: {"width": 6, "kernels": [5]}}, {"pooled": {"width": 6, "kernels": [5]}}):
        table = tsfcn.run("ItalyPowerDemand", named, "smoke", results=results, executor="threads", seeds=2)
        ((model, n_seeds),) = table[["model", "n_seeds"]].values.tolist()
        assert model.endswith("[kernels=[5], width=6]") and n_seeds == 2
    assert "2 done before, 0 to run" in capsys.readouterr().err


def test_on_a_gpu_they_are_trained_one_at_a_time_unless_the_user_says_how_many(forgotten_models: None) -> None:
    register(Pooled)
    for words, expected in (
        (("model=fcn",), 8),
        (("model=[fcn,pooled]",), 1),
        (("model=[fcn,pooled]", "executor.per_device=3"), 3),
    ):
        assert placement.of_run(compose([*words, "protocol=smoke"]).run, "cuda:0").n_at_a_time() == expected


def test_threads_leave_the_records_that_one_job_after_the_other_leaves(tmp_path: Path, forgotten_models: None) -> None:
    curves = []
    for executor in ("inline", "threads"):
        results = str(tmp_path / executor)
        how = {"name": executor, "workers": 3}
        tsfcn.run("ItalyPowerDemand", Mixed, "smoke", results=results, executor=how, seeds=3, epochs=2)
        curves.append({record.seed: record.curve for record in records(tmp_path / executor)})
    assert curves[0] == curves[1] and len(curves[0]) == 3


def test_kept_weights_give_the_network_back_in_a_process_that_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten_models: None
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "kept_network.py").write_text(NETWORK + "        self.same = self.head\n")
    module: Any = importlib.import_module("kept_network")
    tsfcn.run("ItalyPowerDemand", module.MyNet, "smoke", results=str(tmp_path), save_weights=True)
    (record,) = records(tmp_path)
    weights = artifacts.weights_path(tmp_path, record.key)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network, about = tsfcn.load_network(weights)
    assert type(network) is module.MyNet and about["architecture"] == "my_net"
    assert torch.equal(network.get_parameter("head.weight"), network.get_parameter("same.weight"))
    (tmp_path / "kept_network.py").write_text(
        NETWORK.replace("torch.relu", "torch.tanh") + "        self.same = self.head\n"
    )
    register(importlib.reload(module).MyNet)
    with pytest.warns(
        UserWarning, match=rf"^the code of my_net is not that of the weights, my_net\+{record.model[7:13]}$"
    ):
        tsfcn.load_network(weights)


@pytest.mark.parametrize("executor", ["local", {"workers": 1}])
def test_workers_are_refused_where_the_user_chose_them(
    executor: object, tmp_path: Path, forgotten_models: None
) -> None:
    with pytest.raises(UserError) as refused:
        tsfcn.run("ItalyPowerDemand", Pooled, "smoke", results=str(tmp_path), executor=executor)
    assert str(refused.value) == (
        "model 'pooled' is registered in this process alone, where workers do not see it: "
        "use executor=inline, or declare it as an entry point of the group tsfcn.models"
    )


def test_a_network_that_no_dataset_suits_is_refused_and_one_that_some_suit_fails_there(
    tmp_path: Path, forgotten_models: None, capsys: pytest.CaptureFixture[str]
) -> None:
    long: dict[str, Any] = {
        "model": {Pooled: {"kernels": [25]}},
        "protocol": "smoke",
        "results": str(tmp_path),
        "max_attempts": 1,
    }
    with pytest.raises(UserError, match=r"^network Pooled fails on cases of 1 channel and 24 timepoints, 2 classes \("):
        tsfcn.run("ItalyPowerDemand", **long)
    assert not (tmp_path / "records").exists()
    table = tsfcn.run(["ItalyPowerDemand", "GunPoint"], **long)
    assert table["dataset"].tolist() == ["GunPoint"]
    (failed,) = (record for record in store.read(tmp_path) if not record.is_ok)
    assert failed.dataset == "ItalyPowerDemand" and failed.reason.startswith(
        "network Pooled fails on cases of 1 channel"
    )
    assert "Traceback" not in capsys.readouterr().err


def test_a_registered_spec_can_keep_its_own_initial_weights(tmp_path: Path, forgotten_models: None) -> None:
    mine = of_class(Mixed)
    spec = ModelSpec("declared", mine.settings, Mixed, masks=True, own_initialisation=True)
    table = tsfcn.run("ItalyPowerDemand", spec, "smoke", "protocol.length=mask", results=str(tmp_path))
    assert table["marks"].tolist() == ["off-paper"] and records(tmp_path)[0].n_parameters == 438
