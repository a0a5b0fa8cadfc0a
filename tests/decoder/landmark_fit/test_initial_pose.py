# SPDX-License-Identifier: Apache-2.0
"""The closed-form pose points every limb along its landmarks, with hinges that bend the right way."""

from __future__ import annotations

import pytest
import roma
import torch

from fasthmr.body.skeleton import INDEX
from fasthmr.decoder.landmark_fit.correspondence import landmark_model
from fasthmr.decoder.landmark_fit.initial_pose import initial_pose
from fasthmr.decoder.landmark_fit.limits import joint_limits
from tests.decoder.landmark_fit.synthetic import BODY, bent_poses, perfect_landmarks


@pytest.fixture(scope="module")
def rotations() -> torch.Tensor:
    return bent_poses(50, seed=0)


def test_limbs_point_along_the_landmarks(rotations: torch.Tensor) -> None:
    """Of landmarks at the joints: that a detector sees them beside these is left to the fit."""
    world, joints = perfect_landmarks(rotations, marks=landmark_model(BODY, as_detected=False))
    found, _ = BODY.joints(initial_pose(world, BODY), torch.zeros(10))
    for side in ("left", "right"):
        for start, end in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist")):
            a, b = INDEX[f"{side}_{start}"], INDEX[f"{side}_{end}"]
            want = torch.nn.functional.normalize(joints[:, b] - joints[:, a], dim=-1)
            got = torch.nn.functional.normalize(found[:, b] - found[:, a], dim=-1)
            angle = torch.rad2deg(torch.acos((want * got).sum(-1).clamp(-1, 1)))
            assert angle.max() < 0.2, f"{side} {start} to {end}"


def test_knees_and_elbows_start_within_their_limits(rotations: torch.Tensor) -> None:
    world, _ = perfect_landmarks(rotations)
    turns = roma.rotmat_to_rotvec(initial_pose(world, BODY)[:, 1:])
    excess = torch.rad2deg(joint_limits().excess(turns))
    for side in ("left", "right"):
        for joint in ("knee", "elbow"):
            assert excess[:, INDEX[f"{side}_{joint}"] - 1].max() < 8, f"{side} {joint}"
