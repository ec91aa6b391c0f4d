"""The signals that ask a run to stop.

A second one must not end at once what the first one lets end in order: batch systems and service managers send SIGTERM
to a group of processes, of which some pass it on. Only Ctrl-C does.
"""

from __future__ import annotations

import signal

came: list[int] = []  # those that have asked the command of this process to stop


def stop_signals() -> list[signal.Signals]:
    """Return the signals that ask this process to stop: those that the system has and that are not ignored.

    SIGINT is Ctrl-C, SIGTERM comes from `kill` and from service managers, SIGHUP from a terminal that closes (`nohup`
    ignores it), SIGUSR1 from batch systems some time before they end a job.
    """
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
    known = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [each for each in known if signal.getsignal(each) != signal.SIG_IGN]
