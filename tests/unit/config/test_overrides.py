"""Overrides as they are typed: text stays text, several values become combinations, near misses name the setting."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from tsfcn.common.errors import UserError
from tsfcn.config.compose import compose, compose_all
from tsfcn.config.libraries import LibraryConfig
from tsfcn.config.overrides import canonical, command_line, from_settings, leaves, place, quoted

ODD_TEXTS = [
    "1.10",
    "1e-3",
    "true",
    "null",
    "2024",
    "it's",
    "a\\b",
    "a\\",
    "\\'",
    'x"y',
    " a ",
    "a (b)",
    "a=b",
    "é{}",
]


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_hydra_reads_a_quoted_text_as_it_is(text: str) -> None:
    (override,) = OverridesParser.create().parse_overrides([f"results={quoted(text)}"])
    assert override.value() == text


@pytest.mark.parametrize("text", [*ODD_TEXTS, "#", "a:b", "C:\\data", "./~x", "50%", "[a]"])
def test_a_folder_is_called_what_was_typed(text: str) -> None:
    assert compose([f"results={text}"])[0].results == text


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("dataset=2024", "2024"),
        ("dataset=1e-3", "1e-3"),
        ("dataset='2024'", "2024"),
        ("dataset=[2024,GunPoint,1.10,true]", ["2024", "GunPoint", "1.10", "true"]),
        ("dataset=2024,0700", ["2024", "0700"]),
        ("dataset=[GS]un*", "[GS]un*"),
        ("exclude=[2024]", ["2024"]),
        ("seeds=0,1,2", [0, 1, 2]),
        ("seeds=range(3)", [0, 1, 2]),
        ("seeds=3", 3),
        ("resample=choice(1,4)", [1, 4]),
        ("resamples=4", 4),
        ("budget=90", "90"),
        ("archive.mirror=1.0", "1.0"),
    ],
)
def test_a_value_is_read_by_the_type_of_its_setting(word: str, value: object) -> None:
    run, _ = compose([word])
    node: Any = run
    for part in word.partition("=")[0].split("."):
        node = getattr(node, part)
    assert node == value


def test_a_home_folder_is_expanded_in_every_path() -> None:
    run, _ = compose(["results=~/r", "archive.root='~/ucr'"])
    assert run.results == str(Path.home() / "r")
    assert run.archive.root == str(Path.home() / "ucr")


def test_a_count_of_resamples_begins_with_the_official_split() -> None:
    assert compose(["resamples=3"])[0].resample == [0, 1, 2]


# ---------------------------------------------------------------------------------------------------------------------
# Several values


@pytest.mark.parametrize("word", ["protocol.lr=0.1,0.01", "protocol.lr=[0.1,0.01]", "protocol.lr=choice(0.1,0.01)"])
def test_each_value_of_a_setting_is_a_combination(word: str) -> None:
    assert [each.run.protocol.lr for each in compose_all(["protocol=smoke", word])] == [0.1, 0.01]


def test_combinations_are_the_product_of_all_values() -> None:
    words = ["protocol=smoke,fawaz2019", "protocol.epochs=1,2", "model=[fcn,resnet]", "seeds=1,2", "dataset=Beef,Car"]
    combinations = [each.run for each in compose_all(words)]
    assert [(run.protocol.name, run.protocol.epochs) for run in combinations] == [
        ("smoke", 1),
        ("smoke", 2),
        ("fawaz2019", 1),
        ("fawaz2019", 2),
    ]
    for run in combinations:
        assert (list(run.model.configs()), run.seeds, run.dataset) == (["fcn", "resnet"], [1, 2], ["Beef", "Car"])
    assert [each.unchanged.epochs for each in compose_all(words)] == [None] * 4


def test_a_setting_that_is_a_list_takes_lists_as_values() -> None:
    words = ["model=lstm_fcn", "protocol.cells=[8,16]"]
    assert [each.run.protocol.cells for each in compose_all(words)] == [[8, 16]]
    for several in ("[8],[16]", "[[8],[16]]"):
        words = ["model=lstm_fcn", f"protocol.cells={several}"]
        assert [each.run.protocol.cells for each in compose_all(words)] == [[8], [16]]


def test_words_and_settings_of_text_may_have_several_values() -> None:
    words = ["protocol=smoke", "protocol.normalisation=none,series", "engine.precision=float32,float64"]
    found = [(each.run.protocol.normalisation, each.run.engine.precision) for each in compose_all(words)]
    assert found == [("none", "float32"), ("none", "float64"), ("series", "float32"), ("series", "float64")]


def test_a_command_for_one_combination_names_what_has_several() -> None:
    with pytest.raises(UserError, match=r"^'protocol\.lr=0\.1,0\.2' gives 2 combinations of settings, but "):
        compose(["protocol.lr=0.1,0.2"])


def test_experiments_that_need_different_machines_are_not_one_run(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    for name in ("a", "b"):
        (tmp_path / "experiment" / f"{name}.yaml").write_text(f"# @package _global_\nresults: {name}\n")
    with pytest.raises(UserError, match=r"^the combinations of settings differ in results: give results one value"):
        compose_all([f"--config-dir={tmp_path}", "experiment=a,b"])


# ---------------------------------------------------------------------------------------------------------------------
# Names


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("epochs", "protocol.epochs"),
        ("epoch", "protocol.epochs"),
        ("batch_size", "protocol.batch_size"),
        ("workers", "executor.workers"),
        ("root", "archive.root"),
        ("precision", "engine.precision"),
        ("filters", "model.fcn.filters"),
        ("every_seconds", "checkpoint.every_seconds"),
        ("optimizer", "protocol.optimiser"),
        ("learning_rate", "protocol.lr"),
        ("output_dir", "results"),
        ("zzz", ""),
    ],
)
def test_a_setting_is_found_by_its_last_name(name: str, setting: str) -> None:
    assert place(name) == setting


def test_every_setting_is_found_by_its_last_name_or_by_one_above_it() -> None:
    for key, _ in leaves():
        if key.count(".") == 1 and key not in ("protocol.name", "protocol.paper", "protocol.paper_models"):
            found = place(key.rpartition(".")[2])
            assert found.rpartition(".")[2] == key.rpartition(".")[2]


def test_python_values_become_overrides() -> None:
    words = from_settings(
        {
            "dataset": ["2024", "a b"],
            "model": {"fcn": {"filters": [3, 4, 3]}, "resnet": {}},
            "protocol": {"name": "smoke", "epochs": 3},
            "lr": [0.1, 0.01],
            "executor": {"name": "inline", "workers": 2},
            "results": Path("a,b"),
            "save_weights": True,
            "budget": None,
        }
    )
    assert words == [
        "dataset=[2024,'a b']",
        "model=[fcn,resnet]",
        "model.fcn.filters=[3,4,3]",
        "protocol=smoke",
        "protocol.epochs=3",
        "protocol.lr=[0.1,0.01]",
        "executor=inline",
        "executor.workers=2",
        "results='a,b'",
        "save_weights=true",
        "budget=null",
    ]
    run = compose_all(words)[1].run
    assert (run.dataset, run.results, run.protocol.lr, run.executor.name) == (["2024", "a b"], "a,b", 0.01, "inline")


def test_parameters_of_a_classifier_of_a_library() -> None:
    typed = ("model=sktime", "model.sktime.estimator=RocketClassifier")
    (composed,) = compose_all([*typed, "model.sktime.params.num_kernels=500", "model.sktime.params.bias={a:[1,x]}"])
    (config,) = composed.run.model.configs().values()
    assert config == LibraryConfig("RocketClassifier", {"num_kernels": 500, "bias": {"a": [1, "x"]}})
    words = from_settings({"model": {"sktime": {"estimator": "RocketClassifier", "params": config.changed()}}})
    assert compose_all(words)[0].run.model.configs() == {"sktime": config}
    swept = compose_all(["model=sktime", "model.sktime.estimator=A,B", "model.sktime.params.list=[1,2]"])
    assert [list(each.run.model.configs().values()) for each in swept] == [
        [LibraryConfig(name, {"list": [1, 2]})] for name in ("A", "B")
    ]


def test_words_of_a_script_from_windows_and_flags_of_hydra() -> None:
    words = ["-m", "--config-dir", "x", "dry_run=true\r", "--multirun", "-cd", "y"]
    assert canonical(words) == ["--config-dir=x", "dry_run=true", "--config-dir=y"]


def test_the_logged_command_has_what_moves_numbers() -> None:
    words = ["-m", "--config-dir", "mine", "protocol.lr=1,2", "archive.split=ucr2015", "archive.root=x", "results=r"]
    logged = "python -m tsfcn.run --config-dir=mine protocol.lr=1,2 archive.split=ucr2015"
    assert command_line(words) == logged


def test_settings_are_composed_in_several_threads_and_beside_hydra_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("a: 1\n")
    words = [[f"protocol.epochs={n}"] for n in range(1, 9)]
    with hydra.initialize_config_dir(str(tmp_path), version_base="1.3"):
        with ThreadPoolExecutor(4) as pool:
            epochs = [run.protocol.epochs for run, _ in pool.map(compose, words)]
        assert epochs == list(range(1, 9))
        assert hydra.compose("mine").a == 1
    assert not GlobalHydra.instance().is_initialized()


@pytest.mark.parametrize("word", ["model=FCN", "model=Fcn", "model=[FCN,fcn]"])
def test_a_model_has_any_spelling(word: str) -> None:
    assert list(compose([word])[0].model.configs()) == ["fcn"]
    assert list(compose(["model=InceptionTime"])[0].model.configs()) == ["inception"]
    both = compose_all(["model=LSTM-FCN,alstmfcn", "protocol=karim2019"])
    assert [list(each.run.model.configs()) for each in both] == [["lstm_fcn", "alstm_fcn"]]
    with pytest.raises(UserError, match="model 'LSTM-FNC' is not known: did you mean 'lstm_fcn'"):
        compose(["model=LSTM-FNC"])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("protocol.epochs=2.5", "protocol.epochs=2.5 is not a whole number: write one, as 3"),
        ("protocol.epochs=2,many", "protocol.epochs=many is not a whole number: write one, as 3"),
        ("protocol.lr=fast", "protocol.lr=fast is not a number: write one, as 0.5"),
        ("segmentation.gap=", "segmentation.gap= is not a number: write one, as 0.5"),
        ("protocol.betas=[0.9,b]", "protocol.betas[1]=b is not a number: write one, as 0.5"),
        ("save_weights=maybe", "save_weights=maybe is not true or false: write one of them"),
    ],
)
def test_a_value_of_another_type_is_named_with_what_is_wanted(word: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        compose_all([word])
    assert str(caught.value) == message


def test_null_is_a_value_among_others() -> None:
    assert [each.run.protocol.init_from for each in compose_all(["protocol.init_from=null,dataset:CBF"])] == [
        None,
        "dataset:CBF",
    ]
