# SPDX-License-Identifier: GPL-3.0-or-later
"""The motion of a recovered body in the world, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import bpy
import numpy as np

from ..cleaning import action_in_use, rest_skeleton
from ..leg_pose import RestSkeleton, pose_legs, sole_points
from ..motion_curves import read_motion
from ..rotations import (
    matrix_from_quat,
    quat_from_matrix,
    quat_inverse,
    quat_multiply,
    without_sign_jumps,
)
from ..skeleton import INDEX, JOINT_COUNT, JOINT_NAMES, PARENTS
from .problem import RetargetProblem


@dataclass(frozen=True)
class SourceMotion:
    """A recovered body in the world: metres, z up.

    Attributes:
        frames: (T,) consecutive scene frames.
        turns: (T, 24, 4) turn of each bone away from its rest, with all above it, about the world's axes.
        joints: (T, 24, 3) where the joints are.
        rest_joints: (24, 3) where they are at rest, the object being where it is.
        rest_tails: (24, 3) where the bones end then.
        soles: (T, 2, 3, 3) points under heel, ball and toe tip; left and right.
        leg_length: from the hip to the sole of a straight leg.
        axes: (3, 3) of the figure at rest, as columns: its left, its back, up.
    """

    frames: np.ndarray
    turns: np.ndarray
    joints: np.ndarray
    rest_joints: np.ndarray
    rest_tails: np.ndarray
    soles: np.ndarray
    leg_length: float
    axes: np.ndarray

    def moved(self, turn: np.ndarray, about: np.ndarray, to: np.ndarray) -> SourceMotion:
        """The same motion elsewhere.

        Args:
            turn: (3, 3) rotation of the world.
            about: (3,) point that it turns about.
            to: (3,) where that point goes.
        """
        quat = quat_from_matrix(turn)

        def move(points: np.ndarray) -> np.ndarray:
            return (points - about) @ turn.T + to

        return replace(
            self,
            turns=quat_multiply(quat_multiply(quat, self.turns), quat_inverse(quat)),
            joints=move(self.joints),
            rest_joints=move(self.rest_joints),
            rest_tails=move(self.rest_tails),
            soles=move(self.soles),
            axes=turn @ self.axes,
        )

    def between(self, first: int, last: int) -> SourceMotion:
        """The frames from `first` to `last`.

        Raises:
            RetargetProblem: it has none of them.
        """
        chosen = (self.frames >= first) & (self.frames <= last)
        if not chosen.any():
            raise RetargetProblem(
                f"The motion covers the frames {self.frames[0]} to {self.frames[-1]}, none of those from"
                f" {first} to {last}. Choose other frames."
            )
        return replace(
            self,
            frames=self.frames[chosen],
            turns=self.turns[chosen],
            joints=self.joints[chosen],
            soles=self.soles[chosen],
        )


def read_source(
    context: bpy.types.Context, armature: bpy.types.Object, frames: tuple[int, int] | None = None
) -> SourceMotion:
    """The motion of a recovered armature, as it moves now.

    The curves of its action are read where nothing else moves it, which takes milliseconds; otherwise
    (layers of the NLA, constraints, drivers, an object that moves) the scene is stepped through.

    Args:
        context: its scene is stepped through if need be, and put back to the frame where it was.
        armature: an imported armature, with all its bones.
        frames: first and last frame; all by default.

    Raises:
        RetargetProblem: bones are missing, there is no motion, or none in these frames.
    """
    missing = [name for name in JOINT_NAMES if name not in armature.data.bones]
    if missing:
        raise RetargetProblem(
            f"{armature.name} is not a recovered body: it has no bone {missing[0]}. Choose an imported one."
        )
    scale = np.array(armature.matrix_world.to_scale())
    if np.ptp(scale) > 1e-3 * scale.max() or scale.min() <= 0:
        raise RetargetProblem(
            f"{armature.name} is scaled by {scale.round(3).tolist()}, not the same in all directions. Apply"
            " its scale (Object > Apply > Scale)."
        )
    placed = action_in_use(armature)
    motion = placed and read_motion(placed.curves())
    if motion is None:
        raise RetargetProblem(
            f"{armature.name} has no motion on its bones. Import a recovered motion, or assign its action"
            " again."
        )
    rest = rest_skeleton(armature)
    if _moves_by_curves_only(armature):
        keep = slice(None)
        if frames is not None:
            keep = (motion.frames >= frames[0]) & (motion.frames <= frames[1])
        numbers, quats, locations = motion.frames[keep], motion.quats[keep], motion.locations[keep]
        worlds = np.array(armature.matrix_world)[None]
    else:
        first, last = motion.frames[[0, -1]] if frames is None else frames
        numbers, quats, locations, worlds = _stepped(context, armature, rest, int(first), int(last))
    if not len(numbers):
        raise RetargetProblem(
            f"The motion of {armature.name} covers the frames {motion.frames[0]} to {motion.frames[-1]},"
            f" none of those from {frames[0]} to {frames[1]}. Choose other frames."
        )
    return _in_world(rest, numbers, quats, locations, worlds, np.array(armature.matrix_world))


def _moves_by_curves_only(armature: bpy.types.Object) -> bool:
    """Whether the curves of one action on the bones are all that moves an armature."""
    animation = armature.animation_data
    layered = animation.use_nla and any(
        not (track.mute or strip.mute) for track in animation.nla_tracks for strip in track.strips
    )
    bones = armature.pose.bones
    constrained = any(
        constraint.enabled and not constraint.mute for bone in bones for constraint in bone.constraints
    )
    moved = armature.parent is not None or len(armature.constraints) or len(animation.drivers)
    moved = moved or any(
        curve.data_path in ("location", "scale") or curve.data_path.startswith(("rotation", "delta"))
        for curve in action_in_use(armature).curves()
    )
    by_quats = all(bones[name].rotation_mode == "QUATERNION" for name in JOINT_NAMES)
    return animation.action is not None and not layered and not constrained and not moved and by_quats


def _stepped(
    context: bpy.types.Context, armature: bpy.types.Object, rest: RestSkeleton, first: int, last: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Frames, the bones' quaternions, the pelvis' locations, the object's matrices, by stepping through."""
    scene, now = context.scene, context.scene.frame_current
    count = last - first + 1
    poses = np.empty((count, JOINT_COUNT, 4, 4))
    worlds = np.empty((count, 4, 4))
    try:
        for number in range(count):
            scene.frame_set(first + number)
            poses[number] = [armature.pose.bones[name].matrix for name in JOINT_NAMES]
            worlds[number] = armature.matrix_world
    finally:
        scene.frame_set(now)
    whole = quat_multiply(quat_from_matrix(poses[..., :3, :3]), quat_inverse(rest.quats))
    turns = whole.copy()
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            turns[:, joint] = quat_multiply(quat_inverse(whole[:, parent]), whole[:, joint])
    return np.arange(first, last + 1), rest.bone_quats(turns), rest.locations(poses[:, 0, :3, 3]), worlds


def _in_world(
    rest: RestSkeleton,
    frames: np.ndarray,
    quats: np.ndarray,
    locations: np.ndarray,
    worlds: np.ndarray,
    rest_world: np.ndarray,
) -> SourceMotion:
    """Pose the skeleton.

    Args:
        rest: the skeleton, in armature space.
        frames: (T,).
        quats: (T, 24, 4) of the bones.
        locations: (T, 3) of the pelvis.
        worlds: (T or 1, 4, 4) matrix of the object at each frame.
        rest_world: (4, 4) the object's matrix for the figure at rest.
    """
    turns, pelvis = rest.turns(quats), rest.pelvis(locations)
    whole, joints = turns.copy(), np.empty((len(frames), JOINT_COUNT, 3))
    joints[:, 0] = pelvis
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            whole[:, joint] = quat_multiply(whole[:, parent], turns[:, joint])
            arm = matrix_from_quat(whole[:, parent]) @ (rest.heads[joint] - rest.heads[parent])
            joints[:, joint] = joints[:, parent] + arm
    soles = sole_points(rest, pose_legs(rest, turns, pelvis)).reshape(-1, 2, 3, 3)

    scale = np.cbrt(np.linalg.det(worlds[:, :3, :3]))
    object_quats = quat_from_matrix(worlds[:, :3, :3] / scale[:, None, None])
    rest_scale = np.cbrt(np.linalg.det(rest_world[:3, :3]))
    rest_quat = quat_from_matrix(rest_world[:3, :3] / rest_scale)
    whole = quat_multiply(object_quats[:, None], quat_multiply(whole, quat_inverse(rest_quat)))

    def to_world(points: np.ndarray) -> np.ndarray:
        flat = points.reshape(len(frames), -1, 3)
        return (flat @ worlds[:, :3, :3].transpose(0, 2, 1) + worlds[:, None, :3, 3]).reshape(points.shape)

    hip, knee, ankle = (INDEX[f"left_{name}"] for name in ("hip", "knee", "ankle"))
    heads = rest.heads
    length = np.linalg.norm(heads[hip] - heads[knee]) + np.linalg.norm(heads[knee] - heads[ankle])
    return SourceMotion(
        frames=np.asarray(frames),
        turns=without_sign_jumps(whole),
        joints=to_world(joints),
        rest_joints=heads @ rest_world[:3, :3].T + rest_world[:3, 3],
        rest_tails=rest.tails @ rest_world[:3, :3].T + rest_world[:3, 3],
        soles=to_world(soles),
        leg_length=float(rest_scale * (length + heads[ankle, 2])),
        axes=rest_world[:3, :3] / rest_scale,  # the figure faces -y in its armature
    )
