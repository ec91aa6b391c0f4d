"""`tsfcn data fetch|import`: datasets into the archive's root, from the network or from files.

Exit code 0: all are there; 1: some are not; 2: bad input; 130: Ctrl-C.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tsfcn import archive, catalogue, fetch, unpack
from tsfcn.errors import UserError

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def fetch_datasets(options: argparse.Namespace) -> int:
    """Download the datasets that are named. Returns the exit code."""
    names = catalogue.select(words(options.names), words(options.exclude))
    if options.tries < 1:
        raise UserError(f"--tries {options.tries} is out of range: give 1 or more")
    fetch.address(names[0], options.mirror)
    root = unpack.destination(options.root)
    n_failed = 0
    for _, reason, line in fetch.several(names, root, options.mirror, fetch.Patience(tries=options.tries)):
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
    with unpack.source(path) as origin:
        found = unpack.chosen(origin, str(path))
        root = unpack.destination(options.root)
        secret = password(origin, options.password_file) if isinstance(origin, unpack.Zip) else None
        n_refused = 0
        for name, paths in found.items():
            try:
                passport = unpack.bring(origin, name, paths, root, secret)
            except UserError as error:
                n_refused += 1
                print(f"refused: {name}: {error}", flush=True)
                continue
            said = "is there" if passport is None else "imported"
            print(f"{name}: {said}" + ("" if name in catalogue.CATALOGUE else ", not of the archive"), flush=True)
    print(f"{len(found) - n_refused} of {len(found)} datasets are in '{root}'")
    return FAILED if n_refused else OK


def password(zipped: unpack.Zip, file: str | None) -> bytes | None:
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


def parser() -> argparse.ArgumentParser:
    """Return the parser; each subcommand sets `call`, the function that carries it out."""
    verb = argparse.ArgumentParser(prog="tsfcn data", description="Bring datasets of the UCR archive into a folder.")
    commands = verb.add_subparsers(metavar="COMMAND", required=True)

    one = commands.add_parser("fetch", help="download datasets", description="Download datasets, one zip each.")
    one.add_argument("names", nargs="+", metavar="NAME", help="a dataset, a set (all, ucr85, ...) or a glob ('Ins*')")
    one.add_argument("--exclude", nargs="+", default=[], metavar="NAME", help="what to leave out, in the same forms")
    one.add_argument("--mirror", metavar="URL", help=f"base address, or one with {{name}} (default: {archive.SITE})")
    one.add_argument("--tries", type=int, default=fetch.Patience.tries, metavar="N", help="default: %(default)s")
    _root(one, fetch_datasets)

    one = commands.add_parser(
        "import",
        help="take datasets from a zip or a folder",
        description="Take datasets from the archive's zip (UCRArchive_2018.zip; its password is asked for), from a zip "
        "of one or several datasets, or from an unpacked folder. Each is checked before it is put in place.",
    )
    one.add_argument("source", metavar="FILE", help="zip or folder")
    one.add_argument("--password-file", metavar="FILE", help="file with the password in its first line")
    _root(one, import_datasets)
    return verb


def _root(command: argparse.ArgumentParser, call: object) -> None:
    where = "TSFCN_ARCHIVE, else ~/.local/share/tsfcn/ucr2018"
    command.add_argument("--root", metavar="DIR", help=f"folder of the archive (default: {where})")
    command.set_defaults(call=call)


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one subcommand and return its exit code. argv: without the program's name."""
    options = parser().parse_args(argv)
    try:
        code: int = options.call(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:  # `tsfcn data ... | head` has seen enough; leave nothing for the interpreter to flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        print("\nstopped: what is in place stays, the same command goes on from there", file=sys.stderr)
        return INTERRUPTED
    return code


if __name__ == "__main__":
    raise SystemExit(main())
