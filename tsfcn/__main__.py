"""`tsfcn VERB ...`, `python -m tsfcn VERB ...`.

A verb is a module of tsfcn.cli (`-` for `_`), or a door of the same name, whose `main(argv)` takes the words
after the verb and returns the exit code. Nothing is imported before the verb is known, so that help comes at
once.
"""

from __future__ import annotations

import sys

from tsfcn.common import exit_codes
from tsfcn.common.errors import UserError

VERBS = {
    "run": "train models on datasets and record every number (KEY=VALUE overrides)",
    "reproduce": "train what a paper trained, and say whether its numbers come out",
    "ablate": "change one disputed setting at a time, and see which changes the accuracy",
    "data": "list, verify, show, fetch and import datasets",
    "table": "make the accuracy tables from the records of earlier runs",
    "results": "look after a results folder: status, why, compact, merge, gc",
    "watch": "see the runs that are at work in a results folder",
    "compare": "compare tables, results folders and published figures over datasets",
    "report": "write one HTML page of a results folder: tables, tests, charts",
    "convert": "write results in the forms of other tools, and theirs in ours",
    "published": "show the published figures and where they come from",
}

DOORS = ("run", "reproduce", "ablate", "table", "compare")  # they open as python -m tsfcn.VERB too


def module(verb: str) -> str:
    """Return the module behind a verb."""
    name = verb.replace("-", "_")
    return f"tsfcn.{name}" if verb in DOORS else f"tsfcn.cli.{name}"


def usage() -> str:
    """Return the help text, one line a verb."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:{width}}  {what}" for verb, what in VERBS.items())
    return (
        "usage: tsfcn VERB [ARGUMENTS]\n"
        "       tsfcn VERB --help\n"
        "       tsfcn --version\n\n"
        f"verbs:\n{verbs}\n\n"
        "tsfcn VERB is the same as python -m tsfcn VERB"
    )


def unknown(verb: str) -> str:
    """Return the one line that answers a word which is no verb."""
    import difflib

    near = difflib.get_close_matches(verb.lower(), VERBS, n=1)
    return f"verb {verb!r} is not known: " + (f"did you mean {near[0]!r}?" if near else f"use {', '.join(VERBS)}")


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return its exit code; 2 where there is none such. `argv` is without the program's name."""
    words = sys.argv[1:] if argv is None else argv
    return exit_codes.run(lambda: answer(words))


def answer(argv: list[str]) -> int:
    """Answer what is not for a verb, else import the verb and run it. Returns the exit code."""
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
