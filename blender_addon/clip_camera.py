# SPDX-License-Identifier: GPL-3.0-or-later
"""The camera of a clip that may be in the scene already: used again if it is the same, never changed.

A better run may place the camera elsewhere. It then gets a camera of its own beside the earlier one, which
the user may have edited, and with which the earlier take agrees.
"""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np

from .camera import build_camera
from .compat import curves_of
from .motion_file import MotionFile
from .provenance import KEY, identity
from .resample import scene_rate

_SAME = 1e-4
"""Metres, quaternions, frames; of a focal length, millimetres."""


def clip_camera(
    scene: bpy.types.Scene,
    name: str,
    motions: Sequence[MotionFile],
    start_frame: int,
    collection: bpy.types.Collection,
    footage: str | None,
) -> tuple[bpy.types.Object | None, bool]:
    """The camera that filmed a clip, made the scene's own.

    Args:
        scene: its camera is changed, unless the user has chosen another one than the clip's earlier camera.
        name: of the camera.
        motions: the people of the clip; each knows the camera for the time that it was seen.
        start_frame: scene frame of the clip's first frame.
        collection: where a new camera goes.
        footage: first part of the footage's `identity`, to look for an earlier camera; None to make a new
            one in any case.

    Returns:
        The camera, or None when no file tells of one; and whether it is a new one.
    """
    tracks = [(motion.timestamps, motion.camera) for motion in motions if motion.camera is not None]
    if not tracks:
        return None, False
    earlier = [thing for thing in scene.objects if footage is not None and _filmed(thing, footage)]
    camera = build_camera(name, tracks, scene_rate(scene), start_frame, collection)
    same = next((thing for thing in earlier if _agree(thing, camera)), None)
    if same is not None:
        _discard(camera)
        camera = same
    if not earlier or scene.camera is None or scene.camera in earlier:
        scene.camera = camera
    return camera, same is None


def _filmed(thing: bpy.types.Object, footage: str) -> bool:
    """Whether an object is a camera of this footage."""
    return thing.type == "CAMERA" and KEY in thing and identity(thing[KEY].to_dict())[0] == footage


def _agree(one: bpy.types.Object, other: bpy.types.Object) -> bool:
    """Whether two cameras show the same at every frame."""
    if one.parent or one.constraints or one.data.sensor_fit != other.data.sensor_fit:
        return False
    pairs = [(_still(one), _still(other))]
    curves = [_keys(thing) for thing in (one, other)]
    if curves[0].keys() != curves[1].keys():
        return False
    pairs += [(curves[0][path], curves[1][path]) for path in curves[0]]
    return all(len(a) == len(b) and np.abs(a - b).max() < _SAME for a, b in pairs)


def _still(thing: bpy.types.Object) -> np.ndarray:
    """What a camera is when it is not animated; its place counts for nothing when that is keyed."""
    lens = [thing.data.lens, thing.data.sensor_width, thing.data.shift_x, thing.data.shift_y]
    keyed = {curve.data_path for curve in curves_of(thing)}
    place = [] if keyed else [*thing.location, *thing.rotation_quaternion, *thing.scale]
    return np.array([*lens, *place])


def _keys(thing: bpy.types.Object) -> dict[tuple[str, int], np.ndarray]:
    """Frames and values of an object's curves."""
    found = {}
    for curve in curves_of(thing):
        keys = np.empty(2 * len(curve.keyframe_points), np.float32)
        curve.keyframe_points.foreach_get("co", keys)
        found[curve.data_path, curve.array_index] = keys
    return found


def _discard(camera: bpy.types.Object) -> None:
    """Remove a camera that was just made, with all that belongs to it."""
    animation = camera.animation_data
    blocks = [camera, camera.data, *([animation.action] if animation and animation.action else [])]
    bpy.data.batch_remove(blocks)
