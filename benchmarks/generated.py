"""The parts of a page of docs/ that a script writes, between two comments with the name of the script."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def write(page: str, script: str, text: str) -> None:
    """Replace the part of a page that a script has written.

    Args:
        page: The file in docs/.
        script: The file in benchmarks/.
        text: The new part, Markdown.
    """
    begin, end = (f"<!-- benchmarks/{script} {word} -->" for word in ("begins", "ends"))
    block = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    file = DOCS / page
    file.write_text(block.sub(lambda _: f"{begin}\n{text}\n{end}", file.read_text(encoding="utf-8")), encoding="utf-8")
