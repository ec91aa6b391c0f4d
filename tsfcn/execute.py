"""Where jobs run: in this process, in local worker processes of one thread each, or in threads that share a GPU.

An executor takes a queue of jobs and yields events; a record is written by whoever ran the job. That is all of the
interface: an executor on other machines takes jobs from the same queue, whose leases keep runners apart.

A worker is this module run as a program (`python -m tsfcn.execute RESULTS`): it reads a job a line from its standard
input and answers in JSON lines. It ends at once when its input ends, so no worker outlives its run. On SIGTERM it
finishes the epoch, writes the job's state and ends.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from tsfcn import lease, store
from tsfcn.common import device
from tsfcn.common.errors import UserError
from tsfcn.plan import Job, Terms

KILLS = 20  # how often the worker of a job may be killed from outside; its own deaths count as failed attempts
STILLBORN = 3  # workers in a row that end before they are ready
PROGRESS_SECONDS = 0.5
LOOK_SECONDS = 1.0  # between two looks at jobs that other runners have
STOP_SECONDS = 20.0  # for a worker to finish its epoch; managers of machines kill after 30 seconds or so
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# glibc raises the size from which a block has pages of its own, and is given back, to that of the blocks that it sees.
# So a worker grew with its jobs, to 1 GB after 30 small ones; with fixed sizes it stays at what its largest job takes.
# Keeping freed memory, up to a size, spares the training its page faults (15 % of its time).
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(16 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20)}


@dataclass(frozen=True)
class Event:
    """Something that happened to a job.

    'start'; 'progress' (epoch of epochs, training loss); 'end' (its record, perhaps of another runner: elsewhere);
    'back' (it has no record and waits again: reason).
    """

    kind: str
    worker: int
    job: Job
    epoch: int = 0
    epochs: int = 0
    loss: float = float("nan")
    record: store.Record = field(default_factory=dict)
    reason: str = ""
    elsewhere: bool = False


class Queue:
    """The jobs of a run that are still to be done, in the order in which they are to be started.

    A job that is taken from it is ours by its lease until `end`; one that another runner has, or has finished, is left
    to it. failures: how often each key has failed before; done: whether a record ends its job; seconds: what a job will
    take; budget_seconds: jobs that would end later are not started.
    """

    def __init__(
        self,
        jobs: list[Job],
        results: Path,
        runner: lease.Runner,
        *,
        reader: store.Reader | None = None,
        max_attempts: int = 3,
        failures: dict[str, int] | None = None,
        done: Callable[[store.Record], bool] = lambda record: True,
        seconds: Callable[[Job], float] = lambda job: 0.0,
        budget_seconds: float = math.inf,
    ) -> None:
        self.waiting = {job.key: job for job in jobs}
        self.results = results
        self.runner = runner
        if reader is None:
            reader = store.Reader(results)
            reader.news()  # what is there already has been considered
        self.reader = reader
        self.max_attempts = max_attempts
        self.failures = dict(failures or {})
        self.kills: dict[str, int] = {}
        self.done = done
        self.seconds = seconds
        self.deadline = time.monotonic() + budget_seconds
        self.in_hand: dict[str, store.Record | None] = {}  # by key, its record once it is on disk
        self.elsewhere: list[Event] = []
        self.next_look = 0.0
        self.writer = store.Writer(results)

    def take(self) -> Job | None:
        """Return the next job, which is ours now; None if there is none to start at the moment."""
        if not self.waiting or time.monotonic() < self.next_look:
            return None
        others = (lease.highest(self.results).keys() & self.waiting.keys()) - self.runner.held.keys()
        for key in sorted(self.waiting, key=others.__contains__) if others else list(self.waiting):
            job = self.waiting.get(key)
            if job is None or self.late(job):
                continue
            if key not in self.runner.held and not self.runner.claim(key, {"dataset": job.dataset, "model": job.model}):
                continue
            self.look()
            if key in self.waiting:
                del self.waiting[key]
                self.in_hand[key] = None
                return job
            self.runner.release(key)
        self.look()
        self.next_look = time.monotonic() + LOOK_SECONDS
        return None

    def late(self, job: Job) -> bool:
        """Return whether the job would end after the budget."""
        return self.deadline < math.inf and time.monotonic() + self.seconds(job) > self.deadline

    def is_open(self) -> bool:
        """Return whether there may be jobs to start, now or later."""
        return any(not self.late(job) for job in self.waiting.values())

    def look(self) -> None:
        """See which records have come."""
        for record in self.reader.news():
            key = record["key"]
            if key in self.in_hand:
                self.in_hand[key] = record
            elif key in self.waiting and (record["status"] != "ok" or self.done(record)):
                self.elsewhere.append(Event("end", -1, self.waiting.pop(key), record=record, elsewhere=True))

    def news(self) -> Iterator[Event]:
        """Yield the ends of jobs that other runners have finished."""
        while self.elsewhere:
            yield self.elsewhere.pop(0)

    def end(self, job: Job) -> None:
        """Take note that the job has its record."""
        self.in_hand.pop(job.key, None)
        self.runner.release(job.key)

    def returned(self, job: Job, reason: str) -> Event:
        """Return what becomes of a job whose training was stopped: it waits again, unless its record was written."""
        self.look()
        record = self.in_hand[job.key]
        if record is not None:
            self.end(job)
            return Event("end", -1, job, record=record)
        self.back(job)
        return Event("back", -1, job, reason=reason)

    def back(self, job: Job) -> None:
        """Let the job wait again, before all others; it is not ours any more."""
        self.in_hand.pop(job.key, None)
        if job.key in self.runner.held:
            self.runner.release(job.key)
        self.waiting = {job.key: job, **self.waiting}
        self.next_look = 0.0

    def died(self, job: Job, code: int, out_of_memory: bool) -> Event:
        """Return what the death of a job's worker means for the job: its end, or another try.

        A worker that was killed from outside is no fault of the job, unless that happens without end. Any other death
        is a failed attempt, and recorded as such.
        """
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if code in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP) and not out_of_memory:
            self.kills[job.key] = self.kills.get(job.key, 0) + 1
            if self.kills[job.key] < KILLS:
                return self.returned(job, f"its worker was killed ({how})")
            reason = f"its worker was killed {KILLS} times, lastly by {how}: use fewer executor.workers if it is memory"
        else:
            advice = "too little memory: use fewer executor.workers" if out_of_memory else "see above"
            reason = f"its worker died by {how}: {advice}"
        self.look()
        if self.in_hand[job.key] is not None:  # it died after its work was done
            return self.returned(job, reason)
        from tsfcn.job import describe

        record = describe(job, "failed", reason)
        self.writer.write(record)
        self.look()
        self.failures[job.key] = self.failures.get(job.key, 0) + 1
        if self.failures[job.key] < self.max_attempts and self.kills.get(job.key, 0) < KILLS:
            self.back(job)
            return Event("back", -1, job, reason=reason)
        self.end(job)
        return Event("end", -1, job, record=record)


Executor = Callable[[Queue, Terms], Generator[Event]]


# ---------------------------------------------------------------------------------------------------------------------
# In this process


def inline(queue: Queue, terms: Terms, tell: Callable[[Event], None] = lambda event: None) -> Generator[Event]:
    """Run the jobs one after the other in this process, yielding an event at each start and each end.

    tell: is told of progress meanwhile. The first Ctrl-C or SIGTERM lets the epoch end and the job's state be written,
    the second ends at once.
    """
    from tsfcn.job import run_job
    from tsfcn.training.checkpoint import Stopped

    writer = store.Writer(queue.results)
    with signals_held() as asked:
        while not asked():
            job = queue.take()
            yield from queue.news()
            if job is None:
                if not queue.is_open():
                    return
                time.sleep(LOOK_SECONDS / 4)
                continue
            yield Event("start", 0, job)
            said = 0.0

            def progress(epoch: int, epochs: int, loss: float, job: Job = job) -> None:
                nonlocal said
                if time.monotonic() - said >= PROGRESS_SECONDS:
                    said = time.monotonic()
                    tell(Event("progress", 0, job, epoch, epochs, loss))

            def stop(key: str = job.key) -> bool:
                return asked() or key in queue.runner.gone or time.monotonic() > queue.deadline

            number = queue.runner.held[job.key]

            def ours(key: str = job.key, number: int = number) -> bool:
                return lease.holds(queue.results, key, number, queue.runner.about["id"])

            try:
                record = run_job(job, queue.results, writer, **asdict(terms), progress=progress, stop=stop, ours=ours)
            except Stopped:
                yield queue.returned(job, "it was stopped")
                continue
            queue.end(job)
            yield Event("end", 0, job, record=record)
    raise KeyboardInterrupt


@contextlib.contextmanager
def signals_held() -> Iterator[Callable[[], bool]]:
    """Let the first SIGINT or SIGTERM only be noted, which the yielded function tells; the second interrupts."""
    noted: list[int] = []

    def note(signum: int, frame: object) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(signum)
        print(STOPPING, file=sys.stderr, flush=True)

    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {each: signal.signal(each, note) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(noted)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


STOPPING = "stopping: the jobs in hand finish their epoch and keep their state (once more: at once)"

# ---------------------------------------------------------------------------------------------------------------------
# In threads of this process


class Thread:
    """A thread and the job that it has in hand. It answers on `news` and does not touch the queue of jobs."""

    def __init__(
        self,
        number: int,
        results: Path,
        writer: store.Writer,
        terms: Terms,
        news: SimpleQueue[Answer],
        clock: Callable[[], float],
    ) -> None:
        self.number = number
        self.clock = clock  # the processor time of its jobs
        self.results, self.writer, self.terms, self.news = results, writer, terms, news
        self.job: Job | None = None
        self.inbox: SimpleQueue[Callable[[], store.Record] | None] = SimpleQueue()
        # A daemon: the second Ctrl-C does not wait for it.
        self.thread = threading.Thread(target=self.live, name=f"job {number}", daemon=True)
        self.thread.start()

    def live(self) -> None:
        """Run each job that comes, all on the same CUDA stream, until there are no more."""
        try:
            with device.stream(self.terms.device):
                while (run := self.inbox.get()) is not None:
                    self.news.put((self, outcome(run)))
        except Exception as error:  # the device is gone
            self.news.put((self, error))

    def give(self, job: Job, number: int, runner: str, stop: Callable[[], bool]) -> None:
        """Hand the thread its next job. number, runner: of the job's lease; stop: asked after each epoch."""
        from tsfcn.job import run_job

        self.job = job
        reported = 0.0

        def progress(epoch: int, epochs: int, loss: float) -> None:
            nonlocal reported
            if time.monotonic() - reported >= PROGRESS_SECONDS:
                reported = time.monotonic()
                self.news.put((self, Event("progress", self.number, job, epoch, epochs, loss)))

        def ours() -> bool:
            return lease.holds(self.results, job.key, number, runner)

        def run() -> store.Record:
            return run_job(
                *(job, self.results, self.writer),
                **asdict(self.terms),
                progress=progress,
                stop=stop,
                ours=ours,
                clock=self.clock,
            )

        self.inbox.put(run)

    def end(self) -> None:
        """Let the thread end after the job that it has in hand."""
        self.inbox.put(None)


LOST = r"^\w+: CUDA error"  # of a reason: after this nothing works on the GPU in this process
Answer = tuple[Thread, Event | store.Record | Exception]


def outcome(run: Callable[[], store.Record]) -> store.Record | Exception:
    """Return the record of a job, or what it raised."""
    try:
        return run()
    except Exception as error:
        return error


def threads(queue: Queue, terms: Terms, n_at_a_time: int) -> Generator[Event]:
    """Run the jobs in this process, `n_at_a_time` at a time, each in a thread with a CUDA stream of its own.

    For a GPU: processes would take turns on it. The first Ctrl-C or SIGTERM lets every job finish its epoch and keep
    its state, the second ends at once; so does closing the generator, within STOP_SECONDS. Raises OSError where the
    disk is full and UserError where the GPU fails for good.
    """
    from tsfcn.training.checkpoint import Stopped

    writer = store.Writer(queue.results)
    news: SimpleQueue[Answer] = SimpleQueue()
    # Torch trains on a GPU in threads of its own too: they count where they are of one job alone.
    clock = time.process_time if n_at_a_time == 1 else time.thread_time
    pool: list[Thread] = []
    closing = threading.Event()

    def busy() -> list[Thread]:
        return [thread for thread in pool if thread.job is not None]

    def idle() -> Thread | None:
        return next((thread for thread in pool if thread.job is None), None)

    def settled(thread: Thread, answer: store.Record | Exception) -> Event:
        """Return what became of the job that a thread had in hand."""
        job, thread.job = thread.job, None
        assert job is not None
        if isinstance(answer, Stopped):
            return queue.returned(job, "it was stopped")
        if isinstance(answer, Exception):
            raise answer
        queue.end(job)
        return Event("end", thread.number, job, record=answer)

    with signals_held() as asked, one_core_each():
        try:
            while True:
                while not asked() and (idle() or len(pool) < n_at_a_time) and (job := queue.take()):
                    if (thread := idle()) is None:
                        pool.append(thread := Thread(len(pool), queue.results, writer, terms, news, clock))

                    def stop(key: str = job.key) -> bool:
                        late = time.monotonic() > queue.deadline
                        return late or closing.is_set() or asked() or key in queue.runner.gone

                    thread.give(job, queue.runner.held[job.key], queue.runner.about["id"], stop)
                    yield Event("start", thread.number, job)
                yield from queue.news()
                if not busy() and (asked() or not queue.is_open()):
                    break
                with contextlib.suppress(Empty):
                    thread, answer = news.get(timeout=LOOK_SECONDS / 4)
                    if isinstance(answer, Event):
                        yield answer
                        continue
                    event = settled(thread, answer)
                    yield event
                    if event.record.get("status") == "failed" and re.search(LOST, event.record["reason"]):
                        raise UserError(
                            f"device={terms.device} fails, and with it whatever this process starts "
                            f"({event.record['reason']}): start the same command again"
                        )
        finally:
            closing.set()
            for thread in pool:
                thread.end()
            if busy():
                atexit.register(exit_at_once, pool, 130 if asked() else 1)
            deadline = time.monotonic() + (0 if asked() else STOP_SECONDS)
            for thread in busy():
                thread.thread.join(max(0.0, deadline - time.monotonic()))
    if asked():
        raise KeyboardInterrupt


def exit_at_once(pool: list[Thread], code: int) -> None:
    """End this process if a thread is still in the middle of an epoch: Python would abort in torch's code there."""
    if any(thread.thread.is_alive() for thread in pool):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


@contextlib.contextmanager
def one_core_each() -> Iterator[None]:
    """Let torch use one core for each thread that is started meanwhile, as each job has it by itself."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# ---------------------------------------------------------------------------------------------------------------------
# In processes of this machine


class Worker:
    """A worker process and the job that it has in hand."""

    def __init__(self, results: Path, number: int) -> None:
        environment = {**MALLOC, **os.environ, **dict.fromkeys(THREADS, "1")}
        here = str(Path(__file__).parents[1])  # a checkout need not be installed
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), here]))
        self.number = number
        self.job: Job | None = None
        self.ready = False
        self.stopping = False
        self.oom_kills = 0  # of the system, when the job began
        self.torn = b""  # the beginning of a line whose end has not come yet
        self.process = subprocess.Popen(
            # -P: a file of the user's in this folder, named as a module is, must not be taken for it.
            [sys.executable, "-P", "-m", "tsfcn.execute", str(results)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches the parent alone, which ends the workers
        )

    def give(self, job: Job, terms: Terms, number: int, runner: str) -> None:
        """Hand the worker its next job. number, runner: of the job's lease."""
        self.job = job
        self.oom_kills = oom_kills()
        assert self.process.stdin is not None
        message = {"job": job.to_json(), "terms": asdict(terms), "lease": number, "runner": runner}
        with contextlib.suppress(BrokenPipeError):  # where it died: answers() says so
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def answers(self) -> list[dict[str, Any]] | None:
        """Return the messages that have come, or None if the worker has ended."""
        assert self.process.stdout is not None
        data = os.read(self.process.stdout.fileno(), 1 << 20)
        if not data:
            return None
        *whole, self.torn = (self.torn + data).split(b"\n")
        return [json.loads(line) for line in whole]

    def stop(self) -> None:
        """Ask the worker to finish the epoch, to keep its state and to end."""
        self.stopping = True
        self.process.terminate()

    def end(self) -> int:
        """End the process and return its exit code."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        return self.process.wait()


def oom_kills() -> int:
    """Return how many processes the kernel has killed for want of memory, as far as this machine tells."""
    found = 0
    for path in ("/proc/vmstat", "/sys/fs/cgroup/memory.events"):
        with contextlib.suppress(OSError), open(path) as file:
            found += sum(int(line.split()[1]) for line in file if line.split()[0] == "oom_kill")
    return found


def local(queue: Queue, terms: Terms, n_workers: int) -> Generator[Event]:
    """Run the jobs in `n_workers` processes, yielding events as they come; in the given order, not awaiting each other.

    A worker that dies is replaced, and what becomes of its job is up to the queue. When the generator is closed, by
    Ctrl-C too, the workers finish their epoch, within STOP_SECONDS, and the jobs in hand leave a checkpoint and no
    record. Raises OSError where the disk is full and UserError where no worker can be started.
    """
    workers: dict[int, Worker] = {}
    stillborn = 0
    selector = selectors.DefaultSelector()

    def hire() -> Worker:
        number = next(n for n in range(n_workers) if n not in workers)
        workers[number] = worker = Worker(queue.results, number)
        assert worker.process.stdout is not None
        selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
        return worker

    def dismiss(worker: Worker) -> int:
        selector.unregister(worker.process.stdout)  # type: ignore[arg-type]
        del workers[worker.number]
        return worker.end()

    def idle() -> Worker | None:
        return next((worker for worker in workers.values() if worker.job is None and not worker.stopping), None)

    def heard(worker: Worker) -> Iterator[Event]:
        """Take what a worker says."""
        nonlocal stillborn
        job, answers = worker.job, worker.answers()
        if answers is None:
            code = dismiss(worker)
            if job is None:
                return
            if not worker.ready and code >= 0:
                stillborn += 1
                if stillborn >= STILLBORN:
                    raise UserError(f"executor=local starts no worker, {STILLBORN} ended with {code}: see above why")
                queue.back(job)
            elif worker.stopping:
                yield queue.returned(job, "it was stopped")
            else:
                yield queue.died(job, code, oom_kills() > worker.oom_kills)
            return
        for answer in answers:
            if "ready" in answer:
                worker.ready, stillborn = True, 0
            elif "full" in answer:
                raise OSError(*answer["full"])
            elif "stopped" in answer:
                worker.stopping = True
            elif "record" in answer:
                assert job is not None
                worker.job = None
                queue.end(job)
                yield Event("end", worker.number, job, record=answer["record"])
            else:
                assert job is not None
                yield Event("progress", worker.number, job, **answer)

    try:
        while True:
            while (worker := idle()) or len(workers) < n_workers:
                job = queue.take()
                if job is None:
                    break
                worker = worker or hire()
                worker.give(job, terms, queue.runner.held[job.key], queue.runner.about["id"])
                yield Event("start", worker.number, job)
            yield from queue.news()
            while not queue.waiting and (worker := idle()):
                dismiss(worker)
            if not any(worker.job for worker in workers.values()) and not queue.is_open():
                return
            for key, _ in selector.select(LOOK_SECONDS / 2):
                yield from heard(key.data)
            for worker in list(workers.values()):
                if worker.job is not None and not worker.stopping:
                    if worker.job.key in queue.runner.gone:  # we were taken for dead
                        lost = worker.job
                        dismiss(worker)
                        yield queue.returned(lost, "another runner has taken it over")
                    elif time.monotonic() > queue.deadline:
                        worker.stop()
            if time.monotonic() > queue.deadline + STOP_SECONDS:
                for worker in list(workers.values()):
                    worker.process.kill()
    finally:
        try:
            retire(workers)
        finally:
            for worker in list(workers.values()):
                dismiss(worker)
            selector.close()


def retire(workers: dict[int, Worker]) -> None:
    """Let workers that are in the middle of a job finish their epoch, within STOP_SECONDS."""
    busy = [worker for worker in workers.values() if worker.job is not None]
    for worker in busy:
        worker.stop()
    started, told = time.monotonic(), False
    while any(worker.process.poll() is None for worker in busy):
        waited = time.monotonic() - started
        if waited > STOP_SECONDS:
            return
        if waited > 0.5 and not told:
            told = True
            print(STOPPING, file=sys.stderr, flush=True)
        time.sleep(0.02)


# ---------------------------------------------------------------------------------------------------------------------
# Being a worker


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
    from tsfcn.job import run_job
    from tsfcn.training.checkpoint import Stopped

    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a library prints goes to standard error

    def say(message: dict[str, Any]) -> None:
        try:
            answers.write(json.dumps(message).encode() + b"\n")
        except BrokenPipeError:
            os._exit(1)  # the run is gone

    writer = store.Writer(results)
    said = 0.0

    def progress(epoch: int, epochs: int, loss: float) -> None:
        nonlocal said
        if time.monotonic() - said >= PROGRESS_SECONDS:
            said = time.monotonic()
            say({"epoch": epoch, "epochs": epochs, "loss": loss})

    messages: SimpleQueue[bytes] = SimpleQueue()

    def listen() -> None:
        for line in sys.stdin.buffer:
            messages.put(line)
        os._exit(0)  # the run is gone, or needs this worker no more

    asked = threading.Event()
    busy = False

    def terminate(signum: int, frame: object) -> None:
        if not busy:
            os._exit(0)
        asked.set()

    signal.signal(signal.SIGTERM, terminate)
    threading.Thread(target=listen, daemon=True).start()
    say({"ready": True})
    while True:
        line = messages.get()
        busy = True
        message = json.loads(line)
        job, terms = Job(**message["job"]), Terms(**message["terms"])
        cap_memory(terms.memory)

        def ours(key: str = job.key, number: int = message["lease"], runner: str = message["runner"]) -> bool:
            return lease.holds(results, key, number, runner)

        try:
            record = run_job(job, results, writer, **asdict(terms), progress=progress, stop=asked.is_set, ours=ours)
        except Stopped as stopped:
            say({"stopped": str(stopped)})
            os._exit(0)  # the listener waits for input, which would keep the interpreter from ending
        except OSError as error:
            say({"full": [error.errno, error.strerror or str(error), error.filename]})
            os._exit(1)
        say({"record": {name: value for name, value in record.items() if name != "curve"}})
        busy = False
        if asked.is_set():
            os._exit(0)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
