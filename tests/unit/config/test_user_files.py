"""A folder of the user's own protocols, settings of models and experiments."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsfcn.common.errors import UserError
from tsfcn.config.compose import compose_all
from tsfcn.config.protocol import settings

FILES = {
    "protocol/quick.yaml": "defaults:\n  - fawaz2019\n  - _self_\nname: quick\nmodels:\n  fcn:\n    epochs: 2\n",
    "model/small.yaml": "fcn:\n  filters: [3]\n  kernels: [3]\n",
    "experiment/mine.yaml": (
        "# @package _global_\ndefaults:\n  - override /model: [small]\n  - override /protocol: quick\nseeds: 2\n"
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with one file of each kind."""
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text(content)
    return tmp_path


def test_files_of_the_user_can_be_chosen_like_those_of_the_papers(folder: Path) -> None:
    (composed,) = compose_all(["--config-dir", str(folder), "experiment=mine"])
    run = composed.run
    assert (run.protocol.name, run.seeds) == ("quick", 2)
    (config,) = run.model.configs().values()
    assert vars(config)["filters"] == [3]
    resolved = settings(run.protocol, "fcn", config)
    assert (resolved.epochs, resolved.batch_divisor) == (2, 10)  # its own value, and that of the paper
    assert composed.unchanged.name == "quick"


def test_a_protocol_of_the_user_is_not_what_a_paper_ran(folder: Path) -> None:
    (composed,) = compose_all([f"--config-dir={folder}", "protocol=quick"])
    assert composed.run.protocol.paper_models == []
    (composed,) = compose_all([f"--config-dir={folder}"])
    assert composed.run.protocol.paper_models == ["fcn", "resnet", "mlp", "encoder"]


def test_two_settings_of_one_model_are_two_combinations(folder: Path) -> None:
    composed = compose_all([f"--config-dir={folder}", "model=[fcn,small,mlp]"])
    filters = [vars(each.run.model.configs()["fcn"])["filters"] for each in composed]
    assert filters == [[128, 256, 128], [3]]
    assert all("mlp" in each.run.model.configs() for each in composed)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("protocol/fawaz2019.yaml", "name: fawaz2019\n", "has the name of a file of tsfcn: choose another name"),
        ("protocol/mine.yaml", "name: fawaz2019\n", "has name: fawaz2019: write name: mine"),
        ("model/resnet.yaml", "resnet: {}\n", "has the name of a file of tsfcn"),
        ("model/other.yaml", "nets: {}\n", "is not about one model: nest the settings under one of fcn, "),
        ("experiment/x.yaml", "seeds: 2\n", "is without its first line: write `# @package _global_` there"),
        ("experiment/x.yaml", "# @package _global_\na: {_target_: os.system}\n", "has the key '_target_'"),
        ("experiment/x.yaml", "# @package _global_\nhydra: {run: {dir: x}}\n", "sets Hydra itself"),
        ("experiment/x.yaml", "# @package _global_\ndefaults: [override hydra/launcher: a]\n", "sets Hydra itself"),
        ("experiment/x.yaml", "# @package _global_\ndefaults: [/hydra/launcher]\n", "sets Hydra itself"),
        ("experiment/x.yaml", "- a\n", "is not a mapping of settings"),
        ("experiment/x.yaml", "a: [\n", "cannot be read as YAML"),
        ("experiment/x.yaml", "a: !!python/object/apply:os.system [x]\n", ""),
        ("other/x.yaml", "a: 1\n", "is not in protocol/, model/, experiment/: move it there"),
    ],
)
def test_what_is_not_data_or_poses_as_a_paper_is_refused(name: str, content: str, message: str, folder: Path) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        compose_all([f"--config-dir={folder}", "experiment=x" if path.stem == "x" else "seeds=1"])
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_cannot_read_the_environment(folder: Path) -> None:
    (folder / "experiment" / "x.yaml").write_text("# @package _global_\narchive: {mirror: 'http://x/${oc.env:HOME}'}\n")
    with pytest.raises(UserError, match=r"calls a function, .*: write the value itself$"):
        compose_all([f"--config-dir={folder}", "experiment=x"])


def test_a_folder_without_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no protocol/, model/ or experiment/: put the YAML files there$"):
        compose_all([f"--config-dir={tmp_path}"])
