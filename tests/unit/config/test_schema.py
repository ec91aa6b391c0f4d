"""conf/ and its schema: ranges, precedence, the batch rule, and every value of the papers held literally."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from tsfcn.common.errors import UserError
from tsfcn.config import protocol as config
from tsfcn.config import schema
from tsfcn.config.checks import integers
from tsfcn.config.model_config import changes
from tsfcn.config.models import (
    MODELS,
    EncoderConfig,
    FCNConfig,
    HInceptionConfig,
    InceptionConfig,
    LITEConfig,
    LSTMFCNConfig,
    MALSTMFCNConfig,
    MLPConfig,
    MLSTMFCNConfig,
    ResNetConfig,
    models_schema,
    names,
    spec,
)
from tsfcn.config.protocol import DataSettings, ProtocolConfig, Settings, TrainingConfig, protocol_schema
from tsfcn.config.schema import EngineConfig, ExecutorConfig
from tsfcn.config.segmentation_models import LABELS_TIMEPOINTS

CONF = Path(__file__).resolve().parents[3] / "conf"
PROTOCOLS = (
    *("wang2017", "fawaz2019", "karim2019", "karim2019mv", "inceptiontime2020", "hinception2022", "lite2023"),
    *("poolparty2025", "smoke"),
)
TRAINING = [f.name for f in fields(TrainingConfig)]


def raw(group: str, name: str) -> dict[str, Any]:
    """Return a YAML file of conf/ as plain values."""
    values = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{name}.yaml"))
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


@cache
def file(name: str) -> ProtocolConfig:
    """Return a protocol file read through its schema."""
    built = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(protocol_schema()), raw("protocol", name)))
    assert isinstance(built, ProtocolConfig)
    return built


def protocol(
    name: str, *, common: dict[str, Any] | None = None, models: dict[str, dict[str, Any]] | None = None, **top: Any
) -> ProtocolConfig:
    """Return a protocol file with values overridden in `common`, in the blocks of models and at the top."""
    base = file(name)
    blocks = {model: replace(base.models.block(model), **values) for model, values in (models or {}).items()}
    return replace(base, common=replace(base.common, **(common or {})), models=replace(base.models, **blocks), **top)


def resolved(name: str, model: str, **overrides: Any) -> Settings:
    """Return the settings of a model with its default architecture under a protocol file."""
    return config.settings(protocol(name, **overrides), model, spec(model).settings())


# ---------------------------------------------------------------------------------------------------------------------
# The files of conf/


def test_every_group_holds_the_files_that_the_vocabulary_names() -> None:
    assert {path.stem for path in (CONF / "model").iterdir()} == set(MODELS)
    assert {path.stem for path in (CONF / "protocol").iterdir()} == {*PROTOCOLS, "archive", "segmentation"}
    assert [f.name for f in fields(models_schema())] == list(names())
    assert [f.name for f in fields(protocol_schema()().models)] == list(names())


@pytest.mark.parametrize("model", MODELS)
def test_model_file_repeats_the_defaults_of_its_dataclass(model: str) -> None:
    assert raw("model", model) == {model: asdict(spec(model).settings())}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocol_file_says_everything_but_the_overrides(name: str) -> None:
    said = raw("protocol", name)
    # A training value at the top would hold over every block, so it is the user's place alone.
    assert not set(said) & set(TRAINING)
    assert set(said) | {"models"} == {f.name for f in fields(ProtocolConfig)} - set(TRAINING)
    assert said["name"] == name
    assert set(said["common"]) == set(TRAINING)  # so nothing is left open for any model, the paper's or not
    assert None not in said["common"].values()
    for model, block in said.get("models", {}).items():
        assert model in MODELS and block and set(block) <= set(TRAINING)
        # A block says only what differs, or what `common` calls a value for off-paper models.
        assert model in said["paper_models"]


def test_the_protocol_of_dense_labelling_says_everything_and_is_no_papers() -> None:
    said = raw("protocol", "segmentation")
    assert set(said) | {"models"} == {f.name for f in fields(ProtocolConfig)} - set(TRAINING)
    assert set(said["common"]) == set(TRAINING) and None not in said["common"].values()
    assert said["paper_models"] == [] and said["validation"] == 0 and said["select"] == "last"
    assert set(said["models"]) <= set(LABELS_TIMEPOINTS)
    assert all(block and set(block) <= set(TRAINING) for block in said["models"].values())


def test_the_protocol_of_the_archive_is_of_the_data_alone() -> None:
    said = raw("protocol", "archive")
    assert set(said) == {"name", "paper", "paper_models", *(f.name for f in fields(DataSettings))}
    with pytest.raises(UserError, match=r"^protocol 'archive' has no training values, which fcn needs: choose another"):
        resolved("archive", "fcn")


@pytest.mark.parametrize("name", sorted(set(PROTOCOLS) - {"smoke"}))
def test_every_training_value_of_a_paper_has_its_source_beside_it(name: str) -> None:
    text = (CONF / "protocol" / f"{name}.yaml").read_text("utf-8").partition("common:\n")[2]
    values = [line for line in text.splitlines() if line.strip() and not line.rstrip().endswith(":")]
    assert len(values) >= len(TRAINING)
    assert [line for line in values if " # " not in line] == []


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("model", MODELS)
def test_every_protocol_resolves_for_every_model(name: str, model: str) -> None:
    settings = resolved(name, model)
    assert [field for field, value in asdict(settings).items() if value is None] == ["permute_time", "init_from"]
    assert (settings.cells != ()) == spec(model).lstm


def test_config_file_repeats_the_defaults_of_the_run() -> None:
    said = raw(".", "config")
    assert {"schema", "_self_"} <= {entry for entry in said["defaults"] if isinstance(entry, str)}
    groups = {key: value for entry in said["defaults"] if isinstance(entry, dict) for key, value in entry.items()}
    assert {key: groups[key] for key in ("model", "protocol", "executor")} == {
        "model": "fcn",
        "protocol": "fawaz2019",
        "executor": "local",
    }
    default = asdict(schema.RunConfig())
    plain = {key: value for key, value in said.items() if key not in ("defaults", "hydra")}
    assert plain == {key: value for key, value in default.items() if key not in ("model", "protocol", "executor")}
    executor, own = default["executor"], {"slurm": ("minutes", "tasks", "sbatch"), "ray": ("address", "gpus")}
    common = set(executor) - {key for keys in own.values() for key in keys}
    assert raw("executor", "local") == {key: executor[key] for key in common}
    for name, keys in own.items():
        said_there = raw("executor", name)
        assert set(said_there) == common | set(keys) and all(said_there[key] == executor[key] for key in keys)


# ---------------------------------------------------------------------------------------------------------------------
# What the papers did. [P] the paper, [C] the authors' code, as docs/protocols.md says.

ADAM = {"optimiser": "adam", "lr": 0.001, "betas": (0.9, 0.999)}
RULE = {"batch_size": 16, "batch_divisor": 10}  # min(N / 10, 16)
FALL = {"plateau_factor": 0.5, "plateau_patience": 50, "plateau_min_lr": 0.0001, "plateau_min_delta": 0.0001}
MLP_FALL = {"plateau_factor": 0.5, "plateau_patience": 200, "plateau_min_lr": 0.1, "plateau_min_delta": 0.0001}
UNTOUCHED = {"validation": 0.0, "select": "least_train_loss", "class_weights": "none", "missing": "zero"}
GLOROT = {"initialiser": "glorot_uniform"}
KARIM = {
    "normalisation": "series",
    "epochs": 2000,
    "batch_size": 128,
    "batch_divisor": 0,
    **ADAM,
    "eps": 1e-7,
    "plateau_factor": 2 ** (-1 / 3),
    "plateau_patience": 100,
    "plateau_min_lr": 0.0001,
    "plateau_min_delta": 0.0001,
    "initialiser": "he_uniform",
    "cells": (8, 64, 128),
    **UNTOUCHED,
}
WANG = {"normalisation": "train", "eps": 1e-8, **RULE, **GLOROT, **UNTOUCHED}
FAWAZ = {"normalisation": "series", "eps": 1e-7, **GLOROT, **UNTOUCHED}
INCEPTION = {**FAWAZ, **ADAM, **FALL, "epochs": 1500, "batch_size": 64, "batch_divisor": 0}
KARIM_MULTIVARIATE = {**KARIM, "normalisation": "none", "epochs": 1000, "eps": 1e-8}
PAPERS: dict[tuple[str, str], dict[str, Any]] = {
    ("wang2017", "fcn"): {**WANG, **ADAM, **FALL, "epochs": 2000},
    ("wang2017", "resnet"): {**WANG, **ADAM, **FALL, "epochs": 1500},
    ("wang2017", "mlp"): {**WANG, **MLP_FALL, "epochs": 5000, "optimiser": "adadelta", "lr": 0.1, "rho": 0.95},
    ("fawaz2019", "fcn"): {**FAWAZ, **RULE, **ADAM, **FALL, "epochs": 2000},
    ("fawaz2019", "resnet"): {**FAWAZ, **ADAM, **FALL, "epochs": 1500, "batch_size": 64, "batch_divisor": 10},
    ("fawaz2019", "mlp"): {
        **FAWAZ,
        **RULE,
        **MLP_FALL,
        "epochs": 5000,
        "optimiser": "adadelta",
        "lr": 1.0,
        "rho": 0.95,
    },
    ("fawaz2019", "encoder"): {
        **FAWAZ,
        **ADAM,
        "epochs": 100,
        "batch_size": 12,
        "batch_divisor": 0,
        "lr": 1e-5,
        "plateau_patience": 0,
    },
    ("inceptiontime2020", "inception"): INCEPTION,
    ("lite2023", "lite"): INCEPTION,
    ("hinception2022", "h_inception"): {**INCEPTION, "batch_divisor": 10},
    **{
        ("poolparty2025", model): {**FAWAZ, **RULE, **ADAM, **FALL, "epochs": 2000}
        for model in ("fcn", "resnet", "inception", "lite")
    },
    ("karim2019mv", "mlstm_fcn"): KARIM_MULTIVARIATE,
    ("karim2019mv", "malstm_fcn"): KARIM_MULTIVARIATE,
    ("karim2019", "lstm_fcn"): KARIM,
    ("karim2019", "alstm_fcn"): KARIM,
}


@pytest.mark.parametrize(("name", "model"), PAPERS)
def test_protocol_holds_the_values_of_its_paper(name: str, model: str) -> None:
    settings = asdict(resolved(name, model))
    expected = PAPERS[name, model]
    assert {key: settings[key] for key in expected} == expected


def test_the_fcn_of_poolparty_is_that_of_fawaz() -> None:
    assert resolved("poolparty2025", "fcn") == resolved("fawaz2019", "fcn")  # so the jobs are the same


def test_each_paper_names_the_models_that_it_ran() -> None:
    ensemble = re.compile(r":\d+$")  # which has no settings of its own
    ran = {name: [m for m in protocol(name).paper_models if not ensemble.search(m)] for name in PROTOCOLS}
    assert {(name, model.partition("[")[0]) for name, models in ran.items() for model in models} == set(PAPERS)


def test_architectures_of_the_papers() -> None:
    fcn = {"filters": [128, 256, 128], "kernels": [8, 5, 3], "bn_momentum": 0.99, "bn_eps": 0.001}
    assert asdict(FCNConfig()) == fcn
    branch = {"cells": None, "dropout": 0.8, "shuffle": True, "gates": "hard_sigmoid"}
    assert asdict(LSTMFCNConfig()) == {**fcn, **branch}
    assert asdict(MLPConfig()) == {"units": [500, 500, 500], "dropout": [0.1, 0.2, 0.2, 0.3]}
    assert asdict(ResNetConfig()) == {**fcn, "filters": [64, 128, 128], "input_norm": False}
    norm = {"bn_momentum": 0.99, "bn_eps": 0.001}
    inception = {"filters": 32, "kernels": [40, 20, 10], "bottleneck": 32, "depth": 6, "residual": True, **norm}
    assert asdict(InceptionConfig()) == asdict(HInceptionConfig()) == inception
    first = {"filters": 32, "kernels": [40, 20, 10], "hand_crafted": True}
    assert asdict(LITEConfig()) == {**first, "separable_kernels": [20, 10], "dilations": [2, 4], **norm}
    encoder = {"filters": [128, 256, 512], "kernels": [5, 11, 21], "units": 256, "dropout": 0.2}
    assert asdict(EncoderConfig()) == {**encoder, "norm_over": "case", "norm_eps": 0.001}
    assert asdict(MLSTMFCNConfig()) == asdict(MALSTMFCNConfig()) == {**fcn, **branch, "reduction": 16}


# ---------------------------------------------------------------------------------------------------------------------
# Resolving

# For each training value: one for `common`, the model's block and the top, all different and in range.
LADDER: dict[str, tuple[Any, Any, Any]] = {
    "epochs": (5, 6, 7),
    "batch_size": (5, 6, 7),
    "batch_divisor": (5, 6, 7),
    "optimiser": ("adam", "adadelta", "adam"),
    "lr": (0.5, 0.6, 0.7),
    "betas": ([0.5, 0.5], [0.6, 0.6], [0.7, 0.7]),
    "rho": (0.5, 0.6, 0.7),
    "eps": (0.5, 0.6, 0.7),
    "plateau_factor": (0.5, 0.6, 0.7),
    "plateau_patience": (5, 6, 7),
    "plateau_min_lr": (0.5, 0.6, 0.7),
    "plateau_min_delta": (0.5, 0.6, 0.7),
    "initialiser": ("he_uniform", "glorot_uniform", "he_uniform"),
    "class_weights": ("balanced", "none", "balanced"),
    "cells": ([5], [6], [7]),
}


@pytest.mark.parametrize("field", TRAINING)
def test_top_beats_block_beats_common(field: str) -> None:
    common, block, top = (tuple(value) if isinstance(value, list) else value for value in LADDER[field])

    def found(model: str, **overrides: Any) -> Any:
        return getattr(config.settings(protocol("smoke", **overrides), model, LSTMFCNConfig()), field)

    written: dict[str, Any] = {
        "common": {field: LADDER[field][0]},
        "models": {"lstm_fcn": {field: LADDER[field][1]}},
    }
    assert found("lstm_fcn", common=written["common"]) == common
    assert found("lstm_fcn", **written) == block
    assert found("alstm_fcn", **written) == common  # another model's block does not reach it
    for model in ("lstm_fcn", "alstm_fcn"):
        assert found(model, **written, **{field: LADDER[field][2]}) == top


def test_probes_of_the_data_are_off_in_every_protocol() -> None:
    off = {"truncate": 1.0, "permute_time": None, "noise": 0.0, "test_noise": 0.0}
    for name in PROTOCOLS:
        assert {field: asdict(resolved(name, "fcn"))[field] for field in off} == off
        assert not set(resolved(name, "fcn").to_json()) & set(off)
    assert resolved("smoke", "fcn", permute_time=0).to_json()["permute_time"] == 0


def test_no_protocol_has_other_initial_weights_or_rounds_of_refinement() -> None:
    off = {"init_from": None, "refine_rounds": 0, "refine_epochs": 50}
    for name in PROTOCOLS:
        assert {field: asdict(resolved(name, "fcn"))[field] for field in off} == off
        assert not set(resolved(name, "fcn").to_json()) & set(off)
    assert resolved("smoke", "fcn", refine_epochs=7) == resolved("smoke", "fcn")  # of no effect without rounds


def test_zero_is_a_value() -> None:
    assert resolved("fawaz2019", "fcn", batch_divisor=0, plateau_patience=0).batch_divisor == 0
    assert resolved("fawaz2019", "fcn", plateau_patience=0).plateau_patience == 0


def test_cells_of_the_model_beat_those_of_the_protocol() -> None:
    karim = protocol("karim2019")
    assert config.settings(karim, "lstm_fcn", LSTMFCNConfig(cells=16)).cells == (16,)
    assert config.settings(protocol("karim2019", cells=[4, 5]), "lstm_fcn", LSTMFCNConfig()).cells == (4, 5)
    assert config.settings(karim, "fcn", FCNConfig()).cells == ()
    with pytest.raises(UserError, match=r"^protocol\.cells=\[\] is empty: give at least one LSTM size$"):
        resolved("karim2019", "lstm_fcn", cells=[])


@pytest.mark.parametrize("field", TRAINING)
def test_a_value_left_open_is_refused(field: str) -> None:
    with pytest.raises(UserError, match=rf"^protocol\.{field} is not set in protocol 'smoke': give it a value$"):
        resolved("smoke", "lstm_fcn", common={field: None})


@pytest.mark.parametrize(
    ("n_fit", "batch"), [(1, 1), (9, 1), (10, 1), (16, 1), (19, 1), (20, 2), (67, 6), (159, 15), (160, 16), (8926, 16)]
)
def test_batch_rule_of_wang_and_fawaz(n_fit: int, batch: int) -> None:
    for name in ("wang2017", "fawaz2019"):
        assert resolved(name, "fcn").batch(n_fit) == batch


def test_batch_without_the_rule_and_with_another_limit() -> None:
    assert [resolved("karim2019", "lstm_fcn").batch(n) for n in (9, 128, 1000)] == [128, 128, 128]
    assert [resolved("fawaz2019", "resnet").batch(n) for n in (9, 67, 640, 8926)] == [1, 6, 64, 64]


# ---------------------------------------------------------------------------------------------------------------------
# Ranges

OUT_OF_RANGE = [
    ("epochs", 0, "give a number at least 1"),
    ("epochs", -3, "give a number at least 1"),
    ("batch_size", 0, "give a number at least 1"),
    ("batch_divisor", -1, "give a number at least 0"),
    ("lr", 0.0, "give a positive number"),
    ("lr", -0.1, "give a positive number"),
    ("lr", math.inf, "give a positive number"),
    ("lr", math.nan, "give a positive number"),
    ("rho", 1.0, "give a number from 0 to below 1"),
    ("rho", math.nan, "give a number from 0 to below 1"),
    ("eps", -1e-9, "give a number at least 0"),
    ("eps", math.nan, "give a number at least 0"),
    ("plateau_factor", 0.0, r"give a number in \(0, 1\)"),
    ("plateau_factor", 1.0, r"give a number in \(0, 1\)"),
    ("plateau_patience", -1, "give a number at least 0"),
    ("plateau_min_lr", -0.1, "give a number at least 0"),
    ("plateau_min_delta", -0.1, "give a number at least 0"),
    ("validation", 1.0, "give a number from 0 to below 1"),
    ("validation", -0.1, "give a number from 0 to below 1"),
    ("truncate", 0.0, r"give a fraction above 0, at most 1 \(all of it\)"),
    ("truncate", 1.01, r"give a fraction above 0, at most 1 \(all of it\)"),
    ("truncate", math.nan, r"give a fraction above 0, at most 1 \(all of it\)"),
    ("permute_time", -1, "give a number from 0 to 4.29497e\\+09"),
    ("noise", -0.1, "give a number at least 0"),
    ("noise", math.inf, "give a number at least 0"),
    ("test_noise", math.nan, "give a number at least 0"),
]


@pytest.mark.parametrize(("field", "value", "what"), OUT_OF_RANGE)
def test_training_value_out_of_range(field: str, value: float, what: str) -> None:
    with pytest.raises(UserError, match=rf"^protocol\.{field}={value:g} is out of range: {what}$"):
        resolved("smoke", "fcn", **{field: value})


@pytest.mark.parametrize(
    "field", ["normalisation", "missing", "length", "select", "optimiser", "initialiser", "class_weights"]
)
def test_word_that_is_none(field: str) -> None:
    with pytest.raises(UserError, match=rf"^protocol\.{field}=nonsense is not known: use one of \w"):
        resolved("smoke", "fcn", **{field: "nonsense"})


def test_fields_that_do_not_fit_each_other() -> None:
    with pytest.raises(UserError, match=r"^protocol\.betas=\[0\.9\] has 1 values: give two$"):
        resolved("smoke", "fcn", betas=[0.9])
    with pytest.raises(UserError, match=r"^protocol\.betas=1 is out of range: give a number from 0 to below 1$"):
        resolved("smoke", "fcn", betas=[0.9, 1.0])
    with pytest.raises(UserError, match=r"^protocol\.cells=0 is out of range: give a number at least 1$"):
        resolved("smoke", "lstm_fcn", cells=[8, 0])
    with pytest.raises(UserError, match=r"^protocol\.select=validation is without held-out cases"):
        resolved("smoke", "fcn", select="validation")
    assert resolved("smoke", "fcn", select="validation", validation=0.2).validation == 0.2
    with pytest.raises(
        UserError, match=r"^protocol\.noise=0\.1 and protocol\.test_noise=0\.2 are both on the test cases"
    ):
        resolved("smoke", "fcn", noise=0.1, test_noise=0.2)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_mask_is_not_for_the_mlp_and_the_encoder(name: str) -> None:
    for model in ("mlp", "encoder"):
        message = rf"^protocol\.length=mask is not for {model}, .*: use pad or cut, or leave {model} out$"
        with pytest.raises(UserError, match=message):
            resolved(name, model, length="mask")
    for model in sorted(set(MODELS) - {"mlp", "encoder"}):
        assert resolved(name, model, length="mask").length == "mask"
    assert resolved(name, "mlp", length="cut", missing="interpolate").missing == "interpolate"


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (FCNConfig, {"filters": []}, r"filters=\[\] and kernels=\[8, 5, 3\] are of different length"),
        (FCNConfig, {"kernels": [8]}, r"filters=\[128, 256, 128\] and kernels=\[8\] are of different length"),
        (FCNConfig, {"filters": [1, 0, 1]}, "filters=0 is out of range: give a number at least 1"),
        (FCNConfig, {"kernels": [8, 5, -3]}, "kernels=-3 is out of range: give a number at least 1"),
        (FCNConfig, {"bn_momentum": 1.0}, "bn_momentum=1 is out of range: give a number from 0 to below 1"),
        (FCNConfig, {"bn_eps": -0.1}, "bn_eps=-0.1 is out of range: give a number at least 0"),
        (LSTMFCNConfig, {"cells": 0}, "cells=0 is out of range: give a number at least 1"),
        (LSTMFCNConfig, {"dropout": 1.0}, "dropout=1 is out of range: give a number from 0 to below 1"),
        (LSTMFCNConfig, {"gates": "tanh"}, "gates=tanh is not known: use one of hard_sigmoid, sigmoid"),
        (LSTMFCNConfig, {"kernels": [8]}, "are of different length"),
        (MLPConfig, {"units": [500]}, r"dropout=\[0\.1, 0\.2, 0\.2, 0\.3\] has 4 values: give 2"),
        (MLPConfig, {"units": [1, 0, 1]}, "units=0 is out of range: give a number at least 1"),
        (InceptionConfig, {"kernels": []}, r"kernels=\[\] is empty: give at least one number"),
        (InceptionConfig, {"kernels": [40, 0]}, "kernels=0 is out of range: give a number at least 1"),
        (InceptionConfig, {"filters": 0}, "filters=0 is out of range: give a number at least 1"),
        (InceptionConfig, {"bottleneck": -1}, "bottleneck=-1 is out of range: give a number at least 0"),
        (InceptionConfig, {"depth": 0}, "depth=0 is out of range: give a number at least 1"),
        (HInceptionConfig, {"bn_eps": -0.1}, "bn_eps=-0.1 is out of range: give a number at least 0"),
        (LITEConfig, {"separable_kernels": []}, r"separable_kernels=\[\] is empty: give at least one number"),
        (LITEConfig, {"dilations": [2]}, r"separable_kernels=\[20, 10\] and dilations=\[2\] are of different length"),
        (LITEConfig, {"dilations": [2, 0]}, "dilations=0 is out of range: give a number at least 1"),
        (EncoderConfig, {"kernels": [5]}, r"filters=\[128, 256, 512\] and kernels=\[5\] are of different length"),
        (
            EncoderConfig,
            {"filters": [4, 4, 5]},
            r"filters=\[4, 4, 5\] ends with an odd number: attention halves the last",
        ),
        (EncoderConfig, {"norm_over": "batch"}, "norm_over=batch is not known: use one of case, channel"),
        (EncoderConfig, {"units": 0}, "units=0 is out of range: give a number at least 1"),
        (MLSTMFCNConfig, {"reduction": 0}, "reduction=0 is out of range: give a number at least 1"),
        (MLPConfig, {"dropout": [0.1, 0.2, 0.2, 1.0]}, "dropout=1 is out of range: give a number from 0 to below 1"),
        (ResNetConfig, {"filters": []}, r"filters=\[\] is empty: give at least one number"),
        (ResNetConfig, {"kernels": []}, r"kernels=\[\] is empty: give at least one number"),
        (ResNetConfig, {"kernels": [0]}, "kernels=0 is out of range: give a number at least 1"),
        (ResNetConfig, {"bn_eps": -1}, "bn_eps=-1 is out of range: give a number at least 0"),
        (ExecutorConfig, {"workers": -1}, r"executor\.workers=-1 is out of range: give a number at least 0"),
    ],
)
def test_architecture_out_of_range(kind: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        kind(**values)


def test_chosen_models_come_in_one_order() -> None:
    settings: dict[str, Any] = {"resnet": ResNetConfig(), "fcn": FCNConfig()}
    asked = models_schema()(**settings)
    assert list(asked.configs()) == ["fcn", "resnet"]
    assert models_schema()().configs() == {}


# ---------------------------------------------------------------------------------------------------------------------
# Seeds, resamples, and what was changed


def test_integers() -> None:
    assert integers("seeds", 3, count=True) == [0, 1, 2]
    assert integers("seeds", [4, 0], count=True) == [4, 0]
    assert integers("resample", 0, count=False) == [0]
    assert integers("resample", 3, count=False) == [3]
    assert integers("resample", (0, 3), count=False) == [0, 3]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "seeds=0 is out of range: give a number at least 1"),
        (-1, "seeds=-1 is out of range"),
        ([], r"seeds=\[\] is empty: give at least one"),
        ([0, -1], r"seeds=\[0, -1\] holds -1: give whole numbers from 0 to 4294967295"),
        ([2**32], r"seeds=\[4294967296\] holds 4294967296: give whole numbers from 0 to 4294967295"),
        ([0, "a"], "holds 'a': give whole numbers from 0 to 4294967295"),
        ([0, True], "holds True: give whole numbers from 0 to 4294967295"),
        ([0, 1, 0], r"seeds=\[0, 1, 0\] names a number twice"),
        (True, "seeds=True is not a whole number"),
        (1.5, r"seeds=1\.5 is not a whole number"),
        ("two", "seeds=two is not a whole number"),
        (None, "seeds=None is not a whole number"),
    ],
)
def test_integers_refuses(value: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        integers("seeds", value, count=True)


def test_changes_are_the_new_values() -> None:
    now, then = resolved("fawaz2019", "fcn", epochs=3, betas=[0.5, 0.999]), resolved("fawaz2019", "fcn")
    assert changes(now, then) == {"epochs": 3, "betas": (0.5, 0.999)}
    assert changes(then, then) == {}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "is out of range: give a number from 1 to 512"),
        (513, "is out of range: give a number from 1 to 512"),
        *((value, "is not a number of threads: write 2, say, or auto") for value in (1.5, "many", True, None)),
    ],
)
def test_number_of_threads(value: object, message: str) -> None:
    with pytest.raises(UserError, match=f"^engine.threads={value} {message}$"):
        EngineConfig(threads=value)
    assert EngineConfig(threads="auto").threads == "auto" and EngineConfig(threads=4).threads == 4
