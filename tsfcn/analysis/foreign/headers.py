"""Meaning of the column titles and row names of result tables that other people publish.

A title is judged by its words. Only columns of the roles ACCURACY, SCORE and METHOD can hold accuracies; all others
describe the dataset or the run, or measure something else, and are never compared.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from enum import Enum
from functools import cache
from pathlib import Path

from tsfcn.analysis.columns import is_dataset, vocabulary
from tsfcn.common.text import loose
from tsfcn.data import published


class Role(Enum):
    """The content of a column; the value describes it in messages."""

    DATASET = "a dataset"
    MODEL = "a model"
    ACCURACY = "an accuracy"
    SCORE = "a score"  # an accuracy if it stands beside a column of models
    METHOD = "the accuracies of a model"
    N_RUNS = "a number of runs"
    RUN = "the number of a run"
    RESAMPLE = "the number of a resample"
    METRIC = "the name of a metric"
    PROTOCOL = "a protocol"
    SPLIT = "a split"
    ARCHIVE = "an archive"
    MARKS = "marks"
    ABOUT = "a property of the dataset"
    DEVIATION = "a deviation"
    TIME = "a time"
    COST = "a size or cost"
    OTHER_METRIC = "another metric"
    OTHER_PART = "an accuracy of training or validation cases"
    ERROR = "an error rate"
    RANK = "a rank or a count of wins"
    DIFFERENCE = "a difference or a test"
    SUMMARY = "a summary of other columns"


NEVER_COMPARED = (
    *(Role.DEVIATION, Role.TIME, Role.COST, Role.OTHER_METRIC, Role.OTHER_PART, Role.ERROR, Role.RANK),
    *(Role.DIFFERENCE, Role.SUMMARY),
)

# Titles without punctuation that have one meaning.
_TITLES: dict[Role, frozenset[str]] = {
    Role.DATASET: vocabulary(
        "dataset datasets datasetname datasetid problem problems problemname validationid estimators resamples "
        "folds ucrdataset dataname"
    ),
    Role.MODEL: vocabulary(
        "model models modelname modelid classifier classifiers classifiername estimator method methods methodname "
        "algorithm algorithms network architecture"
    ),
    Role.ACCURACY: vocabulary(
        "accuracy acc testaccuracy testacc accuracymean meanaccuracy accuracyscoremean accmean meanacc avgaccuracy "
        "averageaccuracy accuracyavg accuracyscore top1 top1accuracy accuracytest acctest meantestaccuracy "
        "testaccuracymean"
    ),
    Role.SCORE: vocabulary("score value result testscore"),
    Role.N_RUNS: vocabulary("nruns nseeds runs seeds numruns numseeds nrepetitions"),
    Role.RUN: vocabulary("run seed iteration iter itr repeat repetition rep trial runid"),
    Role.RESAMPLE: vocabulary("fold resample resampleid foldid"),
    Role.METRIC: vocabulary("metric metrics measure"),
    Role.PROTOCOL: vocabulary("protocol"),
    Role.SPLIT: vocabulary("split"),
    Role.ARCHIVE: vocabulary("archive archivename"),
    Role.MARKS: vocabulary("marks"),
    Role.ABOUT: vocabulary(
        "type id index no nr length classes class ntrain ntest nclasses train trainsize testsize ntimepoints "
        "serieslength numberofclasses datadonoreditor test note notes sourcenote domain category defaultrate "
        "numclasses numtrain numtest trainlength nchannels channels dimensions ndimensions dims comment comments "
        "year missing missingvalues equallength numdimensions seriestype window traincases testcases ncases "
        "ninstances numberofinstances imbalance imbalanceratio classimbalance multivariate univariate timestamp "
        "date device hostname status parameters unnamed0"
    )
    | {""},
}
_BY_TITLE = {title: role for role, titles in _TITLES.items() for title in titles}
SUMMARIES = {"mean", "average", "avg", "median", "min", "max", "minimum", "maximum", "best", "worst", "overall"}

_ACCURACY_WORDS = {"accuracy", "acc", "accuracies", "score", "top1"}
# Words that may stand around the decisive word without changing its meaning.
_FILLERS = vocabulary(
    "accuracy acc accuracies score test testing train training mean avg average of the per fit total in s rate "
    "all over value values and n num number error standard log a to by sum datasets dataset ucr arithmetic "
    "geometric harmonic overall archive class classification first best no count 1 2 3 ours one relative "
    "absolute improvement predict prediction inference build epoch"
)
_DEVIATION = vocabulary("std stds stdev stddev sd deviation dev variance var stderr sem ci ci95 sigma \u03c3 iqr")
_TIME = vocabulary(
    "time times seconds second secs sec minutes mins hours hour ms millis milliseconds microseconds duration "
    "runtime latency walltime elapsed traintime testtime fittime predtime timing timings throughput"
)
_COST = vocabulary(
    "params param parameters flops macs mflops gflops memory mem mb gb kb bytes size sizes epochs epoch depth "
    "layers lr energy kwh co2 nparams nfeatures"
)
_METRICS = vocabulary(
    "f1 f1score fscore fmeasure precision recall auc auroc rocauc aucroc roc auprc kappa mcc nll logloss loss "
    "balacc bacc balanced balancedaccuracy sensitivity specificity jaccard rmse mae mse r2 ari nmi ece top5 "
    "top3 gmean macro micro weighted f1macro brier crossentropy mpce likelihood"
)
_ERROR = vocabulary("error errors err errs errorrate misclassification misclassified")
_RANK = vocabulary("rank ranks ranking rankings avgrank win wins tie ties loss losses lose draw draws position place")
_DIFFERENCE = vocabulary("p pvalue pvalues difference diff delta \u03b4 improvement gain wilcoxon")
_PARTS = vocabulary("train training val valid validation cv dev")

# Decided from the first word of a title too, as in `f1_FCN`; a model's name may begin with the others (`Time-CNN`).
_UNAMBIGUOUS: tuple[tuple[Role, frozenset[str]], ...] = (
    (Role.OTHER_METRIC, _METRICS - {"loss", "weighted", "micro", "macro"}),
    (Role.DEVIATION, vocabulary("std stds stdev stddev deviation variance stderr \u03c3")),
    (Role.ERROR, _ERROR),
    (Role.COST, vocabulary("params flops macs nparams")),
    (Role.RANK, vocabulary("rank ranks ranking")),
)
_LAST: tuple[tuple[Role, frozenset[str]], ...] = (
    (Role.DEVIATION, _DEVIATION),
    (Role.TIME, _TIME),
    (Role.COST, _COST),
    (Role.OTHER_METRIC, _METRICS),
    (Role.ERROR, _ERROR),
    (Role.RANK, _RANK),
    (Role.DIFFERENCE, _DIFFERENCE),
)


@cache
def _model_names() -> set[str]:
    return {loose(model) for source in published.sources() for model in published.models(source)}


def words_of(title: str) -> list[str]:
    """Return the words of a title in lower case, divided at punctuation.

    >>> words_of("Accuracy_std (%)"), words_of("H-FCNTime")
    (['accuracy', 'std'], ['h', 'fcntime'])
    """
    return re.findall(r"[^\W_]+|[\u03c3±²]", title.lower())


def _humps(title: str) -> list[str]:
    """Return the words of a title in lower case, divided at capitals too: 'TrainTime' has two."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", title)]


def role_of(title: str, siblings: Collection[str] = ()) -> Role:
    """Return the role of a column by its title; METHOD if no other applies.

    siblings: all titles of the table. 'time_FCN' is a time if there is a column 'FCN' too.
    """
    key = loose(title)
    if key in _BY_TITLE and not re.search(r"[±\u03c3]", title):
        return _BY_TITLE[key]
    if key in SUMMARIES:
        return Role.SUMMARY
    if key in _model_names() or (loose(model_of(title)) in _model_names() and key not in _BY_TITLE):
        return Role.METHOD
    return _role_by_words(title, {loose(sibling) for sibling in siblings})


def _role_by_words(title: str, siblings: set[str]) -> Role:
    words = words_of(title) or [""]
    if re.search(r"[±\u03c3]|\+/?-", title):
        return Role.DEVIATION
    humps = _humps(title)
    if set(humps) <= _TIME | _FILLERS and set(humps) & _TIME:
        return Role.TIME
    if (set(words) & _PARTS and set(words) & _ACCURACY_WORDS) or re.fullmatch(
        r"(train|val)\w*acc(uracy)?", loose(title)
    ):
        return Role.OTHER_PART if not set(words) & _DEVIATION else Role.DEVIATION
    if len(words) > 1 and set(words) & {"balanced", "macro", "weighted"}:
        return Role.OTHER_METRIC
    return _role_by_position(title, words, humps, siblings)


def _role_by_position(title: str, words: Sequence[str], humps: Sequence[str], siblings: set[str]) -> Role:
    """Return the role that the last or the first word of a title decides.

    Args:
        title: as written.
        words: its words, divided at punctuation.
        humps: its words, divided at capitals too.
        siblings: all titles of the table, without punctuation.
    """
    if words[-1] in ("dev", "deviation") or words[-2:] == ["standard", "error"]:
        return Role.DEVIATION
    if re.search(r"[(\[](s|h|ms|sec|secs|min|mins|hours|seconds)[)\]]\s*$", title.lower()):
        return Role.TIME
    if re.search(r"[(\[](mb|gb|kb|m|k)[)\]]\s*$", title.lower()):
        return Role.COST
    joined = ["".join(words[-2:])] if len(words) > 1 else []
    for role, words_of_role in _LAST:
        if words[-1] in words_of_role or set(joined) & words_of_role:
            return role
        others = loose(title).removeprefix(words[0])
        if words[0] in words_of_role and (
            set(words[1:]) <= _FILLERS or others in siblings or f"accuracy{others}" in siblings
        ):
            return role
    for role, words_of_role in _UNAMBIGUOUS:
        if words[0] in words_of_role or (len(humps) > 1 and humps[-1] in words_of_role):
            return role
    if len(words) > 1 and words[-1] in SUMMARIES - {"mean", "average", "avg", "best"}:
        return Role.SUMMARY
    if set(words) & SUMMARIES and set(words) <= SUMMARIES | _FILLERS:
        return Role.SUMMARY
    return Role.METHOD


def numbered(title: str) -> tuple[Role, int] | None:
    """Return the role and number of the column of one resample or run, as '0', 'fold_3', 'seed 2'; None for others.

    >>> numbered("12"), numbered("Seed 2"), numbered("FCN2")
    ((<Role.RESAMPLE: 'the number of a resample'>, 12), (<Role.RUN: 'the number of a run'>, 2), None)
    """
    match = re.fullmatch(r"([^\W\d_]*)[\s_:#-]*(\d{1,4})(?:\.0)?", title.strip())
    if match is None:
        return None
    word = match[1].lower()
    if word in ("", "resample", "fold", "split", "testresample"):
        return Role.RESAMPLE, int(match[2])
    return (Role.RUN, int(match[2])) if word in _TITLES[Role.RUN] else None


def model_of(title: str) -> str:
    """Return the name of the model whose means a column holds, without a last word for the mean.

    >>> model_of("Net-mean"), model_of("FCN (avg)"), model_of("MeanNet"), model_of("DTW (w=100)")
    ('Net', 'FCN', 'MeanNet', 'DTW (w=100)')
    """
    match = re.fullmatch(r"(.*\w)[\s_.-]*[\s_.(\[-](?:mean|avg|average)[)\]]?", title.strip(), flags=re.IGNORECASE)
    return match[1].strip() if match else title.strip()


def summary_model(path: Path) -> str | None:
    """Return the model that a summary of tsml-eval is of by its name, as HC2 of HC2_accuracy.csv; else None."""
    match = re.fullmatch(r"(.+)_(accuracy|acc|testfolds)", path.stem, flags=re.IGNORECASE)
    return match[1] if match else None


def content_of(name: str) -> tuple[Role, str] | None:
    """Return what a file holds besides accuracies, by its name, and the word that says so; None if it says nothing.

    >>> content_of("HC2_auroc"), content_of("HC2_accuracy"), content_of("results_error"), content_of("train_times")[1]
    ((<Role.OTHER_METRIC: 'another metric'>, 'auroc'), None, (<Role.ERROR: 'an error rate'>, 'error'), 'times')
    """
    words = words_of(name)
    if (set(words) & {"accuracy", "acc"} and "balanced" not in words) or loose(name) in _model_names():
        return None
    for word in words:
        if word in _METRICS - {"loss", "macro", "micro", "weighted", "r2"}:
            return Role.OTHER_METRIC, word
        if word in _ERROR:
            return Role.ERROR, word
    last = words[-1] if len(words) > 1 else ""
    kinds = ((Role.TIME, _TIME), (Role.DEVIATION, _DEVIATION), (Role.RANK, _RANK))
    return next(((role, last) for role, words_of_role in kinds if last in words_of_role), None)


_FOOTER = SUMMARIES | _RANK | _DEVIATION
_FOOTER |= vocabulary(
    "total sum count mpce w t l wtl averages means pvalue p wilcoxon friedman cd variances deviations quartile "
    "avgacc meanacc range standard gmean geo summary statistics 1st"
)
_FOOTER_FILLERS = _FILLERS | vocabulary("vs value places models problems wise")
_FOOTER_SIGNS = vocabulary("# \u03c3 \u03bc \u03a3 \u2211 \u00d8")


def is_footer(name: str) -> bool:
    """Return whether the name of a row says that it summarises the rows of datasets.

    >>> is_footer("Mean accuracy"), is_footer("Avg. rank"), is_footer("W/T/L"), is_footer("AverageRank")
    (True, True, True, True)
    >>> is_footer("MeanShift"), is_footer("Coffee")
    (False, False)
    """
    if is_dataset(name):
        return False
    for words in (set(words_of(name)), set(_humps(name))):
        kept = {word for word in words if not word.isdecimal()}
        if kept & _FOOTER and kept <= _FOOTER | _FOOTER_FILLERS:
            return True
    return name.strip() in _FOOTER_SIGNS or re.fullmatch(r"\s*\d+(\.\d+)?\s*%\s*", name) is not None
