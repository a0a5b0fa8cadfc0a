# SPDX-License-Identifier: GPL-3.0-or-later
"""Controls that follow no single bone, posed the slow way: by stepping through the scene.

Some rigs hang a control between two bones, or on a target that moves. What it hangs on is known only when
everything above it is posed. So those above are keyed first; then, frame by frame, it is seen where the
control would be with its channels at zero, and what is missing to its goal is keyed.
"""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np

from ..compat import Channels, Placed
from ..rotations import quat_from_matrix, quat_inverse, quat_multiply
from .keys import write_turns
from .solve import Solved
from .target_rig import TargetRig


def pose_by_stepping(
    context: bpy.types.Context,
    target: bpy.types.Object,
    rig: TargetRig,
    solved: Solved,
    frames: np.ndarray,
    every: int,
) -> None:
    """Key the controls that `pose_rig` had to leave out; nothing to do for most rigs.

    Args:
        context: its scene is stepped through once for each level of the hierarchy that has such controls.
        target: the rig, with the other controls keyed in its action.
        rig: the same at rest.
        solved: the motion; the values found are added to it.
        frames: (T,) scene frames.
        every: key every so many of them.
    """
    if not solved.pose.unknown:
        return
    channels = Channels.already_in(Placed.on(target.animation_data))
    for level in _levels(target, rig, solved.pose.unknown):
        seen = _free_turns(context, target, [rig.controls[control] for control in level], frames)
        for number, control in enumerate(level):
            own = quat_multiply(quat_inverse(seen[:, number]), solved.pose.turns[:, control])
            solved.pose.values[control], own = rig.channels[control].fit(own)
            solved.pose.turns[:, control] = quat_multiply(seen[:, number], own)
            write_turns(
                channels,
                rig.controls[control],
                rig.channels[control],
                solved.pose.values[control],
                frames,
                every,
            )
        channels.action.update_tag()


def _levels(target: bpy.types.Object, rig: TargetRig, controls: Sequence[int]) -> list[list[int]]:
    """Controls by how deep they are in the hierarchy, the uppermost first."""
    levels: dict[int, list[int]] = {}
    for control in controls:
        depth = len(target.pose.bones[rig.controls[control]].parent_recursive)
        levels.setdefault(depth, []).append(control)
    return [levels[depth] for depth in sorted(levels)]


def _free_turns(
    context: bpy.types.Context, target: bpy.types.Object, names: Sequence[str], frames: np.ndarray
) -> np.ndarray:
    """Rotations (T, N, 4) that bones have with their own rotation taken off, in armature space."""
    scene, now = context.scene, context.scene.frame_current_final
    matrices = np.empty((2, len(frames), len(names), 3, 3))
    try:
        for number, frame in enumerate(frames.tolist()):
            scene.frame_set(frame)
            for place, name in enumerate(names):
                bone = target.pose.bones[name]
                matrices[0, number, place] = bone.matrix.to_3x3().normalized()
                matrices[1, number, place] = bone.matrix_basis.to_3x3().normalized()
    finally:
        scene.frame_set(int(now // 1), subframe=float(now % 1))
    seen, own = quat_from_matrix(matrices)
    return quat_multiply(seen, quat_inverse(own))
