"""Selection: the accuracy of other selection rules beside that of the least training loss."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from tsfcn.analysis import stats, tables
from tsfcn.analysis.choice import ALPHA
from tsfcn.analysis.marks import MEANINGS, TEST_SELECTED
from tsfcn.jobs.record import Record
from tsfcn.report.charts.selection import Range, forest
from tsfcn.report.collect import Material, Name, full_name
from tsfcn.report.html import Chart, Content, TableColumn, csv_text
from tsfcn.report.render import fraction, interval, p_value, signed, split_texts
from tsfcn.report.svg import Label

_BASE = "accuracy_least_train_loss"
_RULES = {  # that are compared with it, by the field of the record
    "accuracy_last": "last weights",
    "accuracy_selected": "held-out cases",
    "accuracy_test_oracle": f"oracle ({TEST_SELECTED})",
}


@dataclass(frozen=True)
class _Rule:
    """A rule and the least training loss, on the datasets for which a model has both: means over seeds."""

    name: Name
    series: int  # position of the model in the charts
    rule: str
    datasets: list[str]
    base: np.ndarray  # (n_datasets,), fractions
    accuracy: np.ndarray  # (n_datasets,), fractions

    @property
    def title(self) -> str:
        """The model and the rule."""
        return f"{full_name(self.name)}: {self.rule}"

    @property
    def difference(self) -> float:
        """The mean difference, rule minus least training loss."""
        return float((self.accuracy - self.base).mean())

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the difference, over datasets."""
        return stats.mean_interval(self.accuracy - self.base)

    @property
    def wins(self) -> str:
        """On how many datasets the rule is better, equal and worse."""
        return " / ".join(map(str, stats.wins(self.accuracy, self.base)))


def content(material: Material) -> Content:
    """Return the content of the section: which rules differ, as a sentence, a chart and a table."""
    rules = [rule for n, name in enumerate(material.names) for rule in _rules(material, name, n)]
    if not rules:
        return {"chart": None}
    p_values = [float(p) for p in stats.holm([stats.wilcoxon(rule.accuracy - rule.base).p for rule in rules])]
    summary = _summary(rules, p_values)
    svg = forest(
        Label("c-selection", "Effect of selecting the weights by another rule", summary),
        [Range(rule.title, rule.difference, *rule.interval, rule.wins, rule.series) for rule in rules],
        axis_title="accuracy minus that of the weights with the least training loss",
    )
    data = csv_text(
        ["dataset", "model", "protocol", "split", "rule", "least_train_loss", "accuracy"],
        [
            (dataset, *rule.name, rule.rule, float(base), float(accuracy))
            for rule in rules
            for dataset, base, accuracy in zip(rule.datasets, rule.base, rule.accuracy, strict=True)
        ],
    )
    has_oracle = any(TEST_SELECTED in rule.rule for rule in rules)
    return {
        "summary": summary,
        "oracle": f"The oracle is {TEST_SELECTED}: {MEANINGS[TEST_SELECTED]}." if has_oracle else "",
        "chart": Chart(svg, data),
        "rules": _table(rules, p_values),
    }


def _rules(material: Material, name: Name, series: int) -> list[_Rule]:
    """Return the rules for which a model has datasets whose records all have both accuracies."""
    records: dict[str, list[Record]] = defaultdict(list)
    for record in material.records:
        if tables.row_of(record)[1:] == name:
            records[record.dataset].append(record)
    rules = []
    for field, rule in _RULES.items():
        datasets = [d for d in sorted(records) if all(_has_both(record, field) for record in records[d])]
        if datasets:
            base, accuracy = (
                np.array([np.mean([getattr(record, each) for record in records[d]]) for d in datasets])
                for each in (_BASE, field)
            )
            rules.append(_Rule(name, series, rule, datasets, base, accuracy))
    return rules


def _has_both(record: Record, field: str) -> bool:
    return getattr(record, field) is not None and record.accuracy_least_train_loss is not None


def _summary(rules: list[_Rule], p_values: list[float]) -> str:
    different = [
        f"{full_name(rule.name)}, {rule.rule} ({signed(rule.difference)}, p = {p_value(p)})"
        for rule, p in zip(rules, p_values, strict=True)
        if p < ALPHA
    ]
    differ = f"these differ (signed ranks, Holm): {'; '.join(different)}."
    none = "no other rule is shown to differ (signed ranks, Holm)."
    return f"Beside the weights with the least training loss, {differ if different else none}"


def _table(rules: list[_Rule], p_values: list[float]) -> list[TableColumn]:
    return [
        TableColumn("model", [rule.name[0] for rule in rules]),
        TableColumn("protocol", [rule.name[1] for rule in rules]),
        TableColumn("split", split_texts(rule.name[2] for rule in rules)),
        TableColumn("rule", [rule.rule for rule in rules]),
        TableColumn("datasets", [str(len(rule.datasets)) for rule in rules], is_numeric=True),
        TableColumn("mean accuracy", [fraction(rule.accuracy.mean()) for rule in rules], is_numeric=True),
        TableColumn("least training loss", [fraction(rule.base.mean()) for rule in rules], is_numeric=True),
        TableColumn(
            "difference",
            [signed(rule.difference) for rule in rules],
            is_numeric=True,
            second_title="95 % over datasets",
            second_texts=[interval(*rule.interval) for rule in rules],
        ),
        TableColumn("better / equal / worse", [rule.wins for rule in rules]),
        TableColumn("p, Holm", [p_value(p) for p in p_values], is_numeric=True),
    ]
