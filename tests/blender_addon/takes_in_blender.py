# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of people imported one after the other, and what Blender then has: for the tests of takes."""

from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np
from recover_motion.compat import curves_of
from recover_motion.import_motion import ImportResult, import_motion
from recover_motion.provenance import KEY
from smpl_reference import NAMES, BodyArrays, forward_kinematics, motion_arrays, write_motion

MILLIMETRE = 1e-3
SHAPE = np.zeros(10)


def importer(folder_of_all: Path, body: BodyArrays) -> Callable[..., ImportResult]:
    """What imports a run of one person of the clip; `seed` makes another motion."""

    def bring_in(seed: int, person: int = 1, count: int = 5, changes: dict | None = None, **options):
        folder = folder_of_all / f"run{seed}"
        folder.mkdir(exist_ok=True)
        more = {"betas": SHAPE} | (changes or {})
        path = write_motion(folder / f"clip.person{person:02d}.npz", count=count, seed=seed, **more)
        return import_motion(bpy.context, [path], body_path=body.path, **options)

    return bring_in


def heads(armature: bpy.types.Object) -> np.ndarray:
    posed = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return np.array([posed.matrix_world @ posed.pose.bones[name].head for name in NAMES])


def off(armature: bpy.types.Object, body: BodyArrays, seed: int) -> float:
    """Largest distance between the armature's joints and those of a run, over all of its frames; metres."""
    arrays = motion_arrays(5, seed)
    rest, worst = body.rest_joints(SHAPE), 0.0
    for index in range(5):
        bpy.context.scene.frame_set(1 + index)
        pose = arrays["poses"][index].reshape(24, 3).astype(float)
        joints, _ = forward_kinematics(rest, pose, arrays["trans"][index].astype(float))
        worst = max(worst, np.abs(heads(armature) - joints).max())
    return worst


def keys(curves) -> dict[tuple[str, int], list[tuple[float, float]]]:
    return {
        (curve.data_path, curve.array_index): [tuple(key.co) for key in curve.keyframe_points]
        for curve in curves
    }


def census() -> dict[str, object]:
    kinds = ("objects", "meshes", "armatures", "cameras", "actions", "materials", "collections")
    found: dict[str, object] = {
        kind: sorted(block.name for block in getattr(bpy.data, kind)) for kind in kinds
    }
    scene = bpy.context.scene
    found["markers"] = sorted((marker.frame, marker.name) for marker in scene.timeline_markers)
    found["camera"] = scene.camera and scene.camera.name
    for thing in scene.objects:
        animation = thing.animation_data
        if animation:
            found[f"animation of {thing.name}"] = (
                animation.action and animation.action.name,
                keys(curves_of(thing)),
                [(track.name, track.mute, len(track.strips)) for track in animation.nla_tracks],
            )
        found[f"properties of {thing.name}"] = (
            sorted(thing.keys()),
            str(thing.get(KEY) and thing[KEY].to_dict()),
        )
    return found
