"""Figures of explanations: every part is drawn, and files are PNG."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tsfcn.analysis.explanation import Explanation
from tsfcn.common.errors import UserError
from tsfcn.report import figures


def explanation(n_classes: int = 3, *, with_maps: bool = True, n_channels: int = 1) -> Explanation:
    """Return an explanation of two cases of each class, the second of them shorter; all numbers are random."""
    numbers = np.random.default_rng(0)
    n, t = 2 * n_classes, 20
    x = numbers.normal(size=(n, n_channels, t))
    x[1::2, :, 15:] = np.nan
    maps = numbers.normal(size=(n, n_classes, t)) + x[:, :1] * 0
    return Explanation(
        classes=np.array([f"class $_{i}" for i in range(n_classes)]),
        x=x,
        lengths=np.where(np.arange(n) % 2 == 1, 15, 20),
        logits=numbers.normal(size=(n, n_classes)),
        maps=maps if with_maps else None,
        bias=np.zeros(n_classes) if with_maps else None,
        recurrent=numbers.normal(size=(n, n_classes)) if with_maps else None,
        saliency=numbers.normal(size=(n, n_classes, n_channels, t)) + x[:, None] * 0,
        attention=numbers.dirichlet(np.ones(t), size=(n, t)),
        context=numbers.normal(size=(n, t, n_channels)),
    )


LABELS = np.repeat(np.arange(3), 2)


@pytest.mark.parametrize("with_maps", [True, False])
def test_by_class_has_a_row_for_each_class(with_maps: bool, tmp_path: Path) -> None:
    figure = figures.by_class(explanation(with_maps=with_maps, n_channels=2), LABELS, "A $ title")
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert len(titles) == (6 if with_maps else 3)
    assert sum("recurrent" in title for title in titles) == (3 if with_maps else 0)
    figures.save(figure, tmp_path / "new" / "a.png")
    assert (tmp_path / "new" / "a.png").read_bytes().startswith(b"\x89PNG")


def test_many_classes_are_named_in_the_heading() -> None:
    figure = figures.by_class(explanation(14), np.repeat(np.arange(14), 2), "Phoneme")
    assert "first 12 of 14 classes" in figure.get_suptitle()


def test_gallery_leaves_out_rows_without_cases() -> None:
    rows = [("right", np.array([0, 1, 2])), ("wrong", np.array([], dtype=np.int64)), ("last", np.array([5]))]
    figure = figures.gallery(explanation(), LABELS, rows, "title")
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == ["right", "last"]
    assert len([axes for axes in figure.axes if axes.collections]) == 4


def test_a_wrong_prediction_is_not_called_right_where_the_names_are_alike_once_shortened() -> None:
    one = replace(explanation(2), classes=np.array(["a" * 200 + "1", "a" * 200 + "2"]))
    labels = np.where(np.arange(4) < 2, one.predicted, 1 - one.predicted)
    figure = figures.gallery(one, labels, [("all", np.arange(4))], "title")
    titles = [axes.get_title() for axes in figure.axes]
    assert [", right (" in title for title in titles] == [True, True, False, False]
    assert [", predicted a" in title for title in titles] == [False, False, True, True]


def test_attention_shows_the_weights_of_a_case_of_each_class(tmp_path: Path) -> None:
    figure = figures.attention(explanation(), LABELS, "title")
    assert len([axes for axes in figure.axes if axes.images]) == 3
    figures.save(figure, tmp_path / "attention.png")


def test_the_same_explanation_gives_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        figures.save(figures.by_class(explanation(), LABELS, "title"), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_without_matplotlib_one_line_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    figures.check_available()
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as for a package that is not installed
    with pytest.raises(UserError, match=r"^matplotlib is not installed.*pip install 'tsfcn\[plot\]'$"):
        figures.check_available()


def test_a_folder_that_cannot_be_written_is_a_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is not writable"):
        figures.save(figures.by_class(explanation(), LABELS, "title"), tmp_path / "file" / "a.png")
