# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion that is shown on the target until it is kept or discarded.

What was before is written down on the scene, not held by Python: so a preview goes through undo, and a file
that is saved with one opens with it, to be kept or discarded then. The step aside is for looking only. It is
an offset of the object that no curve animates (delta location), and is never saved.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import bpy
from bpy.app.handlers import persistent
from bpy.app.translations import pgettext_n as n_
from mathutils import Vector

from ..cleaning import action_in_use
from ..compat import Placed
from . import retarget as core
from .mapping import BoneMap, Setting
from .options import Options
from .problem import RetargetProblem

_TURNS = ("location", "rotation_quaternion", "rotation_euler", "rotation_axis_angle", "scale")
_AROUND = 30
"""Frames before and after one that is shown alone: by them the feet know whether they stand."""

_BETWEEN = 0.75
"""Distance from the source to the character beside it, in heights of the taller one."""


def is_shown(scene: bpy.types.Scene) -> bool:
    """Whether a preview waits to be kept or discarded."""
    return bool(scene.recover_motion_retarget.preview.state)


def show(
    context: bpy.types.Context,
    source: bpy.types.Object,
    target: bpy.types.Object,
    bone_map: BoneMap,
    options: Options,
    frames: tuple[int, int] | int | None,
) -> core.Retargeted:
    """Show a motion on the target; a preview that is shown already is discarded first.

    Args:
        context: its scene keeps what was before.
        source: the recovered armature.
        target: the character's armature.
        bone_map: which bones play which part.
        options: how.
        frames: first and last; None for all. One frame: its pose is held at all times.

    Raises:
        RetargetProblem: it cannot be done; nothing has changed then, but that an earlier preview is gone.
    """
    if is_shown(context.scene):
        discard(context)
    preview = context.scene.recover_motion_retarget.preview
    before = Placed.on(target.animation_data) if target.animation_data else None
    state = _remember(target, before, bone_map.settings)
    if isinstance(frames, int):
        around, options = _around(source, frames), replace(options, every=1)
        name = f"{target.name}.preview"
        shown = core.retarget(context, source, target, bone_map, options, frames=around, name=name)
        _hold(Placed.on(target.animation_data), frames)
    else:
        shown = core.retarget(context, source, target, bone_map, options, frames=frames)
    preview.target, preview.action, preview.is_frame = target, shown.action, isinstance(frames, int)
    preview.earlier = before.action if before else None
    preview.state = json.dumps(state, ensure_ascii=False)
    preview.says = "\n".join(shown.notes)
    preview.offset = (0.0, 0.0, 0.0)
    if context.scene.recover_motion_retarget.side_by_side and options.place == "SOURCE":
        preview.offset = _step_aside(source, target)
        _stand_beside(preview)
    context.view_layer.update()
    return shown


def keep(context: bpy.types.Context) -> str:
    """End the preview and leave the motion on the target, in its own place.

    Returns:
        What there is to say beside that.
    """
    preview = context.scene.recover_motion_retarget.preview
    note = _problem_of(preview, context.scene)
    if preview.target is not None:
        preview.target.delta_location = json.loads(preview.state)["delta"]
    _forget(preview)
    context.view_layer.update()
    return note


def discard(context: bpy.types.Context) -> str:
    """End the preview and put back everything that it changed.

    Returns:
        What there is to say beside that.
    """
    return _discard(context.scene, context.view_layer)


def target_in(scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The character that shows the preview; None when there is no preview, or the character was deleted."""
    target = scene.recover_motion_retarget.preview.target
    return target if is_shown(scene) and target is not None and scene in target.users_scene else None


def _problem_of(preview: bpy.types.PropertyGroup, scene: bpy.types.Scene) -> str:
    """Why a preview is no longer what is seen; empty when it is."""
    target = preview.target
    if target is None or scene not in target.users_scene:
        return n_("The character of the preview was deleted")
    used = target.animation_data.action if target.animation_data else None
    if preview.action is None or used != preview.action:
        return n_("The character had been given another action during the preview: it was left alone")
    return ""


def _discard(scene: bpy.types.Scene, view_layer: bpy.types.ViewLayer | None) -> str:
    preview = scene.recover_motion_retarget.preview
    state, target, action = json.loads(preview.state), preview.target, preview.action
    note = _problem_of(preview, scene)
    if target is not None:
        target.delta_location = state["delta"]
        if not note:
            target.animation_data.action = None
            _put_back(target, state)
            if preview.earlier is not None:
                Placed.with_identifier(preview.earlier, state["slot"]).assign_to(target.animation_data)
                preview.earlier.use_fake_user = state["fake_user"]
    _forget(preview)
    if action is not None and action.users == int(action.use_fake_user):
        bpy.data.actions.remove(action)
    if view_layer is not None:
        view_layer.update()
    return note


def _forget(preview: bpy.types.PropertyGroup) -> None:
    preview.target = preview.action = preview.earlier = None
    preview.state = preview.says = ""
    preview.offset = (0.0, 0.0, 0.0)
    preview.is_frame = False


# --- one frame


def _around(source: bpy.types.Object, frame: int) -> tuple[int, int]:
    """The frames of a motion around one of them.

    Raises:
        RetargetProblem: the motion does not have that frame.
    """
    used = action_in_use(source)
    if used is None:
        raise RetargetProblem(f"{source.name} has no motion. Assign its recovered action again.")
    first, last = (int(end) for end in used.action.curve_frame_range)
    if not first <= frame <= last:
        raise RetargetProblem(
            f"The motion covers the frames {first} to {last}, not frame {frame}. Go to one of them."
        )
    return max(frame - _AROUND, first), min(frame + _AROUND, last)


def _hold(placed: Placed, frame: int) -> None:
    """Leave only one key on each curve: the value that it has at a frame."""
    for curve in placed.curves():
        value = curve.evaluate(frame)
        curve.keyframe_points.clear()
        curve.keyframe_points.insert(frame, value)


# --- what was before


def _remember(target: bpy.types.Object, used: Placed | None, settings: tuple[Setting, ...]) -> dict:
    """Everything that a retargeting may change, but the action itself, such that JSON can hold it."""
    bones = target.pose.bones
    return {
        "delta": list(target.delta_location),
        "object": [list(getattr(target, name)) for name in _TURNS],
        "pose": {bone.name: [list(getattr(bone, name)) for name in _TURNS] for bone in bones},
        "settings": [
            [one.bone, one.property, bones[one.bone][one.property]]
            for one in settings
            if one.bone in bones and one.property in bones[one.bone]
        ],
        "properties": sorted(target.keys()),
        "slot": used.slot.identifier if used and used.slot else "",
        "fake_user": bool(used and used.action.use_fake_user),
    }


def _put_back(target: bpy.types.Object, state: dict) -> None:
    bones = target.pose.bones
    owners = [(target, state["object"])]
    owners += [(bones[name], values) for name, values in state["pose"].items() if name in bones]
    for owner, values in owners:
        for name, value in zip(_TURNS, values, strict=True):
            setattr(owner, name, value)
    for bone, name, value in state["settings"]:
        if bone in bones and name in bones[bone]:
            bones[bone][name] = value
    for name in [name for name in target.keys() if name not in state["properties"]]:  # noqa: SIM118
        del target[name]
    target.update_tag()


# --- side by side


def _step_aside(source: bpy.types.Object, target: bpy.types.Object) -> Vector:
    """How far to stand beside the source, to the right as seen from the front, in the parent's space."""
    distance = _BETWEEN * max(_height(source), _height(target))
    into_world = (target.matrix_world @ target.matrix_basis.inverted_safe()).to_3x3()
    return into_world.inverted_safe() @ Vector((distance, 0.0, 0.0))


def _height(armature: bpy.types.Object) -> float:
    """Height of an armature at rest in the world, in metres."""
    ends = [
        (armature.matrix_world @ end).z
        for bone in armature.data.bones
        for end in (bone.head_local, bone.tail_local)
    ]
    return max(ends) - min(ends)


def _stand_beside(preview: bpy.types.PropertyGroup) -> None:
    """Move the target from where it was before by the offset."""
    before = Vector(json.loads(preview.state)["delta"])
    preview.target.delta_location = before + Vector(preview.offset)


_stepped_back: list[str] = []
"""Names of the scenes whose characters stand in their own places while the file is written."""


def _previews() -> Iterator[tuple[bpy.types.Scene, bpy.types.PropertyGroup]]:
    for scene in bpy.data.scenes:
        if scene.library is None and is_shown(scene) and target_in(scene) is not None:
            yield scene, scene.recover_motion_retarget.preview


@persistent
def _before_saving(*_: object) -> None:
    """Let the characters stand in their own places in the file."""
    _stepped_back.clear()
    for scene, preview in _previews():
        before = Vector(json.loads(preview.state)["delta"])
        if (preview.target.delta_location - before).length > 0.0:
            preview.target.delta_location = before
            _stepped_back.append(scene.name)


@persistent
def _after_saving(*_: object) -> None:
    """Let them stand beside the source again."""
    for scene, preview in _previews():
        if scene.name in _stepped_back:
            _stand_beside(preview)
    _stepped_back.clear()


def register() -> None:
    """Follow the saving of files."""
    bpy.app.handlers.save_pre.append(_before_saving)
    bpy.app.handlers.save_post.append(_after_saving)
    bpy.app.handlers.save_post_fail.append(_after_saving)


def unregister() -> None:
    """Discard what is shown, as there will be no button for it any more."""
    bpy.app.handlers.save_pre.remove(_before_saving)
    bpy.app.handlers.save_post.remove(_after_saving)
    bpy.app.handlers.save_post_fail.remove(_after_saving)
    for scene in getattr(bpy.data, "scenes", ()):  # none while Blender starts or ends
        if scene.library is None and is_shown(scene):
            _discard(scene, None)
