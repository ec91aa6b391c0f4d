"""`tsfcn VERB ...`, `python -m tsfcn VERB ...`.

A verb is a module of tsfcn.cli, or of tsfcn for those of DOORS. Its `main(argv)` takes the words after the verb and
returns the exit code. Only the module of the verb is imported, so that help comes at once.
"""

from __future__ import annotations

import sys

from tsfcn.common import exit_codes
from tsfcn.common.errors import UserError

VERBS = {
    "run": "train models on datasets and record every number (KEY=VALUE overrides)",
    "reproduce": "train what a paper trained, and compare with its numbers",
    "ablate": "change one disputed setting at a time, and show which changes the accuracy",
    "data": "list, verify, show, fetch and import datasets",
    "table": "write the accuracy tables again from the records of earlier runs",
    "ensemble": "average the predictions of finished runs, as records beside them",
    "gains": "show what transfer and refinement gain over the same training without them",
    "results": "inspect and maintain a results folder: status, why, compact, merge, gc, cancel",
    "watch": "show the runs that use a results folder",
    "predict": "predict the classes of the series in a file with a saved classifier",
    "compare": "compare tables, results folders and published figures over datasets",
    "explain": "draw what a network looks at: class activation maps, and whether they are faithful",
    "streams": "draw test streams with their true and predicted labels",
    "report": "write one HTML page of a results folder: tables, tests, charts",
    "convert": "convert results to and from the formats of other tools",
    "published": "show the published figures and their sources",
}

DOORS = ("run", "reproduce", "ablate", "table", "compare")  # modules of tsfcn, for python -m tsfcn.VERB


def module(verb: str) -> str:
    """Return the module behind a verb."""
    name = verb.replace("-", "_")
    return f"tsfcn.{name}" if verb in DOORS else f"tsfcn.cli.{name}"


def usage() -> str:
    """Return the help text, with one line for each verb."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:{width}}  {purpose}" for verb, purpose in VERBS.items())
    return (
        "usage: tsfcn VERB [ARGUMENTS]\n"
        "       tsfcn VERB --help\n"
        "       tsfcn --version\n\n"
        f"verbs:\n{verbs}\n\n"
        "tsfcn VERB is the same as python -m tsfcn VERB"
    )


def unknown(verb: str) -> str:
    """Return the error message for a word that is not a verb."""
    import difflib

    near = difflib.get_close_matches(verb.lower(), VERBS, n=1)
    return f"verb {verb!r} is not known: " + (f"did you mean {near[0]!r}?" if near else f"use {', '.join(VERBS)}")


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return its exit code. `argv` does not include the name of the program."""
    words = [word.rstrip("\r") for word in (sys.argv[1:] if argv is None else argv)]
    return exit_codes.run(lambda: answer(words))


def answer(argv: list[str]) -> int:
    """Print help or the version, or import and run the verb. Returns the exit code."""
    if not argv:
        print(usage(), file=sys.stderr)
        return 2
    verb, *rest = argv
    if verb in ("-h", "--help", "help"):
        print(usage())
        return 0
    if verb in ("-V", "--version"):
        from tsfcn import __version__

        print(f"tsfcn {__version__}")
        return 0
    if verb not in VERBS:
        raise UserError(unknown(verb))
    import importlib

    code: int = importlib.import_module(module(verb)).main(rest)
    return code


if __name__ == "__main__":
    sys.exit(main())
