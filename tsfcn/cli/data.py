"""`tsfcn data list | verify | show | fetch | import`: which datasets are here, what they are, and how to get others.

tsfcn data list [SELECTION ...]       a line a dataset, and where it would be read from; nothing is read
tsfcn data verify [SELECTION ...]     read all that is here, and say which revision it is
tsfcn data show NAME                  a picture of some cases of each class, the passport, the policies that apply
    tsfcn data fetch NAME ...             download datasets
    tsfcn data import FILE                take datasets from a zip or a folder
"""

from __future__ import annotations

import argparse
import getpass
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tsfcn.common import exit_codes
from tsfcn.common.arguments import Parser
from tsfcn.common.errors import UserError
from tsfcn.common.exit_codes import FAILED, OK
from tsfcn.common.files import replace
from tsfcn.common.text import grid
from tsfcn.data import archive, catalogue, download, importer, preprocess
from tsfcn.report import picture

ROOT = "TSFCN_ARCHIVE, else ~/.local/share/tsfcn/ucr2018"
MOST_CLASSES = 12  # that `show` draws
MOST_CASES = 3  # of each


def columns(header: Sequence[str], rows: Iterable[Sequence[object]], indent: int = 0) -> list[str]:
    """Return aligned lines: numbers to the right, text to the left; a column without any content is left out.

    Args:
        header: the names of the columns, all empty for a table without names.
        rows: their cells.
        indent: spaces before each line.
    """
    cells = [[str(cell) for cell in row] for row in rows]

    def side(texts: Sequence[str]) -> str:
        return ">" if all(text.replace(".", "").isdecimal() for text in texts if text) else "<"

    texts = [[row[number] for row in cells] for number in range(len(header))]
    lines = grid(
        ((name, side(column), column) for name, column in zip(header, texts, strict=True)), rule=False, indent=indent
    ).splitlines()
    return [" " * indent + line for line in (lines if any(header) else lines[1:])]


# ---------------------------------------------------------------------------------------------------------------------
# list


def list_(options: argparse.Namespace) -> int:
    """Print a line a dataset: its facts, and where it would be read from."""
    own = archive.own(options.root)
    names = catalogue.select(options.names or ["all", *own], own=own)
    rows: list[Sequence[object]] = []
    n_here = 0
    for name in names:
        facts = catalogue.CATALOGUE.get(name)
        try:
            source = archive.locate(name, options.root)[0]
            n_here += 1
        except archive.NotAvailable:
            source = ""
        except UserError as error:
            source = f"error: {error}"
        if facts is None:
            rows.append((name, "", "", "", "", "", "your own", source))
            continue
        notes = [
            word
            for word, holds in (
                ("missing values", facts.missing),
                ("unequal length", facts.unequal),
                ("reversed in 2015", facts.split_swapped_in_2015),
            )
            if holds
        ]
        sizes = facts.n_train, facts.n_test, facts.length, facts.n_classes
        rows.append((name, facts.type, *sizes, ", ".join(notes), source))
    header = ("dataset", "type", "train", "test", "length", "classes", "notes", "read from")
    print("\n".join(columns(header, rows)))
    print(f"\n{n_here} of {len(names)} are here" + ("" if n_here == len(names) else "; `tsfcn data fetch` gets others"))
    return OK


# ---------------------------------------------------------------------------------------------------------------------
# verify


def verify(options: argparse.Namespace) -> int:
    """Read datasets and print what each of them is. Returns FAILED if any is not known to be what its name says."""
    own = archive.own(options.root)
    names = catalogue.select(options.names or ["all", *own], own=own)
    rows: list[Sequence[object]] = []
    wrong: list[str] = []
    counts: Counter[str] = Counter()
    missing = []
    for name in names:
        progress(f"{name} ...")
        try:
            passport = archive.passport(name, options.root)
        except archive.NotAvailable:
            missing.append(name)
            continue
        except UserError as error:
            wrong.append(f"{name}: {error}")
            continue
        rows.append(verified(passport))
        counts[str(passport["revision"])] += 1
    n_archive = len(rows)
    if not options.names:
        rows += bundled(options.root, {row[0] for row in rows if row[2] == "sktime"})
    progress("")
    header = ("dataset", "what it is", "source", "train", "test", "length", "classes", "missing", "duplicates")
    if rows:
        print("\n".join(columns(header, rows)))
    for line in wrong:
        print(f"error: {line}")
    told = [f"{counts[word]} {what}" for word, what in archive.REVISIONS.items() if counts[word]]
    told += [f"{len(wrong)} wrong"] if wrong else []
    print(f"\n{n_archive + len(wrong)} datasets read: " + ("; ".join(told) or "none is here"))
    if missing:
        print(f"{len(missing)} not here: {', '.join(missing)}")
    if any(row[-1] for row in rows):
        print("duplicates: distinct test series that are training series too; the official data has them, they stay.")
    return FAILED if wrong or {"unknown", "early"} & set(counts) or not counts else OK


def verified(passport: dict[str, Any]) -> Sequence[object]:
    """Return the row of one dataset."""
    what = archive.REVISIONS[passport["revision"]]
    if passport["files_split"] == "ucr2015":
        what = f"2015 orientation; turned round it is: {what}"
    shortest, length = passport["shortest"], passport["length"]
    return (
        passport["name"],
        what,
        passport["source"],
        passport["n_train"],
        passport["n_test"],
        length if shortest == length else f"{shortest}-{length}",
        passport["n_classes"],
        passport["n_missing"] or "",
        passport["n_duplicates"] or "",
    )


def bundled(root: str | None, told: Container[object]) -> list[Sequence[object]]:
    """Return the rows of what sktime brings along, but for the datasets that were told."""
    rows: list[Sequence[object]] = []
    for name in catalogue.CATALOGUE:
        files = archive.sktime_files(name)
        if files is None or name in told:
            continue
        theirs = archive.passport(name, files.train.parents[1])
        row = list(verified(theirs))
        row[0], row[2] = f"{name} (sktime)", "sktime"
        try:
            ours = archive.passport(name, root)
        except UserError:
            ours = theirs
        if ours["content"] != theirs["content"]:
            row[1] = f"{row[1]}; not the same as yours"
        rows.append(row)
    return rows


def progress(text: str) -> None:
    """Show what is being done on the last line of a terminal; '' takes it away."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


# ---------------------------------------------------------------------------------------------------------------------
# show


def show(options: argparse.Namespace) -> int:
    """Print pictures, passport and policies of one dataset."""
    if options.height < 1:
        raise UserError(f"--height {options.height} is out of range: give 1 or more")
    dataset = archive.load(options.name, options.root, options.split)
    passport = dataset.passport
    facts = catalogue.CATALOGUE.get(dataset.name)
    lengths = preprocess.case_lengths(dataset.x_train, dataset.unequal)
    classes = preprocess.encode_labels(dataset.y_train, dataset.y_test)[2]
    shown: list[tuple[str, Sequence[picture.Series]]] = []
    for label in classes[:MOST_CLASSES]:
        members = np.flatnonzero(dataset.y_train == label)
        n_test = int((dataset.y_test == label).sum())
        cases = [dataset.x_train[i, 0, : lengths[i]] for i in members[:MOST_CASES]]
        shown.append((f"class {label}: {len(members)} training and {n_test} test cases", cases))
    more = len(classes) - len(shown)
    more_channels = int(passport["n_channels"]) - 1
    low, high = picture.span([s for _, cases in shown for s in cases])
    drawn = f"first {MOST_CASES} training cases of each class, values from {low:.4g} to {high:.4g}"
    if options.svg:  # before anything is printed, which `| head` may end
        text = picture.svg(f"{dataset.name}: {drawn}", shown, int(passport["length"]))
        replace(Path(options.svg).expanduser(), lambda file: file.write(text.encode()))
    kind = f", {facts.type}" if facts else ""
    print(f"{dataset.name}{kind}: {archive.REVISIONS[passport['revision']]}\n")
    width = max(20, min(shutil.get_terminal_size().columns - 2, 76))
    for caption, drawn_cases in shown:
        print(caption)
        print("\n".join(picture.braille(drawn_cases, low, high, int(passport["length"]), width, options.height)))
    print(
        drawn
        + (f"; {more} more classes" if more > 0 else "")
        + (f"; first channel of {more_channels + 1}" if more_channels else "")
    )
    print("\npassport")
    print("\n".join(columns(("", ""), passport.items(), indent=2)))
    found = archive.duplicates(dataset)
    if found["series"]:
        print(
            f"  {found['cases']} test cases ({found['series']} distinct series) are training cases too, "
            f"{found['relabelled']} of them of another class; they stay where they are"
        )
    print("\npolicies")
    print("\n".join(policies(dataset, options.protocol)))
    if options.svg:
        print(f"\npicture: {options.svg}")
    return OK


def policies(dataset: archive.Dataset, protocol: str) -> list[str]:
    """Return what a protocol would do to a dataset before training, a line a policy, with its counts."""
    from tsfcn.config.compose import compose
    from tsfcn.config.protocol import settings

    run, _ = compose([f"protocol={protocol}"])
    said = settings(run.protocol, "fcn", run.model.configs()["fcn"])
    made = preprocess.prepare(
        dataset.x_train,
        dataset.y_train,
        dataset.x_test,
        dataset.y_test,
        normalisation=said.normalisation,
        missing=said.missing,
        length=said.length,
        unequal=dataset.unequal,
        fixed_length=False,
    )
    n_train = len(made.y_train)
    return columns(
        ("", "", ""),
        [
            (
                "protocol",
                protocol,
                "for FCN; networks of one length cut test cases to that of the longest training case",
            ),
            ("normalisation", said.normalisation, ""),
            ("missing", said.missing, f"{made.n_filled} values"),
            (
                "length",
                said.length,
                f"{made.n_padded} cases padded, {made.n_cut} cut; {made.x_train.shape[2]} timepoints",
            ),
            ("batch", said.batch(n_train), f"of {n_train} training cases"),
        ],
        indent=2,
    )


# ---------------------------------------------------------------------------------------------------------------------
# fetch and import


def fetch_datasets(options: argparse.Namespace) -> int:
    """Download the datasets that are named. Returns the exit code."""
    names = catalogue.select(words(options.names), words(options.exclude))
    if options.tries < 1:
        raise UserError(f"--tries {options.tries} is out of range: give 1 or more")
    download.address(names[0], options.mirror)
    root = importer.destination(options.root)
    n_failed = 0
    for _, reason, line in download.several(names, root, options.mirror, download.Patience(tries=options.tries)):
        n_failed += reason is not None
        print(line, flush=True)
    print(f"{len(names) - n_failed} of {len(names)} datasets are in '{root}'")
    return FAILED if n_failed else OK


def words(written: Sequence[str]) -> list[str]:
    """Return the names of an argument, which may stand apart or with commas between."""
    return [word for text in written for word in text.split(",") if word]


def import_datasets(options: argparse.Namespace) -> int:
    """Import every dataset of a zip or a folder. Returns the exit code."""
    path = Path(options.source).expanduser()
    with importer.source(path) as origin:
        found = importer.chosen(origin, str(path))
        root = importer.destination(options.root)
        secret = password(origin, options.password_file) if isinstance(origin, importer.Zip) else None
        n_refused = 0
        for name, paths in found.items():
            try:
                passport = importer.bring(origin, name, paths, root, secret)
            except UserError as error:
                n_refused += 1
                print(f"refused: {name}: {error}", flush=True)
                continue
            said = "is there" if passport is None else "imported"
            print(f"{name}: {said}" + ("" if name in catalogue.CATALOGUE else ", not of the archive"), flush=True)
    print(f"{len(found) - n_refused} of {len(found)} datasets are in '{root}'")
    return FAILED if n_refused else OK


def password(zipped: importer.Zip, file: str | None) -> bytes | None:
    """Return the password of a zip, from the first line of `file` or asked for on the terminal; None if it needs none.

    Raises UserError where it is wrong, and where there is neither file nor terminal.
    """
    if not zipped.encrypted:
        return None
    if file is not None:
        try:
            secret = (Path(file).read_bytes().splitlines() or [b""])[0]
        except OSError as error:
            raise UserError(f"--password-file '{file}' is not readable ({error.strerror}): give another") from error
    elif sys.stdin is not None and sys.stdin.isatty():
        print(f"'{zipped.label}' is encrypted; its makers tell the password where they offer it.", file=sys.stderr)
        try:
            secret = getpass.getpass().encode()
        except EOFError:
            secret = b""
    else:
        raise UserError(f"'{zipped.label}' is encrypted and there is no terminal to ask at: give --password-file FILE")
    zipped.check_password(secret)
    return secret


# ---------------------------------------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = Parser(prog="tsfcn data", description="Datasets: which are here, and what they are.")
    verbs = made.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, act: Callable[[argparse.Namespace], int], what: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
        added.set_defaults(act=act)
        added.add_argument("--root", metavar="DIR", help=f"folder of the archive (default: {ROOT})")
        return added

    selection = "names, sets or globs as in dataset=... (default: all)"
    verb("list", list_, "list datasets and where they would be read from").add_argument(
        "names", nargs="*", metavar="SELECTION", help=selection
    )
    verb("verify", verify, "read datasets and say which revision they are").add_argument(
        "names", nargs="*", metavar="SELECTION", help=selection
    )
    shown = verb("show", show, "show cases, passport and policies of one dataset")
    shown.add_argument("name", metavar="NAME")
    shown.add_argument("--split", choices=archive.SPLITS, default="ucr2018", help="which way round (default: ucr2018)")
    shown.add_argument("--protocol", default="fawaz2019", help="whose policies to show (default: fawaz2019)")
    shown.add_argument("--height", type=int, default=6, metavar="LINES", help="of a picture (default: 6)")
    shown.add_argument("--svg", metavar="FILE", help="also write the pictures to an SVG file")
    added = verb("fetch", fetch_datasets, "download datasets, one zip each")
    added.add_argument("names", nargs="+", metavar="NAME", help="a dataset, a set (all, ucr85, ...) or a glob ('Ins*')")
    added.add_argument("--exclude", nargs="+", default=[], metavar="NAME", help="what to leave out, in the same forms")
    added.add_argument("--mirror", metavar="URL", help=f"base address, or one with {{name}} (default: {archive.SITE})")
    added.add_argument("--tries", type=int, default=download.Patience.tries, metavar="N", help="default: %(default)s")
    added = verb(
        "import", import_datasets, "take datasets from a zip or a folder, each checked before it is put in place"
    )
    added.add_argument("source", metavar="FILE", help="zip (UCRArchive_2018.zip asks for its password) or folder")
    added.add_argument("--password-file", metavar="FILE", help="file with the password in its first line")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code: 1 where data is wrong, else as exit_codes.run says."""
    return exit_codes.run(lambda: run(argv), resume="what is in place stays, the same command goes on from there")


def run(argv: Sequence[str] | None) -> int:
    """Do what the command line asks for."""
    options = parser().parse_args(argv)
    try:
        code: int = options.act(options)
    except UserError:
        progress("")  # the error has a line of its own
        raise
    return code
