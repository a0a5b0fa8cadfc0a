# SPDX-License-Identifier: GPL-3.0-or-later
"""Setting up the backend, seen from Blender: in what state a folder is, and a child process that changes it.

A :class:`Setup` runs `install_backend` as a process of its own and is driven by calling :meth:`Setup.advance`
again and again, as a job is; nothing here waits. The process ends with its input, so that it cannot outlive
Blender. This module knows nothing of Blender and needs the standard library alone.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import tomllib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from .backend_folder import LOG, environment_command, environment_python, read_stamp
from .install_backend import STEPS

PACKAGE = Path(__file__).parent
REQUIREMENTS = PACKAGE / "backend_requirements.txt"
WHEELS = PACKAGE / "backend_wheel"
"""The backend itself, put in by `build.py package`; not in a checkout."""

_WINDOWS = os.name == "nt"
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # Windows' own
_LOG_LINES = 40

_TITLES = {
    "environment": "Making the environment",
    "libraries": "Installing libraries",
    "torch": "Installing PyTorch",
    "backend": "Installing the backend",
    "check": "Checking",
    "remove": "Removing",
}
_SHARES = {"environment": 0.05, "libraries": 0.4, "torch": 0.45, "backend": 0.03, "check": 0.07}
"""How long each step takes, of the whole."""


class Status(StrEnum):
    """In what state the installation in a folder is."""

    NOT_INSTALLED = "not installed"
    INTERRUPTED = "installed in part"
    READY = "ready"
    BROKEN = "broken"
    OTHER_VERSION = "other version"
    FOREIGN = "not ours"


@dataclass(frozen=True)
class Condition:
    """What a folder's installation is like.

    Attributes:
        status: see :class:`Status`.
        text: the same in a sentence or two, with what to do.
        version: the backend's version; empty while there is none.
    """

    status: Status
    text: str
    version: str = ""


@functools.cache
def addon_version() -> str:
    """The add-on's version, which the backend should have too."""
    return str(tomllib.loads((PACKAGE / "blender_manifest.toml").read_text(encoding="utf-8"))["version"])


def backend_wheel() -> Path | None:
    """The backend's package inside the extension; None where there is none, in a checkout."""
    return next(iter(sorted(WHEELS.glob("fasthmr-*.whl"))), None)


def condition_of(folder: Path, wanted: str) -> Condition:
    """Look at a folder; quick, as it starts nothing.

    Args:
        folder: where the backend is or will be installed.
        wanted: the version that it should have.
    """
    stamp = read_stamp(folder)
    if stamp is None:
        try:
            occupied = folder.is_file() or (folder.is_dir() and any(folder.iterdir()))
        except OSError as error:
            return Condition(Status.FOREIGN, f"{folder} cannot be read: {error.strerror or error}.")
        if occupied:
            return Condition(
                Status.FOREIGN,
                f"There is something else in {folder}: nothing is installed there. Choose an empty or new"
                " folder, or use it as it is if a backend is in it.",
            )
        return Condition(Status.NOT_INSTALLED, "The backend is not installed yet.")
    version = str(stamp.get("version", ""))
    if any(step not in stamp.get("steps", {}) for step in STEPS):
        text = "The installation is not finished. Install goes on after the last finished step."
        return Condition(Status.INTERRUPTED, text, version)
    if reason := _broken(folder, stamp):
        return Condition(Status.BROKEN, f"{reason} Install the backend again to mend it.", version)
    if version != wanted:
        return Condition(Status.OTHER_VERSION, other_version(version, wanted), version)
    return Condition(Status.READY, f"The backend {version} is ready.", version)


def other_version(version: str, wanted: str) -> str:
    """What to tell about a backend whose version is not the add-on's."""
    return (
        f"The backend is version {version}, this add-on is {wanted}. Update the backend, or install the"
        f" extension {version}."
    )


def _broken(folder: Path, stamp: dict[str, Any]) -> str:
    """Why a finished installation cannot work; empty when nothing speaks against it."""
    if stamp.get("folder") != str(folder):
        return f"The folder was moved from {stamp.get('folder')}."
    python = environment_python(folder)
    if python.is_symlink() and not python.exists():
        return "The Python that it was made with is gone, perhaps with an older Blender."
    with contextlib.suppress(OSError):
        lines = (
            (python.parent.parent / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace").splitlines()
        )
        home = next((line.partition("=")[2].strip() for line in lines if line.startswith("home")), "")
        if home and not Path(home).is_dir():
            return f"The Python that it was made with is gone ({home}), perhaps with an older Blender."
    missing = [path for path in (python, environment_command(folder)) if not path.is_file()]
    return f"{missing[0]} is missing." if missing else ""


class State(StrEnum):
    """Where a set-up is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Setup:
    """An installation or a removal that is running, or has run.

    Args:
        what: "install" or "remove".
        folder: the backend's folder.
        wheel, version: the backend to install.
        python: the Python that runs it and that the environment is made with; Blender's own when left out.
        requirements: the lock of the libraries.
        with_smplx: also install what reads official SMPL files.

    Attributes:
        state: see :class:`State`.
        step: what it is doing.
        fraction: how much of the whole is done, 0 to 1; it never goes back.
        message: a sentence for the user.
        lines: what pip said last, when it failed, oldest first.
        checks: what the doctor found in the end.

    Raises:
        OSError: the process cannot be started.
    """

    def __init__(
        self,
        what: str,
        folder: Path,
        *,
        wheel: Path | None = None,
        version: str = "",
        python: str = sys.executable,
        requirements: Path = REQUIREMENTS,
        with_smplx: bool = False,
    ) -> None:
        self.what, self.folder = what, folder
        self.state = State.RUNNING
        self.step = "remove" if what == "remove" else STEPS[0]
        self.fraction = 0.0
        self.detail = ""
        self.message = _TITLES[self.step]
        self.lines: list[str] = []
        self.checks: list[dict[str, Any]] = []
        command = [python, "-I", str(PACKAGE / "install_backend.py"), what, str(folder), "--end-with-input"]
        if what == "install":
            command += ["--version", version, "--requirements", str(requirements)]
            command += ["--wheel", str(wheel)] if wheel else []
            command += ["--with-smplx"] if with_smplx else []
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")
            }
            | {"PYTHONUTF8": "1"},
            start_new_session=True,  # so that the end reaches pip too
            creationflags=_NO_WINDOW,
        )
        self._threads = [
            threading.Thread(target=self._read, name="recover-motion-setup", daemon=True),
            threading.Thread(target=self._read_log, name="recover-motion-setup-log", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def active(self) -> bool:
        """Whether it is still going on."""
        return self.state is State.RUNNING

    @property
    def pid(self) -> int:
        """The process's number, which is also that of its group."""
        return self._process.pid

    def progress_text(self) -> str:
        """One short line for a progress bar."""
        if not self.active:
            return self.message
        return f"{_TITLES.get(self.step, self.step)}{': ' if self.detail else ''}{self.detail}"

    def advance(self) -> None:
        """Take what the process has said since the last call."""
        while self.active:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                return
            if event is None:
                self._end()
            else:
                self._take(event)

    def cancel(self) -> None:
        """Stop it, with pip; what is finished is kept. Safe to call at any time."""
        if not self.active:
            return
        self._finish(State.CANCELLED, "Cancelled. Install goes on after the last finished step.")
        if self.what == "remove":
            self.message = "Cancelled. Remove goes on with the rest."

    def _take(self, event: dict[str, Any]) -> None:
        if "failed" in event:
            self.lines = [str(line) for line in event.get("lines", ())]
            self.step = str(event.get("step", self.step))
            self._finish(State.FAILED, str(event["failed"]))
        elif "finished" in event:
            self.checks = list(event.get("checks", ()))
            self.fraction = 1.0
            self._finish(State.DONE, str(event["finished"]))
        elif "step" in event:
            self.step = str(event["step"])
            self.detail = str(event.get("detail") or "")
            before = (
                sum(_SHARES[step] for step in STEPS[: STEPS.index(self.step)]) if self.step in STEPS else 0.0
            )
            done, total = event.get("done") or 0, event.get("total") or 0
            here = _SHARES.get(self.step, 0.0) * min(done / total, 1.0) if total else 0.0
            self.fraction = max(self.fraction, min(before + here, 1.0))

    def _end(self) -> None:
        """Its output has ended without a word about how."""
        code = self._process.wait()
        for thread in self._threads[1:]:
            thread.join(1.0)
        self.lines = list(self._log)
        self._finish(
            State.FAILED,
            f"The installation stopped unexpectedly (exit code {code}) while {_TITLES[self.step].lower()}."
            " Start it again: it goes on after the last finished step.",
        )

    def _finish(self, state: State, message: str) -> None:
        self.state, self.message, self.detail = state, message, ""
        self._kill()

    def _kill(self) -> None:
        """End the process, if need be, and all that it started."""
        if _WINDOWS:
            if self._process.poll() is None:
                kill = ["taskkill", "/F", "/T", "/PID", str(self.pid)]
                subprocess.run(kill, capture_output=True, check=False, creationflags=_NO_WINDOW)
        else:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
        for thread in self._threads:
            thread.join(1.0)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _read(self) -> None:
        """Thread: events into the queue; None at the end."""
        for line in self._process.stdout or ():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                self._events.put(event)
        self._events.put(None)

    def _read_log(self) -> None:
        """Thread: what the process complains about, a traceback perhaps."""
        for line in self._process.stderr or ():
            self._log.append(line.decode("utf-8", "replace").rstrip()[:400])


def log_tail(folder: Path, count: int = _LOG_LINES) -> Sequence[str]:
    """The last lines of an installation's log; none where there is none."""
    try:
        return (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
    except OSError:
        return ()
