"""Find the files of a dataset, under the archive's root or in sktime's wheel, by its name."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tsfcn.common.errors import UserError
from tsfcn.data import catalogue
from tsfcn.data.formats import SUFFIXES, Columns

SITE = "https://www.timeseriesclassification.com/aeon-toolkit"  # one zip for each dataset, SITE/NAME.zip
INNER_FOLDERS = (  # what the archives' zips unpack to
    *("UCRArchive_2018", "UCR_TS_Archive_2015"),
    *("Multivariate_ts", "Multivariate_arff"),
)

# A name never leaves the folder, and has no characters that a terminal would act on.
NAME = re.compile(
    r"(?!\.|.*\.\.)[^/\\\0-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*[^/\\\0-\x20\x7f-\x9f\u202a-\u202e\u2066-\u2069\s]"
)


class NotAvailable(UserError):
    """The dataset is not on this machine; the message says how to get it."""


@dataclass(frozen=True)
class ReadOptions:
    """How the user's own datasets are read: the names of columns, and the share of test cases.

    test_size: fraction of the cases of a dataset in one table that are held out for testing, 0 < test_size < 1; None:
    `DEFAULT_TEST_SIZE`.
    """

    columns: Columns = field(default_factory=Columns)
    test_size: float | None = None

    def __post_init__(self) -> None:
        """Check the range."""
        if self.test_size is not None and not 0 < self.test_size < 1:
            raise UserError(f"test_size={self.test_size:g} is not a fraction between 0 and 1: write 0.3 for 30 %")

    def __bool__(self) -> bool:
        """Return whether anything is given."""
        return self != ReadOptions()


DEFAULT_TEST_SIZE = 0.3


@dataclass(frozen=True)
class Files:
    """The files of one dataset.

    paths: training and test file; one file that holds both or is to be split; or four arrays: x_train, y_train, x_test,
    y_test. source: 'sktime', or one of `formats.SUFFIXES`.
    """

    paths: tuple[Path, ...]
    source: str
    options: ReadOptions = field(default_factory=ReadOptions)

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        return self.paths[0].parent

    def stamp(self) -> list[list[object]]:
        """Return path, bytes and modification time of each file; equal stamps mean that nothing has changed."""
        stats = [(path, path.stat()) for path in self.paths]
        return [[os.path.realpath(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]


def find(name: str, root: str | Path | None, options: ReadOptions | None = None) -> Files:
    """Return the files of a dataset.

    Raises NotAvailable for a dataset of the archive that is not here, UserError for a name that is no name, an unknown
    name (with the near miss), a root that is not a folder, and half a dataset.
    """
    check_name(name)
    folder = root_folder(root)
    files = None if folder is None else under(folder, name)
    if files is None:
        files = _bundled(name)
    if files is not None:
        user = name not in catalogue.CATALOGUE
        return Files(files.paths, files.source, options) if options and user else files
    if name not in catalogue.CATALOGUE:
        names = catalogue.select(name)  # raises for an unknown name, with the near miss
        raise UserError(f"dataset '{name}' is a selection of {len(names)} datasets: give the name of one")
    raise _not_available(name, folder)


def check_name(name: str) -> None:
    """Raise UserError for a text that cannot be the name of a dataset, as a path."""
    if not NAME.fullmatch(name) or name != name.strip():
        raise UserError(f"dataset {name!r} is not a name: write one like 'Coffee', and the folder in archive.root")


def _bundled(name: str) -> Files | None:
    """Return sktime's files of a dataset if they hold the official values."""
    facts = catalogue.CATALOGUE.get(name)
    return sktime_files(name) if facts is not None and facts.bundled else None


def _not_available(name: str, folder: Path | None) -> NotAvailable:
    """Return the error for a dataset of the archive that is not here."""
    facts = catalogue.CATALOGUE[name]
    looked = "there is no archive.root" if folder is None else f"it is not under '{folder}'"
    also = "; or pip install sktime, which bundles it" if facts.bundled else ""
    suffix = ".tsv" if facts.archive == catalogue.UCR else ".ts"
    return NotAvailable(
        f"dataset '{name}' is not available, {looked}: `tsfcn data fetch {name}` downloads {SITE}/{name}.zip "
        "(archive.download=auto does so in a run), or set archive.root or TSFCN_ARCHIVE to the folder that holds "
        f"{name}/{name}_TRAIN{suffix}{also}"
    )


def root_folder(root: str | Path | None) -> Path | None:
    """Return the archive's folder: `root`, else $TSFCN_ARCHIVE, else the default folder if it is there, else None.

    Raises UserError for a `root` or $TSFCN_ARCHIVE that is not a folder or not readable.
    """
    given, origin = root, "archive.root"
    if given is None:
        given, origin = os.environ.get("TSFCN_ARCHIVE") or None, "TSFCN_ARCHIVE"
    if given is None:
        with contextlib.suppress(RuntimeError):  # no home folder
            if default_folder().is_dir():
                return default_folder()
        return None
    folder = Path(given).expanduser()
    try:
        is_folder = bool(str(given)) and folder.is_dir()
        if is_folder:
            os.scandir(folder).close()
    except OSError as error:
        raise UserError(f"{origin} '{given}' is not readable ({error.strerror}): correct its permissions") from error
    if not is_folder:
        raise UserError(f"{origin} '{given}' is not a folder: give the one that holds Coffee/Coffee_TRAIN.tsv")
    return folder


def default_folder() -> Path:
    """Return the folder that datasets are downloaded to where neither archive.root nor TSFCN_ARCHIVE names another.

    Raises RuntimeError where the user has no home folder.
    """
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".local" / "share") / "tsfcn" / "ucr2018"


def user_names(root: str | Path | None = None) -> list[str]:
    """Return the names of the user's own datasets under the archive's root, which the catalogue does not know.

    Half a dataset and an unreadable folder are listed too, so that reading them names the cause.
    """
    folder = root_folder(root)
    names = set() if folder is None else set(_names_under(folder))
    return sorted(name for name in names if name.lower() not in catalogue.BY_FILE and NAME.fullmatch(name))


def _names_under(folder: Path) -> Iterator[str]:
    """Yield the names of datasets under a root: files in it, in a folder of their name, and unreadable folders."""
    for entry in os.scandir(folder):
        stem = split_stem(entry.name)
        if stem is not None:
            yield stem
        elif entry.is_dir() and not entry.name.startswith("."):
            try:
                if any(split_stem(inner.name) == entry.name for inner in os.scandir(entry.path)):
                    yield entry.name
            except PermissionError:
                yield entry.name


def split_stem(file_name: str) -> str | None:
    """Return the name of the dataset that a file holds a split of, or None.

    >>> [split_stem(name) for name in ("Coffee_TRAIN.tsv", "Walk_TEST.csv.gz", "Walk.csv", "Walk_TRAIN.doc")]
    ['Coffee', 'Walk', None, None]
    """
    for word in ("_TRAIN", "_TEST"):
        stem, found, suffix = file_name.rpartition(word)
        if found and stem and suffix in SUFFIXES:
            return stem
    return None


def under(folder: Path, name: str) -> Files | None:
    """Return the files of a dataset under a root, or None. Raises UserError where only one of the two is there."""
    halves: list[Path] = []
    try:
        found = pair(_stems(folder, name), halves)
        if found is None and name in catalogue.CATALOGUE:
            found = pair(_stems_in_any_case(folder, name), halves)
    except OSError as error:  # a name too long for the file system, a folder without permissions
        raise UserError(f"dataset '{name[:40]}' is not readable under '{folder}': {error.strerror}") from error
    if found is None and halves:
        train = halves[0].name.replace("_TEST", "_TRAIN")
        other = train if "_TEST" in halves[0].name else train.replace("_TRAIN", "_TEST")
        raise UserError(f"dataset '{name}' is half there, '{halves[0]}': put '{other}' beside it")
    return found


def _spellings(name: str) -> list[str]:
    """Return the names that files of a dataset may have: its own, and those of 2015."""
    return [name, *(old for old, new in catalogue.OLD_NAMES.items() if new == name)]


def _stems(folder: Path, name: str) -> list[Path]:
    """Return the paths, without split and suffix, where files of a dataset may be."""
    bases = [folder, *(folder / inner for inner in INNER_FOLDERS)]
    return [stem for base in bases for word in _spellings(name) for stem in (base / word / word, base / word)]


def _stems_in_any_case(folder: Path, name: str) -> list[Path]:
    """Return the paths of files whose names differ from the dataset's in case, as wafer/wafer for Wafer."""
    words = {word.lower() for word in _spellings(name)}
    stems = [
        stem
        for base in (folder, *(folder / inner for inner in INNER_FOLDERS))
        if base.is_dir()
        for entry in sorted(base.iterdir())
        if entry.name.lower().partition("_train")[0] in words
        for file in (sorted(entry.iterdir()) if entry.is_dir() else [entry])
        if (name_of_file := split_stem(file.name)) is not None and name_of_file.lower() in words
        for stem in (file.with_name(name_of_file),)
    ]
    return list(dict.fromkeys(stems))


def pair(stems: list[Path], halves: list[Path]) -> Files | None:
    """Return the first pair of files that exists; append to `halves` the files whose other half is missing."""
    for stem in stems:
        for suffix, source in SUFFIXES.items():
            train, test = Path(f"{stem}_TRAIN{suffix}"), Path(f"{stem}_TEST{suffix}")
            there = [path for path in (train, test) if _is_file(path)]
            if len(there) == 2:
                return Files((train, test), source)
            halves += there
    return None


def _is_file(path: Path) -> bool:
    """Return whether a path is anything but a folder: pipes and devices are refused when they are read."""
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def sktime_files(name: str) -> Files | None:
    """Return sktime's files of a dataset without importing sktime, which takes seconds."""
    spec = importlib.util.find_spec("sktime")
    if spec is None or spec.submodule_search_locations is None:
        return None
    for package in spec.submodule_search_locations:
        stem = Path(package) / "datasets" / "data" / name / name
        train, test = Path(f"{stem}_TRAIN.ts"), Path(f"{stem}_TEST.ts")
        if train.is_file() and test.is_file():
            return Files((train, test), "sktime")
    return None
