"""`tsfcn ensemble [RESULTS] members=MODEL:COUNT[+MODEL:COUNT ...]`: average the predictions of finished runs."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Sequence
from pathlib import Path

from tsfcn.common import exit_codes
from tsfcn.common.arguments import Parser, path
from tsfcn.common.errors import UserError
from tsfcn.common.text import problem_lines

SETTINGS = ("members", "protocol")


def main(argv: Sequence[str] | None = None) -> int:
    """Record ensembles, write the tables and print the table of the ensembles. Returns the exit code."""
    return exit_codes.run(lambda: run(argv))


def run(argv: Sequence[str] | None) -> int:
    """Parse the command line and run the command. Returns the exit code."""
    parser = Parser(
        prog="tsfcn ensemble",
        description="Average the stored predictions of finished runs, and record the result beside them. Nothing is "
        "trained. members=inception:5 takes five seeds of inception for each ensemble, "
        "members=fcn:10+resnet:10+encoder:10 ten of each. A member is named as in the tables.",
    )
    parser.add_argument("words", nargs="*", metavar="[RESULTS] KEY=VALUE", help="members=..., protocol=...")
    folder, values = parse(parser.parse_args(argv).words)
    return ensemble(folder, values["members"], values.get("protocol"))


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


def ensemble(results: Path, members: str, protocol: str | None) -> int:
    """Record the ensembles of a results folder, write its tables, and print. Returns the exit code.

    Args:
        results: The folder.
        members: MODEL:COUNT, several with + between them.
        protocol: That of the members; None: the only one that they have.
    """
    from tsfcn.analysis.ensemble import make
    from tsfcn.analysis.tables import accuracy
    from tsfcn.jobs import store
    from tsfcn.report import render
    from tsfcn.report.results_folder import check_page, write_if_writable

    check_page(results)
    outcome = make(results, members, protocol)
    written, before = render.counted(outcome.n_new, "ensemble"), len(outcome.ensembles) - outcome.n_new
    notes = [f"{results}: {written} written, {before} there before"]
    if outcome.n_new:
        named = [f"members={members}", *([] if protocol is None else [f"protocol={protocol}"])]
        store.remember(results, shlex.join(["tsfcn", "ensemble", *named]))
        notes += [note] if (note := write_if_writable(results, outcome.records)) else []
    if outcome.ensembles:
        is_timed = any(record.has_processor_seconds() for record in outcome.ensembles)
        exit_codes.show(render.table(accuracy(outcome.ensembles), processor_time=is_timed))
    for line in [*problem_lines(outcome.problems), *notes]:
        exit_codes.complain(line)
    return exit_codes.SKIPS if outcome.problems else exit_codes.OK
