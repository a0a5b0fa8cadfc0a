# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import roma
import torch

from fasthmr.body import load_body
from fasthmr.decoder.segments import (
    joints_of_segments,
    local_from_segments,
    matrix_from_rot6d,
    rot6d_from_matrix,
    segments_from_local,
)


@pytest.fixture(scope="module")
def rotations() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return roma.rotvec_to_rotmat(torch.randn(5, 7, 24, 3, generator=generator))


def test_segments_and_joints_are_those_of_forward_kinematics(rotations: torch.Tensor) -> None:
    body = load_body("open")
    betas = torch.randn(10, generator=torch.Generator().manual_seed(4))
    joints, turned = body.joints(rotations.flatten(0, 1), betas)
    segments = segments_from_local(rotations)
    assert torch.allclose(segments.flatten(0, 1), turned, atol=1e-5)
    mine = joints_of_segments(segments, body.rest_joints(betas)).flatten(0, 1)
    assert torch.allclose(mine, joints - joints[:, :1], atol=1e-5)


def test_local_rotations_come_back(rotations: torch.Tensor) -> None:
    assert torch.allclose(local_from_segments(segments_from_local(rotations)), rotations, atol=1e-5)


def test_two_columns_hold_a_rotation_whatever_their_length(rotations: torch.Tensor) -> None:
    columns = rot6d_from_matrix(rotations)
    assert torch.equal(columns[..., :3], rotations[..., 0])
    assert torch.allclose(matrix_from_rot6d(columns), rotations, atol=1e-5)
    stretched = torch.cat([3 * columns[..., :3], 0.2 * columns[..., 3:] + columns[..., :3]], dim=-1)
    assert torch.allclose(matrix_from_rot6d(stretched), rotations, atol=1e-5)


def test_columns_of_nothing_give_finite_numbers_and_gradients() -> None:
    columns = torch.zeros(2, 6, requires_grad=True)
    matrix_from_rot6d(columns).sum().backward()
    assert columns.grad is not None
    assert columns.grad.isfinite().all()
