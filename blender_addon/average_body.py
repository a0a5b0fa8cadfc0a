# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion on the body's average shape instead of the person's own: the same turns, feet that still stand.

With other legs the pelvis must take another way. From frame to frame it goes across the floor so that what
stands on the floor, heel, ball or toes, moves there as it did under the person's own body: a foot that stood
still does so still, and steps get as long as the legs make them. In the air it goes as much farther or less
far as the legs are longer or shorter. Its height is what puts the lowest point under the soles where it was
at each frame: feet that stood on the floor stand on it, and jumps are as high as they were.

The figure no longer covers the person in the footage exactly, and people who met no longer meet exactly.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .body_file import Body
from .leg_pose import ANKLE, HIP, KNEE, LEGS, RestSkeleton, pose_legs, sole_points
from .motion_file import MotionFile
from .rest_figure import RestFigure, turns_of_figure
from .rig import bone_tails
from .rotations import quat_from_rotvec

_BESIDE = 0.02
"""Metres above the lowest point of the soles at which another counts a third as much."""

_STANDS, _FLIES = 0.05, 0.15
"""Metres above the floor up to which the lowest point of the soles stands, and from which it flies."""


def on_average_body(motion: MotionFile, body: Body, betas: np.ndarray) -> MotionFile:
    """A motion as the average body would do it.

    Args:
        motion: the motion; its floor is at z = 0.
        body: the body that it was made with.
        betas: (10,) the person's shape.

    Returns:
        The motion with shape 0 and other translations; rotations, times and camera are the same.
    """
    own, average = RestFigure.of(body, betas), RestFigure.of(body, np.zeros_like(betas))
    turns = turns_of_figure(quat_from_rotvec(motion.poses))
    pelvis = own.pelvis_in_world(motion.trans)
    soles = _soles(own, turns, pelvis)
    other_soles = _soles(average, turns, np.zeros_like(pelvis))  # about the pelvis
    lowest = soles[..., 2].min(axis=1)

    ratio = _leg_length(average) / _leg_length(own)
    steps = ratio * np.diff(pelvis[:, :2], axis=0)
    share = np.exp((lowest[:, None] - soles[..., 2]) / _BESIDE)
    share = _between(share / share.sum(axis=1, keepdims=True))[..., None]
    standing_steps = np.sum(share * np.diff(soles - other_soles, axis=0)[..., :2], axis=1)
    stands = _between(np.clip((_FLIES - lowest) / (_FLIES - _STANDS), 0, 1))[:, None]
    steps = stands * standing_steps + (1 - stands) * steps

    other = np.empty_like(pelvis)
    other[:, :2] = pelvis[0, :2] + np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    other[:, 2] = lowest - other_soles[..., 2].min(axis=1)
    return replace(
        motion,
        trans=other - average.pelvis_in_world(np.zeros(3)),
        betas=np.zeros_like(betas),
        meta={**motion.meta, "shape_shown": "average"},
    )


def _leg_length(figure: RestFigure) -> float:
    """Hip to knee to ankle, metres; the mean of both legs."""
    hip, knee, ankle = (figure.joints[LEGS[:, part]] for part in (HIP, KNEE, ANKLE))
    return float(np.mean(np.linalg.norm(knee - hip, axis=1) + np.linalg.norm(ankle - knee, axis=1)))


def _soles(figure: RestFigure, turns: np.ndarray, pelvis: np.ndarray) -> np.ndarray:
    """Places (T, 6, 3) of the points under the soles."""
    no_bones = np.tile([1.0, 0.0, 0.0, 0.0], (len(figure.joints), 1))  # turns are about the figure's axes
    skeleton = RestSkeleton(figure.joints, bone_tails(figure), no_bones)
    return sole_points(skeleton, pose_legs(skeleton, turns, pelvis))


def _between(values: np.ndarray) -> np.ndarray:
    """Means (T - 1, ...) of neighbours."""
    return (values[1:] + values[:-1]) / 2
