# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the add-on holds Blender up while a job is running: run by hand, with a real backend.

In Blender's window, where timers fire and panels are drawn (click on the tab Recover Motion while it runs):

    FASTHMR_COMMAND=... blender --python tests/blender_addon/event_loop.py -- CLIP OUT [START END]

or in Blender as a Python module, where this script calls the timer itself and no panel is drawn:

    FASTHMR_COMMAND=... python tests/blender_addon/event_loop.py CLIP OUT [START END]

where FASTHMR_COMMAND is the backend's command (.venv/bin/fasthmr, absolute).

It prints, for each thing that the add-on does on Blender's thread, how often and how long; and in a window
the longest time between two ticks of a timer of 10 ms, which is everything that holds Blender up, its own
drawing included. The import is told apart. The aim is less than 100 ms for all but the import.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import bpy

_REPOSITORY = Path(__file__).resolve().parents[2]
_TICK = 0.01
_QUIET = 8.0
"""Seconds without a job, to compare with."""


class Stopwatch:
    """Durations by name, in seconds."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}
        self.ticks: list[tuple[float, float]] = []  # when, and how long since the tick before
        self.without_job: list[tuple[float, float]] = []  # the same, before there was a job
        self.imports: list[tuple[float, float]] = []  # from, to

    def around(self, name: str, function: Callable) -> Callable:
        """The function, with each call timed."""

        @functools.wraps(function)
        def timed(*args, **kwargs):
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                ended = time.perf_counter()
                self.times.setdefault(name, []).append(ended - began)
                if name == "import":
                    self.imports.append((began, ended))

        return timed

    def _without_imports(self, ticks: list[tuple[float, float]]) -> list[tuple[float, float]]:
        """The ticks in whose gap nothing was imported."""
        return [
            (when, gap)
            for when, gap in ticks
            if not any(when > began and when - gap < ended for began, ended in self.imports)
        ]

    def report(self) -> str:
        """All of it as a table."""
        lines = [f"{'what':<28}{'calls':>7}{'longest':>12}{'mean':>12}"]
        for name, times in sorted(self.times.items()):
            mean = sum(times) / len(times)
            lines.append(f"{name:<28}{len(times):>7}{1e3 * max(times):>9.1f} ms{1e3 * mean:>9.2f} ms")
        lines += _gaps("before the job", self.without_job)
        lines += _gaps("during the job", self._without_imports(self.ticks))
        return "\n".join(lines)


def _gaps(when: str, ticks: list[tuple[float, float]]) -> list[str]:
    """Lines about the gaps between ticks."""
    if not ticks:
        return []
    gaps = sorted((gap for _, gap in ticks), reverse=True)
    longest = ", ".join(f"{1e3 * gap:.0f}" for gap in gaps[:6])
    over = sum(gap > 0.1 for gap in gaps)
    median = 1e3 * gaps[len(gaps) // 2]
    counts = f"{len(gaps)}, {over} over 100 ms, median {median:.0f} ms"
    return [f"gaps between ticks {when}: {counts}, longest {longest} ms"]


def stage() -> ModuleType:
    """The add-on of this repository as the package `recover_motion`, with the open body in it."""
    folder = Path(tempfile.mkdtemp(prefix="recover_motion_"))
    package = folder / "recover_motion"
    shutil.copytree(_REPOSITORY / "blender_addon", package, ignore=shutil.ignore_patterns("__pycache__"))
    body = _REPOSITORY / "backend" / "fasthmr" / "body" / "open_body.npz"
    (package / "bodies").mkdir(exist_ok=True)
    shutil.copy(body, package / "bodies")
    sys.path.insert(0, str(folder))
    return importlib.import_module("recover_motion")


def watch(addon: ModuleType, watch_: Stopwatch) -> None:
    """Time what the add-on does on Blender's thread. To be called before it is registered."""
    module = functools.partial(importlib.import_module, package=addon.__name__)
    session, arrival, panel = module(".session"), module(".arrival"), module(".panel")
    arrival.import_result = watch_.around("import", arrival.import_result)
    session.redraw = watch_.around("redraw", session.redraw)
    session._poll = _without_import(watch_, session._poll)
    session.start = watch_.around("start a job", session.start)
    session.found_backend = watch_.around("look for the backend", session.found_backend)
    module(".live_view").read_picture = watch_.around("read a picture", module(".live_view").read_picture)
    for kind in (panel._Main, panel._Options):
        kind.draw = _as_draw(watch_.around(f"draw {kind.__name__}", kind.draw))


def _as_draw(draw: Callable) -> Callable:
    """Blender counts the arguments of a panel's method."""
    return lambda self, context: draw(self, context)


def _without_import(watch_: Stopwatch, poll: Callable) -> Callable:
    """The timer's callback, timed without the imports that happen in it."""

    @functools.wraps(poll)
    def timed():
        before = sum(ended - began for began, ended in watch_.imports)
        began = time.perf_counter()
        try:
            return poll()
        finally:
            spent = sum(ended - began for began, ended in watch_.imports) - before
            watch_.times.setdefault("timer", []).append(time.perf_counter() - began - spent)

    return timed


def fill_form(words: list[str]) -> None:
    """Ask for a clip, and a part of it."""
    form = bpy.context.scene.recover_motion
    form.footage, form.out = words[0], words[1]
    if len(words) > 3:
        form.part, form.start, form.end = "TIMES", float(words[2]), float(words[3])


def run_without_window(addon: ModuleType, watch_: Stopwatch) -> None:
    """Be the timer: none fires in the background."""
    session = importlib.import_module(".session", addon.__name__)
    ask(addon)
    while session._poll() is not None:
        time.sleep(session.POLL_INTERVAL)
    print_report(addon, watch_)


def run_in_window(addon: ModuleType, watch_: Stopwatch) -> None:
    """Let the timers fire; print the report when the job has ended, and quit."""
    session = importlib.import_module(".session", addon.__name__)
    last, began, drawn, asked = [0.0, 0], [0.0], [0.0], []
    bpy.context.preferences.view.show_splash = False

    def tick() -> float | None:
        now = time.perf_counter()
        if last[1] == 0:
            for area in bpy.context.window_manager.windows[0].screen.areas:
                if area.type == "VIEW_3D":
                    area.spaces.active.show_region_ui = True
        elif last[1] == 50:
            show_tab()
        elif last[1] > 100:  # the window has settled
            watch_.ticks.append((now, now - last[0] - _TICK))
        last[0], last[1] = now, last[1] + 1
        if began[0] == 0.0 and last[1] > 100:
            began[0] = now
        if began[0] > 0.0 and not asked and now - began[0] < _QUIET:
            if now - drawn[0] > 0.45:
                session.redraw()  # as often as with a job, but without one: what Blender itself takes
                drawn[0] = now
        elif began[0] > 0.0 and not asked:
            watch_.without_job, watch_.ticks = watch_.ticks, []
            asked.append(True)
            ask(addon)
        if asked and not session.busy() and not any(e.job.active for e in session.ended):
            print_report(addon, watch_)
            bpy.ops.wm.quit_blender()
            return None
        return _TICK

    bpy.app.timers.register(tick, first_interval=1.0, persistent=True)


def show_tab() -> None:
    """Bring the add-on's tab of the sidebar to the front, where a script may do that."""
    for area in bpy.context.window_manager.windows[0].screen.areas:
        for region in area.regions:
            if area.type == "VIEW_3D" and region.type == "UI":
                with contextlib.suppress(AttributeError, TypeError):
                    region.active_panel_category = "Recover Motion"


def ask(addon: ModuleType) -> None:
    """What a click on the button does."""
    names = (".session", ".operators", ".arrival")
    session, operators, arrival = (importlib.import_module(name, addon.__name__) for name in names)
    scene = bpy.context.scene
    job = operators.RECOVER_MOTION_OT_recover.job(None, scene)
    session.start(job, arrival.Destination.of(scene))


def print_report(addon: ModuleType, watch_: Stopwatch) -> None:
    """Say how it ended and how long things took."""
    session = importlib.import_module(".session", addon.__name__)
    where = "as a module" if bpy.app.background else "in its window"
    sys.stdout.write(
        f"Blender {bpy.app.version_string} {where}: {session.job.state}, {session.job.message}\n"
    )
    sys.stdout.write(watch_.report() + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run."""
    words = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    if len(words) not in (2, 4):
        raise SystemExit(__doc__)
    watch_ = Stopwatch()
    addon = stage()
    watch(addon, watch_)
    addon.register()
    fill_form(words)
    if bpy.app.background:
        run_without_window(addon, watch_)
        addon.unregister()
    else:
        run_in_window(addon, watch_)


if __name__ == "__main__":
    main()
