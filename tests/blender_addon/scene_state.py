# SPDX-License-Identifier: GPL-3.0-or-later
"""All that a user could notice of Blender's data, to see that something left it as it was."""

import bpy
import numpy as np
from recover_motion.compat import curves_of
from takes_in_blender import keys

KINDS = (
    "objects",
    "meshes",
    "armatures",
    "actions",
    "materials",
    "images",
    "collections",
    "scenes",
    "cameras",
)


def state() -> dict[str, object]:
    """Names, poses, selection, modes, frame and settings, as they are now."""
    scene, layer = bpy.context.scene, bpy.context.view_layer
    found: dict[str, object] = {
        kind: sorted((block.session_uid, block.name) for block in getattr(bpy.data, kind)) for kind in KINDS
    }
    render = scene.render
    found["scene"] = (scene.name, scene.frame_current, scene.frame_start, scene.frame_end)
    found["rate"] = (render.fps, render.fps_base)
    found["units"] = (scene.unit_settings.system, scene.unit_settings.scale_length)
    found["windows"] = [
        (window.scene.name, window.view_layer.name) for window in bpy.context.window_manager.windows
    ]
    found["mode"] = (bpy.context.mode, [thing.mode for thing in bpy.data.objects])
    found["chosen"] = (
        layer.objects.active and layer.objects.active.name,
        sorted(thing.name for thing in layer.objects.selected),
    )
    for thing in bpy.data.objects:
        found[f"keys of {thing.name}"] = keys(curves_of(thing))
        found[f"place of {thing.name}"] = np.array(thing.matrix_world).tolist()
        found[f"hidden {thing.name}"] = (thing.hide_viewport, thing.hide_render)
        for bone in thing.pose.bones if thing.pose else ():
            found[f"pose of {thing.name} {bone.name}"] = (
                tuple(bone.location),
                tuple(bone.rotation_quaternion),
                tuple(bone.rotation_euler),
                tuple(bone.scale),
            )
    return found
