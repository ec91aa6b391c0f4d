"""Records as a run would leave them, for tests that need no training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, TypeVar

from tsfcn.data import published
from tsfcn.data.catalogue import CATALOGUE, SETS
from tsfcn.jobs import selection, store
from tsfcn.jobs.plan import Job, digest
from tsfcn.jobs.record import Record

T = TypeVar("T")

SETTINGS = {"epochs": 2000, "lr": 0.001, "select": "least_train_loss", "betas": [0.9, 0.999]}
PASSPORT = {"archive": "UCR2018", "split": "ucr2018", "source": "tsv", "content": "ab" * 32}

ONE_RUN = {"train_processor_seconds", "test_processor_seconds", "train_seconds", "test_seconds", "job_seconds"}
ONE_RUN |= {"finished", "peak_memory_bytes", "commit"}
"""The fields of a record that differ from run to run, or when somebody edits the package meanwhile."""


def lasting(record: Record, *besides: str) -> dict[str, Any]:
    """Return a record without what differs from run to run, and without the fields `besides`.

    Equality of floats is equality of their bits.
    """
    return {name: value for name, value in record.to_json().items() if name not in ONE_RUN.union(besides)}


def record(dataset: str = "GunPoint", model: str = "fcn", seed: int = 0, accuracy: float = 0.9, **other: Any) -> Record:
    """Return an ok record of the official split; any field can be given another value."""
    protocol, resample = other.get("protocol", "fawaz2019"), other.get("resample", 0)
    group = other.get("group", f"{dataset}/{model}/{protocol}/{resample}")
    fields = {
        "key": digest(f"{group}/{seed}"),
        "group": group,
        "status": "ok",
        "reason": "",
        "dataset": dataset,
        "passport": {"name": dataset, **PASSPORT},
        "model": model,
        "protocol": protocol,
        "off_paper": False,
        "test_selected": False,
        "settings": SETTINGS,
        "model_settings": {"filters": [128, 256, 128]},
        "seed": seed,
        "resample": resample,
        "precision": "float32",
        "meaning": 1,
        "accuracy": accuracy,
        "accuracy_last": accuracy,
        "accuracy_selected": None,
        "n_classes": 2,
        "train_seconds": 10.0,
        "test_seconds": 0.5,
        "device": "cpu",
        "hardware": "A processor",
        "versions": {"torch": "2.13.0", "numpy": "2.3.5"},
        "commit": "0123abc",
        "finished": f"2026-01-0{seed + 1}T00:00:00Z",
    }
    fields |= other
    if fields["status"] != "ok":
        fields["accuracy"] = math.nan
    return Record(**fields)


def record_of(job: Job, **other: Any) -> Record:
    """Return an ok record of a job; any field can be given another value."""
    return record(**{**job.to_json(), "key": job.key, "group": job.group, **other})


def require(value: T | None) -> T:
    """Return a value that must have been recorded."""
    assert value is not None
    return value


def save(results: Path, *records: Record) -> Path:
    """Write records as a run would and return the folder."""
    (results / "records").mkdir(parents=True, exist_ok=True)
    with (results / "records" / "one.jsonl").open("ab") as file:
        file.writelines(each.line() for each in records)
    return results


def written(results: Path) -> list[Record]:
    """Return every record of a results folder, counting or not."""
    return selection.by_time(store.Reader(results).new())


def some_records() -> list[Record]:
    return [
        record("ItalyPowerDemand", seed=0, accuracy=0.96),
        record("ItalyPowerDemand", seed=1, accuracy=0.97),
        record("Coffee", accuracy=1.0, train_seconds=300.0),
        record("Coffee", model="alstm_fcn", accuracy=0.5, off_paper=True, train_seconds=9000.0),
        record("Trace", model="lstm_fcn", protocol="karim2019", accuracy=1.0),
        record("Coffee", protocol="fawaz2019[epochs=3]", accuracy=0.75),
        record("Coffee", seed=1, status="failed", reason="loss is nan | epoch <7> of __init__"),
        record("Beef", status="skipped", reason="dataset 'Beef' is not here: set archive.root"),
    ]


def whole_archive(n_seeds: int = 5, n_epochs: int = 200) -> list[Record]:
    """Return records of six models on all 128 datasets, made from published figures: what a long run would leave.

    fcn, resnet and mlp of fawaz2019 have the published single runs; those of Karim and Wang, of which there is one run,
    are that figure and further ones a few test cases away from it. Times and curves are made up.
    """
    models = [("fawaz2019", model, "fawaz2019_ucr128") for model in ("fcn", "resnet", "mlp")]
    models += [("karim2019", model, "karim2019") for model in ("lstm_fcn", "alstm_fcn")]
    models += [("wang2017", "fcn", "wang2017_readme85")]
    made = []
    for number, (protocol, model, source) in enumerate(models):
        single = published.runs(source)
        figures = {f.dataset: f.mean for f in published.read(source) if (f.model, f.metric) == (model, "accuracy")}
        for dataset, facts in ((name, CATALOGUE[name]) for name in SETS["all"]):
            middle = figures.get(dataset, 1 - facts.dtw_error)
            runs = single[dataset, model].accuracies if (dataset, model) in single else ()
            for seed in range(n_seeds):
                cases = round(middle * facts.n_test) + (seed * 7 + number * 3 + len(dataset)) % 5 - 2
                accuracy = runs[seed % len(runs)] if runs else min(max(cases, 0), facts.n_test) / facts.n_test
                last = min(max(round(accuracy * facts.n_test) + (seed + len(dataset)) % 3 - 1, 0), facts.n_test)
                epochs = sorted({round(1 + i * 1999 / (n_epochs - 1)) for i in range(n_epochs)} | {1500 + 37 * seed})
                losses = [float(f"{1.4 * 0.997 ** (e * (1 + number / 5)) + 1e-4 * (seed + 1):.6g}") for e in epochs]
                made.append(
                    record(
                        dataset,
                        model,
                        seed,
                        accuracy,
                        protocol=protocol,
                        accuracy_least_train_loss=accuracy,
                        accuracy_last=last / facts.n_test,
                        n_classes=facts.n_classes,
                        n_test=facts.n_test,
                        train_seconds=round(facts.n_train * facts.n_timepoints * 2e-3 * (1 + number / 3), 1),
                        curve={"epoch": epochs, "loss": losses, "lr": [0.001] * len(epochs)},
                        best_epoch=1500 + 37 * seed,
                        least_train_loss=min(losses),
                    )
                )
    return made
