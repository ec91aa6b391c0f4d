"""Ensembles: the mean by hand, which runs are averaged, and what their records are beside those of the runs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.factories import ITALY, train, trainable_job
from tests.records import record, save, written
from tsfcn.ablate import differing_rows
from tsfcn.analysis import convert, ensemble, tables, verdict
from tsfcn.cli.predict import kept_weights
from tsfcn.common.errors import UserError
from tsfcn.jobs import artifacts, cost, maintenance, store
from tsfcn.jobs.record import Record
from tsfcn.report import provenance
from tsfcn.report.document import report
from tsfcn.run import main as run

CLASSES = np.array(["a", "b", "c"])
Y_TRUE = np.array([0, 2, 1, 0])
# (n_cases, n_classes) of three runs. The mean is right on the first two cases, where two runs and then one are wrong.
ONE = [[0.5, 0.25, 0.25], [0.5, 0.0, 0.5], [0.25, 0.5, 0.25], [0.0, 0.0, 1.0]]
TWO = [[0.25, 0.5, 0.25], [0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.0, 0.5, 0.5]]
THREE = [[0.5, 0.25, 0.25], [0.0, 0.0, 1.0], [0.25, 0.25, 0.5], [0.0, 0.25, 0.75]]


def saved(results: Path, runs: Mapping[tuple[str, int], Sequence[Sequence[float]]], **fields: Any) -> list[Record]:
    """Write runs by model and seed with these probabilities, and return their records."""
    records = []
    for (model, seed), rows in runs.items():
        probabilities = np.array(rows)
        y_pred = probabilities.argmax(axis=1)
        sizes = {"n_train": 10, "n_test": len(Y_TRUE), "n_classes": len(CLASSES), "n_parameters": 100 + seed}
        accuracy = float(np.mean(y_pred == Y_TRUE))
        run = record(model=model, architecture=model, seed=seed, accuracy=accuracy, **{**sizes, **fields})
        artifacts.write_predictions(results, run.key, probabilities, Y_TRUE, y_pred, CLASSES)
        records.append(run)
    save(results, *records)
    return records


def made(outcome: ensemble.Outcome) -> list[Record]:
    """Return the ensembles of an outcome, which has no problems."""
    assert outcome.problems == []
    return outcome.ensembles


# ---------------------------------------------------------------------------------------------------------------------
# The mean


def test_the_committed_predictions_give_the_committed_ensembles(tmp_path: Path) -> None:
    committed = Path(ensemble.__file__).parents[2] / "results" / "ensembles"
    records = store.read(committed)
    save(tmp_path, *(each for each in records if not each.is_ensemble))
    shutil.copytree(committed / "predictions", tmp_path / "predictions")
    nne = "fcn:5+resnet:5+encoder:5"
    again = {each.key: each.accuracy for each in ensemble.make(tmp_path, nne, "fawaz2019").ensembles}
    assert again == {each.key: each.accuracy for each in records if each.model == nne} and len(again) >= 5


def test_the_mean_by_hand_and_the_first_of_equal_classes() -> None:
    mean, predicted = ensemble.average(np.array(rows, dtype=np.float16) for rows in (ONE, TWO))
    assert mean.dtype == np.float64 and mean.shape == (4, 3)
    assert mean.tolist() == [[0.375, 0.375, 0.25], [0.5, 0.125, 0.375], [0.375, 0.375, 0.25], [0.0, 0.25, 0.75]]
    assert predicted.tolist() == [0, 0, 0, 2]


def test_a_record_like_that_of_a_run(tmp_path: Path) -> None:
    runs = saved(tmp_path, {("fcn", 0): ONE, ("fcn", 1): TWO, ("resnet", 0): THREE})
    (found,) = made(ensemble.make(tmp_path, "fcn:2+resnet:1"))
    assert found in store.read(tmp_path)
    assert (found.status, found.architecture, found.model) == ("ok", "ensemble", "fcn:2+resnet:1")
    assert (found.protocol, found.dataset, found.seed, found.resample) == ("fawaz2019", "GunPoint", 0, 0)
    assert found.members == [each.key for each in runs] and found.is_ensemble
    assert found.settings == runs[0].settings and found.passport == runs[0].passport
    assert (found.n_train, found.n_test, found.n_classes) == (10, 4, 3)
    assert (found.n_parameters, found.train_seconds, found.test_seconds) == (301, 30.0, 1.5)
    assert found.train_processor_seconds is None, "the runs have none"
    assert (found.engine, found.curve, found.batch, found.cross_entropy) == ("", None, None, None)
    mean = (np.array(ONE) + TWO + THREE) / 3
    stored = tables.stored_predictions(found, tmp_path)
    assert stored is not None and stored.classes == list(CLASSES)
    np.testing.assert_array_equal(stored.probabilities, mean.astype(np.float16))
    assert stored.y_true.tolist() == Y_TRUE.tolist() and stored.y_pred.tolist() == [0, 2, 0, 2]
    assert found.accuracy == 0.5
    assert found.balanced_accuracy == pytest.approx((1 / 2 + 0 + 1) / 3)
    (row,) = (r for r in tables.accuracy(store.read(tmp_path)).to_dict("records") if r["model"] == "fcn:2+resnet:1")
    assert (row["mean"], row["n_seeds"], row["train_seconds"]) == (0.5, 1, 30.0)


def test_the_time_of_runs_on_different_devices_is_wall_time(tmp_path: Path) -> None:
    saved(tmp_path, {("fcn", 0): ONE}, train_processor_seconds=4.0)
    saved(tmp_path, {("fcn", 1): TWO}, train_processor_seconds=5.0)
    (found,) = made(ensemble.make(tmp_path, "fcn:2"))
    assert (found.device, found.seconds("train")) == ("cpu", 9.0)
    saved(tmp_path, {("fcn", 2): ONE}, train_processor_seconds=4.0)
    saved(tmp_path, {("fcn", 3): TWO}, train_processor_seconds=5.0, device="cuda:0", gpu="A GPU", hardware="Another")
    _, found = made(ensemble.make(tmp_path, "fcn:2"))
    assert (found.device, found.hardware, found.gpu) == ("cpu + cuda:0", "A processor + Another", None)
    assert found.seconds("train") == 20.0


# ---------------------------------------------------------------------------------------------------------------------
# Members


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("inception:5", {"inception": 5}),
        ("fcn:10+resnet:10+encoder:10", {"fcn": 10, "resnet": 10, "encoder": 10}),
        ("fcn[filters=[3], bn_eps=0.1]:2", {"fcn[filters=[3], bn_eps=0.1]": 2}),
        ("se_resnet+3fa2c1:5+fcn:1", {"se_resnet+3fa2c1": 5, "fcn": 1}),
        ("'fcn:2'", {"fcn": 2}),
    ],
)
def test_members_are_read(text: str, counts: dict[str, int]) -> None:
    assert ensemble.parse(text) == counts


@pytest.mark.parametrize("text", ["", "fcn", "fcn:", ":5", "fcn:5+", "fcn:5+a", "fcn:-1", "fcn:2.5", "fcn:9999999"])
def test_what_is_not_a_list_of_members(text: str) -> None:
    with pytest.raises(UserError, match=r"^members=.* is not MODEL:COUNT, or several .*: write members=inception:5$"):
        ensemble.parse(text)


@pytest.mark.parametrize(
    ("members", "protocol", "message"),
    [
        ("fcn:0+resnet:2", None, r"^members=fcn:0\+resnet:2 is too few: "),
        ("fcn:1", None, "^members=fcn:1 is too few: an ensemble has two runs or more"),
        ("fcn:2+fcn:3", None, "^member 'fcn' is there twice: write fcn:5$"),
        ("FCN:2+fcn:3", "fawaz2019", "^member 'fcn' is there twice: write fcn:5$"),
        ("resnt:2", None, "^member 'resnt' has no finished run in '.*': did you mean 'resnet'"),
        ("mlp:2", None, "^member 'mlp' has no finished run in '.*': use one of fcn, lstm_fcn, resnet$"),
        ("fcn:2:2", None, "^member 'fcn:2' is an ensemble itself: "),
        ("fcn:2", None, "^members are there under 2 protocols: add protocol=fawaz2019 or 'protocol=smoke.epochs=2.'$"),
        (
            "fcn:2",
            "fawaz2020",
            "^protocol=fawaz2020 is without finished runs of fcn in '.*': did you mean protocol=f",
        ),
        ("fcn:2+resnet:1", "wang", "^protocol=wang is without finished runs of fcn and resnet in .*: use protocol=faw"),
        ("resnet:1+lstm_fcn:1", None, "^members are without a common protocol in '.*' .lstm_fcn: karim2019; resnet: f"),
    ],
)
def test_a_mistake_is_one_line(members: str, protocol: str | None, message: str, tmp_path: Path) -> None:
    saved(tmp_path, {("fcn", 0): ONE, ("fcn", 1): TWO, ("resnet", 0): ONE})
    made(ensemble.make(tmp_path, "fcn:2"))
    saved(tmp_path, {("fcn", 0): ONE}, protocol="smoke[epochs=2]")
    saved(tmp_path, {("lstm_fcn", 0): ONE}, protocol="karim2019")
    before = written(tmp_path)
    with pytest.raises(UserError, match=message):
        ensemble.make(tmp_path, members, protocol)
    assert written(tmp_path) == before


def test_a_folder_without_finished_runs(tmp_path: Path) -> None:
    save(tmp_path, record(status="failed"))
    with pytest.raises(UserError, match="is without finished runs: train the members with `tsfcn run` first"):
        ensemble.make(tmp_path, "fcn:2")


def test_labels_of_timepoints_are_not_averaged(tmp_path: Path) -> None:
    save(tmp_path, record(architecture="fcn_8s", model="fcn_8s", task={"kind": "segmentation"}))
    with pytest.raises(UserError, match="labels of timepoints: ensembles are of classifiers"):
        ensemble.make(tmp_path, "fcn_8s:3")


def test_members_in_any_spelling_and_order_are_one_ensemble(tmp_path: Path) -> None:
    saved(tmp_path, {("lstm_fcn", 0): ONE, ("encoder", 0): TWO, ("resnet", 0): THREE, ("own", 0): ONE})
    first = ensemble.make(tmp_path, "own:1+encoder:1+LSTM-FCN:1+ResNet:1")
    second = ensemble.make(tmp_path, "resnet:1+lstm_fcn:1+encoder:1+own:1")
    assert (first.n_new, second.n_new) == (1, 0) and made(first) == made(second)
    assert first.ensembles[0].model == "lstm_fcn:1+resnet:1+encoder:1+own:1", "in the order of the registered models"


# ---------------------------------------------------------------------------------------------------------------------
# Which runs


def test_disjoint_groups_of_seeds_and_again(tmp_path: Path) -> None:
    runs = saved(tmp_path, {("fcn", seed): (ONE, TWO, THREE)[seed % 3] for seed in range(5)})
    first = ensemble.make(tmp_path, "fcn:2")
    assert [(e.seed, e.members) for e in made(first)] == [
        (0, [runs[0].key, runs[1].key]),
        (1, [runs[2].key, runs[3].key]),
    ]
    assert first.n_new == 2 and len({e.group for e in first.ensembles}) == 1
    lines = written(tmp_path)
    again = ensemble.make(tmp_path, "fcn:2")
    assert (again.n_new, made(again)) == (0, first.ensembles) and written(tmp_path) == lines
    saved(tmp_path, {("fcn", 5): ONE})
    later = ensemble.make(tmp_path, "fcn:2")
    assert later.n_new == 1 and [e.seed for e in made(later)] == [0, 1, 2]
    artifacts.predictions_path(tmp_path, later.ensembles[0].key).unlink()
    assert ensemble.make(tmp_path, "fcn:2").n_new == 1, "without its predictions it is made again"
    assert sorted(e.seed for e in store.read(tmp_path) if e.is_ensemble) == [0, 1, 2]


def test_the_key_follows_from_the_runs(tmp_path: Path) -> None:
    one = saved(tmp_path, {("fcn", seed): (ONE, TWO, THREE)[seed] for seed in range(3)})
    keys = {each.key for members in ("fcn:2", "fcn:3") for each in made(ensemble.make(tmp_path, members))}
    (tmp_path / "records" / "one.jsonl").unlink()
    other = saved(tmp_path, {("fcn", seed): (ONE, TWO, THREE)[seed] for seed in range(3)}, group="of other settings")
    assert {each.key for each in one}.isdisjoint(each.key for each in other)
    with pytest.raises(UserError, match=r"already holds fcn:2 \(fawaz2019\) on GunPoint of runs with other data or"):
        ensemble.make(tmp_path, "fcn:2")
    for path in (tmp_path / "records").glob("2*.jsonl"):  # the ensembles
        path.unlink()
    keys |= {each.key for members in ("fcn:2", "fcn:3") for each in made(ensemble.make(tmp_path, members))}
    assert len(keys) == 4


def test_datasets_and_splits_by_themselves(tmp_path: Path) -> None:
    for fields in ({"dataset": "Coffee"}, {"dataset": "GunPoint"}, {"dataset": "GunPoint", "resample": 1}):
        saved(tmp_path, {("fcn", 0): ONE, ("fcn", 1): TWO}, **fields)
    saved(tmp_path, {("fcn", 0): ONE, ("fcn", 1): TWO}, protocol="smoke")
    found = made(ensemble.make(tmp_path, "fcn:2", "fawaz2019"))
    assert [(e.dataset, e.resample, e.seed) for e in found] == [
        ("Coffee", 0, 0),
        ("GunPoint", 0, 0),
        ("GunPoint", 1, 0),
    ]


def reasons(outcome: ensemble.Outcome) -> list[tuple[str, str]]:
    """Return what names the ensembles that were left out, and why."""
    assert all(problem.status == "skipped" for problem in outcome.problems)
    return [(problem.title, problem.reason) for problem in outcome.problems]


def test_too_few_seeds(tmp_path: Path) -> None:
    saved(tmp_path, {("fcn", 0): ONE, ("fcn", 1): TWO, ("resnet", 0): ONE, ("resnet", 1): THREE})
    saved(tmp_path, {("fcn", seed): ONE for seed in (0, 1, 3, 4, 5)}, dataset="Coffee")
    saved(tmp_path, {("resnet", seed): ONE for seed in range(6)}, dataset="Coffee")
    saved(tmp_path, {("fcn", seed): ONE for seed in range(3)}, dataset="Adiac")
    save(tmp_path, record("Coffee", seed=2, status="failed", group="g"))
    outcome = ensemble.make(tmp_path, "fcn:3+resnet:3")
    assert [(each.dataset, each.seed) for each in outcome.ensembles] == [("Coffee", 1)], "a hole is a hole"
    assert reasons(outcome) == [
        ("Adiac", "runs of resnet with seeds 0 to 2 are missing: train with seeds=3"),
        ("Coffee", "runs of fcn with seed 2 are missing: train with seeds=3"),
        ("GunPoint", "runs of fcn with seed 2 are missing: train with seeds=3"),
    ]


def test_seeds_that_do_not_begin_at_zero(tmp_path: Path) -> None:
    saved(tmp_path, {("fcn", 4_000_000_000 + seed): ONE for seed in (0, 1, 2, 4, 5, 6)})
    outcome = ensemble.make(tmp_path, "fcn:2")
    assert [each.seed for each in outcome.ensembles] == [2_000_000_000, 2_000_000_002]
    text = "runs of fcn with seed 4000000003 are missing: train with 'seeds=[4000000003]'"
    assert reasons(outcome) == [("GunPoint seed 2000000001", text)], "seed 4000000006 is only begun"


def test_runs_of_different_files(tmp_path: Path) -> None:
    saved(tmp_path, {("fcn", 0): ONE})
    saved(tmp_path, {("resnet", 0): TWO}, passport={"archive": "UCR2018", "split": "ucr2018", "content": "cd" * 32})
    assert reasons(ensemble.make(tmp_path, "fcn:1+resnet:1")) == [
        ("GunPoint", "runs of fcn and resnet are of different files: train both on the same"),
    ]


def test_predictions_that_are_missing_damaged_or_of_others(tmp_path: Path) -> None:
    for dataset in ("Adiac", "Beef", "Coffee", "Wine"):
        runs = saved(tmp_path, {("fcn", 0): ONE, ("fcn", 1): TWO, ("resnet", 0): ONE}, dataset=dataset)
        paths = [artifacts.predictions_path(tmp_path, each.key) for each in runs]
        if dataset == "Adiac":
            paths[0].unlink()
            paths[2].unlink()
        elif dataset == "Beef":
            paths[1].write_bytes(paths[1].read_bytes()[:-9])
        elif dataset == "Coffee":
            artifacts.write_predictions(tmp_path, runs[2].key, np.array(ONE), Y_TRUE, np.argmax(ONE, 1), CLASSES[::-1])
    outcome = ensemble.make(tmp_path, "fcn:2+resnet:1")
    assert [each.dataset for each in outcome.ensembles] == ["Wine"]
    adiac, beef, coffee = reasons(outcome)
    text = "predictions of fcn, seed 0, and resnet, seed 0, are missing: repeat the runs with require_predictions=true"
    assert adiac == ("Adiac", text)
    assert beef[0] == "Beef" and "is unreadable (BadZipFile): delete " in beef[1]
    assert coffee[0] == "Coffee" and "are of other cases or classes than those of key" in coffee[1]


# ---------------------------------------------------------------------------------------------------------------------
# Marks and published figures


def test_on_paper_is_what_the_paper_of_the_protocol_ran(tmp_path: Path) -> None:
    saved(tmp_path, {("inception", seed): ONE for seed in range(5)}, protocol="inceptiontime2020")
    (inception_time,) = made(ensemble.make(tmp_path, "Inception:5"))
    assert (inception_time.model, inception_time.off_paper) == ("inception:5", False)
    assert all(each.off_paper for each in made(ensemble.make(tmp_path, "inception:2")))
    row = next(r for r in tables.accuracy(store.read(tmp_path)).to_dict("records") if r["model"] == "inception:5")
    assert (row["published"], row["published_source"]) == (1.0, "inceptiontime2020_ucr128")
    page = report(tmp_path, out=str(tmp_path / "page.html"))
    text = Path(page.path).read_text(encoding="utf-8")
    assert "inception:5 (inceptiontime2020)" in text and "inceptiontime2020_ucr128/InceptionTime" in text


def test_an_off_paper_or_test_selected_run_marks_its_ensemble(tmp_path: Path) -> None:
    runs = {("lite", seed): ONE for seed in range(4)}
    saved(tmp_path, runs, protocol="lite2023")
    saved(tmp_path, {("lite", 4): ONE}, protocol="lite2023", off_paper=True, test_selected=True)
    (lite_time,) = made(ensemble.make(tmp_path, "lite:5"))
    assert lite_time.off_paper and lite_time.test_selected
    saved(tmp_path, {("fcn", 0): ONE, ("fcn", 1): ONE}, protocol="one of a user")
    (own,) = made(ensemble.make(tmp_path, "fcn:2"))
    assert own.off_paper


# ---------------------------------------------------------------------------------------------------------------------
# Beside everything else in a results folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a results folder of small networks, each trained for two epochs, with their ensembles."""
    results = tmp_path_factory.mktemp("trained") / "results"
    for model in ("fcn", "resnet"):
        for seed in (0, 1):
            assert train(trainable_job(model, seed=seed), results).is_ok
    outcome = ensemble.make(results, "fcn[filters=[6,5,4]]:2+resnet[filters=[6,5,4]]:2")
    assert len(made(outcome)) == outcome.n_new == 1
    return results


def test_the_mean_of_trained_networks(trained: Path) -> None:
    records = store.read(trained)
    (found,) = (each for each in records if each.is_ensemble)
    stored = [artifacts.read_predictions(trained, each.key, 1029, 2) for each in records if not each.is_ensemble]
    mean = np.mean([each[0].astype(np.float64) for each in stored], axis=0)
    assert found.accuracy == np.mean(mean.argmax(axis=1) == stored[0][1])
    assert found.n_parameters == sum(each.n_parameters or 0 for each in records if not each.is_ensemble)
    assert found.line() == written(trained)[-1].line()


def test_a_later_run_in_the_same_folder(trained: Path, tmp_path: Path) -> None:
    results = shutil.copytree(trained, tmp_path / "results")
    words = [f"dataset={ITALY}", "model=fcn", "protocol=smoke", "protocol.epochs=1", "executor=inline"]
    assert run([*words, "seeds=2", f"results={results}"]) == 0
    outcome = ensemble.make(results, "fcn:2")
    assert len(made(outcome)) == 1 and outcome.ensembles[0].protocol == "smoke[epochs=1]"
    assert maintenance.status(results).startswith(f"{results}: 8 jobs: 8 ok")
    assert "removed nothing" in maintenance.gc(results, dry_run=False)
    assert "8 ok records and 8 files came from" in maintenance.merge(results, tmp_path)


def test_estimates_and_training_time_leave_ensembles_out(trained: Path) -> None:
    records = store.read(trained)
    runs = [each for each in records if not each.is_ensemble]
    job = trainable_job("fcn", seed=2)
    assert cost.Model(records).seconds(job) == cost.Model(runs).seconds(job)
    assert provenance.training_hours(records) == provenance.training_hours(runs)


def test_what_needs_a_network_says_so(trained: Path) -> None:
    (found,) = (each for each in store.read(trained) if each.is_ensemble)
    with pytest.raises(UserError, match=r"^key '.*' is of an ensemble, which has no weights: give the key of a "):
        kept_weights(trained, found.key[:8])


def test_no_setting_of_an_ensemble_is_ablated(tmp_path: Path) -> None:
    names = {"model": "inception:5", "protocol": "inceptiontime2020"}
    seeds = [record(seed=seed, accuracy=0.1, members=["0" * 16], **names) for seed in range(3)]
    save(tmp_path, *seeds, record(protocol="smoke"))
    verdicts = tables.verdicts(tables.accuracy(store.read(tmp_path)))
    assert verdicts["word"][0] in (verdict.DIFFERENT, verdict.OUTSIDE), "it would be, were it a run"
    assert differing_rows(tmp_path) == []


def test_other_tools_read_them(trained: Path, tmp_path: Path) -> None:
    assert convert.convert(str(trained), tmp_path / "out", "tsml").startswith("5 files written")
    name = "fcn-filters-6-5-4-2+resnet-filters-6-5-4-2_smoke"
    assert (tmp_path / "out" / name / "Predictions" / ITALY / "testResample0.csv").is_file()


# ---------------------------------------------------------------------------------------------------------------------
# Weights by the training cases


def test_weights_are_the_likelihoods_of_the_training_labels(tmp_path: Path) -> None:
    """The second run is exp(-10 * 0.1) times as likely as the first, and counts so much less."""
    settings = {"select": "least_train_loss"}
    runs = saved(tmp_path, {("fcn", 0): ONE}, train_cross_entropy=0.2, settings=settings)
    runs += saved(tmp_path, {("fcn", 1): TWO}, train_cross_entropy=0.3, settings=settings)
    share = float(np.exp(-1.0) / (1 + np.exp(-1.0)))
    assert ensemble.member_weights(runs) == pytest.approx([1 - share, share])
    (weighted,) = made(ensemble.make(tmp_path, "fcn:2", weights="train_cross_entropy"))
    assert weighted.model == "fcn:2[weights=train_cross_entropy]" and weighted.off_paper
    assert weighted.member_weights == pytest.approx([1 - share, share])
    probabilities, _, _ = artifacts.read_predictions(tmp_path, weighted.key, 4, 3)
    by_hand = (1 - share) * np.array(ONE) + share * np.array(TWO)
    assert np.allclose(probabilities, by_hand, atol=1e-3)
    (plain,) = made(ensemble.make(tmp_path, "fcn:2"))
    assert plain.model == "fcn:2" and plain.member_weights is None and plain.key != weighted.key


def test_weights_are_of_the_cases_that_were_fitted(tmp_path: Path) -> None:
    fields = {"settings": {"select": "least_train_loss", "validation": 0.4}, "n_held_out": 4}
    runs = saved(tmp_path, {("fcn", 0): ONE}, train_cross_entropy=0.2, **fields)
    runs += saved(tmp_path, {("fcn", 1): TWO}, train_cross_entropy=0.3, **fields)
    first, second = ensemble.member_weights(runs)
    assert second / first == pytest.approx(np.exp(-6 * 0.1))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"settings": {"select": "least_train_loss"}}, "have no cross-entropy on the training cases"),
        ({"settings": {"select": "last"}, "train_cross_entropy": 0.1}, "is not that of the selected weights"),
        (
            {"settings": {"select": "least_train_loss", "validation": 0.2}, "train_cross_entropy": 0.1},
            "do not say how many cases they fitted",
        ),
    ],
)
def test_runs_without_a_fit_to_weigh_by_are_left_out(fields: dict[str, Any], reason: str, tmp_path: Path) -> None:
    saved(tmp_path, {("fcn", 0): ONE, ("fcn", 1): TWO}, **fields)
    outcome = ensemble.make(tmp_path, "fcn:2", weights="train_cross_entropy")
    assert outcome.ensembles == [] and [reason in problem.reason for problem in outcome.problems] == [True]


def test_other_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="weights=accuracy is not known: use one of equal"):
        ensemble.make(tmp_path, "fcn:2", weights="accuracy")
