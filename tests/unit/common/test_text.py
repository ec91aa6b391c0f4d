"""Text from strangers: nothing in it reaches a terminal, a Markdown page or a spreadsheet as a command."""

from __future__ import annotations

import io
import sys
from typing import TextIO, cast

import pytest

from tsfcn.common import exit_codes
from tsfcn.common.errors import UserError
from tsfcn.common.escapes import printable
from tsfcn.common.streams import SafeStream, safe_streams, unescaped
from tsfcn.common.text import Problem, escaped, grid, problem_lines, spreadsheet_text

ATTACKS = [
    "\x1b]0;title\x07",
    "\x1b[2J",
    "\x1b]52;c;clipboard\x07",
    "\x9b31m",
    "\x08\x08\x08ok",
    "\rok",
    "\u202edesrever\u2066",
    "\x00",
    "\x7f",
    "\u2028",
    "\ud800",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_printable_text_has_nothing_that_a_terminal_obeys(attack: str) -> None:
    for text in (printable(f"a{attack}b"), printable(f"a{attack}b", lines=True)):
        assert text.isprintable() and text.startswith("a\\") and text.endswith("b")
    assert printable("±é日本 \U0001f600 a'\\") == "±é日本 \U0001f600 a'\\"
    assert printable("a\n\tb") == "a\\n\\tb" and printable("a\n\tb", lines=True) == "a\n\tb"


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_table_stays_aligned(attack: str) -> None:
    for markdown in (False, True):
        lines = grid([(f"head{attack}", "<", ["x", attack]), ("n", ">", ["1", "2"])], markdown=markdown).splitlines()
        assert len(lines) == 4 and all(line.isprintable() for line in lines)
        assert lines[2].rstrip(" |")[-1] == "1" and lines[3].rstrip(" |")[-1] == "2"
        assert len(lines[2]) == len(lines[3])


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_command_prints_no_control_characters(attack: str, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        print(f"a{attack}b\nc")
        print(f"a{attack}b", file=sys.stderr)
        raise UserError(f"dataset '{attack}' is not known: use another")

    before = sys.stdout, sys.stderr
    assert exit_codes.run(work) == 2
    assert (sys.stdout, sys.stderr) == before
    shown = capsys.readouterr()
    assert (shown.out.count("\n"), shown.err.count("\n")) == (2, 2)
    assert (shown.out + shown.err).replace("\n", "").isprintable()


def test_a_display_reaches_the_stream_itself() -> None:
    stream = io.StringIO()
    wrapped = cast(TextIO, SafeStream(stream, is_optional=False))
    print("\x1b[2J", file=wrapped)
    wrapped.writelines(["\x07", "\n"])
    assert stream.getvalue() == "\\x1b[2J\n\\x07\n"
    assert not wrapped.isatty()
    print("\x1b[2J", end="", file=unescaped(wrapped))
    assert stream.getvalue().endswith("\n\x1b[2J") and unescaped(stream) is stream
    with safe_streams():
        streams = sys.stdout, sys.stderr
        with safe_streams():
            assert (sys.stdout, sys.stderr) == streams


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("![x](http://a/b.png)", "\\![x]\\(http://a/b.png)"),
        ("[x](javascript:a)", "[x]\\(javascript:a)"),
        ("[x][y]", "[x]\\[y]"),
        ("<img src=x>", "\\<img src=x>"),
        ("a|b\nc", "a\\|b\\\\nc"),
        ("fawaz2019[epochs=3]", "fawaz2019[epochs=3]"),
        ("lstm_fcn", "lstm_fcn"),
    ],
)
def test_markdown_has_no_live_names(text: str, expected: str) -> None:
    assert escaped(text) == expected


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://a")'])
def test_a_spreadsheet_runs_no_names(text: str) -> None:
    assert spreadsheet_text(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-0.5", "+1e-3", "-inf", "Coffee", "", "a=b"])
def test_numbers_and_names_stay(text: str) -> None:
    assert spreadsheet_text(text) == text


def test_problems_that_share_a_reason_are_one_line_that_names_each_once() -> None:
    absent = [Problem("skipped", name, f"{name} is not there", name) for name in ("CBF", "Coffee", "CBF")]
    assert problem_lines(absent) == ["skipped: 2 (CBF, Coffee): NAME is not there"]
    assert problem_lines([absent[0], absent[2]]) == ["skipped: CBF is not there"]
    failed = Problem("failed", "CBF", "out of memory", "CBF fcn seed 0")
    assert problem_lines([absent[0], failed]) == ["skipped: CBF is not there", "failed: CBF fcn seed 0: out of memory"]
