# SPDX-License-Identifier: GPL-3.0-or-later
"""One worker and at most one job for a session of Blender, and the timer that looks after them.

The worker stays between jobs, so that its models stay loaded. A job goes on when another file is opened. All
of this runs on Blender's main thread.
"""

import atexit
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import bpy

from . import arrival
from .backend_client import Worker
from .backend_location import BackendProblem, find_command
from .jobs import Job, State

POLL_INTERVAL = 0.2
"""Seconds between two looks at the worker's messages while a job is running."""


@dataclass(frozen=True)
class Check:
    """A line of the backend's report about itself."""

    name: str
    ok: bool
    detail: str
    advice: str


job: Job | None = None
"""The running job, or else the last one."""

checks: list[Check] = []
"""The last report of `check_backend`."""

_destination: arrival.Destination | None = None
_worker: Worker | None = None
_found: tuple[float, str, tuple[str, str]] = (0.0, "", ("", ""))


def busy() -> bool:
    """Whether a job is running."""
    return job is not None and job.active


def found_backend() -> tuple[str, str]:
    """The backend's command as text, and what is wrong if there is none; looks at most every 3 s."""
    global _found
    preference = _preference()
    if preference != _found[1] or time.monotonic() > _found[0]:
        try:
            answer = (" ".join(find_command(preference)), "")
        except BackendProblem as problem:
            answer = ("", str(problem))
        _found = (time.monotonic() + 3.0, preference, answer)
    return _found[2]


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


def _preference() -> str:
    addon = bpy.context.preferences.addons.get(__package__)
    # imported but not enabled as an add-on (a script, a test): there are no preferences then
    return bpy.path.abspath(addon.preferences.backend) if addon and addon.preferences else ""


def _begin(new: Job, destination: arrival.Destination | None) -> None:
    global job, _destination, _worker
    if busy():
        raise BackendProblem("A job is running: wait for it or cancel it.")
    command = tuple(find_command(_preference()))
    if _worker is not None and (_worker.command != command or not _worker.alive):
        _worker.close()
        _worker = None
    if _worker is None:
        _worker = Worker(command)
    new.begin(_worker)
    job, _destination = new, destination


def _poll() -> float | None:
    """The timer: look at the job, and go on for as long as it is active."""
    _redraw()
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
    if done.state is State.IMPORTING and destination:
        arrival.import_result(done, destination)
    elif done.state is State.DONE and done.method == "people" and destination:
        arrival.list_people(done, destination)
    elif done.state is State.DONE and done.method == "doctor":
        _note_checks(done)


def _note_checks(done: Job) -> None:
    fields = ("name", "detail", "advice")
    checks[:] = [
        Check(ok=bool(check.get("ok")), **{field: str(check.get(field) or "") for field in fields})
        for check in done.result.get("checks", ())
    ]
    wrong = [check.name for check in checks if not check.ok]
    done.exit_code = 1 if wrong else 0
    done.message = f"The backend has a problem: {', '.join(wrong)}." if wrong else "The backend is well."


def _redraw() -> None:
    """Draw again what shows the job: sidebars of 3D views, and the preferences."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "PREFERENCES":
                area.tag_redraw()
            elif area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


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
