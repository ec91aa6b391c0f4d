"""The user's own data: datasets by path, and arrays or frames in Python.

A dataset that is not found by its name alone is kept in the cache folder under its content hash, as a .npz file, so
that workers in other processes read what the plan saw.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from tsfcn.common import files as common_files
from tsfcn.common import npz
from tsfcn.common.errors import UserError
from tsfcn.data import archive, catalogue, formats, locate
from tsfcn.data.dataset import Dataset, assemble
from tsfcn.data.formats import SUFFIXES, Columns, Split, arrays, frames
from tsfcn.data.locate import Files, ReadOptions
from tsfcn.data.provenance import checked_passport, content_hash

if TYPE_CHECKING:
    import pandas as pd

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
NO_DATA = ("readme", "license", "licence", "citation")  # first words of files that are not tables

# ---------------------------------------------------------------------------------------------------------------------
# Selecting


@dataclass(frozen=True)
class Source:
    """A dataset of a run: its name, and its files unless the archive has it by this name."""

    name: str
    files: Files | None = None


def select(dataset: object, exclude: object, root: str | Path | None, options: ReadOptions) -> list[Source]:
    """Return the datasets that a run names, in order, none twice.

    Args:
        dataset: As for `catalogue.select`; a path of a file or a folder may stand for a name.
        exclude: As for `catalogue.select`.
        root: The folder of the archive.
        options: How the user's datasets are read.

    Raises:
        UserError: For a name or path that does not exist, a folder without dataset, two datasets of one name, and
            options that no dataset of the selection reads.
    """
    user = locate.user_names(root)
    words = list(dataset) if isinstance(dataset, Sequence) and not isinstance(dataset, (str, bytes)) else [dataset]
    if not any(is_path(word, user) for word in words):
        sources = [Source(name) for name in catalogue.select(dataset, exclude, user)]
    else:
        sources = _with_paths(words, user, options)
        names = [source.name for source in sources]
        excluded = set(catalogue.select(exclude, user=[*user, *names])) if exclude else set()
        sources = [source for source in sources if source.name not in excluded]
        if not sources:
            raise UserError(f"exclude={exclude} leaves nothing of dataset {dataset}: exclude less")
    _check_effect(sources, options)
    return sources


def _with_paths(words: Sequence[object], user: Sequence[str], options: ReadOptions) -> list[Source]:
    """Return the datasets of words of which some are paths."""
    sources: dict[str, Source] = {}
    for word in words:
        if is_path(word, user):
            chosen = [Source(name, replace(files, options=options)) for name, files in files_at(str(word))]
        else:
            chosen = [Source(name) for name in catalogue.select(word, user=user)]
        for source in chosen:
            other = sources.setdefault(source.name, source)
            if other != source:
                raise UserError(f"dataset '{word}' has the name of another one, '{source.name}': rename one of the two")
    return list(sources.values())


def _check_effect(sources: Iterable[Source], options: ReadOptions) -> None:
    """Raise UserError for an option that no dataset of the selection reads."""
    of_user = [source for source in sources if source.name not in catalogue.CATALOGUE]
    named = {"label": options.columns.label, "columns": options.columns != Columns(label=options.columns.label) or None}
    for setting, value in named.items():
        if value is not None and not of_user:
            raise UserError(
                f"{setting}= is without effect: it is for tables of your own, not for the archive's datasets"
            )
    if options.test_size is not None and not any(source.files and len(source.files.paths) == 1 for source in of_user):
        raise UserError(
            f"test_size={options.test_size:g} is without effect: it is for one table without a test file, as "
            "dataset=walks.csv"
        )


def is_path(word: object, user: Sequence[str] = ()) -> bool:
    """Return whether a word of a selection is a path rather than a name: it has a slash, or a suffix, or is a folder.

    user: names of the user's datasets, which go before folders of the same name.
    """
    if not isinstance(word, str) or not word or "\0" in word:
        return False
    if "/" in word or os.sep in word or word.startswith("~") or word in (".", ".."):
        return True
    if word in catalogue.CATALOGUE or word in catalogue.SETS or word in user:
        return False
    return formats.suffix_of(Path(word)) in {*SUFFIXES} - {""} or Path(word).is_dir()


def files_at(word: str) -> list[tuple[str, Files]]:
    """Return name and files of each dataset at the path of a file or a folder. Raises UserError where there is none."""
    try:
        path = Path(word).expanduser()
        if path.is_dir():
            return _files_in(path)
        if path.exists():
            return [_files_of_file(path)]
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"dataset '{word}' is not readable ({reason}): correct its permissions or its path") from error
    near = difflib.get_close_matches(path.name, _listing(path.parent), n=1)
    hint = f"did you mean '{path.parent / near[0]}'?" if near else "give a file or a folder that exists"
    raise UserError(f"dataset '{word}' does not exist: {hint}")


def _listing(folder: Path) -> list[str]:
    """Return the names in a folder, [] if it cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _files_of_file(path: Path) -> tuple[str, Files]:
    """Return the dataset of a file: with the other split beside it, or alone."""
    if path.stem.lower() in ARRAYS and path.suffix == ".npy":
        return _files_in(path.parent)[0]
    stem = locate.split_stem(path.name)
    if stem is not None:
        return _pair(path.parent, stem)
    suffix = formats.suffix_of(path)
    if suffix not in SUFFIXES:
        known = ", ".join(suffix for suffix in SUFFIXES if suffix and not suffix.endswith(".gz"))
        raise UserError(f"dataset '{path}' is of a format that is not read: write one of {known}")
    return _checked_name(path.name.removesuffix(suffix), path), Files((path,), SUFFIXES[suffix])


def _pair(folder: Path, stem: str) -> tuple[str, Files]:
    """Return the dataset of NAME_TRAIN and NAME_TEST. Raises UserError for half of them."""
    halves: list[Path] = []
    files = locate.pair([folder / stem], halves)
    if files is None:
        other = "_TEST" if "_TRAIN" in halves[0].name else "_TRAIN"
        raise UserError(f"dataset '{halves[0]}' is half there: put its {other} file of the same format beside it")
    return _checked_name(stem, folder), files


def _checked_name(name: str, path: Path) -> str:
    """Return the name of a dataset. Raises UserError for one that tables cannot show, and for the name of a set."""
    if not locate.NAME.fullmatch(name) or name != name.strip() or name in catalogue.SETS:
        raise UserError(f"dataset '{path}' would have the name {name!r}, which is not usable: rename it")
    return catalogue.BY_FILE.get(name.lower(), name)


def _files_in(folder: Path) -> list[tuple[str, Files]]:
    """Return the datasets in a folder.

    In this order: NAME_TRAIN and NAME_TEST; train and test; the arrays x_train, y_train, x_test and y_test; one table;
    folders of datasets.
    """
    if pairs := _pairs_of(folder):
        return pairs
    entries = sorted(folder.iterdir())
    named = {entry.name.lower(): entry for entry in entries if not entry.is_dir()}
    name = folder.resolve().name
    for suffix, source in SUFFIXES.items():
        if f"train{suffix}" in named and f"test{suffix}" in named:
            pair = Files((named[f"train{suffix}"], named[f"test{suffix}"]), source)
            return [(_checked_name(name, folder), pair)]
    if all(f"{each}.npy" in named for each in ARRAYS):
        return [(_checked_name(name, folder), Files(tuple(named[f"{each}.npy"] for each in ARRAYS), "npy"))]
    tables = [entry for key, entry in named.items() if _is_table(key)]
    if len(tables) == 1:
        return [_files_of_file(tables[0])]
    inner = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    pairs = [pair for entry in inner for pair in _pairs_of(entry)]
    if pairs and not tables:
        return pairs
    holds = f"{len(tables)} tables, {tables[0].name}, {tables[1].name} ..." if tables else "no dataset"
    raise UserError(f"folder '{folder}' holds {holds}: give NAME_TRAIN.csv and NAME_TEST.csv, or the path of one table")


def _is_table(file_name: str) -> bool:
    """Return whether a file name, in lower case, may be that of a table."""
    suffix = formats.suffix_of(Path(file_name))
    return suffix in {*SUFFIXES} - {""} and not file_name.startswith((*NO_DATA, "."))


def _pairs_of(folder: Path) -> list[tuple[str, Files]]:
    """Return the datasets of NAME_TRAIN and NAME_TEST files in a folder."""
    stems = sorted({stem for entry in folder.iterdir() if (stem := locate.split_stem(entry.name)) is not None})
    return [_pair(folder, stem) for stem in stems]


# ---------------------------------------------------------------------------------------------------------------------
# From a plan to a worker


def passport(source: Source, root: str | Path | None, split: str, options: ReadOptions) -> dict[str, Any]:
    """Return the passport of a dataset of a run, and keep a dataset that a worker could not find by its name.

    Args:
        source: The dataset.
        root: The folder of the archive.
        split: 'ucr2018' or 'ucr2015'.
        options: How the user's datasets are read.

    Raises:
        UserError: As `archive.load`, and where the dataset cannot be kept.
    """
    name, files = source.name, source.files
    if files is None and (not options or name in catalogue.CATALOGUE):
        return archive.passport(name, root, split)
    files = files or locate.find(name, root, options)
    known = archive.cached_passport(name, files, split)
    if known is not None and kept_path(name, known["content"]).exists():
        return known
    dataset = archive.load_files(name, files, split)
    if not kept_path(name, dataset.passport["content"]).exists():
        keep(dataset)
    return dataset.passport


def kept_path(name: str, content: str) -> Path:
    """Return where a dataset of this content hash is kept. Raises UserError for names that lead to another folder."""
    if any(Path(part).name != part for part in (name, content)):
        raise UserError(f"dataset '{name}' of content '{content}' is of no run: leave its record out")
    try:
        return common_files.cache_folder() / "datasets" / content[:16] / f"{name}.npz"
    except OSError as error:
        raise UserError(f"dataset '{name}' cannot be kept, {error}: set TSFCN_CACHE to a folder") from error


def keep(dataset: Dataset) -> Path:
    """Write a dataset to the cache folder, at once or not at all, and return the file.

    Raises UserError where the folder cannot be written.
    """
    path = kept_path(dataset.name, dataset.passport["content"])
    parts = {
        "X_train": dataset.x_train,
        "y_train": dataset.y_train,
        "X_test": dataset.x_test,
        "y_test": dataset.y_test,
        "unequal": np.array(dataset.unequal),
        "warnings": np.array(dataset.passport.get("warnings", []), dtype=np.str_),
    }
    try:
        common_files.create_cache_folder()
        common_files.replace(path, lambda file: npz.write(file, parts))
    except OSError as error:
        raise UserError(
            f"dataset '{dataset.name}' cannot be kept in '{path.parent}' ({error.strerror}): set TSFCN_CACHE to a "
            "folder that can be written"
        ) from error
    return path


def _kept(name: str, known: Mapping[str, Any]) -> Dataset | None:
    """Return the dataset that was kept for a passport, or None where there is none of this content."""
    try:
        with np.load(kept_path(name, known["content"]), allow_pickle=False) as content:
            parts = [content[key] for key in ("X_train", "y_train", "X_test", "y_test")]
        unequal = bool(known["unequal"])
        if content_hash(parts[0], parts[1], parts[2], parts[3], unequal) != known["content"]:
            return None
    except Exception:  # a damaged file fails in many ways, and the dataset may still be found by its name
        return None
    return Dataset(name, parts[0], parts[1], parts[2], parts[3], unequal, dict(known))


def load_planned(name: str, known: Mapping[str, Any], root: str | Path | None) -> Dataset:
    """Return the dataset that a plan saw.

    known: its passport. root: the folder of the archive. Raises UserError where its content is not there any more.
    """
    dataset = _kept(name, known)
    if dataset is None:
        dataset = archive.load(name, root, "ucr2015" if known["split"] == "ucr2015" else "ucr2018")
    if dataset.passport["content"] != known["content"]:
        raise UserError(f"dataset '{name}' has changed since the run was planned: start the run again")
    return dataset


# ---------------------------------------------------------------------------------------------------------------------
# In Python


def dataset_of_arrays(name: str, data: Sequence[object], options: ReadOptions) -> Dataset:
    """Return the dataset of arrays or frames.

    Args:
        name: What tables call it.
        data: (frame,), (X, y), (frame_train, frame_test) or (X_train, y_train, X_test, y_test). X: numbers (n_cases,
            n_timepoints) or (n_cases, n_channels, n_timepoints), or a list of cases, which may differ in length. y:
            labels (n_cases,). A frame has a column of labels, as a .csv with a header.
        options: The names of columns; the share of test cases where no test cases are given.

    Raises:
        UserError: For shapes and types that are not these, and as `archive.load` for data of the user.
    """
    _checked_name(name, Path(name))
    splits = _splits_of(name, data, options)
    place = f"dataset '{name}'"
    train, test = splits if len(splits) == 2 else archive.hold_out(splits[0], options.test_size, place)
    dataset = assemble(name, train, test, place, "arrays")
    return replace(dataset, passport=checked_passport(dataset.passport, place))


def _splits_of(name: str, data: Sequence[object], options: ReadOptions) -> list[Split]:
    """Return the one or two splits that arrays or frames hold."""
    words = ("training", "test")
    if len(data) in (1, 2) and all(map(_is_frame, data)):
        tables = [frames.table_of_frame(each, options.columns, name) for each in data]  # type: ignore[arg-type]
        return formats.splits_of_tables(tables)
    if len(data) not in (2, 4):
        raise UserError(f"dataset '{name}' has {len(data)} parts: give (X, y) or (X_train, y_train, X_test, y_test)")
    pairs = [(data[i], data[i + 1]) for i in range(0, len(data), 2)]
    return [
        arrays.to_split(_array(x), _array(y), f"dataset '{name}' {word}")
        for (x, y), word in zip(pairs, words, strict=False)
    ]


def _is_frame(value: object) -> bool:
    return hasattr(value, "columns") and hasattr(value, "iloc")


def _array(value: object) -> object:
    """Return the values of a frame or a series of pandas, anything else unchanged."""
    return value.to_numpy() if hasattr(value, "to_numpy") else value


def named_sources(dataset: object, settings: Mapping[str, object]) -> tuple[object, object]:
    """Return a selection of names and paths for datasets of Python, which are kept as files, and their names.

    dataset: a mapping from names to arrays, frames, paths or Datasets; a Dataset; a path; or a selection, which is
    returned unchanged. settings: of the run, of which `label` and `test_size` are read.
    """
    if isinstance(dataset, Path):
        dataset = str(dataset)
    if isinstance(dataset, Dataset):
        dataset = {dataset.name: dataset}
    if not isinstance(dataset, Mapping):
        return dataset, dataset
    label, test_size = settings.get("label"), settings.get("test_size")
    options = ReadOptions(
        Columns(label=None if label is None else str(label)), None if test_size is None else float(str(test_size))
    )
    paths = [str(keep(_as_dataset(str(name), value, options))) for name, value in dataset.items()]
    return paths, [str(name) for name in dataset]


def _as_dataset(name: str, value: object, options: ReadOptions) -> Dataset:
    """Return one dataset of a mapping."""
    if isinstance(value, Dataset):
        return replace(value, name=name, passport={**value.passport, "name": name})
    if isinstance(value, (str, Path)):
        return archive.load_files(name, _files_of_one(str(value), options)[1])
    data = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return dataset_of_arrays(name, data, options)


def _files_of_one(word: str, options: ReadOptions) -> tuple[str, Files]:
    """Return name and files of the one dataset at a path. Raises UserError where there is none, or several."""
    (name, files), *others = files_at(word)
    if others:
        raise UserError(f"dataset '{word}' is {len(others) + 1} datasets: give the path of one")
    return name, replace(files, options=options)


@overload
def load(
    dataset: str | Path,
    root: str | Path | None = None,
    split: str = "ucr2018",
    *,
    label: str | None = None,
    test_size: float | None = None,
) -> Dataset: ...


@overload
def load(
    dataset: pd.DataFrame | Sequence[Any] | np.ndarray[Any, Any],
    *data: object,
    label: str | None = None,
    test_size: float | None = None,
    name: str = "mine",
) -> Dataset: ...


def load(
    dataset: object,
    *data: Any,
    root: str | Path | None = None,
    split: str = "ucr2018",
    label: str | None = None,
    test_size: float | None = None,
    name: str = "mine",
) -> Dataset:
    """Return a dataset: of the archive by its name, of a path, or of arrays and frames.

        load("Coffee")
        load("walks.csv", label="activity", test_size=0.3)
        load(X, y), load(X_train, y_train, X_test, y_test), load(frame, label="activity")

    Args:
        dataset: A name, a path, an array of cases, or a frame.
        *data: For a name: root and split. For arrays: y, and X_test and y_test. For a frame: a frame of test cases.
        root: The folder of the archive, as for `archive.load`.
        split: As for `archive.load`.
        label: The column of labels.
        test_size: The share of cases that are held out where no test cases are given; None: 0.3.
        name: What tables call a dataset of arrays.

    Raises:
        UserError: As `archive.load`, and for arrays that are no dataset.
    """
    options = ReadOptions(Columns(label=label), test_size)
    if not isinstance(dataset, (str, Path)):
        return dataset_of_arrays(name, (dataset, *data), options)
    root, split = (*data, *(root, split)[len(data) :])[:2]
    if isinstance(dataset, str) and (dataset in catalogue.CATALOGUE or not _is_path_of_user(dataset, root)):
        return archive.load(dataset, root, split, options)
    return archive.load_files(*_files_of_one(str(dataset), options), split)


def _is_path_of_user(word: str, root: str | Path | None) -> bool:
    """Return whether a word is a path and no dataset of the user has it as its name; lists the archive's folder."""
    return is_path(word, locate.user_names(root))
