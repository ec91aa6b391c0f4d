"""Charts: well-formed, described in words, and drawn where their numbers are."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest

from tsfcn.report.charts.curves import FLOOR, Curve, Limits, curves
from tsfcn.report.charts.pairs import Entry, matrix
from tsfcn.report.charts.ranks import bars, critical_difference, rank_rows
from tsfcn.report.charts.scatter import Point, scatter
from tsfcn.report.charts.seeds import Strip, strips
from tsfcn.report.charts.selection import Range, forest
from tsfcn.report.charts.streams import Band, bands
from tsfcn.report.charts.time import Cloud, against_seconds
from tsfcn.report.svg import Label

LABEL = Label("x", "Title", "description")
HOSTILE = "<b>&\"'\x00\x1b\ud800]]>\u202e"


def parsed(svg: str) -> ET.Element:
    """Return a chart as XML; it has a title and a description, by which it is labelled."""
    root = ET.fromstring(svg)
    title, desc = root[0], root[1]
    assert (root.tag, root.get("role"), title.tag, desc.tag) == ("svg", "img", "title", "desc")
    assert root.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"
    assert title.text and desc.text
    svg.encode()  # no lone surrogates
    return root


def every_chart(name: str = "a") -> dict[str, str]:
    names, ranks, sets = [name, "b", "c"], [1.5, 2.0, 2.5], [(0, 2)]
    label = Label("x", name, name)
    return {
        "critical_difference": critical_difference(label, names, ranks, sets),
        "rank_rows": rank_rows(label, names, ranks, sets),
        "matrix": matrix(label, names, {(0, 1): Entry(0.02, (name, "1 / 2 / 3", "p 0.01"), True)}),
        "scatter": scatter(label, [Point(name, 0.5, 0.9, 0.1, None)], name, "b", low=0.4),
        "against_seconds": against_seconds(label, [Cloud(name, [(10, 0.9, name)], (10, 0.9))]),
        "strips": strips(label, [Strip(name, [-0.1, 0.1], 0.05, 0.01), Strip("b", [0.0])]),
        "forest": forest(label, [Range(name, 0.01, math.nan, math.nan, name)], axis_title=name),
        "bands": bands(label, [[0.0, 1.0]], [Band(name, [(0, 0, 2)])], [name], 440),
        "curves": curves(label, [Curve(name, [1, 10], [1.0, 0.0], (10, 0.0))], Limits(10, least=0.0, most=1.0)),
    }


@pytest.mark.parametrize("name", every_chart())
def test_well_formed_whatever_a_name_holds(name: str) -> None:
    root = parsed(every_chart(HOSTILE)[name])
    assert root[0].text and root[1].text
    shown = "".join(text for text in root.itertext())
    assert "<b>&\"'\ufffd\ufffd\ufffd]]>\ufffd" in shown and not re.search("[\x00\x1b\u202e]", shown)
    assert root.findall(".//b") == []


@pytest.mark.parametrize("name", every_chart())
def test_same_numbers_same_bytes_and_no_negative_zero(name: str) -> None:
    assert every_chart()[name] == every_chart()[name]
    assert not re.search(r"nan|inf|-0[\" .]|e-\d", re.sub(r">[^<]*<|d=\"[^\"]*\"", "", every_chart()[name]))


# ---------------------------------------------------------------------------------------------------------------------
# Critical difference diagram


def test_bar_is_broken_at_a_method_that_it_skips() -> None:
    (bar,) = bars([0.0, 100.0, 50.0, 200.0], [(0, 1, 3)])
    assert bar.pieces == ((0.0, 47.0), (53.0, 200.0)) and bar.stops == (0.0, 100.0, 200.0)
    (whole,) = bars([0.0, 100.0, 50.0], [(0, 1, 2)])
    assert whole.pieces == ((0.0, 100.0),)
    (outside,) = bars([0.0, 100.0, 150.0], [(0, 1)])
    assert outside.pieces == ((0.0, 100.0),), "a method beside the bar does not break it"


def test_a_break_is_never_hidden_by_a_neighbour() -> None:
    # The skipped method is at the position of a member or right beside it: the gap is moved to where it is visible.
    for skipped in (0.0, 1.0, 99.0, 100.0):
        (bar,) = bars([0.0, 100.0, skipped], [(0, 1)])
        assert len(bar.pieces) == 2
        (_, end), (start, _) = bar.pieces
        assert start - end == 6 and end >= 2 and start <= 98
    # Without room between two members no piece joins them, and only the stops are drawn.
    (close,) = bars([0.0, 8.0, 4.0], [(0, 1)])
    assert close.pieces == () and close.stops == (0.0, 8.0)
    # Two skipped methods close together share one gap.
    (two,) = bars([0.0, 100.0, 50.0, 52.0], [(0, 1)])
    assert two.pieces == ((0.0, 47.0), (55.0, 100.0))


def test_methods_stand_at_their_mean_ranks() -> None:
    names, ranks = ["d", "a", "c", "b"], [3.75, 1.25, 2.5, 2.5]
    svg = critical_difference(LABEL, names, ranks, [(1, 2), (0, 2)])
    root = parsed(svg)
    ticks = [(float(t.get("x", "nan")), float(str(t.text))) for t in root.iter("text") if (t.text or "").isdigit()]
    (x_low, low), (x_high, high) = ticks[0], ticks[-1]
    assert (low, high) == (1, 4)
    marks = {m.find("title").text: m.get("transform") for m in root.iter("path") if m.find("title") is not None}  # type: ignore[union-attr]
    for name, rank in zip(names, ranks, strict=True):
        x = float(re.match(r"translate\(([\d.]+) ", str(marks[f"{name}: mean rank {rank:.4f}"]))[1])  # type: ignore[index]
        assert x == pytest.approx(x_low + (rank - low) / (high - low) * (x_high - x_low), abs=0.06)
    # Best first, the left half's labels to the left.
    labels = [t.text for t in root.iter("text") if re.search(r"\d\.\d{3}$", t.text or "")]
    assert labels == ["a  1.250", "c  2.500", "d  3.750", "b  2.500"]


def test_diagram_draws_the_pieces_and_all_stops() -> None:
    names, ranks = ["a", "b", "c"], [1.1, 2.0, 2.9]
    for draw, along in ((critical_difference, "x1"), (rank_rows, "y1")):
        root = parsed(draw(LABEL, names, ranks, [(0, 2)]))
        pieces = [line for line in root.iter("line") if line.get("class") == "bar"]
        stops = [circle for circle in root.iter("circle") if circle.get("class") == "stop"]
        assert len(pieces) == 2 and len(stops) == 2
        assert float(pieces[0].get(along, "")) < float(pieces[1].get(along, ""))
        whole = parsed(draw(LABEL, names, ranks, [(0, 1, 2)]))
        assert len([line for line in whole.iter("line") if line.get("class") == "bar"]) == 1


def test_one_rank_for_all() -> None:
    for draw in (critical_difference, rank_rows):
        parsed(draw(LABEL, ["a", "b"], [1.5, 1.5], [(0, 1)]))
        parsed(draw(LABEL, ["a", "b"], [2.0, 2.0], []))


# ---------------------------------------------------------------------------------------------------------------------
# The others


def test_matrix_marks_significance_without_colour() -> None:
    entries = {(0, 1): Entry(0.2, ("+0.2000 *",), True), (1, 0): Entry(-0.2, ("-0.2000 *",), True)}
    entries |= {(0, 2): Entry(0.0, ("+0.0000",), False)}
    root = parsed(matrix(LABEL, ["a", "b", "c"], entries))
    kinds = [rect.get("class") for rect in root.iter("rect")]
    assert kinds.count("strong") == 2 and kinds.count("up") == 1 and kinds.count("down") == 1
    assert kinds.count("none") == 7, "three of the diagonal, three without an entry, one without a difference"


def test_scatter_names_the_farthest_and_clips_nothing() -> None:
    points = [Point("near", 0.7, 0.72), Point("far", 0.5, 0.9, 0.05, 0.2), Point("equal", 0.8, 0.8)]
    root = parsed(scatter(LABEL, points, "left", "up", low=0.4))
    named = [t.text for t in root.iter("text") if "small" in (t.get("class") or "")]
    assert named == ["far", "near"]
    x1, y1 = (float(root.get(f"data-{name}", "")) for name in ("x1", "y1"))
    assert len(list(root.iter("circle"))) == 3
    for circle in root.iter("circle"):
        assert float(circle.get("cx", "")) <= x1 and float(circle.get("cy", "")) >= y1
    spans = [p.get("d") for p in root.iter("path") if p.get("class") == "span"]
    assert len(spans) == 1 and str(spans[0]).count("M") == 2


def test_series_differ_in_shape_and_not_in_colour_alone() -> None:
    clouds = [Cloud(f"model {i}", [(1.0 + i, 0.5, "")]) for i in range(12)]
    root = parsed(against_seconds(LABEL, clouds))
    looks = [(p.get("class", "").split()[0], p.get("d")) for p in root.iter("path") if "faint" in p.get("class", "")]
    assert len(set(looks)) == 12 and len({shape for _, shape in looks[:6]}) == 6


@pytest.mark.parametrize("seconds", [[0.0], [5.0], [100.0, 200.0], [1.0, 1e6]])
def test_seconds_of_any_size_have_ticks(seconds: list[float]) -> None:
    cloud = Cloud("a", [(s, 0.5, "") for s in seconds])
    parsed(against_seconds(LABEL, [cloud]))


def test_strip_has_one_dot_per_seed() -> None:
    root = parsed(strips(LABEL, [Strip("A", [-0.1, 0.0, 0.1], 0.3), Strip("B", [0.0, 0.0])]))
    dots = [str(p.get("d")).count("M") for p in root.iter("path") if p.get("class") == "dots"]
    assert dots == [3, 2, 1], "and one in the legend"


def test_curves_below_the_floor_are_drawn_at_it() -> None:
    one, other = (
        curves(LABEL, [Curve("a", [1, 100], [1.0, loss])], Limits(100, least=0, most=1)) for loss in (0.0, FLOOR)
    )
    assert one == other


def test_a_band_has_a_colour_and_a_height_for_each_class() -> None:
    root = parsed(bands(LABEL, [[0.0] * 10], [Band("true", [(0, 0, 4), (1, 4, 6), (0, 8, 10)])], ["a", "b"], 116))
    paths = {path[0].text: path for path in root.iter("path") if len(path)}
    assert (paths["a"].get("class"), paths["b"].get("class")) == ("s0", "s1")
    starts = {name: re.findall(r"M([\d.]+) ", str(path.get("d"))) for name, path in paths.items()}
    assert starts == {"a": ["40", "88"], "b": ["64"]}  # timepoints 0 and 8, and 4, of ten on 60 pixels behind the scale
    low, high = (float(re.findall(r"v-([\d.]+)H", str(paths[name].get("d")))[0]) for name in "ab")
    assert low < high


def test_the_values_of_a_stream_have_a_scale_and_its_title_stands_where_it_is_asked_for() -> None:
    one, two = (parsed(bands(LABEL, [[-2e6, 2e6]], [], ["a"], 440, is_titled=is_titled)) for is_titled in (False, True))
    texts = [[text.text for text in root.iter("text")] for root in (one, two)]
    assert {"-2e+06", "0", "2e+06"} <= set(texts[0]) and LABEL.title not in texts[0]
    assert LABEL.title in texts[1] and float(str(two.get("height"))) > float(str(one.get("height")))


def test_a_long_stream_keeps_its_extremes() -> None:
    values = [0.0] * 50_000
    values[30_001], values[7] = 5.0, -5.0
    (line,) = parsed(bands(LABEL, [values], [], ["a"], 440)).iter("polyline")
    points = [tuple(map(float, point.split(","))) for point in str(line.get("points")).split()]
    assert len(points) < 900 and min(y for _, y in points) == 8 and max(y for _, y in points) == 98
    assert sorted(points) == points or [x for x, _ in points] == sorted(x for x, _ in points)
