# SPDX-License-Identifier: Apache-2.0
"""``fasthmr worker``: one resident process that serves a Blender session over a pair of pipes.

Three kinds of threads share the work. The main thread reads requests and answers at once those that
take no time (``hello``, ``cancel``, ``shutdown``). One thread does the jobs, one after the other,
and keeps the models loaded between them. One answers ``probe`` and ``doctor`` meanwhile. The end of
the input ends the process: a client that crashed leaves nothing behind.

A job's ``progress`` notification may have a field ``preview``: the path of a small picture of the work
(:mod:`fasthmr.live_preview`; a PPM of at most 320 pixels, in the job folder, always of the same name), which
has been written since the last notification. Pictures are made for jobs that ask for them with ``preview:
true``, by workers that name ``preview`` among the ``features`` in their answer to ``hello``; older ones have
no such list and refuse the parameter. The file goes when the job ends.

Standard output carries protocol lines and nothing else: the descriptor is moved out of the way, so
that a stray print in any library, also a native one, lands in the log on standard error.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import multiprocessing
import os
import platform
import queue
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

import msgspec

import fasthmr
from fasthmr import protocol
from fasthmr.device import expected_device
from fasthmr.errors import Cancelled
from fasthmr.live_preview import LivePreview, Sketcher, remove_picture
from fasthmr.models import Models
from fasthmr.progress import Progress
from fasthmr.protocol import JobId, Refused, RequestId
from fasthmr.stage_clock import StageClock

FEATURES: Final = ("preview",)
"""What this worker can do that an older one of the same protocol cannot."""

_LONGEST_LINE: Final = 1 << 20
_PATIENCE: Final = 1.5  # seconds that a job gets to stop when the input has ended


class Connection:
    """Writes messages, whole lines, from any thread."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream: BinaryIO | None = stream
        self._lock = threading.Lock()

    def send(self, message: dict[str, Any]) -> None:
        """Write one message; a client that is gone is noticed by the end of the input."""
        line = msgspec.json.encode(message) + b"\n"
        with self._lock:
            if self._stream is None:
                return
            try:
                self._stream.write(line)
                self._stream.flush()
            except OSError as error:
                self._stream = None
                _say(f"The client does not listen any more: {error}.")


class JobProgress(Progress):
    """Sends a job's progress and log to the client."""

    def __init__(self, connection: Connection, job: JobId, *, preview: bool = False) -> None:
        super().__init__()
        self.job = job
        self._connection = connection
        self._clock = StageClock(interval=0.1)
        self._preview = LivePreview() if preview else None
        self._picture: Path | None = None  # written and not told yet
        self._folder: Path | None = None  # with a picture in it

    def show(self, stage: str, done: int, total: int | None) -> None:  # noqa: D102 (as in the base)
        step = self._clock.step(stage, done, total)
        if step is not None:
            params = {"job": self.job, **msgspec.to_builtins(step)}
            if self._picture is not None:
                params["preview"], self._picture = str(self._picture), None
            self._connection.send(protocol.notification("progress", params))

    def offer(self, make: Sketcher, folder: Path | None = None) -> None:  # noqa: D102 (as in the base)
        if self._preview is None or folder is None:
            return
        if (path := self._preview.offer(make, folder)) is not None:
            self._picture, self._folder = path, folder

    def close(self) -> None:
        """The job has ended: take its picture away."""
        if self._preview is not None and self._preview.count:
            _say(f"Previews: {self._preview.count} pictures, {self._preview.seconds:.2f} s in all.")
        if self._folder is not None:
            remove_picture(self._folder)

    def log(self, message: str) -> None:  # noqa: D102 (as in the base)
        _say(message)
        self._connection.send(protocol.notification("log", {"job": self.job, "message": message}))


@dataclasses.dataclass(eq=False)
class _Task:
    """A job that waits for its turn, or has it."""

    request: RequestId
    progress: JobProgress
    work: Callable[[JobProgress], Any]
    reply: Callable[[dict[str, Any]], None]
    started: bool = False


class Worker:
    """Serves one client until the input ends or it says ``shutdown``.

    Args:
        requests: the client's lines.
        answers: where the worker's lines go.
    """

    def __init__(self, requests: BinaryIO, answers: BinaryIO) -> None:
        self._requests = requests
        self._connection = Connection(answers)
        self._models = Models()
        self._queue: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._tasks: dict[JobId, _Task] = {}  # waiting or running
        self._tasks_lock = threading.Lock()
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._job_thread = threading.Thread(target=self._do_jobs, name="jobs", daemon=True)
        self._aside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aside")

    def serve(self) -> None:
        """Read and answer until the end."""
        self._job_thread.start()
        while line := self._requests.readline(_LONGEST_LINE):
            if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
                self._skip_line()
                error = Refused(protocol.PARSE_ERROR, f"A line is longer than {_LONGEST_LINE} bytes.")
                self._connection.send(protocol.error_message(None, error))
            elif line.strip() and not self._take(line):
                break

    def stop(self) -> None:
        """Cancel what is running or waiting, wait a moment for it to stop, end child processes."""
        with self._tasks_lock:
            for task in self._tasks.values():
                task.progress.cancelled.set()
        self._queue.put(None)
        if self._job_thread.is_alive():
            self._job_thread.join(_PATIENCE)
        self._aside.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()
        if self._scratch is not None:
            self._scratch.cleanup()

    def _skip_line(self) -> None:
        while (rest := self._requests.readline(_LONGEST_LINE)) and not rest.endswith(b"\n"):
            pass

    def _take(self, line: bytes) -> bool:
        """Act on one line; False when it was the last."""
        try:
            request, params = protocol.read_request(line)
        except Refused as error:
            self._connection.send(protocol.error_message(error.request, error))
            return True
        number = None if request.id is msgspec.UNSET else request.id
        answered = request.id is not msgspec.UNSET

        def reply(message: dict[str, Any]) -> None:
            if answered:
                self._connection.send(message)

        match params:
            case protocol.Recover() | protocol.FindPeople():
                self._enqueue(number, params, reply)
            case protocol.Probe():
                self._aside.submit(_attempt, number, lambda: _probe(params), reply)
            case protocol.Cancel():
                reply(protocol.result_message(number, {"cancelled": self._cancel(params.job)}))
            case protocol.Hello():
                reply(protocol.result_message(number, _hello()))
            case _ if request.method == "doctor":
                self._aside.submit(_attempt, number, _doctor, reply)
            case _:
                reply(protocol.result_message(number, {}))
                return False
        return True

    def _enqueue(
        self,
        number: RequestId,
        params: protocol.Recover | protocol.FindPeople,
        reply: Callable[[dict[str, Any]], None],
    ) -> None:
        """Put a job behind those that wait already. Its name is the client's, or else the request's id."""
        job = params.job if params.job is not None else (number if number is not None else "")
        do = self._recover if isinstance(params, protocol.Recover) else self._people
        progress = JobProgress(self._connection, job, preview=params.preview)
        with self._tasks_lock:
            taken = job in self._tasks
            if not taken:
                task = _Task(number, progress, functools.partial(do, params), reply)
                self._tasks[job] = task
                self._queue.put(task)
        if taken:
            error = Refused(protocol.BAD_PARAMETERS, f"There is a job '{job}' already, and it is not done.")
            reply(protocol.error_message(number, error))

    def _cancel(self, job: JobId) -> bool:
        """Cancel a job that runs or waits; its own request then fails with the code for it."""
        with self._tasks_lock:
            task = self._tasks.get(job)
            if task is None:
                return False
            task.progress.cancelled.set()
            if not task.started:
                del self._tasks[job]
        if not task.started:
            task.reply(protocol.error_message(task.request, Cancelled("Cancelled before it began.")))
        return True

    def _do_jobs(self) -> None:
        """Thread: one job after the other."""
        while (task := self._queue.get()) is not None:
            with self._tasks_lock:
                task.started = self._tasks.get(task.progress.job) is task
            if not task.started:  # cancelled while it waited, and answered
                continue

            def reply(message: dict[str, Any], task: _Task = task) -> None:
                task.progress.close()
                with self._tasks_lock:  # first, so that the name is free when the client reads the answer
                    del self._tasks[task.progress.job]
                task.reply(message)

            _attempt(task.request, functools.partial(task.work, task.progress), reply)

    def _recover(self, params: Any, progress: JobProgress) -> dict[str, Any]:
        from fasthmr.pipeline import RecoverRequest, recover

        values = {
            name: value
            for name, value in msgspec.to_builtins(params).items()
            if name not in ("job", "preview")
        }
        for name in ("footage", "out", "checkpoint", "decoder_weights"):
            values[name] = None if values[name] is None else Path(values[name])
        result = recover(RecoverRequest(**values), progress, self._models)
        return {
            "job": progress.job,
            "folder": str(result.folder),
            "motions": [str(path) for path in result.motions],
            "body": None if result.body is None else str(result.body),
            "seconds": round(sum(result.seconds_by_stage.values()), 3),
        }

    def _people(self, params: Any, progress: JobProgress) -> dict[str, Any]:
        from fasthmr.survey import survey

        out = Path(params.out) if params.out is not None else self._scratch_folder()
        found = survey(
            Path(params.footage), out, params.start, params.end, progress, self._models, params.frame_rate
        )
        return msgspec.to_builtins(found)

    def _scratch_folder(self) -> Path:
        """Where thumbnails go that nobody named a place for: gone when the worker ends."""
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="fasthmr-", ignore_cleanup_errors=True)
        return Path(self._scratch.name) / os.urandom(8).hex()


def main() -> NoReturn:
    """Serve the client at the other end of standard input and output, and end the process."""
    requests, answers = _take_standard_streams()
    worker = Worker(requests, answers)
    code = 0
    try:
        worker.serve()
    except KeyboardInterrupt:
        code = Cancelled.exit_code
    worker.stop()
    sys.stderr.flush()
    # A thread deep inside a native library would hold up an ordinary exit. Files are written whole or
    # not at all, so nothing is lost by leaving now.
    os._exit(code)


def _take_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Keep standard input and output for the protocol; everybody else reads nothing and prints to the log."""
    sys.stdout.flush()
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdin = io.TextIOWrapper(io.BytesIO())
    sys.stdout = sys.stderr
    return os.fdopen(requests, "rb"), os.fdopen(answers, "wb")


def _attempt(number: RequestId, work: Callable[[], Any], reply: Callable[[dict[str, Any]], None]) -> None:
    """Do something and answer with its result or its error: no error ends the worker."""
    try:
        message = protocol.result_message(number, work())
    except Exception as error:  # noqa: BLE001 (a bug in one job must not cost the session)
        message = protocol.error_message(number, error)
        if message["error"]["code"] == protocol.INTERNAL_ERROR:
            _say(traceback.format_exc())
    reply(message)


def _hello() -> dict[str, Any]:
    return {
        "name": "fasthmr",
        "version": fasthmr.__version__,
        "protocol": protocol.PROTOCOL,
        "python": platform.python_version(),
        "device": expected_device(),
        "features": list(FEATURES),
    }


def _probe(params: protocol.Probe) -> dict[str, Any]:
    from fasthmr.footage import probe

    values = dataclasses.asdict(probe(Path(params.footage)))
    return values | {"path": str(values["path"])}


def _doctor() -> dict[str, Any]:
    from fasthmr.doctor import examine

    return msgspec.to_builtins(examine())


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
