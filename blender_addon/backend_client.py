# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend's worker process, seen from Blender: requests go down a pipe, messages come up.

The protocol is JSON-RPC 2.0, one object a line, UTF-8, over the standard input and output of
`fasthmr worker`. Two threads read the process's output and its log; they fill a queue and never
touch Blender. Everything else happens on the caller's thread, and nothing here waits unless it is
asked to. This module needs the standard library alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from .backend_location import BackendProblem

PROTOCOL = 1
CANCELLED = -32800
"""Error code of a request that was cancelled."""

_LAST_WORDS = 12
"""Lines of the worker's log that are shown when it dies."""

_WINDOWS = os.name == "nt"
_CREATION_FLAGS = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(
    subprocess, "CREATE_NO_WINDOW", 0
)  # Windows' own; 0 elsewhere


@dataclass(frozen=True)
class Greeting:
    """The worker's answer to `hello`: it is up and speaks our protocol.

    Attributes:
        version: the backend's.
        device: the processor that it will use.
        features: what it can do that an older one of the same protocol cannot.
    """

    version: str
    device: str
    features: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Result:
    """The answer to a request."""

    request: int
    value: dict[str, Any]


@dataclass(frozen=True)
class Failure:
    """The answer to a request that failed.

    Attributes:
        request: the request's number; None when the worker could not tell which one it was.
        code: JSON-RPC error code; :data:`CANCELLED` for a cancelled request.
        message: what was wrong, for the user.
        exit_code: the exit code that the command line would have ended with; None if not given.
    """

    request: int | None
    code: int
    message: str
    exit_code: int | None = None


@dataclass(frozen=True)
class Progress:
    """How far a stage of a job is.

    Attributes:
        job: the client's name of the job.
        stage: short name of the stage.
        done: units finished.
        total: units in all; None while unknown.
        eta: seconds left; None while unknown.
        preview: path of a picture of the work, when there is a new one.
    """

    job: str
    stage: str
    done: int
    total: int | None
    eta: float | None
    preview: str = ""


@dataclass(frozen=True)
class Log:
    """A line that the user may want to read."""

    message: str


@dataclass(frozen=True)
class Ended:
    """The worker is gone; always its last message.

    Attributes:
        message: how it ended, for the user.
        last_words: the last lines of its log, oldest first.
    """

    message: str
    last_words: tuple[str, ...] = ()


Message = Greeting | Result | Failure | Progress | Log | Ended


def clean_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for the worker: without what would lead its Python to Blender's modules."""
    environment = os.environ if environment is None else environment
    kept = {name: value for name, value in environment.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return kept | {"PYTHONUTF8": "1"}


class Worker:
    """A running worker process.

    The constructor returns at once; the first message is a :class:`Greeting`, or an
    :class:`Ended` that says why there is none.

    Args:
        command: the backend's command, as :func:`find_command` gives it.

    Attributes:
        greeting: set when the worker has answered `hello`.
        ended: set when the worker is gone; a new one is needed then.

    Raises:
        BackendProblem: the program cannot be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.command = tuple(command)
        self.greeting: Greeting | None = None
        self.ended: Ended | None = None
        self._messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._last_request = 0
        self._orphans_ended = False
        self._closer: threading.Thread | None = None
        try:
            self._process = subprocess.Popen(
                [*command, "worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=clean_environment(),
                # a group of its own: Ctrl-C in the terminal that Blender runs in must not reach it, and
                # closing must reach its children too
                start_new_session=True,
                creationflags=_CREATION_FLAGS,
            )
        except OSError as error:
            reason = error.strerror or error
            raise BackendProblem(f"The backend {command[0]} could not be started: {reason}.") from error
        self._stdin, self._stdout, self._stderr = _pipes(self._process)
        self._threads = [
            threading.Thread(target=self._read_log, name="recover-motion-log", daemon=True),
            threading.Thread(target=self._read_messages, name="recover-motion-messages", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        self._hello = self.request("hello", {"client": "blender"})

    @property
    def pid(self) -> int:
        """Process number, which is also the number of its process group."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process is there and can be asked."""
        return self.ended is None and self._process.poll() is None

    def request(self, method: str, params: Mapping[str, Any]) -> int:
        """Send a request; the answer comes through :meth:`receive`.

        Returns:
            The request's number. A worker that is gone is not an error here: its
            :class:`Ended` is received next.
        """
        self._last_request += 1
        message = {"jsonrpc": "2.0", "id": self._last_request, "method": method, "params": dict(params)}
        line = json.dumps(message, ensure_ascii=False).encode() + b"\n"
        with contextlib.suppress(OSError, ValueError):  # a broken or closed pipe
            self._stdin.write(line)
            self._stdin.flush()
        return self._last_request

    def receive(self, patience: float = 0.0) -> list[Message]:
        """Take the messages that have come.

        Args:
            patience: seconds to wait for the first one.

        Returns:
            Messages in order; none when nothing has come.
        """
        messages: list[Message] = []
        deadline = time.monotonic() + patience
        while self.ended is None:
            left = deadline - time.monotonic()
            try:
                wait = not messages and left > 0
                raw = self._messages.get(timeout=left) if wait else self._messages.get_nowait()
            except queue.Empty:
                self._end_orphans()
                break
            message = self._end() if raw is None else self._understand(raw)
            if message is not None:
                messages.append(message)
        return messages

    def close(self, patience: float = 3.0) -> None:
        """End the worker and everything that it started. Safe to call twice.

        The end of its input asks it to stop; what has not stopped after `patience` seconds is
        terminated, and then killed.
        """
        if self._closer is not None:
            self._closer.join()
        self._close(patience)

    def _close(self, patience: float) -> None:
        with contextlib.suppress(OSError):
            self._stdin.close()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._signal_group(terminate=True)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
        self._signal_group(terminate=False)  # also children that outlived it
        self._process.wait()
        for thread in self._threads:
            thread.join(1.0)
        for stream in (self._stdout, self._stderr):
            stream.close()
        if self.ended is None:
            self.ended = Ended("The backend was stopped.")

    def close_aside(self, patience: float = 3.0) -> None:
        """As :meth:`close`, but the caller does not wait: see :attr:`closing`."""
        if self._closer is None:
            self.ended = self.ended or Ended("The backend was stopped.")
            self._closer = threading.Thread(target=self._close, args=(patience,), name="recover-motion-close")
            self._closer.start()

    @property
    def closing(self) -> bool:
        """Whether it is being closed aside and still there."""
        return self._closer is not None and self._closer.is_alive()

    def _end_orphans(self) -> None:
        """A dead worker's children would keep its pipes open, and its end unnoticed, for ever."""
        if not self._orphans_ended and self._process.poll() is not None:
            self._orphans_ended = True
            self._signal_group(terminate=False)

    def _signal_group(self, *, terminate: bool) -> None:
        if _WINDOWS:  # there is no gentle signal that a process without a console gets
            if self._process.poll() is None:
                kill = ["taskkill", "/F", "/T", "/PID", str(self.pid)]
                subprocess.run(kill, capture_output=True, check=False)
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGTERM if terminate else signal.SIGKILL)

    def _read_messages(self) -> None:
        """Thread: standard output, line by line, into the queue; None at its end."""
        for line in self._stdout:
            try:
                message = json.loads(line)
            except ValueError:
                message = None
            if isinstance(message, dict):
                self._messages.put(message)
            else:  # something printed where only messages belong: worth keeping, not worth failing for
                self._remember(line)
        self._messages.put(None)

    def _read_log(self) -> None:
        """Thread: standard error, of which the last lines are kept."""
        for line in self._stderr:
            self._remember(line)

    def _remember(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").strip()
        if text:
            self._last_words.append(text[:300])

    def _understand(self, raw: dict[str, Any]) -> Message | None:
        """A message as a value; None for what this version does not know or need."""
        params = raw.get("params")
        if raw.get("method") == "progress" and isinstance(params, dict):
            return _progress(params)
        if raw.get("method") == "log" and isinstance(params, dict):
            return Log(str(params.get("message", "")))
        error = raw.get("error")
        if isinstance(error, dict):
            if raw.get("id") == self._hello:
                return self._refuse(f"The backend did not start: {error.get('message')}")
            return _failure(raw.get("id"), error)
        value = raw.get("result")
        if not isinstance(value, dict) or not isinstance(raw.get("id"), int):
            return None
        if raw["id"] != self._hello:
            return Result(raw["id"], value)
        if value.get("protocol") != PROTOCOL:
            return self._refuse(
                f"This add-on speaks protocol {PROTOCOL}, the backend {value.get('name', '')} "
                f"{value.get('version', '')} speaks {value.get('protocol')}. Update the older of the two."
            )
        features = value.get("features")
        self.greeting = Greeting(
            str(value.get("version", "")),
            str(value.get("device", "")),
            frozenset(map(str, features)) if isinstance(features, list) else frozenset(),
        )
        return self.greeting

    def _refuse(self, message: str) -> Ended:
        """Give up on a worker that is there but cannot be used."""
        self.ended = Ended(message)
        self.close(0.5)
        return self.ended

    def _end(self) -> Ended:
        """The output has ended: find out how, and what the log said last."""
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:  # it closed its output but lives: of no use any more
            self._signal_group(terminate=False)
            code = self._process.wait()
        self._end_orphans()
        self._threads[0].join(1.0)
        self.ended = Ended(_how_it_ended(code), tuple(self._last_words))
        self.close(0.0)
        return self.ended


def _how_it_ended(code: int) -> str:
    """The exit code of a worker that nobody stopped, in words."""
    if not _WINDOWS and code == -signal.SIGKILL:
        return (
            "The system stopped the backend (SIGKILL), most likely because the memory was full. Close other"
            " programs, or recover a shorter part of the clip."
        )
    if code < 0 and -code in set(signal.Signals):
        return f"The backend stopped unexpectedly (killed by {signal.Signals(-code).name})."
    return f"The backend stopped unexpectedly (exit code {code})."


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise ValueError("the process was started without pipes")
    return process.stdin, process.stdout, process.stderr


def _progress(params: dict[str, Any]) -> Progress | None:
    total, eta = params.get("total"), params.get("eta_s")
    try:
        return Progress(
            job=str(params.get("job", "")),
            stage=str(params["stage"]),
            done=int(params["done"]),
            total=None if total is None else int(total),
            eta=None if eta is None else float(eta),
            preview=str(params.get("preview") or ""),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _failure(request: Any, error: dict[str, Any]) -> Failure:
    data = error.get("data")
    exit_code = data.get("exit_code") if isinstance(data, dict) else None
    code = error.get("code")
    return Failure(
        request=request if isinstance(request, int) else None,
        code=code if isinstance(code, int) else -32603,
        message=str(error.get("message") or "The backend gave no reason."),
        exit_code=exit_code if isinstance(exit_code, int) else None,
    )
