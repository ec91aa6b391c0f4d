"""Prediction files of tsml-eval, aeon and sktime are read one by one; a broken one does not stop the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsfcn.analysis import score_columns
from tsfcn.analysis.foreign.prediction_files import read_prediction_file
from tsfcn.common.errors import UserError

CASES = "0,0,,0.4,0.6\n1,1,,0.4,0.6\n1,0,,0.4,0.6\n1,1,,0.4,0.6\n"


def write(
    folder: Path, dataset: str = "Coffee", model: str = "Net", accuracy: str = "0.75,1,1,-1,-1,2", cases: str = CASES
) -> Path:
    """Write a prediction file.

    Args:
        folder: of all models.
        dataset: its dataset.
        model: its classifier.
        accuracy: its third line.
        cases: its lines from the fourth.
    """
    path = folder / model / "Predictions" / dataset / "testResample0.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{dataset},{model},TEST,0,MILLISECONDS\nNo Parameter Info\n{accuracy}\n{cases}")
    return path


def read(folder: Path) -> dict[str, dict[str, float]]:
    return {
        c.name: {p.dataset: cell.accuracy for p, cell in c.cells.items()} for c in score_columns.read([str(folder)])
    }


@pytest.mark.parametrize(
    "cases",
    [
        CASES,
        "Walk,Walk,,0.4,0.6\nRun,Run,,0.4,0.6\nRun,Walk,,0.4,0.6\nRun,Run,,0.4,0.6\n",
        "1.0,1,,0.4,0.6\n2,2.0,,0.4,0.6\n1,2,,0.4,0.6\n1e0,1,,0.4,0.6\n",
        '"a, b","a, b",,0.4,0.6\nc,c,,0.4,0.6\n"a, b",c,,0.4,0.6\nc,c,,0.4,0.6\n',
    ],
)
@pytest.mark.parametrize("accuracy", ["0.75,1,1,-1,-1,2", "N/A", "", "-1", "0.75"])
def test_labels_may_be_text_and_the_accuracy_unknown(tmp_path: Path, cases: str, accuracy: str) -> None:
    predictions = read_prediction_file(write(tmp_path, accuracy=accuracy, cases=cases))
    assert (predictions.n_right, predictions.n_cases, predictions.resample) == (3, 4, 0)
    assert read(tmp_path) == {"Net": {"Coffee": 0.75}}


@pytest.mark.parametrize("content", ["", "\n", "Coffee,Net,TEST,0\n", "no,result,file\n1\n2\n3\n", "\x00\x01\n"])
def test_a_broken_file_leaves_out_itself_only(tmp_path: Path, content: str) -> None:
    write(tmp_path)
    write(tmp_path, "Beef")
    broken = write(tmp_path, "Beef", "Other")
    write(tmp_path, "Coffee", "Other")
    broken.write_text(content)
    assert read(tmp_path) == {"Net": {"Beef": 0.75, "Coffee": 0.75}, "Other": {"Coffee": 0.75}}
    (remark,) = score_columns.read([str(tmp_path)])[0].remarks
    assert remark.startswith("files left out (") and remark.endswith(f": {broken}")


def test_an_unreadable_file_leaves_out_itself_only(tmp_path: Path) -> None:
    write(tmp_path)
    folder = write(tmp_path, "Beef")
    folder.unlink()
    folder.mkdir()  # unreadable also for the superuser
    assert read(tmp_path) == {"Net": {"Coffee": 0.75}}
    (remark,) = score_columns.read([str(tmp_path)])[0].remarks
    assert remark == f"files left out (Is a directory): {folder}"


def test_only_broken_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path).write_text("")
    with pytest.raises(UserError, match=r"is no result file of tsml-eval \(empty\): name a folder of such files"):
        read(tmp_path)


def test_an_accuracy_that_contradicts_its_cases_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, accuracy="0.9,1")
    with pytest.raises(UserError, match=r"accuracy in '.*' is 0.9, its cases give 3 of 4: write it again"):
        read_prediction_file(path)


def test_fields_of_any_size_are_read(tmp_path: Path) -> None:
    """The form of sktime's ClassificationBenchmark(return_data=True): a cell holds all series."""
    data = str([[str(i % 2)] for i in range(20_000)])
    assert len(data) > 131_072
    head = "model_id,validation_id,folds.0.scores.accuracy_score,folds.0.train_data.data"
    path = tmp_path / "benchmark.csv"
    path.write_text(f'{head}\nNet,Coffee,1.0,"{data}"\nNet,Beef,0.8,"{data}"\n')
    assert read(path) == {"Net": {"Coffee": 1.0, "Beef": 0.8}}
