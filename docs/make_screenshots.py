# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the pictures of the artist's guide, in Blender's real window.

    blender --window-geometry 0 0 1600 900 --python docs/make_screenshots.py -- CLIP docs/images

The extension and its backend must be installed in that Blender. CLIP is a video with two people or more, like
the demo's (`build/demo/demo.mp4`); what is recovered goes to a folder that is removed again. The window is
driven as an artist drives it: every button's operator is called as its click calls it, and the pictures are
what Blender has drawn by then. Under X11 they are taken by ImageMagick's `import`, of the whole screen, where
the window must be in the corner; else by Blender itself. It takes a few minutes and then quits.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import numpy as np

_WIDTH = 1200  # of the pictures, at most
_PATIENCE = 900.0
_PAUSE = 0.15

Step = Callable[[], bool] | float
"""What a step waits for: a condition, or seconds."""


def pictures(clip: Path, out: Path, work: Path) -> Iterator[Step]:
    """The whole visit, a step at a time."""
    window = bpy.context.window_manager.windows[0]
    bpy.context.preferences.view.show_splash = False
    bpy.context.preferences.view.show_developer_ui = False
    yield 2.0
    with bpy.context.temp_override(window=window):
        bpy.ops.object.select_all(action="SELECT")
        bpy.ops.object.delete()
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    area.spaces.active.show_region_ui = True
    yield 2.0

    bpy.context.preferences.active_section = "ADDONS"
    bpy.context.window_manager.addon_search = "Recover Motion"
    area.ui_type = "PREFERENCES"  # in this window: one of its own lies anywhere
    yield 2.0
    with bpy.context.temp_override(window=window, area=area):
        bpy.ops.preferences.addon_expand(module=_module())
        bpy.ops.recover_motion.check_backend("INVOKE_DEFAULT")
    yield lambda: not _busy()
    yield 3.0
    shoot(window, out / "guide_preferences.jpg")
    area.ui_type = "VIEW_3D"
    yield 2.0
    sidebar = next(region for region in area.regions if region.type == "UI")
    sidebar.active_panel_category = "Recover Motion"

    form = window.scene.recover_motion
    form.footage, form.out, form.who = str(clip), str(work), "CHOSEN"
    click(window, area, bpy.ops.recover_motion.find_people)
    yield lambda: not _busy()
    yield 2.0
    for person in form.people:
        person.chosen = person.number == 1
    area.tag_redraw()
    yield 1.5
    shoot(window, out / "guide_people.jpg", sidebar)

    form.out = str(work / "again")  # elsewhere, so that its first stage has to be done again, with pictures
    click(window, area, bpy.ops.recover_motion.recover)
    yield lambda: _job().fraction > 0.25 or not _busy()
    yield 1.5
    shoot(window, out / "guide_progress.jpg", sidebar)
    yield lambda: not _busy()
    yield 2.0
    check(_job().state == "done", f"The job ended badly: {_job().message}")
    armature = next(one for one in window.scene.objects if one.type == "ARMATURE")
    first, last = armature.animation_data.action.frame_range
    window.scene.frame_start, window.scene.frame_end = int(first), int(last)
    window.scene.frame_set(int(first + 0.3 * (last - first)))
    area.spaces.active.region_3d.view_perspective = "CAMERA"
    yield 1.0
    main = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=main):
        bpy.ops.view3d.view_center_camera()
    yield 3.0
    shoot(window, out / "guide_result.jpg")

    with bpy.context.temp_override(window=window):
        window.view_layer.objects.active = armature
        armature.select_set(True)
    click(window, area, bpy.ops.recover_motion.show_confidence)
    yield 4.0
    shoot(window, out / "guide_confidence.jpg")


def check(is_well: bool, problem: str) -> None:
    """End with a message when something is not as it should be.

    Raises:
        RuntimeError: it is not.
    """
    if not is_well:
        raise RuntimeError(problem)


def click(window: bpy.types.Window, area: bpy.types.Area, operator: Callable) -> None:
    """Call an operator as a click on its button in the sidebar does."""
    region = next(region for region in area.regions if region.type == "UI")
    with bpy.context.temp_override(window=window, area=area, region=region):
        operator("INVOKE_DEFAULT")


def shoot(window: bpy.types.Window, path: Path, region: bpy.types.Region | None = None) -> None:
    """Save what a window shows, or a region of it and what is left of it, as a JPEG for documents."""
    raw = path.with_suffix(".raw.png")
    grab = shutil.which("import")
    if os.environ.get("DISPLAY") and grab:  # with software OpenGL, what Blender reads of its window is black
        subprocess.run([grab, "-window", "root", str(raw)], check=True)
    else:
        with bpy.context.temp_override(window=window):
            bpy.ops.screen.screenshot(filepath=str(raw))
    seen = bpy.data.images.load(str(raw), check_existing=False)
    width, height = seen.size
    pixels = np.empty(width * height * 4, np.float32)
    seen.pixels.foreach_get(pixels)
    bpy.data.images.remove(seen)
    raw.unlink()
    pixels = pixels.reshape(height, width, 4)  # from the bottom up, as regions are
    if region is not None:
        left, right = max(region.x - 2 * region.width, 0), region.x + region.width
        pixels = pixels[region.y : region.y + region.height, left:right]
    height, width = pixels.shape[:2]
    image = bpy.data.images.new(path.stem, width, height)
    image.pixels.foreach_set(np.ascontiguousarray(pixels).ravel())
    if width > _WIDTH:
        image.scale(_WIDTH, round(height * _WIDTH / width))
    image.file_format = "JPEG"
    image.save(filepath=str(path), quality=85)
    bpy.data.images.remove(image)
    sys.stderr.write(f"{path}\n")


def drive(steps: Iterator[Step]) -> None:
    """Take the steps from a timer, so that Blender draws and works between them; then end Blender."""
    waits: list[tuple[Callable[[], bool], float]] = []

    def tick() -> float | None:
        if waits:
            condition, deadline = waits[0]
            if not condition():
                if time.monotonic() < deadline:
                    return _PAUSE
                return finish("It took too long.")
            waits.clear()
        try:
            wanted = next(steps)
        except StopIteration:
            return finish()
        except Exception:  # noqa: BLE001 (Blender would go on without pictures)
            return finish(traceback.format_exc())
        if isinstance(wanted, float):
            return wanted
        waits.append((wanted, time.monotonic() + _PATIENCE))
        return _PAUSE

    def finish(problem: str = "") -> None:
        if problem:
            sys.stderr.write(problem.rstrip() + "\n")
            sys.stderr.flush()
            os._exit(1)  # there is no other way to end a Blender with an exit code from a timer
        bpy.ops.wm.quit_blender()

    bpy.app.timers.register(tick, first_interval=1.0)


def _module() -> str:
    """The extension's module, in whichever repository it was installed."""
    for name in bpy.context.preferences.addons.keys():  # noqa: SIM118 (Blender's collection, no dict)
        if name.endswith("recover_motion"):
            return name
    raise SystemExit("The extension Recover Motion is not installed in this Blender.")


def _job() -> Any:
    return bpy.context.window_manager.recover_motion


def _busy() -> bool:
    job = _job()
    return job is not None and job.active


def main() -> None:
    """Read the call and begin."""
    words = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    if len(words) != 2:
        raise SystemExit("usage: blender --python docs/make_screenshots.py -- CLIP FOLDER")
    clip, out = (Path(word).absolute() for word in words)
    out.mkdir(parents=True, exist_ok=True)

    def visit() -> Iterator[Step]:
        work = Path(tempfile.mkdtemp(prefix="recover_motion_guide_"))
        try:
            yield from pictures(clip, out, work)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    drive(visit())


if __name__ == "__main__":
    main()
