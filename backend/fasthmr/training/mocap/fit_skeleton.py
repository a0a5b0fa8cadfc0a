# SPDX-License-Identifier: Apache-2.0
"""Joints of any skeleton to poses of an SMPL body.

A first pose in closed form from the limbs' directions (the landmark fit's), then all frames of the clip
together: joints at the places of their anchors, angles within what people can do, twist where no joint
shows it near rest and like the frames beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fasthmr.body import BodyModel
from fasthmr.body.skeleton import INDEX
from fasthmr.decoder.landmark_fit.initial_pose import initial_pose
from fasthmr.people.landmarks import LANDMARK_INDEX
from fasthmr.training.mocap.joint_maps import Anchor, anchor_index
from fasthmr.training.mocap.pose_solver import Priors, place_points, solve_poses

if TYPE_CHECKING:
    from fasthmr.training.mocap.calibrate import Calibration

_ROUNDS: Final = 10
# SMPL joint: BlazePose's name for it.
_LIMBS: Final = {
    "hip": "hip",
    "knee": "knee",
    "ankle": "ankle",
    "shoulder": "shoulder",
    "elbow": "elbow",
    "wrist": "wrist",
}


@dataclass(frozen=True)
class FittedMotion:
    """A clip on an SMPL body.

    Attributes:
        rotations: (T, 24, 3, 3) of the joints in their parents, the root in the world (z up).
        pelvis: (T, 3) metres.
        betas: (10,) body shape.
        errors: (T, P) metres between each anchor and where it was seen.
    """

    rotations: NDArray[np.float32]
    pelvis: NDArray[np.float32]
    betas: NDArray[np.float32]
    errors: NDArray[np.float32]


def fit_skeleton(seen: np.ndarray, calibration: Calibration, body: BodyModel) -> FittedMotion:
    """Fit a body to a clip.

    Args:
        seen: (T, P, 3) anchors at 30 frames a second, metres, z up.
        calibration: of their skeleton.
        body: whose pose is found.

    Raises:
        ValueError: the anchors do not fit the calibration, or are not finite.
    """
    if seen.shape[1:] != (len(calibration.anchors), 3):
        raise ValueError(f"{seen.shape} anchors for a calibration of {len(calibration.anchors)}")
    if not np.isfinite(seen).all():
        raise ValueError("anchors that are not finite cannot be fitted")
    rest = body.rest_joints(torch.from_numpy(calibration.betas)).float()
    points = calibration.points()
    # About the first frame: far from the origin single precision loses digits.
    origin = np.array([*seen[0].mean(0)[:2], 0.0], np.float32)
    targets = torch.from_numpy((seen - origin).astype(np.float32))
    with torch.no_grad():
        rotations, pelvis = begin_poses(calibration.anchors, targets, body, rest)
        rotations, pelvis = solve_poses(rest, points, targets, rotations, pelvis, Priors.usual(), _ROUNDS)
        placed, _, _ = place_points(rest, points, rotations, pelvis)
        errors = (placed - targets).norm(dim=-1)
    return FittedMotion(rotations.numpy(), pelvis.numpy() + origin, calibration.betas, errors.numpy())


def begin_poses(
    anchors: Sequence[Anchor], seen: Tensor, body: BodyModel, rest: Tensor
) -> tuple[Tensor, Tensor]:
    """First poses (T, 24, 3, 3) and pelvis (T, 3) from the directions of trunk and limbs.

    Args:
        anchors: P of them; hips, knees, ankles, shoulders, elbows and wrists must be there.
        seen: (T, P, 3) metres.
        body: the body.
        rest: (24, 3) its joints at rest.
    """
    landmarks = seen.new_zeros(len(seen), len(LANDMARK_INDEX), 3)

    def at(name: str) -> Tensor:
        index = anchor_index(anchors, name)
        if index is None:
            raise ValueError(f"no anchor is at {name}")
        return seen[:, index]

    for side in ("left", "right"):
        for part, landmark in _LIMBS.items():
            landmarks[:, LANDMARK_INDEX[f"{side}_{landmark}"]] = at(f"{side}_{part}")
    left = at("left_shoulder") - at("right_shoulder")
    hips, shoulders = (
        0.5 * (at("left_hip") + at("right_hip")),
        0.5 * (at("left_shoulder") + at("right_shoulder")),
    )
    ahead = torch.linalg.cross(left, shoulders - hips)
    ahead = ahead / ahead.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    # The head as the chest, the feet as they point or ahead: Gauss-Newton does the rest.
    landmarks[:, LANDMARK_INDEX["left_ear"]] = shoulders + left
    landmarks[:, LANDMARK_INDEX["right_ear"]] = shoulders - left
    landmarks[:, LANDMARK_INDEX["nose"]] = shoulders + ahead
    for side in ("left", "right"):
        ball = anchor_index(anchors, f"{side}_foot")
        ankle = at(f"{side}_ankle")
        toes = ankle + ahead if ball is None else seen[:, ball] + torch.tensor([0.0, 0.0, 0.03])
        landmarks[:, LANDMARK_INDEX[f"{side}_heel"]] = ankle
        landmarks[:, LANDMARK_INDEX[f"{side}_foot_index"]] = toes
    rotations = initial_pose(landmarks, body)
    middle = 0.5 * (rest[INDEX["left_hip"]] + rest[INDEX["right_hip"]]) - rest[INDEX["pelvis"]]
    return rotations, hips - (rotations[:, 0] @ middle[:, None])[..., 0]
