"""A run in a notebook: one display that is updated, where a log has a line now and then.

IPython's kernel is not among the requirements of the tests. Its place is taken by the three names that rich and the
display look for: `get_ipython`, a shell of the class ZMQInteractiveShell, and `IPython.display.display`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

KERNEL = """
import builtins, json, sys, types

shows = []  # of each display: the text of its first and of all later contents

def text(view):
    return view._repr_mimebundle_(include=[], exclude=[])["text/plain"]

class Handle:
    def __init__(self, texts):
        self.texts = texts

    def update(self, view):
        self.texts.append(text(view))

def display(view, display_id):
    assert display_id is True
    shows.append([text(view)])
    return Handle(shows[-1])

class ZMQInteractiveShell:
    pass

if sys.argv[1] == "notebook":
    builtins.get_ipython = ZMQInteractiveShell
    sys.modules["IPython"] = types.ModuleType("IPython")
    sys.modules["IPython.display"] = types.ModuleType("IPython.display")
    sys.modules["IPython.display"].display = display

import tsfcn
from tsfcn.jobs import monitor

monitor.LINE_SECONDS = monitor.DRAW_SECONDS = 0.0  # a line, or an update, at each event
words = ["model.fcn.filters=[3]", "model.fcn.kernels=[3]", "executor=inline"]
tsfcn.run("ItalyPowerDemand", "fcn", "smoke", *words, seeds=2, results="results")
print(json.dumps(shows))
"""


def run(place: str, folder: Path) -> tuple[list[list[str]], list[str]]:
    """Return what a run displays in the cell's output, and its lines about running jobs on standard error."""
    words = [sys.executable, "-c", KERNEL, place]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    shows: Any = json.loads(done.stdout.splitlines()[-1])
    return shows, [line for line in done.stderr.splitlines() if " of 2 jobs done" in line]


def test_a_notebook_has_one_bar_and_no_lines(tmp_path: Path) -> None:
    shows, lines = run("notebook", tmp_path)
    assert lines == []
    (texts,) = shows  # one display, updated in place
    assert len(texts) > 2 and all(text.count(" jobs done") == 1 and "━" in text for text in texts)
    assert "0 of 2 jobs done" in texts[0] and any("epoch" in text for text in texts)
    assert "100 %" in texts[-1] and "2 of 2 jobs done" in texts[-1]


def test_the_same_run_in_a_log_has_lines_and_no_display(tmp_path: Path) -> None:
    shows, lines = run("log", tmp_path)
    assert shows == [] and lines and not any("━" in line for line in lines)
