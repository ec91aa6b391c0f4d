"""Read and check one dataset by its name: from files to a `Dataset` with its passport.

Under `root` a dataset may lie as NAME/NAME_TRAIN.tsv (the layout of the 2018 archive) or NAME_TRAIN.tsv, in any of the
formats of `formats.SUFFIXES`, a dataset of the archive also in any case and under its name of 2015. Otherwise it is
read from sktime's wheel, which has a few. The content is checked against the catalogue and against the contents on
record: two revisions of the 2018 archive, its "adjusted" files and the 2015 archive with train and test swapped all
circulate under the same names, and their accuracies are not comparable.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tsfcn.common.errors import UserError
from tsfcn.data import catalogue, formats, locate
from tsfcn.data.cache import read_cache, write_cache
from tsfcn.data.dataset import Dataset, assemble, check_split
from tsfcn.data.formats import Split, arrays
from tsfcn.data.locate import DEFAULT_TEST_SIZE, Files, NotAvailable, ReadOptions
from tsfcn.data.provenance import checked_passport
from tsfcn.data.splits import stratified_holdout

READER = 4  # raise it when the same files would be read differently: the cache is read again

SPLITS = ("ucr2018", "ucr2015")
TEST_SEED = 0  # of the draw of test cases where a dataset is one table


def load(
    name: str,
    root: str | Path | None = None,
    split: str = "ucr2018",
    options: ReadOptions | None = None,
) -> Dataset:
    """Read one dataset from a local archive or from sktime's wheel, and check it against the catalogue.

    In a table of the user's own (.tsv, .csv and so on), NaN only at the ends of cases means unequal length; if there is
    NaN anywhere else, every NaN is a missing value. Parsed files are kept in $TSFCN_CACHE or ~/.cache/tsfcn.

    Args:
        name: A name of the catalogue ('Coffee'), or any other name whose files lie under root; there is nothing to
            check such a dataset against, and its passport has archive 'user'.
        root: The folder of the archive; None: $TSFCN_ARCHIVE, else the default folder (`locate.default_folder`) if it
            is there. The bundled datasets need none.
        split: 'ucr2018', or 'ucr2015': train and test as in the 2015 archive, which has 14 datasets swapped (inferred
            from published accuracies) and 85 of the 128. It does not matter which of the two the files have. A dataset
            of UEA has one split, and is loaded with 'ucr2018' too.
        options: How a dataset of the user is read.

    Raises:
        NotAvailable: If the files are not here, or the dataset is not in the 2015 archive.
        UserError: For an unknown name or split, a root that is not a folder, a file that cannot be read (with its
            line), and content whose sizes are not the official ones.
    """
    return load_files(name, locate.find(name, root, options), split)


def load_files(name: str, files: Files, split: str = "ucr2018") -> Dataset:
    """Return the dataset that these files hold, checked against the catalogue. Errors as for `load`."""
    stamp = _stamp(name, files)
    dataset = read_cache(name, stamp)
    if dataset is None:
        dataset = _read(name, files)
        if stamp == _stamp(name, files):  # else the files changed while they were read
            write_cache(dataset, stamp)
    return _finished(dataset, files, split)


def passport(
    name: str,
    root: str | Path | None = None,
    split: str = "ucr2018",
    options: ReadOptions | None = None,
) -> dict[str, Any]:
    """Return the passport of a dataset without its arrays: what identifies the content, and its sizes.

    Takes milliseconds if the dataset was read before, else as long as `load`, with the same parameters and errors.
    Keys: name; archive ('UCR2018', 'UEA2018' or 'user'); revision (of REVISIONS); source ('sktime' or of SUFFIXES);
    split (of what is loaded: 'ucr2018'; 'ucr2015' where that is the reverse; 'uea2018'; or 'user'); files_split (of the
    files, likewise);
    n_train, n_test (cases); n_channels; n_classes; length and shortest (timepoints of the longest and the shortest
    case); unequal; n_missing (values missing within cases); n_duplicates (`dataset.duplicates`); content
    (`content_hash` of what is loaded). Of a dataset of the user also class_counts (training cases by class) and
    warnings (sentences about how it was read and what makes its accuracy doubtful).
    """
    return passport_of_files(name, locate.find(name, root, options), split)


def passport_of_files(name: str, files: Files, split: str = "ucr2018") -> dict[str, Any]:
    """Return the passport of the dataset that these files hold. Errors as for `load`."""
    return cached_passport(name, files, split) or load_files(name, files, split).passport


def cached_passport(name: str, files: Files, split: str = "ucr2018") -> dict[str, Any] | None:
    """Return the passport of a dataset that was read before, else None. Errors as for `load`."""
    kept = read_cache(name, _stamp(name, files), only_passport=True)
    return None if kept is None else _finished(kept, files, split).passport


def checked(name: str, folder: Path) -> dict[str, Any]:
    """Read the files of a dataset under `folder` alone, past the cache, and return its passport.

    For files that are on their way into the archive. Raises UserError as `load` does, and where there are none.
    """
    files = locate.under(folder, name)
    if files is None:
        raise UserError(f"dataset '{name}' in '{folder / name}' is of a format that is not read: write .tsv or .ts")
    return _finished(_read(name, files), files, "ucr2018").passport


def _finished(dataset: Dataset, files: Files, split: str) -> Dataset:
    """Return a dataset as it was parsed with its passport checked, and with the train and test that `split` means."""
    passport = checked_passport(dataset.passport, _place(dataset.name, files))
    return _oriented(replace(dataset, passport=passport), split)


def _stamp(name: str, files: Files) -> str:
    """Return a text that changes with whatever a parsed dataset depends on."""
    facts = catalogue.CATALOGUE.get(name)
    unequal = None if facts is None else facts.unequal
    options = [files.options.test_size, *vars(files.options.columns).values()] if files.options else []
    return json.dumps([READER, files.source, unequal, files.stamp(), *options])


def _place(name: str, files: Files) -> str:
    """Return what errors call a dataset."""
    return f"dataset '{name}' in '{files.folder}'"


def _read(name: str, files: Files) -> Dataset:
    """Return the dataset that the files hold, in the orientation of 2018, before its passport is checked."""
    train, test = _splits(files, _place(name, files))
    return assemble(name, train, test, _place(name, files), files.source)


def _splits(files: Files, place: str) -> tuple[Split, Split]:
    """Return the training and the test cases of a dataset's files. place: what errors call the dataset."""
    columns, paths = files.options.columns, files.paths
    if len(paths) == 4:
        x_train, y_train, x_test, y_test = (arrays.read_array(path) for path in paths)
        return arrays.to_split(x_train, y_train, f"file '{paths[0]}'"), arrays.to_split(
            x_test, y_test, f"file '{paths[2]}'"
        )
    if len(paths) == 2:
        return formats.read_pair(paths[0], paths[1], columns)
    splits = formats.read_single(paths[0], columns)
    return (splits[0], splits[1]) if len(splits) == 2 else hold_out(splits[0], files.options.test_size, place)


def hold_out(split: Split, test_size: float | None, place: str) -> tuple[Split, Split]:
    """Return training and test cases of one table: a share of each class is held out for testing.

    test_size: the share, None for DEFAULT_TEST_SIZE. place: what errors call the dataset. The draw is always that of
    seed TEST_SEED; `resample=K` draws others. At least one case of each class stays in training. Raises UserError for
    labels that are no classes.
    """
    check_split(place, split)
    share = DEFAULT_TEST_SIZE if test_size is None else test_size
    fit, held = stratified_holdout(split.labels, share, TEST_SEED)
    notices = list(split.notices)
    if test_size is None:
        notices.append(
            f"no test file: {len(held)} of {len(split.labels)} cases are held out, as with test_size={share}"
        )
    if not len(held):
        raise UserError(f"{place} has one case of each class: give two or more cases of a class, or a test file")
    parts = [([split.cases[i] for i in at], [split.labels[i] for i in at]) for at in (fit.tolist(), held.tolist())]
    return Split(*parts[0], notices, split.faults), Split(*parts[1])


def _oriented(dataset: Dataset, split: str) -> Dataset:
    """Return the dataset with the train and test that `split` means."""
    if split not in SPLITS:
        raise UserError(f"archive.split={split} is not known: use one of {', '.join(SPLITS)}")
    passport = dict(dataset.passport)
    reverse = passport.pop("content_reversed", None)
    facts = catalogue.CATALOGUE.get(dataset.name)
    if split == "ucr2018" or facts is None or not facts.split_swapped_in_2015:
        if split == "ucr2015" and facts is not None and not facts.in_ucr85:
            raise NotAvailable(
                f"dataset '{dataset.name}' is not in the 2015 archive: leave archive.split=ucr2015 away, or use "
                "dataset=ucr85"
            )
        return replace(dataset, passport=passport)
    passport |= {"split": "ucr2015", "content": reverse}
    passport |= {"n_train": passport["n_test"], "n_test": passport["n_train"]}
    x_train, y_train, x_test, y_test = dataset.x_test, dataset.y_test, dataset.x_train, dataset.y_train
    return Dataset(dataset.name, x_train, y_train, x_test, y_test, dataset.unequal, passport)
