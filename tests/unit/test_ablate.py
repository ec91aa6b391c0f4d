"""Ablations: which settings are changed for whom, and what the page says about them."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.records import record, save
from tsfcn import ablate
from tsfcn.analysis import verdict
from tsfcn.common.exit_codes import BAD_INPUT, OK
from tsfcn.config.compose import compose
from tsfcn.data import published
from tsfcn.jobs import store
from tsfcn.jobs.record import Record

RESULTS = Path(__file__).parents[2] / "results"


def variants(*words: str, dataset: str = "GunPoint", n_train: int = 50) -> list[ablate.Variant]:
    return ablate.variants(compose(words)[0], dataset, n_train)


def overrides(changes: list[ablate.Variant]) -> list[tuple[str, ...]]:
    return [(v.setting, *v.overrides) for v in changes]


def test_each_variant_is_what_another_paper_has_and_this_run_has_not() -> None:
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
        ("selection",),  # the last weights: the same trainings tell
        ("selection", "protocol.validation=0.2", "protocol.select=validation"),
        ("selection", "protocol.select=test_oracle"),
        ("precision", "engine.precision=float64"),
    ]


def test_a_network_with_an_lstm_has_its_own_and_a_swapped_dataset_its_split() -> None:
    found = overrides(variants("model=alstm_fcn", "protocol=karim2019", dataset="Worms", n_train=181))
    assert ("shuffle", "model.alstm_fcn.shuffle=false") in found
    assert ("gates", "model.alstm_fcn.gates=sigmoid") in found
    assert ("weights", "protocol.class_weights=balanced") in found
    assert found[-2:] == [("split", "archive.split=ucr2015"), ("precision", "engine.precision=float64")]
    back = variants("model=alstm_fcn", "protocol=karim2019", "archive.split=ucr2015", dataset="Worms", n_train=77)
    assert overrides(back)[-2] == ("split", "archive.split=ucr2018")


def test_a_batch_rule_that_changes_nothing_is_no_variant() -> None:
    """Of 500 cases min(n / 10, 16) is 16, and of 100 a batch of 128 is all of them whatever the rule says."""
    assert [v.overrides[0] for v in variants(n_train=500) if v.setting == "batch"] == ["protocol.batch_size=128"]
    of_16 = [v.change for v in variants(n_train=16) if v.setting == "batch"]  # all 16 cases by either rule
    assert of_16 == ["16 whatever the dataset: 16 instead of 1"]
    karim = variants("protocol=karim2019", "model=lstm_fcn", n_train=10)
    assert [v.change for v in karim if v.setting == "batch"] == ["min(n / 10, 16) (Wang, Fawaz): 1 instead of 10"]


def test_every_variant_composes_to_another_experiment() -> None:
    base, _ = compose(["model=lstm_fcn", "protocol=karim2019"])
    for variant in variants("model=lstm_fcn", "protocol=karim2019", dataset="Worms"):
        if variant.overrides:
            changed, _ = compose(["model=lstm_fcn", "protocol=karim2019", *variant.overrides])
            assert dataclasses.asdict(changed) != dataclasses.asdict(base)


def test_what_moves_it_what_does_not_and_what_is_not_shown() -> None:
    base = [record("ItalyPowerDemand", seed=s, accuracy=0.96, accuracy_last=0.961, n_test=1029) for s in range(3)]
    batch, same, wild, one = (ablate.Variant("batch", word, ("x=1",)) for word in ("a", "b", "c", "d"))
    last = ablate.Variant("selection", "the last weights", (), "accuracy_last")
    changed = [(batch, [0.90, 0.901, 0.902]), (same, [0.961, 0.96, 0.959]), (wild, [0.99, 0.93, 0.9]), (one, [0.9])]
    figure = published.beside("fawaz2019", "fcn", "ItalyPowerDemand")
    effects = ablate.effects(
        base, [*changed, (last, [0.961] * 3), (ablate.Variant("split", "e", ("x=1",)), [])], figure
    )
    assert [m.word for m in effects] == ["", "moves it", "does not matter", "not shown", "not shown", "does not matter"]
    assert effects[1].difference == pytest.approx(-0.059)
    assert effects[1].low < -0.059 < effects[1].high
    beside = [m.published.word for m in effects if m.published is not None]
    assert beside[0] == verdict.EQUIVALENT and beside[1] == verdict.DIFFERENT
    text = ablate.page("Title", effects, figure, replace(base[0], batch=6, n_train=67), "the command")
    assert "Moves the number: batch (a, -0.0590)." in text
    assert "- Published: 0.9629 ± 0.0013 (fawaz2019_ucr128, 5 runs): equivalent." in text
    rows = [line.split("|")[2].strip() for line in text.splitlines() if line.startswith("| ")]
    assert rows[2:] == ["as the protocol has it", "d", "a", "c", "the last weights", "b"]  # by the size of the change


def test_it_trains_and_writes_a_page_and_is_lent_what_is_finished(tmp_path: Path) -> None:
    shutil.copytree(RESULTS / "records", tmp_path / "records")
    words = ["dataset=ItalyPowerDemand", "protocol.epochs=1", "executor=inline", f"results={tmp_path / 'ablate'}"]
    assert ablate.main([*words, "settings=[batch,selection]", "seeds=2"]) == OK
    (path,) = (tmp_path / "ablate" / "pages").iterdir()
    assert path.name == "ItalyPowerDemand_fcn_fawaz2019[epochs=1].md"
    text = path.read_text()
    assert "128 (Karim): 67 instead of 6" in text and "BY THE TEST SET" in text and "No published figure" in text
    labels = {r.protocol for r in store.read(tmp_path / "ablate")}
    assert "fawaz2019[batch_divisor=0, batch_size=128, epochs=1]" in labels and len(labels) == 5
    base = ["dataset=ItalyPowerDemand", f"results={tmp_path / 'lent'}" + "/ablate", "executor=inline"]
    shutil.copytree(RESULTS / "records", tmp_path / "lent" / "records")
    assert (
        ablate.main([*base, "seeds=[0,1,2]", "settings=[gates]"]) == OK
    )  # none for an FCN: only the base, all of it lent
    assert len(store.read(tmp_path / "lent" / "ablate")) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "dataset= is not there: name one"),
        (
            ["dataset=GunPoint", "settings=batchsize"],
            "settings=batchsize is not known: use one of all, normalisation, batch",
        ),
        (["dataset=GunPoint", "model=[fcn,mlp]"], "change the settings of one model at a time"),
        (["dataset=Gunpoint"], "did you mean 'GunPoint'?"),
        (["dataset=Coffee"], "dataset 'Coffee' is not available"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate.main([*words, "dry_run=true"]) == BAD_INPUT
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1 and message in err


def test_gaps_are_the_rows_that_differ_the_greatest_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def runs(dataset: str, accuracy: float) -> list[Record]:
        return [record(dataset, seed=s, accuracy=accuracy + 0.001 * s) for s in range(3)]

    far = [*runs("ItalyPowerDemand", 0.8), *runs("GunPoint", 0.5), *runs("Chinatown", 0.979)]
    save(tmp_path / "far", *far)
    assert [row[:4] for row in ablate.gaps(tmp_path / "far")] == [
        ["dataset=GunPoint", "model=fcn", "protocol=fawaz2019", "seeds=3"],
        ["dataset=ItalyPowerDemand", "model=fcn", "protocol=fawaz2019", "seeds=3"],
    ]
    save(tmp_path / "near", *runs("Chinatown", 0.979))
    assert ablate.main([str(tmp_path / "near")]) == OK
    assert "no gap to explain" in capsys.readouterr().out
    for words, message in (
        (["nowhere"], "is without records"),
        (["a", "b"], "'b' is a second folder"),
        (["results", "dataset=Coffee"], "follows from the rows of results"),
    ):
        assert ablate.main(words) == BAD_INPUT
        assert message in capsys.readouterr().err
