"""`tsfcn streams [RESULTS] [--out FOLDER]`: draw test streams with their true and predicted labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tsfcn.common import exit_codes, files
from tsfcn.common.arguments import Parser, path
from tsfcn.common.errors import UserError
from tsfcn.data import locate


def main(argv: Sequence[str] | None = None) -> int:
    """Write a picture for each dataset. Returns the exit code."""
    return exit_codes.run(lambda: run(argv))


def run(argv: Sequence[str] | None) -> int:
    """Do what the command line asks for."""
    parser = Parser(
        prog="tsfcn streams",
        description="Draw a test stream of each dataset of a results folder of task=segmentation, with its true "
        "labels and those that each model predicts, from stored predictions.",
    )
    parser.add_argument("results", nargs="?", default="results", type=path, metavar="RESULTS", help="the folder")
    parser.add_argument("--out", type=path, metavar="FOLDER", help="where to write (default: RESULTS/streams)")
    parser.add_argument("--root", type=path, metavar="DIR", help="folder of the archive (default: as for tsfcn run)")
    parser.add_argument("--stream", type=int, default=0, metavar="N", help="which test stream, from 0 (default: 0)")
    options = parser.parse_args(argv)
    return draw(options.results, options.out or options.results / "streams", options.root, options.stream)


def draw(results: Path, out: Path, root: Path | None, number: int) -> int:
    """Write the pictures. Returns the exit code.

    Args:
        results: The results folder.
        out: The folder of the pictures.
        root: The folder of the archive; None: the default.
        number: Of the test stream, from 0.
    """
    from tsfcn.analysis import tables
    from tsfcn.report import html, streams

    groups = streams.of_one_stream(tables.read(results), results)
    if not groups:
        raise UserError(
            f"results folder '{results}' is without stored labels of timepoints: name a folder of task=segmentation, "
            "or repeat its run with require_predictions=true"
        )
    folder = locate.root_folder(None if root is None else str(root))
    for records in groups:
        stream = streams.labelled(records, results, folder, number)
        name = "".join(c if c.isalnum() or c in "-_" else "_" for c in stream.dataset)
        file = out / f"{name}-seed{stream.seed}.svg"
        write(file, html.picture(stream.chart("stream", is_titled=True).svg))
        exit_codes.show(str(file))
    return exit_codes.OK


def write(file: Path, text: str) -> None:
    """Write a picture. Raises UserError where the file cannot be written."""
    files.write_output(file, lambda handle: handle.write(text.encode()))
