"""Jobs: their keys are their content, their labels name what the user changed."""

from __future__ import annotations

import json
import string
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

from tests.factories import COFFEE, PROTOCOL, coffee_job
from tsfcn.common.errors import UserError
from tsfcn.config import models, protocol
from tsfcn.config.compose import compose
from tsfcn.config.models import FCNConfig, LSTMFCNConfig, MLPConfig, ModelConfig, ResNetConfig
from tsfcn.config.protocol import TrainingConfig
from tsfcn.jobs import plan, store
from tsfcn.jobs.plan import Job, digest, jobs, label, plain

RESULTS = Path(__file__).resolve().parents[3] / "results"

# ---------------------------------------------------------------------------------------------------------------------
# Keys


def test_golden_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    # Written down once. Where these move, every record ever written counts as not done: raise MEANING if that is so
    # because the numbers changed, think again if it is not.
    monkeypatch.setattr(plan, "MEANING", 1)
    fcn, lstm_fcn = coffee_job("fcn"), replace(coffee_job("lstm_fcn"), seed=7, resample=2)
    assert (fcn.key, fcn.group) == ("d1773868d9a535cd", "1c3fd4cda543f4ca")
    assert (lstm_fcn.key, lstm_fcn.group) == ("45de62e69c05e3ca", "e48afe9723640a69")


def test_digest_of_a_known_value() -> None:
    # printf '{"a":[1,2.5,"x"],"b":null}' | sha256sum
    assert digest({"b": None, "a": [1, 2.5, "x"]}) == digest({"a": [1, 2.5, "x"], "b": None}) == "ebeb83367f9695ff"
    with pytest.raises(ValueError, match="JSON"):
        digest({"a": float("nan")})


def test_jobs_of_today_have_the_keys_and_settings_of_the_committed_records() -> None:
    """Settings that came later, such as the probes of the data, are not in them at their defaults."""
    records = [record for folder in sorted(RESULTS.glob("**/records")) for record in store.read(folder.parent)]
    plain = [r for r in records if "[" not in r.model + r.protocol and r.code is None and not r.is_ensemble]
    assert len(plain) > 200 and {r.protocol for r in plain} >= {"fawaz2019", "karim2019"}
    names = {(r.protocol, r.model, "classification" if r.task is None else "segmentation") for r in plain}
    composed = {name: compose([f"protocol={name[0]}", f"model={name[1]}", f"task={name[2]}"]) for name in names}
    for r in plain:
        run, unchanged = composed[r.protocol, r.model, "classification" if r.task is None else "segmentation"]
        arguments = ({r.dataset: r.passport}, run.model.configs(), run.protocol, unchanged, [r.seed], [r.resample])
        (job,) = jobs(*arguments, segmentation=None if r.task is None else run.segmentation)
        assert (job.key, job.group, job.off_paper) == (r.key, r.group, r.off_paper)
        assert json.dumps(job.to_json()) == json.dumps({name: getattr(r, name) for name in job.to_json()})


CONTENT: dict[str, Any] = {  # another value for each field that the numbers follow from
    "dataset": "Beef",
    "architecture": "resnet",
    "model_settings": {"filters": [1]},
    "seed": 1,
    "resample": 1,
    "precision": "bfloat16",
    "code": {"package": "mine", "version": "1", "source": "0123456789abcdef"},
    "source": {"key": "0123456789abcdef", "group": "fedcba9876543210"},
    "task": {"name": "segmentation", "passes": 2},
}
LABELS: dict[str, Any] = {"model": "fcn[x=1]", "protocol": "paper[x=1]", "off_paper": True}


@pytest.mark.parametrize("field", [f.name for f in fields(Job)])
def test_key_follows_the_content_and_nothing_else(field: str) -> None:
    job = coffee_job()
    if field in CONTENT:
        other = replace(job, **{field: CONTENT[field]})
        assert other.key != job.key
        assert (other.group == job.group) == (field == "seed")
    elif field in LABELS:
        other = replace(job, **{field: LABELS[field]})
        assert (other.key, other.group) == (job.key, job.group)
    else:
        assert field in ("passport", "settings")  # below


@pytest.mark.parametrize("field", [f.name for f in fields(protocol.Settings)])
def test_key_follows_every_setting(field: str) -> None:
    job = coffee_job("lstm_fcn")
    changed = [{**job.settings, field: 0.123}]
    if field in job.settings:  # a probe of the data is not, unless it is used
        changed.append({name: value for name, value in job.settings.items() if name != field})
    for settings in changed:
        other = replace(job, settings=settings)
        assert other.key != job.key and other.group != job.group


@pytest.mark.parametrize("model", models.MODELS)
def test_key_follows_every_setting_of_the_model(model: str) -> None:
    job = coffee_job(model)
    assert set(job.model_settings) == {f.name for f in fields(models.spec(model).settings)} - {"cells"}
    keys = {replace(job, model_settings={**job.model_settings, name: 0.123}).key for name in job.model_settings}
    assert len(keys | {job.key}) == len(job.model_settings) + 1


def test_key_follows_the_content_of_the_data_and_not_where_it_was_read() -> None:
    job = coffee_job()
    for name in ("archive", "split", "content"):
        assert replace(job, passport={**COFFEE, name: "other"}).key != job.key
    for name in ("source", "n_train", "length"):
        assert replace(job, passport={**COFFEE, name: "other"}).key == job.key
    assert replace(job, passport={}).key != job.key  # a dataset that cannot be had


def test_key_follows_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    job = coffee_job()
    before = job.key, job.group
    monkeypatch.setattr(plan, "MEANING", plan.MEANING + 1)
    now = coffee_job()
    assert now.key != before[0] and now.group != before[1]


def test_key_is_short_hexadecimal() -> None:
    job = coffee_job()
    for text in (job.key, job.group):
        assert len(text) == 16 and set(text) <= set(string.hexdigits.lower())


def test_a_size_asked_of_the_model_or_of_the_protocol_is_the_same_job() -> None:
    one = coffee_job("lstm_fcn", LSTMFCNConfig(cells=8))
    other = coffee_job("lstm_fcn", cells=[8])
    assert one == other and one.protocol == "paper[cells=[8]]"
    assert one.key != coffee_job("lstm_fcn").key
    assert coffee_job("fcn", cells=[8]).key == coffee_job("fcn").key  # has no LSTM


@pytest.mark.parametrize("model", models.MODELS)
def test_json_gives_the_job_back(model: str) -> None:
    job = coffee_job(model, betas=[0.5, 0.999])
    back = Job(**json.loads(json.dumps(job.to_json(), allow_nan=False)))
    assert back == job and back.key == job.key
    assert back.resolved() == protocol.settings(
        replace(PROTOCOL, betas=[0.5, 0.999]), model, models.spec(model).settings()
    )
    assert back.model_config() == models.spec(model).settings()


def test_settings_of_the_model_come_back() -> None:
    asked: list[tuple[str, ModelConfig]] = [
        ("fcn", FCNConfig(filters=[4], kernels=[3])),
        ("lstm_fcn", LSTMFCNConfig(shuffle=False, gates="sigmoid", dropout=0.5)),
        ("mlp", MLPConfig(units=[4], dropout=[0.0, 0.5])),
        ("resnet", ResNetConfig(input_norm=True)),
    ]
    for model, settings in asked:
        assert Job(**json.loads(json.dumps(coffee_job(model, settings).to_json()))).model_config() == settings


# ---------------------------------------------------------------------------------------------------------------------
# Labels


def test_label() -> None:
    assert label("fcn", {}) == "fcn"
    assert label("fcn", {"kernels": [8, 5], "filters": (1, 2), "shuffle": False, "gates": "sigmoid"}) == (
        "fcn[filters=[1,2], gates=sigmoid, kernels=[8,5], shuffle=false]"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (0.5, "0.5"), (1e-7, "1e-07"), (2000.0, "2000"), (True, "true"), ("a", "a"), ([0.5, 1], "[0.5,1]")],
)
def test_plain(value: object, text: str) -> None:
    assert plain(value) == text


def test_unchanged_settings_have_the_plain_names() -> None:
    job = coffee_job()
    assert (job.model, job.protocol, job.off_paper) == ("fcn", "paper", False)
    # Written out, but as the file has it.
    assert coffee_job("fcn", FCNConfig(filters=[128, 256, 128]), epochs=100, betas=[0.9, 0.999]) == job


def test_changed_settings_are_named_and_off_paper() -> None:
    job = coffee_job("fcn", epochs=3, lr=0.01)
    assert (job.model, job.protocol, job.off_paper) == ("fcn", "paper[epochs=3, lr=0.01]", True)
    job = coffee_job("lstm_fcn", LSTMFCNConfig(dropout=0.5, shuffle=False))
    assert (job.model, job.protocol, job.off_paper) == ("lstm_fcn[dropout=0.5, shuffle=false]", "paper", True)
    assert job.architecture == "lstm_fcn"
    # What this model does not use is no change of it.
    assert coffee_job("fcn", cells=[4]).protocol == "paper"
    assert coffee_job("fcn", rho=0.5).key == coffee_job("fcn").key
    assert coffee_job("fcn", optimiser="adadelta", betas=[0.5, 0.5]).protocol == "paper[optimiser=adadelta]"
    assert coffee_job("mlp", initialiser="he_uniform").protocol == "paper"
    # A change of another model's block is none of this one.
    changed: dict[str, Any] = {"fcn": TrainingConfig(epochs=3)}
    blocks = replace(PROTOCOL.models, **changed)
    assert coffee_job("lstm_fcn", models=blocks).protocol == "paper"
    assert coffee_job("fcn", models=blocks).protocol == "paper[epochs=3]"


@pytest.mark.parametrize(
    ("probe", "label"),
    [
        ({"truncate": 0.5}, "paper[truncate=0.5]"),
        ({"permute_time": 0}, "paper[permute_time=0]"),
        ({"noise": 0.25}, "paper[noise=0.25]"),
        ({"test_noise": 1.0, "truncate": 0.3}, "paper[test_noise=1, truncate=0.3]"),
    ],
)
def test_a_probe_of_the_data_is_a_change_like_any_other(probe: dict[str, Any], label: str) -> None:
    job = coffee_job("mlp", **probe)
    assert (job.protocol, job.off_paper) == (label, True)
    assert job.settings == {**coffee_job("mlp").settings, **probe} and job.key != coffee_job("mlp").key
    back = Job(**json.loads(json.dumps(job.to_json())))
    assert back == job and {name: getattr(back.resolved(), name) for name in probe} == probe


def test_a_pair_that_the_paper_did_not_run_is_off_paper() -> None:
    job = coffee_job("mlp")
    assert (job.model, job.protocol, job.off_paper) == ("mlp", "paper", True)


def test_same_names_mean_the_same_settings() -> None:
    dropouts = (0.8, 0.5, 0.25)
    made = [coffee_job("lstm_fcn", LSTMFCNConfig(dropout=p), **changed) for p in dropouts for changed in CHANGES]
    assert len({job.row for job in made}) == len({job.group for job in made}) == len(made)


def test_numbers_that_are_almost_the_same_have_names_of_their_own() -> None:
    assert coffee_job(lr=0.0010000001).protocol != "paper[lr=0.001]"
    assert coffee_job(lr=0.12345678).row != coffee_job(lr=0.12345679).row


CHANGES: list[dict[str, Any]] = [
    {},
    {"epochs": 3},
    {"epochs": 4},
    {"lr": 0.01},
    {"epochs": 3, "lr": 0.01},
    {"cells": [8]},
    {"validation": 0.2},
    {"validation": 0.2, "select": "validation"},
    {"normalisation": "train"},
    {"betas": [0.9, 0.99]},
]


# ---------------------------------------------------------------------------------------------------------------------
# The plan


def test_jobs_are_datasets_by_models_by_resamples_by_seeds() -> None:
    made = jobs(
        {"Coffee": COFFEE, "Beef": {}},
        {"fcn": FCNConfig(), "mlp": MLPConfig()},
        PROTOCOL,
        PROTOCOL,
        iter([3, 0]),
        iter([0, 1]),
    )
    assert [(job.dataset, job.architecture, job.resample, job.seed) for job in made] == [
        (dataset, model, resample, seed)
        for dataset in ("Coffee", "Beef")
        for model in ("fcn", "mlp")
        for resample in (0, 1)
        for seed in (3, 0)
    ]
    # Keys that are made for several seeds at once are those that each job has by itself.
    assert all((replace(job).key, replace(job).group) == (job.key, job.group) for job in made)
    assert len({job.key for job in made}) == 16 and len({job.group for job in made}) == 8
    assert made[-1].passport == {} and made[0].passport == COFFEE


def test_precision_is_that_of_the_reference_loop_where_the_fast_engine_does_not_go() -> None:
    several: dict[str, dict[str, Any]] = {
        "Coffee": COFFEE,
        "Mine": {"n_channels": 2, "length": 9},
        "Short": {"n_channels": 1, "length": 1},
    }
    made = jobs(several, {"fcn": FCNConfig()}, PROTOCOL, PROTOCOL, [0], [0], "bfloat16", if_possible=True)
    assert [job.precision for job in made] == ["bfloat16", "bfloat16", "float32"]
    tiny = replace(PROTOCOL, truncate=0.004)  # one timepoint of 286
    made = jobs(several, {"fcn": FCNConfig()}, tiny, PROTOCOL, [0], [0], "bfloat16", if_possible=True)
    assert [job.precision for job in made] == ["float32", "float32", "float32"]


def test_a_setting_out_of_range_is_refused_before_any_job() -> None:
    with pytest.raises(UserError, match=r"^protocol\.epochs=-1 is out of range"):
        coffee_job(epochs=-1)


def test_asdict_is_plain_json() -> None:
    for model in models.MODELS:
        assert json.loads(json.dumps(asdict(coffee_job(model)))) == coffee_job(model).to_json()
