# SPDX-License-Identifier: Apache-2.0
"""From the camera into the world: frames, floor, and the way back into the picture."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch

from fasthmr.body.projection import project
from fasthmr.body.skeleton import INDEX
from fasthmr.evidence import BodyEstimate, Evidence
from fasthmr.motion import Motion
from fasthmr.placement import place
from fasthmr.placement.soles import find_soles
from tests.decoder.landmark_fit.synthetic import BODY, INTRINSICS, evidence_of, walk


def estimate_of(shift: tuple[float, float, float], betas: torch.Tensor) -> tuple[BodyEstimate, Evidence]:
    rotations, pelvis = walk(30)
    pelvis = pelvis + torch.tensor(shift)
    evidence, joints = evidence_of(rotations, pelvis, betas)
    rest_pelvis = BODY.rest_joints(betas)[0]
    estimate = BodyEstimate(
        rotations=rotations.numpy(),
        betas=betas.numpy(),
        translation=(pelvis - rest_pelvis).numpy(),
        joints=joints.astype(np.float32),
        confidence=np.ones((30, 24), np.float32),
    )
    return estimate, evidence


@pytest.fixture(scope="module")
def placed() -> tuple[list[Motion], list[BodyEstimate]]:
    parts = [
        estimate_of((0.0, 0.0, 0.0), torch.tensor([1.0] + 9 * [0.0])),
        estimate_of((0.7, -0.1, 1.0), torch.zeros(10)),
    ]
    estimates = [part[0] for part in parts]
    return place(estimates, [part[1] for part in parts], BODY, {"body": "open"}), estimates


def world_joints(motion: Motion) -> np.ndarray:
    """Forward kinematics of the motion file alone, as a reader of AMASS files does it."""
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(motion.poses).reshape(-1, 24, 3))
    joints, _ = BODY.joints(rotations, torch.from_numpy(motion.betas), torch.from_numpy(motion.trans))
    return joints.numpy()


def test_the_motion_is_valid_and_says_where_it_comes_from(
    placed: tuple[list[Motion], list[BodyEstimate]],
) -> None:
    for motion in placed[0]:
        assert motion.problems() == []
        assert motion.meta["body"] == "open"


def test_world_and_camera_agree(placed: tuple[list[Motion], list[BodyEstimate]]) -> None:
    for motion in placed[0]:
        camera = motion.world_from_camera
        from_camera = (
            np.einsum("tij,tkj->tki", camera[:, :3, :3], motion.joints_camera) + camera[:, None, :3, 3]
        )
        np.testing.assert_allclose(world_joints(motion), from_camera, atol=1e-4)


def test_the_first_pelvis_stands_over_the_origin(placed: tuple[list[Motion], list[BodyEstimate]]) -> None:
    first, second = placed[0]
    np.testing.assert_allclose(world_joints(first)[0, INDEX["pelvis"], :2], 0, atol=1e-4)
    # The other one is where it is beside the first: 0.7 m to the right and 1 m further away.
    np.testing.assert_allclose(world_joints(second)[0, INDEX["pelvis"], :2], [0.7, 1.0], atol=1e-4)


def test_up_is_up(placed: tuple[list[Motion], list[BodyEstimate]]) -> None:
    joints = world_joints(placed[0][0])
    assert (joints[:, INDEX["head"], 2] - joints[:, INDEX["left_ankle"], 2]).min() > 1.0
    # The figure walks to the right of the picture: along +x in the world.
    assert joints[-1, 0, 0] - joints[0, 0, 0] > 0.9


def test_the_lowest_feet_stand_on_the_floor(placed: tuple[list[Motion], list[BodyEstimate]]) -> None:
    motion = placed[0][0]  # the lower of the two
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(motion.poses).reshape(-1, 24, 3))
    betas = torch.from_numpy(motion.betas)
    joints, frames = BODY.joints(rotations, betas, torch.from_numpy(motion.trans))
    heights = find_soles(BODY, betas).place(joints, frames)[..., 2]
    assert abs(np.percentile(heights.numpy(), 5)) < 0.01


def test_the_picture_is_met(placed: tuple[list[Motion], list[BodyEstimate]]) -> None:
    """World joints through the stored camera fall where the estimate's fall."""
    for motion, estimate in zip(*placed, strict=True):
        camera_from_world = np.linalg.inv(motion.world_from_camera)
        inside = np.einsum("tij,tkj->tki", camera_from_world[:, :3, :3], world_joints(motion))
        inside += camera_from_world[:, None, :3, 3]
        intrinsics = torch.tensor(INTRINSICS)
        got = project(torch.from_numpy(inside), intrinsics)
        want = project(torch.from_numpy(estimate.joints).double(), intrinsics)
        torch.testing.assert_close(got, want, atol=0.05, rtol=0)


def test_soles_lie_under_the_feet() -> None:
    betas = torch.zeros(10)
    soles = find_soles(BODY, betas)
    joints, frames = BODY.joints(torch.eye(3).expand(1, 24, 3, 3), betas)
    points = soles.place(joints, frames)[0]
    lowest = BODY.v_template[:, 1].min()
    assert (points[:, 1] - lowest).abs().max() < 0.015
    left_heel, left_toe, right_heel, right_toe = points
    assert left_heel[0] > 0 > right_heel[0]
    assert left_toe[2] - left_heel[2] > 0.1
    assert right_toe[2] - right_heel[2] > 0.1
