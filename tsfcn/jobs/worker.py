"""A worker: `python -m tsfcn.jobs.worker RESULTS` runs the jobs that come on its standard input.

It reads a job a line, or how many threads a step may use from now on, and answers in JSON lines. It ends at once when
its input ends, so no worker outlives its run. On SIGTERM and the like (`stop_signals`) it finishes the epoch, writes
the job's state and ends.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tsfcn.common.signals import stop_signals
from tsfcn.common.streams import safe_streams
from tsfcn.jobs import lease, store
from tsfcn.jobs.plan import Job, Terms
from tsfcn.jobs.queue import PROGRESS_SECONDS


def cap_memory(n_bytes: float) -> None:
    """Let this process have no more memory than this: more is an error in the job, not the end of some process.

    The limit is on what is allocated, not on reserved addresses, of which torch takes many. Linux alone keeps to it.
    """
    if n_bytes < math.inf:
        with contextlib.suppress(ImportError, OSError, ValueError):
            import resource

            resource.setrlimit(resource.RLIMIT_DATA, (int(n_bytes), resource.getrlimit(resource.RLIMIT_DATA)[1]))


def work(results: Path) -> None:
    """Be a worker: run each job that comes on standard input, and answer on what was standard output."""
    from tsfcn.jobs.run_job import run_job
    from tsfcn.training.checkpoint import Stopped
    from tsfcn.training.threads import use_threads

    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a library prints goes to standard error

    def send(message: dict[str, Any]) -> None:
        try:
            answers.write(json.dumps(message).encode() + b"\n")
        except BrokenPipeError:
            os._exit(1)  # the run is gone

    writer = store.Writer(results)
    reported = 0.0

    def progress(epoch: int, epochs: int, loss: float) -> None:
        nonlocal reported
        if time.monotonic() - reported >= PROGRESS_SECONDS:
            reported = time.monotonic()
            send({"epoch": epoch, "epochs": epochs, "loss": loss})

    messages: SimpleQueue[dict[str, Any]] = SimpleQueue()

    def listen() -> None:
        for line in sys.stdin.buffer:
            message = json.loads(line)
            if "threads" in message:
                use_threads(message["threads"])
            else:
                messages.put(message)
        os._exit(0)  # the run is gone, or needs this worker no more

    stopping = threading.Event()
    busy = False

    def terminate(signum: int, frame: object) -> None:
        if not busy:
            os._exit(0)
        stopping.set()

    for each in stop_signals():
        signal.signal(each, terminate)
    threading.Thread(target=listen, daemon=True).start()
    send({"ready": True})
    while True:
        message = messages.get()
        busy = True
        job, terms = Job(**message["job"]), Terms(**message["terms"])
        cap_memory(terms.memory)

        def is_held(key: str = job.key, number: int = message["lease"], runner: str = message["runner"]) -> bool:
            return lease.holds(results, key, number, runner)

        try:
            record = run_job(
                job, results, writer, **asdict(terms), progress=progress, stop=stopping.is_set, is_held=is_held
            )
        except Stopped as stopped:
            send({"stopped": str(stopped)})
            os._exit(0)  # the listener waits for input, which would keep the interpreter from ending
        except OSError as error:
            send({"full": [error.errno, error.strerror or str(error), error.filename]})
            os._exit(1)
        send({"record": replace(record, curve=None).to_json()})
        busy = False
        if stopping.is_set():
            os._exit(0)


if __name__ == "__main__":
    with safe_streams():
        work(Path(sys.argv[1]))
