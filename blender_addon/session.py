# SPDX-License-Identifier: GPL-3.0-or-later
"""One worker and the jobs of a session of Blender: the running one, those that wait, and what has ended.

The worker stays between jobs, so that its models stay loaded. Jobs go on when another file is opened. All of
this runs on Blender's main thread, and nothing of it waits: a timer looks after the jobs.
"""

import atexit
import time
import traceback
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

_DRAW_INTERVAL = 0.45
"""Seconds between two drawings of a running job's progress at least."""

_MOST_ENDED = 20
"""Ended jobs that are remembered."""


@dataclass(frozen=True)
class Check:
    """A line of the backend's report about itself."""

    name: str
    ok: bool
    detail: str
    advice: str
    required: bool = True


@dataclass(frozen=True)
class Entry:
    """A job and where its result goes; None for nowhere in Blender."""

    job: Job
    destination: arrival.Destination | None


job: Job | None = None
"""The running job, or else the last one."""

waiting: list[Entry] = []
"""Jobs that wait for their turn, the next one first."""

ended: list[Entry] = []
"""Jobs that have ended, or only wait to be imported, the last one first; the user may dismiss them."""

checks: list[Check] = []
"""The last report of `check_backend`."""

held = ""
"""Why the backend cannot be used for now; empty when it can. Set while it is installed or removed."""

backend_version = ""
"""The version of the worker that was started last; empty while none has been."""

_drawn: tuple[float, tuple, tuple] = (0.0, (), ())
"""When the panels were drawn last for a change of the jobs, and what they showed."""

_running: Entry | None = None
_worker: Worker | None = None
_closing: list[Worker] = []
_found: tuple[float, str, tuple[str, str]] = (0.0, "", ("", ""))


def busy() -> bool:
    """Whether a job uses the backend, or waits to."""
    return _running is not None or bool(waiting)


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


def start(new: Job, destination: arrival.Destination | None, *, first: bool = False) -> None:
    """Start a job, or put it behind those that run and wait, and return; a timer looks after it.

    Args:
        new: the job.
        destination: where its result goes.
        first: if it has to wait, then before the others.

    Raises:
        BackendProblem: it could be started now, but the backend cannot be found or started.
    """
    new.wants_preview = settings.shows_preview()
    entry = Entry(new, destination)
    if _running is None and not waiting and not _still_closing():
        _begin(entry)
    else:
        new.state, new.message = State.QUEUED, "Waiting for its turn"
        waiting.insert(0 if first else len(waiting), entry)
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
    if busy():
        raise BackendProblem("A job is running: wait for it or cancel it.")
    for worker in _closing:
        worker.close()
    entry = Entry(new, destination)
    _begin(entry)
    while new.with_worker:
        try:
            new.advance(POLL_INTERVAL)
            if tell is not None:
                tell(new)
        except KeyboardInterrupt:
            if new.state is State.CANCELLING:  # asked twice: do not wait any longer
                stop()
                raise
            new.cancel()
    _settle()
    if new.state is State.IMPORTING and destination:
        arrival.import_result(new, destination)


def can_cancel(name: str = "") -> bool:
    """Whether :func:`cancel` would do anything."""
    return any(one.can_cancel for one in _named(name))


def cancel(name: str = "") -> None:
    """Cancel a job, or its import if that waits; the next job then has its turn.

    Args:
        name: the job's id; the running one, or else the last one, when it is left out.
    """
    for one in _named(name):
        one.cancel()
    waiting[:] = [entry for entry in waiting if entry.job.active]


def dismiss(name: str) -> None:
    """Forget a job that has ended; its files stay.

    Args:
        name: the job's id.
    """
    ended[:] = [entry for entry in ended if entry.job.id != name or entry.job.active]


def _named(name: str) -> list[Job]:
    if not name:
        return [job] if job is not None else []
    return [entry.job for entry in all_entries() if entry.job.id == name]


def all_entries() -> list[Entry]:
    """The running job, those that wait, and those that have ended."""
    return [*([_running] if _running is not None else []), *waiting, *ended]


def find_result(name: str = "") -> Entry | None:
    """An ended job with motions that are not in a scene yet.

    Args:
        name: the job's id; the last such job when it is left out.
    """
    unused = (State.NOT_IMPORTED, State.TO_IMPORT, State.CANCELLED)
    for entry in ended:
        if name in ("", entry.job.id) and entry.job.state in unused and entry.job.result.get("motions"):
            return entry
    return None


def import_again(scene: bpy.types.Scene, name: str = "") -> Job:
    """Import what a job left, into a scene of the user's choice.

    Args:
        scene: where to.
        name: the job's id; the last one with a result when it is left out.

    Returns:
        The job; its state tells whether it worked.
    """
    entry = find_result(name)
    if entry is None or entry.destination is None:
        raise ValueError("there is no result to import")
    entry.job.state = State.IMPORTING
    arrival.import_result(entry.job, replace(entry.destination, scene=scene.session_uid))
    return entry.job


def stop() -> None:
    """End all jobs, the timer, the worker and all that the worker started."""
    global _worker, _running
    if bpy.app.timers.is_registered(_poll):
        bpy.app.timers.unregister(_poll)
    for worker in [*_closing, *([_worker] if _worker is not None else [])]:
        worker.close()
    _closing.clear()
    _worker = None
    unfinished = [*([_running] if _running is not None else []), *waiting]
    _running = None
    waiting.clear()
    for entry in unfinished:
        if entry.job.active:
            entry.job.fail("Stopped with the add-on.", 130)
    for entry in ended:
        if entry.job.state is State.IMPORTING:  # it is recovered: nothing of that is lost
            entry.job.wait_to_be_imported()


def _command() -> list[str]:
    return find_command(settings.backend_path(), installed=settings.install_folder())


def _still_closing() -> bool:
    """Whether an earlier worker is still there: it may hold the folder that the next job wants."""
    _closing[:] = [worker for worker in _closing if worker.closing]
    return bool(_closing)


def _begin(entry: Entry) -> None:
    """Give a job to the worker.

    Raises:
        BackendProblem: the backend cannot be found or started.
    """
    global job, _running, _worker
    if held:
        raise BackendProblem(held)
    command = tuple(_command())
    if _worker is not None and (_worker.command != command or not _worker.alive):
        _put_away_worker()
    if _worker is None:
        _worker = Worker(command)
    new = entry.job
    if new.method == "recover" and settings.device() != "auto":
        new.params.setdefault("device", settings.device())
    new.begin(_worker)
    job, _running = new, entry


def _put_away_worker() -> None:
    """Close the worker without waiting for it."""
    global _worker
    if _worker is not None:
        _worker.close_aside()
        _closing.append(_worker)
        _worker = None


def _note_version() -> None:
    global backend_version
    if _worker is not None and _worker.greeting is not None:
        backend_version = _worker.greeting.version


def _poll() -> float | None:
    """The timer: look at the jobs, and go on for as long as one is active."""
    announced = {name for name, state, _ in _drawn[1] if state is State.IMPORTING}
    _redraw_if_changed()
    arriving = any(entry.job.state is State.IMPORTING for entry in ended)
    if not busy() and not arriving:  # drawn once more after the end: a panel that has grown needs that
        return None
    if _running is not None:
        _running.job.advance()
        if not _running.job.with_worker:
            _settle()
    if _running is None and waiting and not _still_closing():
        _begin_next()
    _import_arrivals(announced)
    return POLL_INTERVAL


def _redraw_if_changed() -> None:
    """Draw the panels again when they would show something else; progress twice a second at most.

    Drawing is the dearest part of watching a job, above all without a graphics card.
    """
    global _drawn
    states = tuple((entry.job.id, entry.job.state, entry.job.message) for entry in all_entries())
    running = job if job is not None and job.with_worker else None
    progress = (running.progress_text(), round(running.fraction, 3), running.preview) if running else ()
    if _drawn[1] != states or (_drawn[2] != progress and time.monotonic() - _drawn[0] > _DRAW_INTERVAL):
        _drawn = (time.monotonic(), states, progress)
        redraw()


def _begin_next() -> None:
    """Start the next job; one that cannot be started has failed, and the one after it has its turn."""
    global job
    entry = waiting.pop(0)
    try:
        _begin(entry)
    except BackendProblem as problem:
        entry.job.fail(str(problem))
        job = entry.job
        _remember(entry)


def _settle() -> None:
    """The running job is done with the worker: see to its result, and let the next one have its turn."""
    global _running
    entry, _running = _running, None
    if entry is None:
        return
    _note_version()
    done, destination = entry.job, entry.destination
    if _worker is not None and not _worker.alive:
        _put_away_worker()
    try:
        if done.state is State.IMPORTING and not (destination and destination.automatic):
            done.wait_to_be_imported()
        elif done.state is State.DONE and done.method == "people" and destination:
            arrival.list_people(done, destination)
        elif done.state is State.DONE and done.method == "doctor":
            _take_checks(done)
    except Exception as error:  # noqa: BLE001 (the other jobs must not be lost with it)
        done.fail(f"The backend's answer was not understood: {error!r}", 1, _trace())
    _remember(entry)


def _remember(entry: Entry) -> None:
    """Put an ended job among those; what went well and what was asked again need not be seen for ever."""
    new = entry.job

    def to_be_seen(old: Job) -> bool:
        asked_again = (old.method, old.params) == (new.method, new.params)
        over = old.state in (State.DONE, State.CANCELLED) or (old.state is State.FAILED and asked_again)
        return not over or find_result(old.id) is not None

    ended[:] = [entry, *(old for old in ended if to_be_seen(old.job))]
    del ended[_MOST_ENDED:]


def _import_arrivals(announced: set[str]) -> None:
    """Import what has arrived, when the user does not mind.

    Args:
        announced: ids of the jobs of which the panel has said that they are being imported: Blender does not
            draw while it imports.
    """
    for entry in reversed(ended):
        if entry.job.state is not State.IMPORTING or entry.destination is None:
            continue
        if reason := arrival.reason_to_wait(entry.destination):
            entry.job.message = reason
        elif entry.job.id in announced:
            arrival.import_result(entry.job, entry.destination)


def _trace() -> tuple[str, ...]:
    return tuple(traceback.format_exc().splitlines()[-10:])


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
    global job
    atexit.unregister(stop)
    stop()
    job = None
    ended.clear()
    checks.clear()
    look_again()
