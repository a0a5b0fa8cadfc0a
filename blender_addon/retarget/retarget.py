# SPDX-License-Identifier: GPL-3.0-or-later
"""A recovered motion onto the artist's own rig, from reading it to the keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import bpy
import numpy as np

from ..compat import NAME_BYTES, Channels, Placed
from ..curves import write_curves
from ..resample import scene_rate
from .following import Following, find_following
from .keys import every_so_many, freed, object_path, remember, switched, write_keys
from .mapping import BoneMap
from .options import Options
from .problem import RetargetProblem
from .rest_alignment import facing, figure_axes
from .rig_pose import Channel
from .soles import find_soles
from .solve import Solved, Solver
from .source_motion import SourceMotion, read_source
from .stepping import pose_by_stepping
from .target_rig import TargetRig, check_target, read_target, usable
from .transfer import goal_turns
from .way import find_way, leg_length, where_target_stands

_OFF = 0.5
"""Degrees by which a bone may miss its goal before the artist is told."""

_FAR = 0.02
"""Metres by which a foot may miss its place before the artist is told."""

_CHECKED = 5
"""Frames at which the result is compared with what was wanted."""


@dataclass(frozen=True)
class Retargeted:
    """What a retargeting made.

    Attributes:
        action: the new action; the rig uses it.
        frame_range: its first and last frame.
        notes: what the artist should know, though it went well.
        degrees: the farthest that any bone is from its goal in the frames that were checked.
        earlier: what moved the rig before; it is kept.
    """

    action: bpy.types.Action
    frame_range: tuple[int, int]
    notes: tuple[str, ...] = ()
    degrees: float = 0.0
    earlier: Placed | None = None


def retarget(
    context: bpy.types.Context,
    source: bpy.types.Object,
    target: bpy.types.Object,
    bone_map: BoneMap,
    options: Options,
    *,
    frames: tuple[int, int] | None = None,
    name: str = "",
) -> Retargeted:
    """Give a rig the motion of a recovered body, in a new action.

    Args:
        context: its scene and view layer are used; a window is not needed.
        source: an imported armature; whatever moves it now is taken.
        target: the armature of the character.
        bone_map: which of its bones play which part.
        options: how.
        frames: first and last frame; all by default.
        name: of the new action; by default made from the character's and the source's.

    Raises:
        RetargetProblem: it cannot be done; nothing has changed then.
    """
    if source == target:
        raise RetargetProblem(
            f"{source.name} is both source and target. Choose your character as the target."
        )
    check_target(target, bone_map)
    bone_map = usable(target, bone_map, options)
    if options.root == "OBJECT" and target.parent is not None:
        raise RetargetProblem(
            f"{target.name} is a child of {target.parent.name}, so its object cannot carry the motion. Let"
            " the pelvis or the root bone carry it."
        )
    motion = read_source(context, source, frames)
    rig = read_target(target, bone_map, as_posed=options.alignment == "POSE")
    if options.place == "TARGET":
        motion = _where_target_stands(motion, rig, bone_map)

    notes: list[str] = []
    animation = target.animation_data
    earlier = animation and Placed.on(animation)
    with switched(target, bone_map.settings) as before, freed(target, rig.controls):
        movable = [bone_map.bones["pelvis"][0], bone_map.root, *_ik_controls(bone_map)]
        following = find_following(context, target, rig.controls, movable)
        _check_movable(target, rig, following, bone_map)
        solved = _solved(context, target, rig, bone_map, following, motion, options, notes)
        with _new_action(target, name or f"{target.name}.{source.name}") as channels:
            _write(channels, target, rig, solved, motion.frames, bone_map, options)
            remember(channels.action, source, earlier, before)
            pose_by_stepping(context, target, rig, solved, motion.frames, options.every)
            degrees = _check(context, target, rig, solved, motion.frames, options.every, notes)
        action = channels.action
    return Retargeted(
        action, (int(motion.frames[0]), int(motion.frames[-1])), tuple(dict.fromkeys(notes)), degrees, earlier
    )


def _solved(
    context: bpy.types.Context,
    target: bpy.types.Object,
    rig: TargetRig,
    bone_map: BoneMap,
    following: Following,
    motion: SourceMotion,
    options: Options,
    notes: list[str],
) -> Solved:
    """The rig's motion, and what to say about it."""
    fps = scene_rate(context.scene)
    goals = goal_turns(motion, rig, bone_map, options)
    soles, from_skin = find_soles(target, rig, bone_map, goals.facing)
    way = find_way(motion, leg_length(rig, bone_map, float(-soles.heel[:, 2].mean())), options, fps)
    solved = Solver(rig, bone_map, following, goals, soles, way, options).solve(motion, fps)
    if options.feet != "OFF":
        if not from_skin:
            notes.append(
                f"{target.name} has no skin at its feet: the height of its soles was told from the bones."
            )
        if not solved.planted:
            notes.append(
                "The legs of the rig hang on constraints that change with the pose: its feet could not be"
                " planted."
            )
    if solved.unreached > _FAR:
        notes.append(
            f"The legs are too short for a step: a foot is up to {100 * solved.unreached:.0f} cm from its"
            " place."
        )
    return solved


def _where_target_stands(motion: SourceMotion, rig: TargetRig, bone_map: BoneMap) -> SourceMotion:
    joints = rig.joints(bone_map)
    towards = facing(motion.axes, figure_axes(joints), rig.object_turn)
    return where_target_stands(motion, towards, (joints["left_hip"] + joints["right_hip"]) / 2)


def _ik_controls(bone_map: BoneMap) -> list[str]:
    return [name for ik in bone_map.ik for name in (ik.target, ik.pole) if name]


def _check_movable(target: bpy.types.Object, rig: TargetRig, following: Following, bone_map: BoneMap) -> None:
    """Whether what is to carry the motion can move.

    Raises:
        RetargetProblem: it cannot.
    """
    for name in filter(None, (bone_map.bones["pelvis"][0], bone_map.root)):
        bone = target.pose.bones[name]
        if bone.bone.use_connect and bone.parent is not None:
            raise RetargetProblem(
                f"The bone {name} of {target.name} is connected to its parent and cannot move. Choose the"
                " bone that moves the whole body for the pelvis, or disconnect it (Edit Mode, Bone"
                " properties)."
            )
        if any(bone.lock_location):
            raise RetargetProblem(
                f"The location of the bone {name} of {target.name} is locked. Unlock it (the padlocks in the"
                " sidebar), or let another bone carry the motion."
            )
        number = rig.index(name)
        if not following.knows(number):
            raise RetargetProblem(
                f"The bone {name} of {target.name} follows constraints that change with the pose, so the"
                " motion cannot be laid on it. Choose another bone for the pelvis, or switch those"
                " constraints off."
            )


@contextmanager
def _new_action(target: bpy.types.Object, name: str) -> Iterator[Channels]:
    """A new action, assigned to the rig; taken back if the block raises."""
    animation = target.animation_data
    earlier = animation and Placed.on(animation)
    channels = Channels(target, name.encode()[:NAME_BYTES].decode(errors="ignore"), target.name)
    try:
        yield channels
    except BaseException:
        target.animation_data.action = None
        if earlier:
            earlier.assign_to(target.animation_data)
        bpy.data.actions.remove(channels.action)
        raise


def _write(
    channels: Channels,
    target: bpy.types.Object,
    rig: TargetRig,
    solved: Solved,
    frames: np.ndarray,
    bone_map: BoneMap,
    options: Options,
) -> None:
    """Key the rig's controls, and its object if that carries the motion."""
    write_keys(channels, rig.controls, rig.channels, solved.pose, frames, bone_map.settings, options.every)
    if options.root == "OBJECT":
        turning = Channel(target.rotation_mode, angles=np.array(target.rotation_euler))
        values, _ = turning.fit(solved.object.turns)
        keyed = every_so_many(len(frames), options.every)
        write_curves(channels, "location", "Object", frames[keyed], solved.object.places[keyed])
        write_curves(channels, object_path(target), "Object", frames[keyed], values[keyed])


def _check(
    context: bpy.types.Context,
    target: bpy.types.Object,
    rig: TargetRig,
    solved: Solved,
    frames: np.ndarray,
    every: int,
    notes: list[str],
) -> float:
    """Degrees that the rig in the scene is off what was wanted, at most, in a few of the frames."""
    scene, now = context.scene, context.scene.frame_current_final
    worst, culprit = 0.0, ""
    keyed = every_so_many(len(frames), every)  # between keys it is Blender who interpolates
    chosen = keyed[np.unique(np.linspace(0, len(keyed) - 1, _CHECKED).round().astype(int))]
    moves = False
    known = [control for control in range(len(rig.controls)) if control in solved.pose.values]
    try:
        for number in chosen.tolist():
            scene.frame_set(int(frames[number]))
            turn, place = solved.object.turns, solved.object.places
            wanted = (turn[min(number, len(turn) - 1)], place[min(number, len(place) - 1)])
            moves = moves or not _stands(target, *wanted)
            for control in known:
                name = rig.controls[control]
                is_turn = np.array(target.pose.bones[name].matrix.to_quaternion())
                wanted = solved.pose.turns[number, control]
                is_turn = is_turn / np.linalg.norm(is_turn)
                apart = min(np.linalg.norm(is_turn - wanted), np.linalg.norm(is_turn + wanted))
                off = float(np.degrees(4 * np.arcsin(min(apart / 2, 1.0))))
                if off > worst:
                    worst, culprit = off, name
    finally:
        scene.frame_set(int(now // 1), subframe=float(now % 1))
    if moves:
        notes.append(
            f"{target.name} is moved as an object as well, by its parent or a constraint: the motion comes"
            " on top of that."
        )
    if worst > _OFF:
        notes.append(
            f"The bone {culprit} is up to {worst:.1f}° from the motion: something else in the rig or the NLA"
            " moves it as well (constraints, drivers, other layers)."
        )
    return worst


def _stands(target: bpy.types.Object, turn: np.ndarray, place: np.ndarray) -> bool:
    """Whether an object is where its motion has it: rotation (4,) and place (3,) in the world."""
    world = target.matrix_world
    is_turn = np.array(world.to_quaternion())
    turned = 1 - abs(is_turn @ turn) / np.linalg.norm(is_turn)
    return turned < 1e-5 and np.abs(np.array(world.translation) - place).max() < 1e-3
