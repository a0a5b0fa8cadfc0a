# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing the backend in a session of Blender: at most one set-up, and the timer that looks after it.

As `session` does for jobs, on Blender's main thread. While something is installed or removed, no job starts.
"""

import atexit
import os
import platform
import time
from pathlib import Path

import bpy
from bpy.app.translations import pgettext_n as n_

from . import session, settings
from .backend_location import COMMAND_VARIABLE
from .backend_setup import (
    Condition,
    Setup,
    State,
    Status,
    addon_version,
    backend_wheel,
    condition_of,
    log_tail,
)
from .redraw import redraw

POLL_INTERVAL = 0.2
"""Seconds between two looks at the set-up."""

setup: Setup | None = None
"""The running set-up, or else the last one."""

_seen: tuple[float, Path, Condition] | None = None


def busy() -> bool:
    """Whether something is being installed or removed."""
    return setup is not None and setup.active


def condition() -> Condition:
    """What the folder's installation is like; looks at most every 3 s."""
    global _seen
    folder = settings.install_folder()
    if _seen is None or _seen[1] != folder or time.monotonic() > _seen[0]:
        _seen = (time.monotonic() + 3.0, folder, condition_of(folder, addon_version()))
    return _seen[2]


def begin(what: str) -> None:
    """Start to install or to remove, and return; a timer looks after it.

    Raises:
        OSError: the process cannot be started.
    """
    global setup
    session.stop()  # a running backend would use the files that change
    preferences = settings.preferences()
    setup = Setup(
        what,
        settings.install_folder(),
        wheel=backend_wheel(),
        version=addon_version(),
        with_smplx=bool(preferences and preferences.use_smplx),
    )
    session.held = "The backend is being removed." if what == "remove" else "The backend is being installed."
    if not bpy.app.timers.is_registered(_poll):
        bpy.app.timers.register(_poll, first_interval=POLL_INTERVAL, persistent=True)


def run(what: str) -> Setup:
    """Install or remove to the end; a Ctrl-C cancels it."""
    begin(what)
    assert setup is not None  # noqa: S101 (made a line above)
    try:
        while setup.active:
            setup.advance()
            time.sleep(0.05)
    except KeyboardInterrupt:
        setup.cancel()
        raise
    finally:
        _settle()
    return setup


def cancel() -> None:
    """Stop what is running; what is finished is kept."""
    if setup is not None and setup.active:
        setup.cancel()
        _settle()


def stop() -> None:
    """Stop what is running, and the timer."""
    if bpy.app.timers.is_registered(_poll):
        bpy.app.timers.unregister(_poll)
    cancel()


def state_in_words() -> tuple[str, bool]:
    """In what state the backend is that jobs would use, and whether that is well."""
    if busy():
        return setup.progress_text(), True
    command, problem = session.found_backend()
    if os.environ.get(COMMAND_VARIABLE, "").strip():
        return (
            problem or f"In use: {command}, named by the environment variable {COMMAND_VARIABLE}.",
            not problem,
        )
    version = session.version_problem()
    if settings.backend_path():
        return problem or version or f"In use: {command}", not (problem or version)
    now = condition()
    if now.status in (Status.NOT_INSTALLED, Status.FOREIGN) and command:
        return version or f"In use: {command}, found on the PATH.", not version
    if now.status is Status.READY:
        return version or f"{now.text} It is in {settings.install_folder()}.", not version
    return f"{now.status.capitalize()}: {now.text}", False


def can_install() -> str:
    """Why nothing can be installed now; empty when it can."""
    if busy():
        return n_("The backend is being installed or removed")
    if session.busy():
        return n_("A job is running: wait for it or cancel it")
    if backend_wheel() is None:
        return n_(
            "This extension comes without the backend's package: use the zip of `python build.py package`, or"
            " `python build.py setup`"
        )
    if condition().status is Status.FOREIGN:
        return n_("There is something else in the folder: choose an empty or a new one")
    return offline()


def can_remove() -> str:
    """Why nothing can be removed now; empty when it can."""
    if busy():
        return n_("The backend is being installed or removed")
    if session.busy():
        return n_("A job is running: wait for it or cancel it")
    if condition().status in (Status.NOT_INSTALLED, Status.FOREIGN):
        return n_("Nothing that this add-on installed is in the folder")
    return ""


def offline() -> str:
    """What to do when Blender may not go online; empty when it may."""
    if bpy.app.online_access:
        return ""
    if bpy.app.online_access_override:
        return n_("Blender was started with --offline-mode: start it without, to install the backend")
    return n_("Blender may not go online: turn on Allow Online Access in Preferences, System, Network")


def report() -> str:
    """All that helps to find out what is wrong, as text to copy."""
    lines = [
        f"Recover Motion {addon_version()}, Blender {bpy.app.version_string}, {platform.platform()},"
        f" Python {platform.python_version()}",
        f"Backend: {state_in_words()[0]}",
        f"Command: {session.found_backend()[0] or 'none'}",
        f"Folder: {settings.install_folder()} ({condition().status})",
        f"Device: {settings.device()}",
    ]
    if setup is not None:
        lines += [
            f"Last {setup.what}: {setup.state}, {setup.message}",
            *(f"    {one}" for one in setup.lines),
        ]
    for check in session.checks:
        mark = "ok     " if check.ok else "PROBLEM" if check.required else "note   "
        lines.append(f"{mark}  {check.name}: {check.detail} {check.advice}".rstrip())
    if job := session.job:
        lines += [
            f"Last job: {job.method}, {job.state}, {job.message}",
            *(f"    {one}" for one in job.details),
        ]
    if setup is not None and setup.state is State.FAILED:
        lines += ["The installation's log ends:", *(f"    {line}" for line in log_tail(setup.folder))]
    return "\n".join(lines) + "\n"


def look_again() -> None:
    """Forget what was seen in the folder."""
    global _seen
    _seen = None
    session.look_again()


def _poll() -> float | None:
    """The timer: look at the set-up, and go on for as long as it is active."""
    redraw()
    if setup is None or not busy():
        return None
    setup.advance()
    if not setup.active:
        _settle()
    return POLL_INTERVAL


def _settle() -> None:
    """The set-up has ended: let jobs start again, and use what was installed."""
    session.held = ""
    look_again()
    if setup is None:
        return
    if setup.what == "remove" and setup.state is State.DONE:
        session.checks.clear()
    if setup.checks:
        session.note_checks(setup.checks)
    preferences = settings.preferences()
    if preferences and setup.what == "install" and setup.state is State.DONE:
        preferences.backend = ""  # the one that was asked for last is the one to use


def register() -> None:
    """Make sure that nothing outlives Blender."""
    atexit.register(stop)


def unregister() -> None:
    """Stop everything and forget it."""
    global setup
    atexit.unregister(stop)
    stop()
    setup = None
    look_again()
