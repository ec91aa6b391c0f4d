"""The code of docs/kernels.md runs, its assertions hold, and it prints the output on the page."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import torch

PAGE = Path(__file__).resolve().parents[2] / "docs" / "kernels.md"


def test_code_of_the_page_prints_what_the_page_says() -> None:
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    blocks = re.findall(r"^```(python|text)\n(.*?)^```$", PAGE.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    printed: list[str] = []
    shown = []
    for kind, block in blocks:
        if kind == "text":
            shown.append(block)
            continue
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(block, str(PAGE), "exec"), names)
        if out.getvalue():
            printed.append(out.getvalue())
    assert len(shown) == 2 and printed == shown
