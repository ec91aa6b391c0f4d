"""The variants of an ablation and their effects."""

from __future__ import annotations

import dataclasses

import pytest

from tests.records import record
from tsfcn.analysis import ablation, verdict
from tsfcn.analysis.ablation import DOES_NOT_MATTER, MOVES, NOT_SHOWN, Variant
from tsfcn.config.compose import compose
from tsfcn.data import published


def variants(*words: str, dataset: str = "GunPoint", n_train: int = 50) -> list[Variant]:
    return ablation.variants(compose(words)[0], dataset, n_train)


def overrides(changes: list[Variant]) -> list[tuple[str, ...]]:
    return [(v.setting, *v.overrides) for v in changes]


def test_variants_are_the_values_of_other_papers() -> None:
    assert overrides(variants("model=fcn", "protocol=fawaz2019")) == [
        ("normalisation", "protocol.normalisation=none"),
        ("normalisation", "protocol.normalisation=train"),
        ("batch", "protocol.batch_size=16", "protocol.batch_divisor=0"),
        ("batch", "protocol.batch_size=128", "protocol.batch_divisor=0"),
        ("initialiser", "protocol.initialiser=he_uniform"),
        ("schedule", "protocol.plateau_factor=0.5", "protocol.plateau_patience=0", "protocol.plateau_min_lr=0.0001"),
        (
            "schedule",
            "protocol.plateau_factor=0.7937005259840998",
            "protocol.plateau_patience=100",
            "protocol.plateau_min_lr=0.0001",
        ),
        ("epsilon", "protocol.eps=1e-08"),
        ("selection",),  # the last weights: the records of the base have their accuracy
        ("selection", "protocol.validation=0.2", "protocol.select=validation"),
        ("selection", "protocol.select=test_oracle"),
        ("precision", "engine.precision=float64"),
    ]


def test_a_network_with_an_lstm_has_its_own_and_a_swapped_dataset_its_split() -> None:
    changes = overrides(variants("model=alstm_fcn", "protocol=karim2019", dataset="Worms", n_train=181))
    assert ("shuffle", "model.alstm_fcn.shuffle=false") in changes
    assert ("gates", "model.alstm_fcn.gates=sigmoid") in changes
    assert ("weights", "protocol.class_weights=balanced") in changes
    assert changes.count(("cells",)) == 3  # the records of the base have the accuracy of each size of the search
    assert changes[-2:] == [("split", "archive.split=ucr2015"), ("precision", "engine.precision=float64")]
    reverse = variants("model=alstm_fcn", "protocol=karim2019", "archive.split=ucr2015", dataset="Worms", n_train=77)
    assert overrides(reverse)[-2] == ("split", "archive.split=ucr2018")


def test_a_batch_rule_that_changes_nothing_is_no_variant() -> None:
    """Of 500 cases min(n / 10, 16) is 16, and of 100 a batch of 128 is all of them whatever the rule says."""
    assert [v.overrides[0] for v in variants(n_train=500) if v.setting == "batch"] == ["protocol.batch_size=128"]
    for_16_cases = [v.text for v in variants(n_train=16) if v.setting == "batch"]  # all 16 cases by either rule
    assert for_16_cases == ["16 whatever the dataset: 16 instead of 1"]
    karim = variants("protocol=karim2019", "model=lstm_fcn", n_train=10)
    assert [v.text for v in karim if v.setting == "batch"] == ["min(n / 10, 16) (Wang, Fawaz): 1 instead of 10"]


def test_every_variant_composes_to_another_experiment() -> None:
    base, _ = compose(["model=lstm_fcn", "protocol=karim2019"])
    for variant in variants("model=lstm_fcn", "protocol=karim2019", dataset="Worms"):
        if variant.overrides:
            changed, _ = compose(["model=lstm_fcn", "protocol=karim2019", *variant.overrides])
            assert dataclasses.asdict(changed) != dataclasses.asdict(base)


def test_effects_move_the_accuracy_or_do_not_matter_or_are_not_shown() -> None:
    base = [record("ItalyPowerDemand", seed=s, accuracy=0.96, accuracy_last=0.961, n_test=1029) for s in range(3)]
    batch, same, noisy, single = (Variant("batch", word, ("x=1",)) for word in ("a", "b", "c", "d"))
    last = Variant("selection", "the last weights", metric="accuracy_last")
    without = Variant("split", "e", ("x=1",))
    changed = [(batch, [0.90, 0.901, 0.902]), (same, [0.961, 0.96, 0.959]), (noisy, [0.99, 0.93, 0.9]), (single, [0.9])]
    figure = published.beside("fawaz2019", "fcn", "ItalyPowerDemand")
    effects = ablation.effects(base, [*changed, (last, [0.961] * 3), (without, [])], figure)
    outcomes = ["", MOVES, DOES_NOT_MATTER, NOT_SHOWN, NOT_SHOWN, DOES_NOT_MATTER]
    assert [effect.outcome for effect in effects] == outcomes
    assert effects[1].difference == pytest.approx(-0.059)
    assert effects[1].low < -0.059 < effects[1].high
    beside = [effect.published.word for effect in effects if effect.published is not None]
    assert beside[0] == verdict.EQUIVALENT and beside[1] == verdict.DIFFERENT


def test_the_accuracy_of_an_lstm_size_is_read_from_the_records_of_the_search() -> None:
    changes = [v for v in variants("model=lstm_fcn", "protocol=karim2019") if v.setting == "cells"]
    assert [v.change for v in changes] == ["always 8", "always 64", "always 128"]
    tried = [{"cells": 8, "accuracy": 0.7}, {"cells": 64, "accuracy": None}, {"cells": 128, "accuracy": 0.9}]
    assert [v.accuracy_in(record(accuracy=0.9, cells=tried)) for v in changes] == [0.7, None, 0.9]
    older = record(accuracy=0.9, cells=[{"cells": 8}])  # written before sizes had an accuracy
    assert [v.accuracy_in(older) for v in changes] == [None] * 3
    assert not [v for v in variants("model=lstm_fcn", "protocol=karim2019", "protocol.cells=[8]") if v.cells]


def test_a_variant_over_datasets_is_judged_against_the_base_on_the_same_datasets() -> None:
    names = ("GunPoint", "Coffee", "CBF", "ECG200", "BeetleFly", "Beef")
    batch, last = Variant("batch", "16", ("x=1",)), Variant("selection", "the last weights", metric="accuracy_last")
    found = []
    for number, name in enumerate(names):
        shift = 0.0005 * number
        base = [record(name, seed=s, accuracy=0.9 + 0.001 * s, n_test=1000) for s in range(3)]
        here = dataclasses.replace(batch, here=f"16 instead of {number}")  # the same variant, whatever it comes to
        changed = [(here, [0.87 + shift, 0.871 + shift, 0.872 + shift])]
        changed += [(last, [0.9, 0.901, 0.902])] if name != "Beef" else []
        figure = published.beside("fawaz2019", "fcn", name)
        found.append(ablation.DatasetEffects(name, base[0], ablation.effects(base, changed, figure), figure))
    base_row, batch_row, last_row = ablation.over_datasets(found)
    assert base_row.change is None and base_row.datasets == names and base_row.mean == pytest.approx(0.901)
    assert batch_row.change is not None and batch_row.change.typical.word == verdict.DIFFERENT
    assert batch_row.change.mean.difference == pytest.approx(-0.03 + 0.0005 * 2.5)
    assert batch_row.moved == names and batch_row.datasets == names
    assert last_row.change is not None and last_row.change.typical.word == verdict.EQUIVALENT
    assert last_row.datasets == names[:5] and last_row.change.typical.n_datasets == 5
    assert base_row.published is not None and batch_row.published is not None
    before, after = base_row.published.mean.difference, batch_row.published.mean.difference
    assert after - before == pytest.approx(batch_row.change.mean.difference)
