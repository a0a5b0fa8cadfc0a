# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion on the body's average shape instead of the person's own: the same turns, feet that still stand.

With other legs the pelvis must take another way. Across the floor it goes as much farther or less far as the
legs are longer or shorter, from where it began: steps then fit the legs, and a foot that stood still does so
still. Its height is what puts the lowest point under the soles where it was at each frame: feet that stood on
the floor stand on it, and jumps are as high as they were.

The figure no longer covers the person in the footage exactly, and people who met no longer meet exactly.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .body_file import Body
from .leg_pose import ANKLE, HIP, KNEE, LEGS, RestSkeleton, pose_legs, sole_heights
from .motion_file import MotionFile
from .rest_figure import RestFigure, turns_of_figure
from .rig import bone_tails
from .rotations import quat_from_rotvec


def on_average_body(motion: MotionFile, body: Body, betas: np.ndarray) -> MotionFile:
    """A motion as the average body would do it.

    Args:
        motion: the motion.
        body: the body that it was made with.
        betas: (10,) the person's shape.

    Returns:
        The motion with shape 0 and other translations; rotations, times and camera are the same.
    """
    own, average = RestFigure.of(body, betas), RestFigure.of(body, np.zeros_like(betas))
    turns = turns_of_figure(quat_from_rotvec(motion.poses))
    pelvis = own.pelvis_in_world(motion.trans)
    other = np.array(pelvis)
    other[:, :2] = pelvis[0, :2] + leg_length(average) / leg_length(own) * (pelvis[:, :2] - pelvis[0, :2])
    other[:, 2] += _lowest(own, turns, pelvis) - _lowest(average, turns, other)
    return replace(
        motion,
        trans=other - average.pelvis_in_world(np.zeros(3)),
        betas=np.zeros_like(betas),
        meta={**motion.meta, "shape_shown": "average"},
    )


def leg_length(figure: RestFigure) -> float:
    """Hip to knee to ankle, metres; the mean of both legs."""
    hip, knee, ankle = (figure.joints[LEGS[:, part]] for part in (HIP, KNEE, ANKLE))
    return float(np.mean(np.linalg.norm(knee - hip, axis=1) + np.linalg.norm(ankle - knee, axis=1)))


def _lowest(figure: RestFigure, turns: np.ndarray, pelvis: np.ndarray) -> np.ndarray:
    """Height (T,) of the lowest of the points under the soles."""
    no_bones = np.tile([1.0, 0.0, 0.0, 0.0], (len(figure.joints), 1))  # turns are about the figure's axes
    skeleton = RestSkeleton(figure.joints, bone_tails(figure), no_bones)
    return sole_heights(skeleton, pose_legs(skeleton, turns, pelvis)).min(axis=1)
