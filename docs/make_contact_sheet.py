# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the picture of one motion on all the characters of the tests, for docs/retargeting.md.

    python docs/make_contact_sheet.py docs/images/retargeting.jpg [MOTION.npz]

Run it with a Python that has bpy (`python build.py test` makes some in .venv-blender), on Linux without a
screen or anywhere with one. Without a motion file it takes the walk recovered from the demo's footage. Every
row is a moment; the recovered body is on the left. Each character is drawn where it would be with its hips
above its column, on one floor and in one scale.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_WORK = Path(tempfile.mkdtemp(prefix="contact_sheet_"))
os.environ["BLENDER_USER_RESOURCES"] = str(_WORK / "user")  # the user's own settings are left alone
sys.path[:0] = [str(_ROOT / "tests" / "blender_addon"), str(_WORK)]
shutil.copytree(_ROOT / "blender_addon", _WORK / "recover_motion")
(_WORK / "recover_motion" / "bodies").mkdir(exist_ok=True)
shutil.copy(_ROOT / "backend/fasthmr/body/open_body.npz", _WORK / "recover_motion" / "bodies")

import bpy  # noqa: E402
import numpy as np  # noqa: E402
from characters import CHARACTERS, character  # noqa: E402
from characters.motions import demo  # noqa: E402
from mathutils import Vector  # noqa: E402
from recover_motion.import_motion import import_motion  # noqa: E402
from recover_motion.retarget.detection import detect  # noqa: E402
from recover_motion.retarget.options import Options  # noqa: E402
from recover_motion.retarget.preset_file import built_in_presets  # noqa: E402
from recover_motion.retarget.retarget import retarget  # noqa: E402
from recover_motion.retarget.rig_bones import rig_bones  # noqa: E402

ROWS = 5
APART = 1.05
WIDTH, ROW_HEIGHT = 1800, 430
NAMES, ABOVE = 60, 385
"""Rows of pixels, from below: the names are under the first, nothing is above the second."""
COLOURS = ((0.80, 0.45, 0.30), (0.45, 0.60, 0.78), (0.55, 0.70, 0.50), (0.75, 0.68, 0.45), (0.65, 0.52, 0.72))


def main(picture: Path, motion: Path | None) -> None:
    """Retarget, render and put the rows together."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.fps = 30
    source = import_motion(bpy.context, [motion]).armatures[0] if motion else demo(_WORK).armature
    rigs = {"recovered": (source, "left_hip", "right_hip")}
    for name in CHARACTERS:
        made = character(name, scene)
        found = detect(rig_bones(made.armature), built_in_presets())[0]
        done = retarget(bpy.context, source, made.armature, found.bone_map, Options())
        print(f"{name}: {found.says} {' '.join(done.notes)}")  # noqa: T201
        hips = (found.bone_map.bones[f"{side}_hip"][0] for side in ("left", "right"))
        rigs[name] = (made.armature, *hips)
    _light(scene, rigs)
    first, last = (int(frame) for frame in source.animation_data.action.frame_range)
    rows = []
    for frame in np.linspace(first, last, ROWS + 2)[1:-1].round().astype(int).tolist():
        _stand_in_columns(scene, rigs, frame)
        rows.append(_render(scene, len(rigs))[NAMES:ABOVE])
    rows[-1] = _render(scene, len(rigs))[:ABOVE]
    _write(np.concatenate(rows[::-1]), picture)
    shutil.rmtree(_WORK, ignore_errors=True)


def _light(scene: bpy.types.Scene, rigs: dict[str, tuple]) -> None:
    """Workbench, a floor, a colour for each character, its name under it."""
    scene.render.engine = "BLENDER_WORKBENCH"
    shading = scene.display.shading
    shading.light, shading.color_type = "STUDIO", "OBJECT"
    shading.show_cavity = True
    scene.display_settings.display_device, scene.view_settings.view_transform = "sRGB", "Standard"
    world = scene.world = bpy.data.worlds.new("World")
    shading.background_type = "WORLD"
    world.color = (0.95, 0.95, 0.95)
    middle = APART * (len(rigs) - 1) / 2
    bpy.ops.mesh.primitive_plane_add(size=60, location=(middle, 0, -0.003))
    bpy.context.object.color = (0.9, 0.9, 0.9, 1)
    for column, (name, (rig, *_)) in enumerate(rigs.items()):
        colour = COLOURS[column % len(COLOURS)]
        for thing in scene.objects:
            if thing.type == "MESH" and thing.find_armature() == rig:
                thing.color = (*colour, 1)
        curve = bpy.data.curves.new(name, "FONT")
        curve.body, curve.size, curve.align_x = name.replace("_", "\n"), 0.16, "CENTER"
        label = bpy.data.objects.new(f"{name}.label", curve)
        label.location, label.rotation_euler = (APART * column, -3.0, 0.2), (1.5708, 0, 0)
        label.color = (0.1, 0.1, 0.1, 1)
        scene.collection.objects.link(label)
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    camera.data.type, camera.data.ortho_scale = "ORTHO", APART * (len(rigs) + 0.2)
    camera.location = (middle, -10, 2.6)
    camera.rotation_euler = (Vector((middle, 0, 0.95)) - camera.location).to_track_quat("-Z", "Y").to_euler()


def _stand_in_columns(scene: bpy.types.Scene, rigs: dict[str, tuple], frame: int) -> None:
    """Go to a frame and put every character's hips above its column."""
    for rig, *_ in rigs.values():
        rig.delta_location = (0, 0, 0)
    scene.frame_set(frame)
    for column, (rig, *hips) in enumerate(rigs.values()):
        world = [rig.matrix_world @ rig.pose.bones[name].head for name in hips]
        middle = (world[0] + world[1]) / 2
        rig.delta_location = (APART * column - middle.x, -middle.y, 0)
    bpy.context.view_layer.update()


def _render(scene: bpy.types.Scene, count: int) -> np.ndarray:
    """The picture (H, W, 4), its rows from below."""
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, ROW_HEIGHT
    scene.render.filepath = str(_WORK / f"row{count}.png")
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(scene.render.filepath)
    pixels = np.empty(4 * WIDTH * ROW_HEIGHT, np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    return pixels.reshape(ROW_HEIGHT, WIDTH, 4)


def _write(pixels: np.ndarray, path: Path) -> None:
    height, width = pixels.shape[:2]
    image = bpy.data.images.new("Sheet", width, height)
    image.pixels.foreach_set(np.ascontiguousarray(pixels).ravel())
    image.file_format = "JPEG"
    image.filepath_raw = str(path.absolute())
    image.save(quality=85)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
