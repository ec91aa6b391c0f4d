"""Standard streams: characters that an encoding lacks, and errors on standard error."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tsfcn.common.exit_codes import OK, complain, run, show
from tsfcn.common.streams import SafeStream, safe_streams


@pytest.mark.parametrize(("encoding", "expected"), [("ascii", b"0.5 ? 0.1 ?"), ("cp1252", b"0.5 \xb1 0.1 ?")])
def test_what_an_encoding_lacks_is_replaced(encoding: str, expected: bytes) -> None:
    raw = io.BytesIO()
    stream = SafeStream(io.TextIOWrapper(raw, encoding=encoding), is_optional=False)
    assert stream.write("0.5 ± 0.1 ━") == 11
    stream.flush()
    assert raw.getvalue() == expected
    assert stream.encoding == encoding


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_only_an_optional_stream_ignores_a_full_disk() -> None:
    with open("/dev/full", "w", encoding="utf-8") as file:
        optional = SafeStream(file, is_optional=True)
        optional.write("lost")
        optional.flush()
        assert optional.is_lost and not optional.isatty()
        with pytest.raises(OSError, match="No space left"):
            SafeStream(file, is_optional=False).flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())  # or closing it fails as well


def test_a_stream_that_is_not_there_drops_everything() -> None:
    stream = SafeStream(None, is_optional=True)
    assert (stream.write("abc"), stream.isatty()) == (3, False)
    stream.flush()


def test_the_streams_come_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    with contextlib.suppress(KeyError), safe_streams():
        print("±")
        raise KeyError
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr().out == "±\n"


def test_a_result_that_nobody_reads_keeps_the_exit_code() -> None:
    code = "from tsfcn.common.exit_codes import run, show; raise SystemExit(run(lambda: show('x' * 100_000) or 3))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert (process.wait(timeout=60), process.stderr.read()) == (3, b"")
    process.stderr.close()


def test_an_error_without_a_standard_error_is_not_printed_on_standard_output() -> None:
    code = "from tsfcn.__main__ import main; raise SystemExit(main(['nonsense']))"
    done = subprocess.run(
        ["sh", "-c", f'exec "{sys.executable}" -c "{code}" 2>&-'], capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, b"")


def test_results_and_complaints_go_to_their_streams(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        show("result")
        complain("problem")
        return OK

    assert run(command) == OK
    assert capsys.readouterr() == ("result\n", "problem\n")
