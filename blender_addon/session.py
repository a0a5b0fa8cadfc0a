# SPDX-License-Identifier: GPL-3.0-or-later
"""One worker and at most one job for a session of Blender, and the timer that looks after them.

The worker stays between jobs, so that its models stay loaded. A job goes on when another file is opened. All
of this runs on Blender's main thread.
"""

import atexit
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import bpy

from . import arrival, settings
from .backend_client import Worker
from .backend_location import BackendProblem, find_command
from .backend_setup import addon_version, other_version
from .jobs import Job, State
from .redraw import redraw

POLL_INTERVAL = 0.2
"""Seconds between two looks at the worker's messages while a job is running."""


@dataclass(frozen=True)
class Check:
    """A line of the backend's report about itself."""

    name: str
    ok: bool
    detail: str
    advice: str
    required: bool = True


job: Job | None = None
"""The running job, or else the last one."""

checks: list[Check] = []
"""The last report of `check_backend`."""

held = ""
"""Why the backend cannot be used for now; empty when it can. Set while it is installed or removed."""

backend_version = ""
"""The version of the worker that was started last; empty while none has been."""

_destination: arrival.Destination | None = None
_worker: Worker | None = None
_found: tuple[float, str, tuple[str, str]] = (0.0, "", ("", ""))


def busy() -> bool:
    """Whether a job is running."""
    return job is not None and job.active


def found_backend() -> tuple[str, str]:
    """The backend's command as text, and what is wrong if there is none; looks at most every 3 s."""
    global _found
    if held:
        return "", held
    places = f"{settings.backend_path()}\n{settings.install_folder()}"
    if places != _found[1] or time.monotonic() > _found[0]:
        try:
            answer = (" ".join(_command()), "")
        except BackendProblem as problem:
            answer = ("", str(problem))
        _found = (time.monotonic() + 3.0, places, answer)
    return _found[2]


def look_again() -> None:
    """Forget what was found: the backend has been installed, removed or replaced."""
    global _found, backend_version
    _found = (0.0, "", ("", ""))
    backend_version = ""


def version_problem() -> str:
    """What is to be said about a backend of another version than the add-on's; empty for the same."""
    wanted = addon_version()
    return other_version(backend_version, wanted) if backend_version not in ("", wanted) else ""


def start(new: Job, destination: arrival.Destination | None) -> None:
    """Start a job and return; a timer looks after it.

    Raises:
        BackendProblem: another job is running, or the backend cannot be found or started.
    """
    _begin(new, destination)
    if not bpy.app.timers.is_registered(_poll):
        bpy.app.timers.register(_poll, first_interval=POLL_INTERVAL, persistent=True)


def run(
    new: Job, destination: arrival.Destination | None = None, tell: Callable[[Job], None] | None = None
) -> None:
    """Run a job to its end, import included; a Ctrl-C cancels it.

    Args:
        new: the job; its state tells how it ended.
        destination: where its result goes; may be left out if the result is to go nowhere in Blender.
        tell: called a few times a second while the job is running.

    Raises:
        BackendProblem: another job is running, or the backend cannot be found or started.
    """
    _begin(new, destination)
    while new.active and new.state is not State.IMPORTING:
        try:
            new.advance(POLL_INTERVAL)
            if tell is not None:
                tell(new)
        except KeyboardInterrupt:
            if new.state is State.CANCELLING:  # asked twice: do not wait any longer
                stop()
                raise
            new.cancel()
    _settle(new, destination)


def cancel() -> None:
    """Cancel the running job."""
    if job is not None:
        job.cancel()


def has_result() -> bool:
    """Whether the last job left motions that are not in a scene yet."""
    ended_without = (State.NOT_IMPORTED, State.CANCELLED)
    return job is not None and job.state in ended_without and bool(job.result.get("motions"))


def import_again(scene: bpy.types.Scene) -> Job:
    """Import what the last job left, into a scene of the user's choice.

    Returns:
        The job; its state tells whether it worked.
    """
    if job is None or _destination is None or not has_result():
        raise ValueError("there is no result to import")
    job.state = State.IMPORTING
    arrival.import_result(job, replace(_destination, scene=scene.session_uid))
    return job


def stop() -> None:
    """End the job, the timer, the worker and all that the worker started."""
    global _worker
    if bpy.app.timers.is_registered(_poll):
        bpy.app.timers.unregister(_poll)
    if _worker is not None:
        _worker.close()
        _worker = None
    if job is not None and job.active:
        job.fail("Stopped with the add-on.", 130)


def _command() -> list[str]:
    return find_command(settings.backend_path(), installed=settings.install_folder())


def _begin(new: Job, destination: arrival.Destination | None) -> None:
    global job, _destination, _worker
    if busy():
        raise BackendProblem("A job is running: wait for it or cancel it.")
    if held:
        raise BackendProblem(held)
    command = tuple(_command())
    if _worker is not None and (_worker.command != command or not _worker.alive):
        _worker.close()
        _worker = None
    if _worker is None:
        _worker = Worker(command)
    if new.method == "recover" and settings.device() != "auto":
        new.params.setdefault("device", settings.device())
    new.begin(_worker)
    job, _destination = new, destination


def _note_version() -> None:
    global backend_version
    if _worker is not None and _worker.greeting is not None:
        backend_version = _worker.greeting.version


def _poll() -> float | None:
    """The timer: look at the job, and go on for as long as it is active."""
    redraw()
    if job is None or not job.active:  # drawn once more after its end: a panel that has grown needs that
        return None
    job.advance()
    if job.state is State.IMPORTING and _destination and (reason := arrival.reason_to_wait(_destination)):
        job.message = reason
    elif job.state not in (State.STARTING, State.RUNNING, State.CANCELLING):
        _settle(job, _destination)
    return POLL_INTERVAL


def _settle(done: Job, destination: arrival.Destination | None) -> None:
    """Bring a job's result into Blender."""
    _note_version()
    if done.state is State.IMPORTING and destination:
        arrival.import_result(done, destination)
    elif done.state is State.DONE and done.method == "people" and destination:
        arrival.list_people(done, destination)
    elif done.state is State.DONE and done.method == "doctor":
        _take_checks(done)


def note_checks(found: Iterable[Mapping[str, Any]]) -> None:
    """Keep what the backend's doctor found, for the preferences."""
    fields = ("name", "detail", "advice")
    checks[:] = [
        Check(
            ok=bool(check.get("ok")),
            required=bool(check.get("required", True)),
            **{field: str(check.get(field) or "") for field in fields},
        )
        for check in found
    ]


def _take_checks(done: Job) -> None:
    note_checks(done.result.get("checks", ()))
    wrong = [check.name for check in checks if check.required and not check.ok]
    done.exit_code = 1 if wrong else 0
    done.message = f"The backend has a problem: {', '.join(wrong)}." if wrong else "The backend is well."


def register() -> None:
    """Make sure that nothing outlives Blender."""
    atexit.register(stop)


def unregister() -> None:
    """Stop everything and forget it."""
    global job, _destination
    atexit.unregister(stop)
    stop()
    job = _destination = None
    checks.clear()
    look_again()
