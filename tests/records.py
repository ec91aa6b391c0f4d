"""Records as a run would leave them, for tests that need no training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SETTINGS = {"epochs": 2000, "lr": 0.001, "select": "least_train_loss", "betas": [0.9, 0.999]}
PASSPORT = {"archive": "UCR2018", "split": "ucr2018", "source": "tsv", "content": "ab" * 32}


def record(dataset: str = "GunPoint", model: str = "fcn", seed: int = 0, accuracy: float = 0.9, **other: Any) -> Any:
    """Return an ok record of the official split; any field can be given another value."""
    protocol, resample = other.get("protocol", "fawaz2019"), other.get("resample", 0)
    group = other.get("group", f"{dataset}/{model}/{protocol}/{resample}")
    made = {
        "key": f"{group}/{seed}",
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
    return made | other


def save(results: Path, *records: Any) -> Path:
    """Write records as a run would and return the folder."""
    (results / "records").mkdir(parents=True, exist_ok=True)
    with (results / "records" / "one.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps({"schema": 1, **r}) + "\n" for r in records)
    return results


def some_records() -> list[Any]:
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
