# SPDX-License-Identifier: Apache-2.0
"""Joint limits: mirror-symmetric, and hinges bend the way knees and elbows do."""

from __future__ import annotations

import math

import pytest
import roma
import torch

from fasthmr.body.skeleton import INDEX, MIRROR
from fasthmr.decoder.landmark_fit.limits import joint_limits


def turn_of(joint: str, axis: int, degrees: float) -> torch.Tensor:
    turns = torch.zeros(23, 3)
    turns[INDEX[joint] - 1, axis] = math.radians(degrees)
    return turns


def test_both_sides_are_mirror_images() -> None:
    limits = joint_limits()
    flip = torch.tensor([1.0, -1.0, -1.0])
    generator = torch.Generator().manual_seed(0)
    turns = 3 * torch.randn(40, 23, 3, generator=generator)
    other = torch.tensor(MIRROR)[1:] - 1
    mirrored = turns[:, other] * flip
    torch.testing.assert_close(limits.excess(mirrored)[:, other], limits.excess(turns))


def test_knees_bend_backwards_only() -> None:
    limits = joint_limits()
    shin = torch.tensor([0.0, -1.0, 0.0])
    for side in ("left", "right"):
        bent = turn_of(f"{side}_knee", 0, 90)
        assert (roma.rotvec_to_rotmat(bent[INDEX[f"{side}_knee"] - 1]) @ shin)[2] < -0.99
        assert limits.excess(bent).abs().max() == 0
        assert limits.excess(-bent).abs().max() > 1


def test_elbows_bend_forwards_only() -> None:
    limits = joint_limits()
    for side, along, axis_sign in (("left", 1.0, -1), ("right", -1.0, 1)):
        bent = turn_of(f"{side}_elbow", 1, 90 * axis_sign)
        forearm = roma.rotvec_to_rotmat(bent[INDEX[f"{side}_elbow"] - 1]) @ torch.tensor([along, 0.0, 0.0])
        assert forearm[2] > 0.99
        assert limits.excess(bent).abs().max() == 0
        assert limits.excess(-bent).abs().max() > 1


def test_excess_is_the_distance_beyond_the_range() -> None:
    limits = joint_limits()
    excess = limits.excess(turn_of("left_knee", 0, 165))
    assert excess[INDEX["left_knee"] - 1, 0].item() == pytest.approx(math.radians(10), rel=1e-5)
    assert (excess > 0).sum() == 1
