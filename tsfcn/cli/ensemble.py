"""`tsfcn ensemble [RESULTS] members=MODEL:COUNT[+MODEL:COUNT ...] [weights=...]`: average the predictions of runs."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Sequence
from pathlib import Path

from tsfcn.common import exit_codes
from tsfcn.common.arguments import Parser, path
from tsfcn.common.errors import UserError
from tsfcn.common.text import counted, problem_lines

SETTINGS = ("members", "protocol", "weights")


def main(argv: Sequence[str] | None = None) -> int:
    """Record ensembles, write the tables and print the table of the ensembles. Returns the exit code."""
    return exit_codes.run(lambda: run(argv))


def run(argv: Sequence[str] | None) -> int:
    """Parse the command line and run the command. Returns the exit code."""
    parser = Parser(
        prog="tsfcn ensemble",
        description="Average the stored predictions of finished runs, and record the result beside them. Nothing is "
        "trained. members=inception:5 takes five seeds of inception for each ensemble, "
        "members=fcn:10+resnet:10+encoder:10 ten of each. A member is named as in the tables. All runs count the same, "
        "or with weights=train_cross_entropy by how well they fit the training cases.",
    )
    parser.add_argument(
        "words", nargs="*", metavar="[RESULTS] KEY=VALUE", help="members=..., protocol=..., weights=..."
    )
    folder, values = parse(parser.parse_args(argv).words)
    return ensemble(folder, values)


def parse(words: Sequence[str]) -> tuple[Path, dict[str, str]]:
    """Return the results folder and the settings that words give. Raises UserError for others."""
    folders, values = [], {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            folders.append(word)
        elif key in SETTINGS:
            values[key] = value
        else:
            near = difflib.get_close_matches(key, SETTINGS, n=1)
            hint = f"did you mean '{near[0]}={value}'?" if near else f"use {'=, '.join(SETTINGS)}= and a results folder"
            raise UserError(f"setting '{key}' in '{word}' is not known: {hint}")
    if len(folders) > 1:
        raise UserError(f"'{folders[1]}' is a second folder: name one results folder")
    if "members" not in values:
        raise UserError("members= is missing: name them, as members=inception:5")
    return path(folders[0] if folders else "results"), values


def ensemble(results: Path, values: dict[str, str]) -> int:
    """Record the ensembles of a results folder, write its tables, and print. Returns the exit code.

    Args:
        results: The folder.
        values: `members`, and perhaps `protocol` and `weights` (analysis.ensemble.make).
    """
    from tsfcn.analysis import calibration
    from tsfcn.analysis.ensemble import make
    from tsfcn.analysis.tables import accuracy
    from tsfcn.jobs import store
    from tsfcn.report import render
    from tsfcn.report.results_folder import check_page, write_if_writable, write_table

    check_page(results)
    outcome = make(results, **values)
    problems = list(outcome.problems)
    written, before = counted(outcome.n_new, "ensemble"), len(outcome.ensembles) - outcome.n_new
    notes = [f"{results}: {written} written, {before} there before"]
    if outcome.n_new:
        named = [f"{name}={values[name]}" for name in SETTINGS if name in values]
        store.remember(results, shlex.join(["tsfcn", "ensemble", *named]))
        notes += [note] if (note := write_if_writable(results, outcome.records)) else []
    if outcome.ensembles:
        is_timed = any(record.has_processor_seconds() for record in outcome.ensembles)
        rows, unread = calibration.rows(outcome.records, results)
        first = outcome.ensembles[0]
        shown = rows[(rows["model"] == first.model) & (rows["protocol"] == first.protocol)]
        tables = [render.table(accuracy(outcome.ensembles), processor_time=is_timed), render.calibration(shown)]
        exit_codes.show("\n".join(tables))
        asked = {record.key for record in outcome.ensembles}
        problems += [problem for record, problem in unread if record.key in asked]
        path = results / "tables" / "calibration.csv"
        table, n_earlier = calibration.with_earlier(rows, [record for record, _ in unread], path)
        notes += [note] if (note := write_table(results, "calibration", table)) else []
        if unread:  # their runs or predictions are not there
            have = "has its" if n_earlier == 1 else "have their"
            notes.append(
                f"tables/calibration.csv: {counted(len(unread), 'ensemble')} cannot be computed again, of which "
                f"{n_earlier} {have} earlier row"
            )
    for line in [*problem_lines(problems), *notes]:
        exit_codes.complain(line)
    return exit_codes.SKIPS if problems else exit_codes.OK
