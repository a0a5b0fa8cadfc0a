# SPDX-License-Identifier: GPL-3.0-or-later
"""The motion on a rig: a new action, the earlier one kept, and the way back to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import bpy
import numpy as np

from ..compat import Channels, Placed
from ..curves import write_curves
from .mapping import Setting
from .rig_pose import AXIS_ANGLE, QUATERNION, Channel, RigPose

KEY: Final = "retargeted_from"
"""Custom property of an action that a retargeting wrote: the source, the earlier action, the rig's switches
then.
"""

_PATHS: Final = {QUATERNION: "rotation_quaternion", AXIS_ANGLE: "rotation_axis_angle"}


def object_path(thing: bpy.types.Object) -> str:
    """Data path of an object's rotation."""
    return _PATHS.get(thing.rotation_mode, "rotation_euler")


def every_so_many(count: int, every: int) -> np.ndarray:
    """Indices (K,) of the frames that get keys: every so many, and the last one."""
    chosen = np.arange(0, count, max(every, 1))
    return chosen if chosen[-1] == count - 1 else np.append(chosen, count - 1)


def write_keys(
    channels: Channels,
    controls: Sequence[str],
    turning: Sequence[Channel],
    pose: RigPose,
    frames: np.ndarray,
    settings: Sequence[Setting],
    every: int,
) -> None:
    """Key the controls of a rig.

    Args:
        channels: the curves of a new action.
        controls: names of the pose bones.
        turning: how each of them turns.
        pose: the channels over time.
        frames: (T,) scene frames.
        settings: properties of the rig, keyed at the first frame: the action brings its switches along.
        every: key every so many frames.
    """
    keyed = every_so_many(len(frames), every)
    at = frames[keyed]
    for control, name in enumerate(controls):
        path = f'pose.bones["{bpy.utils.escape_identifier(name)}"]'
        if control in pose.locations:
            write_curves(channels, f"{path}.location", name, at, pose.locations[control][keyed])
        if control in pose.values:
            write_turns(channels, name, turning[control], pose.values[control], frames, every)
    for setting in settings:
        bone, prop = (bpy.utils.escape_identifier(text) for text in (setting.bone, setting.property))
        path = f'pose.bones["{bone}"]["{prop}"]'
        write_curves(channels, path, setting.bone, at[:1], np.array([float(setting.value)]))


def write_turns(
    channels: Channels, name: str, turning: Channel, values: np.ndarray, frames: np.ndarray, every: int
) -> None:
    """Key the rotation of one bone, in its rotation mode.

    Args:
        channels: the curves of an action.
        name: the pose bone.
        turning: how it turns.
        values: (T, 3) or (T, 4).
        frames: (T,) scene frames.
        every: key every so many of them.
    """
    keyed = every_so_many(len(frames), every)
    path = f'pose.bones["{bpy.utils.escape_identifier(name)}"].{_PATHS.get(turning.mode, "rotation_euler")}'
    write_curves(channels, path, name, frames[keyed], values[keyed])


@contextmanager
def freed(rig: bpy.types.Object, controls: Sequence[str]) -> Iterator[None]:
    """Put location and scale of controls back to rest, as the motion does not key them all.

    They are as before if the block raises.
    """
    bones = [rig.pose.bones[name] for name in controls]
    before = [(bone.location.copy(), bone.scale.copy()) for bone in bones]
    for bone in bones:
        bone.location, bone.scale = (0, 0, 0), (1, 1, 1)
    try:
        yield
    except BaseException:
        for bone, (location, scale) in zip(bones, before, strict=True):
            bone.location, bone.scale = location, scale
        raise


@contextmanager
def switched(rig: bpy.types.Object, settings: Sequence[Setting]) -> Iterator[dict[str, dict[str, float]]]:
    """Set properties of a rig; they are set back if the block raises.

    Yields:
        Bone to property to the value that it had.
    """
    before: dict[str, dict[str, float]] = {}
    try:
        for setting in settings:
            bone = rig.pose.bones[setting.bone]
            old = bone[setting.property]
            before.setdefault(setting.bone, {})[setting.property] = old
            bone[setting.property] = type(old)(setting.value)
        yield before
    except BaseException:
        switch_back(rig, before)
        raise


def switch_back(rig: bpy.types.Object, before: dict[str, dict[str, float]]) -> None:
    """Give properties of a rig the values that they had."""
    for name, values in before.items():
        bone = rig.pose.bones.get(name)
        for prop, value in values.items():
            if bone is not None and prop in bone:
                bone[prop] = type(bone[prop])(value)
    rig.update_tag()


def remember(
    action: bpy.types.Action,
    source: bpy.types.Object,
    earlier: Placed | None,
    before: dict[str, dict[str, float]],
) -> None:
    """Write down on a new action where it comes from and what was there before."""
    said: dict[str, object] = {"source": source.name, "switches": json.dumps(before)}
    if earlier is not None:
        earlier.action.use_fake_user = True
        said["earlier"] = earlier.action
        said["earlier_slot"] = getattr(earlier.slot, "identifier", "")
    action[KEY] = said


def put_back(rig: bpy.types.Object) -> bpy.types.Action | None:
    """Take a retargeted motion off a rig: its earlier action and its switches come back; the motion is kept.

    Returns:
        The action that moves the rig now; None when there was none.
    """
    animation = rig.animation_data
    action = animation and animation.action
    if action is None or KEY not in action:
        return action
    said = action[KEY]
    earlier = said.get("earlier")
    action.use_fake_user = True
    if earlier is None:
        animation.action = None
    else:
        Placed.with_identifier(earlier, said.get("earlier_slot", "")).assign_to(animation)
    switch_back(rig, json.loads(said["switches"]))
    return earlier
