"""`tsfcn data VERB`: which datasets are present, what they contain, and how to get others.

tsfcn data list [SELECTION ...]      list datasets and where they would be read from; nothing is read
tsfcn data verify [SELECTION ...]    read datasets and print which revision they are
tsfcn data show NAME                 draw some cases of each class; print the passport and the policies that apply
    tsfcn data fetch NAME ...            download datasets
    tsfcn data import FILE               import datasets from a zip or a folder
"""

from __future__ import annotations

import argparse
import getpass
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tsfcn.common import exit_codes
from tsfcn.common.arguments import Parser
from tsfcn.common.errors import UserError
from tsfcn.common.escapes import printable
from tsfcn.common.exit_codes import FAILED, OK
from tsfcn.common.files import write_output
from tsfcn.common.streams import unescaped
from tsfcn.common.text import counted, grid, size
from tsfcn.data import archive, catalogue, download, importer, locate, monster, preprocess, provenance
from tsfcn.data.dataset import Dataset, duplicates, summary
from tsfcn.data.safe_zip import Zip
from tsfcn.report import picture

ROOT = "TSFCN_ARCHIVE, else ~/.local/share/tsfcn/ucr2018"
MAX_CLASSES = 12  # that `show` draws
MAX_CASES = 3  # of each

Row = Sequence[object]


def columns(header: Sequence[str], rows: Iterable[Row], indent: int = 0) -> list[str]:
    """Return aligned lines, numbers to the right and text to the left; a column without any content is left out.

    Args:
        header: The names of the columns, all empty for a table without names.
        rows: The cells of each row.
        indent: The number of spaces before each line.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    texts = [[row[number] for row in cells] for number in range(len(header))]
    lines = grid(
        ((name, _alignment(column), column) for name, column in zip(header, texts, strict=True)),
        rule=False,
        indent=indent,
    ).splitlines()
    return [" " * indent + line for line in (lines if any(header) else lines[1:])]


def _alignment(texts: Sequence[str]) -> str:
    """Return '>' for a column of numbers, else '<'."""
    return ">" if all(text.replace(".", "").isdecimal() for text in texts if text) else "<"


def show_progress(text: str) -> None:
    """Show on the last line of a terminal what is being done; '' removes the line."""
    if sys.stderr is not None and sys.stderr.isatty():
        print(f"\r\x1b[K{printable(text)}", end="", file=unescaped(sys.stderr), flush=True)


def selected(options: argparse.Namespace) -> list[str]:
    """Return the datasets that the command line names; without names those of the catalogue and the user's own."""
    user = locate.user_names(options.root)
    return catalogue.select(options.names or [*catalogue.CATALOGUE, *user], user=user)


# ---------------------------------------------------------------------------------------------------------------------
# list


def list_datasets(options: argparse.Namespace) -> int:
    """Print the facts of each dataset and where it would be read from. Returns the exit code."""
    names = selected(options)
    sources = {name: _source(name, options.root) for name in names}
    n_present = sum(source is not None and not source.startswith("error: ") for source in sources.values())
    header = ("dataset", "type", "train", "test", "channels", "length", "classes", "notes", "read from")
    print("\n".join(columns(header, ((name, *_facts(name), source or "") for name, source in sources.items()))))
    hint = "" if n_present == len(names) else "; `tsfcn data fetch` downloads others"
    print(f"\n{n_present} of {len(names)} are present{hint}")
    return OK


def _source(name: str, root: str | None) -> str | None:
    """Return what a dataset would be read from, or 'error: ...'; None for one that is not available."""
    try:
        return locate.find(name, root).source
    except locate.NotAvailable:
        return None
    except UserError as error:
        return f"error: {error}"


def _facts(name: str) -> Row:
    """Return type, sizes and notes of a dataset from the catalogue; 'your own' for one that is not in it."""
    facts = catalogue.CATALOGUE.get(name)
    if facts is None:
        return ("", "", "", "", "", "", "your own")
    notes = {
        "missing values": facts.missing,
        "unequal length": facts.unequal,
        "reversed in 2015": facts.split_swapped_in_2015,
    }
    sizes = facts.n_train, facts.n_test, facts.n_channels, facts.length, facts.n_classes
    return (facts.type, *sizes, ", ".join(note for note, holds in notes.items() if holds))


# ---------------------------------------------------------------------------------------------------------------------
# verify


@dataclass
class Verification:
    """What reading datasets gave."""

    rows: list[Row] = field(default_factory=list)  # of those that could be read
    revisions: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)  # about the user's own datasets
    errors: list[str] = field(default_factory=list)  # a line for each that could not
    missing: list[str] = field(default_factory=list)  # names of those that are not available

    @property
    def n_read(self) -> int:
        """The number of datasets that are present, correct or not."""
        return self.revisions.total() + len(self.errors)

    @property
    def code(self) -> int:
        """The exit code: FAILED unless all datasets, one at least, are known to be what their names say."""
        is_known = self.revisions and not {"unknown", "early"} & set(self.revisions)
        return OK if is_known and not self.errors else FAILED

    def summary(self) -> list[str]:
        """Return the lines below the table."""
        counts = [f"{self.revisions[key]} {text}" for key, text in provenance.REVISIONS.items() if self.revisions[key]]
        counts += [f"{len(self.errors)} wrong"] if self.errors else []
        lines = [*self.warnings, *(f"error: {line}" for line in self.errors)]
        lines.append(f"\n{counted(self.n_read, 'dataset')} read: " + ("; ".join(counts) or "none is present"))
        if self.missing:
            lines.append(f"{len(self.missing)} not present: {', '.join(self.missing)}")
        if any(row[-1] for row in self.rows):
            lines.append("duplicates: distinct test series that are also training series; the official data has some.")
        return lines


def verify(options: argparse.Namespace) -> int:
    """Read datasets and print what each of them is. Returns FAILED if any is not known to be what its name says."""
    result = verification(selected(options), options.root)
    if not options.names:
        result.rows += bundled_rows(options.root, {row[0] for row in result.rows if row[2] == "sktime"})
    show_progress("")
    header = (
        *("dataset", "what it is", "source", "train", "test", "channels", "length", "classes", "missing"),
        "duplicates",
    )
    table = columns(header, result.rows) if result.rows else []
    print("\n".join([*table, *result.summary()]))
    return result.code


def verification(names: Iterable[str], root: str | None) -> Verification:
    """Read datasets and return what they are."""
    result = Verification()
    for name in names:
        show_progress(f"{name} ...")
        try:
            passport = archive.passport(name, root)
        except locate.NotAvailable:
            result.missing.append(name)
        except UserError as error:
            result.errors.append(f"{name}: {error}")
        else:
            result.rows.append(passport_row(passport))
            result.warnings += summary(passport)[1:]
            result.revisions[str(passport["revision"])] += 1
    return result


def passport_row(passport: dict[str, Any]) -> Row:
    """Return the row of a dataset in the table of `verify`."""
    revision = provenance.REVISIONS[passport["revision"]]
    if passport["files_split"] == "ucr2015":
        revision = f"files of the 2015 split, read with train and test exchanged: {revision}"
    shortest, length = passport["shortest"], passport["length"]
    return (
        passport["name"],
        revision,
        passport["source"],
        passport["n_train"],
        passport["n_test"],
        passport["n_channels"],
        length if shortest == length else f"{shortest}-{length}",
        passport["n_classes"],
        passport["n_missing"] or "",
        passport["n_duplicates"] or "",
    )


def bundled_rows(root: str | None, listed: set[object]) -> Iterator[Row]:
    """Yield the rows of the datasets that sktime bundles, without those that are `listed` already."""
    for name in catalogue.CATALOGUE:
        files = locate.sktime_files(name)
        if files is None or name in listed:
            continue
        bundled = archive.passport(name, files.folder.parent)
        _, revision, _, *sizes = passport_row(bundled)
        try:
            present = archive.passport(name, root)
        except UserError:
            present = bundled
        if present["content"] != bundled["content"]:
            revision = f"{revision}; differs from yours"
        yield (f"{name} (sktime)", revision, "sktime", *sizes)


# ---------------------------------------------------------------------------------------------------------------------
# show


def show(options: argparse.Namespace) -> int:
    """Print pictures, passport and policies of one dataset. Returns the exit code."""
    if options.height < 1:
        raise UserError(f"--height {options.height} is out of range: use 1 or more")
    dataset = archive.load(options.name, options.root, options.split)
    facts = catalogue.CATALOGUE.get(dataset.name)
    drawings = class_drawings(dataset)
    low, high = picture.span([series for _, cases in drawings for series in cases])
    length = int(dataset.passport["length"])
    caption = f"first {MAX_CASES} training cases of each class, values from {low:.4g} to {high:.4g}"
    if options.svg:  # before anything is printed, since `| head` may end the command
        text = picture.svg(f"{dataset.name}: {caption}", drawings, length)
        write_output(Path(options.svg).expanduser(), lambda file: file.write(text.encode()))
    kind = f", {facts.type}" if facts else ""
    print(f"{dataset.name}{kind}: {provenance.REVISIONS[dataset.passport['revision']]}\n")
    width = max(20, min(shutil.get_terminal_size().columns - 2, 76))
    for title, cases in drawings:
        print(title)
        print("\n".join(picture.braille(cases, low, high, length, width, options.height)))
    print("; ".join([caption, *_omissions(dataset, len(drawings))]))
    print("\npassport")
    print("\n".join([*columns(("", ""), dataset.passport.items(), indent=2), *_duplicates(dataset)]))
    print("\npolicies")
    print("\n".join(policies(dataset, options.protocol)))
    if options.svg:
        print(f"\npicture: {options.svg}")
    return OK


def class_drawings(dataset: Dataset) -> list[tuple[str, Sequence[picture.Series]]]:
    """Return the title and the cases, (n_timepoints,) each, of each class to draw."""
    lengths = preprocess.case_lengths(dataset.x_train, dataset.unequal)
    classes = preprocess.encode_labels(dataset.y_train, dataset.y_test)[2]
    drawings: list[tuple[str, Sequence[picture.Series]]] = []
    for label in classes[:MAX_CLASSES]:
        members = np.flatnonzero(dataset.y_train == label)
        n_test = int((dataset.y_test == label).sum())
        cases = [dataset.x_train[i, 0, : lengths[i]] for i in members[:MAX_CASES]]
        drawings.append((f"class {label}: {len(members)} training and {n_test} test cases", cases))
    return drawings


def _omissions(dataset: Dataset, n_drawn: int) -> list[str]:
    """Return what the drawings leave out."""
    n_classes, n_channels = int(dataset.passport["n_classes"]), int(dataset.passport["n_channels"])
    omissions = [f"{n_classes - n_drawn} more classes"] if n_classes > n_drawn else []
    return omissions + ([f"first channel of {n_channels}"] if n_channels > 1 else [])


def _duplicates(dataset: Dataset) -> list[str]:
    """Return the line about test cases that are also training cases; none where there are none."""
    counts = duplicates(dataset)
    if not counts["series"]:
        return []
    n_cases, n_series = counts["cases"], counts["series"]
    relabelled = f"{counts['relabelled']} of them with another class; they are not removed"
    return [f"  {n_cases} test cases ({n_series} distinct series) are also training cases, {relabelled}"]


def policies(dataset: Dataset, protocol: str) -> list[str]:
    """Return what a protocol would do to a dataset before training: each policy with its counts."""
    from tsfcn.config.compose import compose
    from tsfcn.config.protocol import settings

    run, _ = compose([f"protocol={protocol}"])
    values = settings(run.protocol, "fcn", run.model.configs()["fcn"])
    data = preprocess.prepare(
        dataset.x_train,
        dataset.y_train,
        dataset.x_test,
        dataset.y_test,
        normalisation=values.normalisation,
        missing=values.missing,
        length=values.length,
        unequal=dataset.unequal,
        fixed_length=False,
    )
    n_train, n_timepoints = len(data.y_train), data.x_train.shape[2]
    scope = "for FCN; networks of fixed length cut test cases to the length of the longest training case"
    rows = [
        ("protocol", protocol, scope),
        ("normalisation", values.normalisation, ""),
        ("missing", values.missing, f"{data.n_filled} values"),
        ("length", values.length, f"{data.n_padded} cases padded, {data.n_cut} cut; {n_timepoints} timepoints"),
        ("batch", values.batch(n_train), f"of {n_train} training cases"),
    ]
    return columns(("", "", ""), rows, indent=2)


# ---------------------------------------------------------------------------------------------------------------------
# fetch and import


def fetch_datasets(options: argparse.Namespace) -> int:
    """Download the datasets that the command line names. Returns the exit code."""
    words = split_names(options.names)
    monster_names = [word.removeprefix(catalogue.MONSTER) for word in words if word.startswith(catalogue.MONSTER)]
    words = [word for word in words if not word.startswith(catalogue.MONSTER)]
    names = catalogue.select(words, split_names(options.exclude)) if words or not monster_names else []
    if not monster_names and (options.cases is not None or options.fold):
        raise UserError("--cases and --fold are without effect: they are for datasets of MONSTER, monster:NAME")
    if options.tries < 1:
        raise UserError(f"--tries {options.tries} is out of range: use 1 or more")
    download.address("NAME", options.mirror)
    root = importer.destination(options.root)
    absent = [name for name in names if not (root / name).exists()]
    if len(absent) > 1:
        about = size(download.estimate(absent))
        print(f"downloading {counted(len(absent), 'dataset')}, about {about}, to '{root}'", file=sys.stderr, flush=True)
    n_failed = 0
    policy = download.RetryPolicy(max_tries=options.tries)
    for result in download.fetch_several(names, root, options.mirror, policy):
        n_failed += result.reason is not None
        print(result.line, flush=True)
    for name in monster_names:
        n_failed += not fetch_of_monster(name, root, options.fold, options.cases)
    n_wanted = len(names) + len(monster_names)
    print(f"{n_wanted - n_failed} of {n_wanted} datasets are in '{root}'")
    return FAILED if n_failed else OK


def fetch_of_monster(name: str, root: Path, fold: int, n_cases: int | None) -> bool:
    """Put a dataset of MONSTER into the archive and print a line. Returns whether it is there; see `monster.fetch`."""
    try:
        is_new = monster.fetch(name, root, fold, n_cases)
    except UserError as error:
        print(f"failed: {name}: {error}", flush=True)
        return False
    kept = monster.dataset_name(name, fold, n_cases)
    print(f"{kept}: {'downloaded' if is_new else 'already present'}, as dataset={kept}", flush=True)
    return True


def split_names(words: Sequence[str]) -> list[str]:
    """Return the names in an argument, which may be separate words or separated by commas."""
    return [name for word in words for name in word.split(",") if name]


def import_datasets(options: argparse.Namespace) -> int:
    """Import every dataset of a zip or a folder. Returns the exit code."""
    with importer.open_source(Path(options.source).expanduser()) as source:
        pairs = importer.datasets_of(source)
        root = importer.destination(options.root)
        password = read_password(source, options.password_file) if isinstance(source, Zip) else None
        n_refused = 0
        for name, paths in pairs.items():
            try:
                passport = importer.import_dataset(source, name, paths, root, password)
            except UserError as error:
                n_refused += 1
                print(f"refused: {name}: {error}", flush=True)
                continue
            state = "already present" if passport is None else "imported"
            print(f"{name}: {state}" + ("" if name in catalogue.CATALOGUE else ", not in the catalogue"), flush=True)
    print(f"{len(pairs) - n_refused} of {len(pairs)} datasets are in '{root}'")
    return FAILED if n_refused else OK


def read_password(zipped: Zip, file: str | None) -> bytes | None:
    """Return the password of a zip from the first line of `file` or from the terminal; None if it needs none.

    Raises UserError for a wrong password, and where there is neither file nor terminal.
    """
    if not zipped.is_encrypted:
        return None
    if file is not None:
        try:
            password = (Path(file).expanduser().read_bytes().splitlines() or [b""])[0]
        except OSError as error:
            raise UserError(f"--password-file '{file}' is not readable ({error.strerror}): use another") from error
    elif sys.stdin is not None and sys.stdin.isatty():
        print(f"'{zipped.label}' is encrypted; the archive's web page states the password.", file=sys.stderr)
        try:
            password = getpass.getpass().encode()
        except EOFError:
            password = b""
    else:
        raise UserError(f"'{zipped.label}' is encrypted and there is no terminal to ask on: use --password-file FILE")
    zipped.check_password(password)
    return password


# ---------------------------------------------------------------------------------------------------------------------
# The command line


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    whole = Parser(prog="tsfcn data", description="List, verify, show, fetch and import datasets.")
    verbs = whole.add_subparsers(dest="verb", required=True, metavar="VERB")
    _add_selection(_add_verb(verbs, "list", list_datasets, "list datasets and where they would be read from"))
    _add_selection(_add_verb(verbs, "verify", verify, "read datasets and print which revision they are"))
    _add_show(_add_verb(verbs, "show", show, "show cases, passport and policies of one dataset"))
    _add_fetch(_add_verb(verbs, "fetch", fetch_datasets, "download datasets, one zip each"))
    help_text = "import datasets from a zip or a folder, each checked before it is put in place"
    verb = _add_verb(verbs, "import", import_datasets, help_text)
    verb.add_argument("source", metavar="FILE", help="zip (UCRArchive_2018.zip asks for its password) or folder")
    verb.add_argument("--password-file", metavar="FILE", help="file with the password in its first line")
    return whole


def _add_verb(
    verbs: Any, name: str, act: Callable[[argparse.Namespace], int], help_text: str
) -> argparse.ArgumentParser:
    """Add a verb and return its parser.

    Args:
        verbs: argparse's subparsers.
        name: The verb.
        act: Does the work and returns the exit code.
        help_text: What the verb does.
    """
    verb: argparse.ArgumentParser = verbs.add_parser(
        name, help=help_text, description=help_text[0].upper() + help_text[1:] + "."
    )
    verb.set_defaults(act=act)
    verb.add_argument("--root", metavar="DIR", help=f"folder of the archive (default: {ROOT})")
    return verb


def _add_selection(verb: argparse.ArgumentParser) -> None:
    help_text = "names, sets or globs as in dataset=... (default: everything)"
    verb.add_argument("names", nargs="*", metavar="SELECTION", help=help_text)


def _add_show(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("name", metavar="NAME")
    verb.add_argument("--split", choices=archive.SPLITS, default="ucr2018", help="which split (default: ucr2018)")
    verb.add_argument("--protocol", default="fawaz2019", help="whose policies to show (default: fawaz2019)")
    verb.add_argument("--height", type=int, default=6, metavar="LINES", help="of a picture (default: 6)")
    verb.add_argument("--svg", metavar="FILE", help="also write the pictures to an SVG file")


def _add_fetch(verb: argparse.ArgumentParser) -> None:
    help_text = "a dataset, a set (all, uea, ...), a glob ('Ins*') or monster:NAME (needs aeon)"
    verb.add_argument("names", nargs="+", metavar="NAME", help=help_text)
    verb.add_argument("--exclude", nargs="+", default=[], metavar="NAME", help="what to leave out, in the same forms")
    verb.add_argument("--mirror", metavar="URL", help=f"base address, or one with {{name}} (default: {locate.SITE})")
    verb.add_argument("--cases", type=int, metavar="N", help="of monster:NAME: draw about so many training cases")
    verb.add_argument("--fold", type=int, default=0, metavar="K", help="of monster:NAME: 0 to 4 (default: 0)")
    max_tries = download.RetryPolicy.max_tries
    verb.add_argument("--tries", type=int, default=max_tries, metavar="N", help="default: %(default)s")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code: 1 where data is wrong, else as exit_codes.run says."""
    resume = "finished datasets are kept, the same command continues"
    return exit_codes.run(lambda: run(argv), resume=resume)


def run(argv: Sequence[str] | None) -> int:
    """Run the command line and return its exit code."""
    options = parser().parse_args(argv)
    try:
        code: int = options.act(options)
    except UserError:
        show_progress("")  # the error has a line of its own
        raise
    return code
