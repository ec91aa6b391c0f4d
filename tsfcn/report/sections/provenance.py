"""Provenance: machines, versions, columns, published sources and commands."""

from __future__ import annotations

from tsfcn.analysis.score_columns import PUBLISHED
from tsfcn.data import published
from tsfcn.report import provenance
from tsfcn.report.collect import Material
from tsfcn.report.html import Content, TableColumn
from tsfcn.report.sections.texts import marked_name


def content(material: Material) -> Content | None:
    """Return the content of the section, None where there is nothing to show."""
    if not (material.records or material.columns or material.commands):
        return None
    machines, origins = [], []
    if material.records:
        machines = [
            TableColumn(title, texts, is_numeric=side == ">")
            for title, side, texts in provenance.machines(material.records)
        ]
        origins = provenance.origins(material.records)
    return {
        "machines": machines,
        "origins": origins,
        "columns": _columns(material) if material.columns else [],
        "sources": _sources(material),
        "commands": material.commands,
    }


def _columns(material: Material) -> list[TableColumn]:
    columns = material.columns
    return [
        TableColumn("column", [marked_name(column) for column in columns]),
        TableColumn("datasets", [str(len(column.cells)) for column in columns], is_numeric=True),
        TableColumn("description", [column.description for column in columns]),
        TableColumn("note", [column.note for column in columns]),
    ]


def _sources(material: Material) -> list[str]:
    """Return a line for each published source among the columns."""
    origins = {column.origin for column in material.columns if column.origin.startswith(PUBLISHED)}
    sources = published.sources()
    return [
        f"{name}: {sources[name].paper}, {sources[name].where}; split {sources[name].split}, weights selected by "
        f"{sources[name].selected_by}. {sources[name].note}"
        for name in sorted(origin.removeprefix(PUBLISHED) for origin in origins)
    ]
