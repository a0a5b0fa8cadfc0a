# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the pictures of docs/retargeting.md, in Blender's real window.

    blender --window-geometry 0 0 1600 1200 --python docs/make_retarget_pictures.py -- MOTION CHARACTER OUT

The extension must be on in that Blender. MOTION is a motion file, CHARACTER a .blend with one character, OUT
docs/images. As in `make_screenshots`, every button's operator is called as its click calls it, and the
pictures are what Blender has drawn by then. It takes a minute and then quits.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))

from make_screenshots import Step, click, drive, shoot  # it is beside this file


def pictures(motion: Path, character: Path, out: Path) -> Iterator[Step]:
    """The whole visit, a step at a time."""
    window = bpy.context.window_manager.windows[0]
    bpy.context.preferences.view.show_splash = False
    yield 2.0
    for thing in list(bpy.data.objects):
        bpy.data.objects.remove(thing)
    scene = window.scene
    with bpy.context.temp_override(window=window):
        bpy.ops.recover_motion.import_motion(filepath=str(motion), use_camera=False)
    body = next(thing for thing in scene.objects if thing.type == "ARMATURE")
    with bpy.data.libraries.load(str(character), link=False) as (there, wanted):
        wanted.objects = list(there.objects)
    for thing in wanted.objects:
        scene.collection.objects.link(thing)
    hero = next(thing for thing in wanted.objects if thing.type == "ARMATURE")
    first, last = body.animation_data.action.frame_range
    scene.frame_start, scene.frame_end = int(first), int(last)
    scene.frame_set(int(first + 0.6 * (last - first)))
    scene.recover_motion_retarget.source = body
    scene.recover_motion_retarget.target = hero

    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    area.spaces.active.show_region_ui = True
    area.spaces.active.overlay.show_bones = False
    yield 2.0
    sidebar = next(region for region in area.regions if region.type == "UI")
    sidebar.active_panel_category = "Recover Motion"
    opened("RECOVER_MOTION_PT_retarget")
    yield 1.0
    click(window, area, bpy.ops.recover_motion.detect_rig)
    click(window, area, bpy.ops.recover_motion.preview_range)
    yield 1.0
    main = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=main):
        bpy.ops.view3d.view_axis(type="FRONT")
        bpy.ops.view3d.view_all()
    area.spaces.active.region_3d.view_distance *= 1.25
    yield 4.0
    shoot(window, out / "retarget_preview.jpg")

    click(window, area, bpy.ops.recover_motion.preview_keep)
    opened("RECOVER_MOTION_PT_retarget", "_bones", "_options", "_batch")
    bpy.context.preferences.view.ui_scale = 0.72  # else they do not go into one picture
    window.workspace = bpy.data.workspaces["Modeling"]  # the other sidebar knows which panels were closed
    yield 2.0
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    area.spaces.active.show_region_ui = True
    yield 2.0
    sidebar = next(region for region in area.regions if region.type == "UI")
    sidebar.active_panel_category = "Recover Motion"
    area.tag_redraw()
    yield 5.0
    shoot(window, out / "retarget_panels.jpg", sidebar)


def opened(name: str, *endings: str) -> None:
    """Register the panels of retargeting anew, such that some of them are open."""
    module = sys.modules[getattr(bpy.types, name).__module__]
    module.unregister()
    for ending in ("", *endings):
        getattr(module, name + ending).bl_options = set()
    module.register()


def main() -> None:
    """Read the call and begin."""
    words = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    if len(words) != 3:
        raise SystemExit("usage: blender --python docs/make_retarget_pictures.py -- MOTION CHARACTER FOLDER")
    motion, character, out = (Path(word).absolute() for word in words)
    out.mkdir(parents=True, exist_ok=True)
    drive(pictures(motion, character, out))


if __name__ == "__main__":
    main()
