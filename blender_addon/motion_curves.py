# SPDX-License-Identifier: GPL-3.0-or-later
"""Between an action's curves and the motion of the bones: read, written with fewer keys, and recognised."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import bpy
import numpy as np

from .action import ROOT_PATH, WRITTEN, turn_path
from .cleaning_steps import BoneMotion
from .compat import Channels
from .confidence import GROUP as CONFIDENCE_GROUP
from .confidence import OBJECT_PATH, bone_path
from .curves import write_curves
from .key_thinning import BoneCurves, Interpolation, ThinnedKeys, thin_keys
from .rotations import without_sign_jumps
from .skeleton import JOINT_COUNT, JOINT_NAMES

CONFIDENCE_PATHS = (OBJECT_PATH, *(bone_path(name) for name in JOINT_NAMES))


def _number_of(setting: str, name: str) -> int:
    return bpy.types.Keyframe.bl_rna.properties[setting].enum_items[name].value


def read_motion(curves: Iterable[bpy.types.FCurve]) -> BoneMotion | None:
    """The motion of the bones at every frame from the first key to the last; None when no bone has a key.

    Args:
        curves: of an armature; keys may be anywhere and curves may be missing.
    """
    places = {
        (turn_path(name), part): (joint, part) for joint, name in enumerate(JOINT_NAMES) for part in range(4)
    }
    places |= {(ROOT_PATH, part): (JOINT_COUNT, part) for part in range(3)}
    found = [
        (places[curve.data_path, curve.array_index], curve, _keys(curve))
        for curve in curves
        if (curve.data_path, curve.array_index) in places and len(curve.keyframe_points)
    ]
    if not found:
        return None
    first = int(np.floor(min(keys[0, 0] for _, _, keys in found) + 0.5))
    last = int(np.floor(max(keys[-1, 0] for _, _, keys in found) + 0.5))
    frames = np.arange(first, last + 1)
    quats = np.tile([1.0, 0.0, 0.0, 0.0], (len(frames), JOINT_COUNT, 1))
    locations = np.zeros((len(frames), 3))
    for (joint, part), curve, keys in found:
        column = locations[:, part] if joint == JOINT_COUNT else quats[:, joint, part]
        if not curve.modifiers and len(keys) == len(frames) and np.array_equal(keys[:, 0], frames):
            column[:] = keys[:, 1]  # a key at every frame, as imports have them
        else:
            column[:] = [curve.evaluate(frame) for frame in frames.tolist()]
    length = np.linalg.norm(quats, axis=-1, keepdims=True)
    quats = np.where(length > 1e-6, quats / np.maximum(length, 1e-6), [1.0, 0.0, 0.0, 0.0])
    return BoneMotion(frames, without_sign_jumps(quats), locations)


def write_motion(channels: Channels, motion: BoneMotion) -> int:
    """Key the bones at every frame, with straight lines between; returns how many keys that are.

    A bone's key at a frame is one, however many curves it has.
    """
    write_curves(channels, ROOT_PATH, JOINT_NAMES[0], motion.frames, motion.locations)
    for joint, name in enumerate(JOINT_NAMES):
        write_curves(channels, turn_path(name), name, motion.frames, motion.quats[:, joint])
    return len(motion.frames) * JOINT_COUNT


def write_thinned(
    channels: Channels,
    motion: BoneMotion,
    degrees: float,
    metres: float,
    interpolation: Interpolation,
    cyclic: bool,
) -> ThinnedKeys:
    """Key the bones at as few frames as keep the motion within the bounds, see `key_thinning`."""
    thinned = thin_keys(BoneCurves(motion.quats, motion.locations, cyclic), degrees, metres, interpolation)
    for joint, name in enumerate(JOINT_NAMES):
        keys = thinned.keys[joint]
        parts = [(turn_path(name), motion.quats[:, joint], thinned.quat_slopes[:, joint])]
        if joint == 0:
            parts.insert(0, (ROOT_PATH, motion.locations, thinned.location_slopes))
        for path, values, slopes in parts:
            if interpolation == "LINEAR":
                write_curves(channels, path, name, motion.frames[keys], values[keys])
            else:
                _write_bezier(channels, path, name, motion.frames[keys], values[keys], slopes[keys])
    return thinned


def write_confidence(channels: Channels, curves: Iterable[bpy.types.FCurve], first: int, last: int) -> None:
    """Copy the curves of confidence, straight lines between keys, from `first` to `last` frame."""
    for curve in curves:
        if curve.data_path in CONFIDENCE_PATHS and len(curve.keyframe_points):
            keys = _keys(curve)
            inside = keys[(keys[:, 0] > first) & (keys[:, 0] < last), 0]
            frames = np.unique(np.concatenate([[first], inside, [last]]))
            values = np.interp(frames, keys[:, 0], keys[:, 1])
            write_curves(channels, curve.data_path, CONFIDENCE_GROUP, frames, values)


def fingerprint(curves: Iterable[bpy.types.FCurve]) -> str:
    """A number that changes with any key, handle or other property of the curves that a take has.

    Curves that the user has keyed beside the motion do not count: they are never overwritten.
    """
    digest = hashlib.blake2b(digest_size=16)
    ours = [curve for curve in curves if curve.data_path in WRITTEN]
    for curve in sorted(ours, key=lambda curve: (curve.data_path, curve.array_index)):
        points = curve.keyframe_points
        modifiers = [(modifier.type, modifier.mute) for modifier in curve.modifiers]
        said = (curve.data_path, curve.array_index, curve.extrapolation, curve.mute, modifiers, len(points))
        digest.update(repr(said).encode())
        for name in ("co", "handle_left", "handle_right"):
            numbers = np.empty(2 * len(points), np.float32)
            points.foreach_get(name, numbers)
            digest.update(numbers.tobytes())
        for name in ("interpolation", "handle_left_type", "handle_right_type"):
            kinds = np.empty(len(points), np.int32)
            points.foreach_get(name, kinds)
            digest.update(kinds.tobytes())
    return digest.hexdigest()


def _keys(curve: bpy.types.FCurve) -> np.ndarray:
    """Frame and value (K, 2) of a curve's keys."""
    keys = np.empty(2 * len(curve.keyframe_points), np.float32)
    curve.keyframe_points.foreach_get("co", keys)
    return keys.reshape(-1, 2)


def _write_bezier(
    channels: Channels,
    data_path: str,
    group: str,
    frames: np.ndarray,
    values: np.ndarray,
    slopes: np.ndarray,
) -> None:
    """Keys with aligned handles that reach a third of the way to the next key.

    Args:
        channels: the action's curves.
        data_path: an array property.
        group: name of the curves' group.
        frames: (K,) increasing.
        values: (K, N).
        slopes: (K, N) per frame.
    """
    gaps = np.diff(frames) / 3 if len(frames) > 1 else np.ones(1)
    # where Blender can put the handles, and the heights that give the right tangent just there
    left = (frames - np.concatenate([gaps[:1], gaps])).astype(np.float32)
    right = (frames + np.concatenate([gaps, gaps[-1:]])).astype(np.float32)
    if len(frames) == 1:
        left, right = left[:1], right[:1]
    count = len(frames)
    bezier = np.full(count, _number_of("interpolation", "BEZIER"), np.int32)
    aligned = np.full(count, _number_of("handle_left_type", "ALIGNED"), np.int32)
    for index in range(values.shape[1]):
        value, slope = values[:, index], slopes[:, index]
        curve = channels.new(data_path, index, group)
        points = curve.keyframe_points
        points.add(count)
        points.foreach_set("interpolation", bezier)
        points.foreach_set("handle_left_type", aligned)
        points.foreach_set("handle_right_type", aligned)
        for name, at in (("co", frames), ("handle_left", left), ("handle_right", right)):
            both = np.stack([at, value + slope * (at.astype(np.float64) - frames)], axis=1)
            points.foreach_set(name, both.astype(np.float32).ravel())
        curve.update()
