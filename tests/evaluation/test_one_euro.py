# SPDX-License-Identifier: Apache-2.0
"""The One-Euro filter against a loop over single numbers, and what it does to a body."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from fasthmr.evaluation.one_euro import OneEuro, OneEuroBody, one_euro, orthonormal, smooth_estimate
from fasthmr.evidence import BodyEstimate
from tests.decoder.landmark_fit.synthetic import BODY, walk

SETTINGS = OneEuro(least_cutoff=0.8, per_speed=0.4, speed_cutoff=1.3)


class Naive:
    """The paper's listing for one number."""

    def __init__(self, settings: OneEuro) -> None:
        self.settings, self.last, self.speed = settings, None, 0.0

    def __call__(self, value: float, step: float) -> float:
        if self.last is None:
            self.last = value
            return value
        weight = 1 / (1 + 1 / (2 * math.pi * self.settings.speed_cutoff) / step)
        self.speed += weight * ((value - self.last) / step - self.speed)
        cutoff = self.settings.least_cutoff + self.settings.per_speed * abs(self.speed)
        weight = 1 / (1 + 1 / (2 * math.pi * cutoff) / step)
        self.last = weight * value + (1 - weight) * self.last
        return self.last


def test_single_numbers_are_filtered_as_in_the_paper() -> None:
    rng = np.random.default_rng(0)
    times = rng.uniform(0.01, 0.05, 60).cumsum()
    values = rng.normal(size=(60, 5, 1)).cumsum(0)
    filters = [Naive(SETTINGS) for _ in range(5)]
    steps = np.diff(times, prepend=times[0] - 1)
    wanted = [[one(values[t, k, 0], steps[t]) for k, one in enumerate(filters)] for t in range(60)]
    np.testing.assert_allclose(one_euro(values, times, SETTINGS)[..., 0], wanted)


def test_numbers_of_one_thing_share_their_speed() -> None:
    times = np.arange(50) / 30
    turn = Rotation.from_rotvec([0.4, 1, 2]).as_matrix()
    values = np.random.default_rng(1).normal(size=(50, 3)).cumsum(0)
    np.testing.assert_allclose(
        one_euro(values @ turn.T, times, SETTINGS), one_euro(values, times, SETTINGS) @ turn.T, atol=1e-9
    )


def test_rest_stays_and_speed_lags_less() -> None:
    times = np.arange(90) / 30
    np.testing.assert_allclose(one_euro(np.full((90, 2), 3.0), times, SETTINGS), 3.0, rtol=1e-12)
    ramp = 2 * times[:, None]
    slow = one_euro(ramp, times, OneEuro(1.0, 0.0))
    quick = one_euro(ramp, times, OneEuro(1.0, 2.0))
    assert ramp[-1] - slow[-1] > 3 * (ramp[-1] - quick[-1]) > 0
    # a low-pass filter of first order lags a ramp by its time constant
    assert ramp[-1] - slow[-1] == pytest.approx(2 / (2 * math.pi), rel=1e-3)


def test_short_and_empty() -> None:
    assert one_euro(np.zeros((0, 3)), np.zeros(0), SETTINGS).shape == (0, 3)
    np.testing.assert_array_equal(one_euro(np.ones((1, 3)), np.zeros(1), SETTINGS), 1.0)


def estimate(noise: float) -> tuple[BodyEstimate, np.ndarray]:
    """A walk with trembling rotations and place, and its true joints."""
    rotations, pelvis = walk(120)
    rng = np.random.default_rng(3)
    tremble = Rotation.from_rotvec(noise * rng.normal(size=(120 * 24, 3))).as_matrix().reshape(120, 24, 3, 3)
    turned = torch.from_numpy((rotations.numpy() @ tremble).astype(np.float32))
    rest = BODY.rest_joints(torch.zeros(10))[0]
    shift = pelvis - rest + noise * torch.from_numpy(rng.normal(size=(120, 3)).astype(np.float32))
    joints, _ = BODY.joints(turned, torch.zeros(10), shift)
    true, _ = BODY.joints(rotations, torch.zeros(10), pelvis - rest)
    made = BodyEstimate(
        rotations=turned.numpy(),
        betas=np.zeros(10, np.float32),
        translation=shift.numpy(),
        joints=joints.numpy(),
        confidence=np.ones((120, 24), np.float32),
    )
    return made, true.numpy()


def test_body_trembles_less_and_stays_a_body() -> None:
    given, _ = estimate(0.05)
    times = np.arange(120) / 30
    smooth = smooth_estimate(given, times, BODY)
    quickest = np.linalg.norm(np.diff(given.joints, n=3, axis=0), axis=-1).mean()
    assert np.linalg.norm(np.diff(smooth.joints, n=3, axis=0), axis=-1).mean() < 0.5 * quickest
    np.testing.assert_allclose(
        smooth.rotations @ smooth.rotations.swapaxes(-1, -2), np.broadcast_to(np.eye(3), (120, 24, 3, 3)),
        atol=1e-5,
    )  # fmt: skip
    joints, _ = BODY.joints(
        torch.from_numpy(smooth.rotations), torch.zeros(10), torch.from_numpy(smooth.translation)
    )
    np.testing.assert_allclose(smooth.joints, joints.numpy(), atol=1e-5)
    np.testing.assert_array_equal(smooth.betas, given.betas)
    np.testing.assert_allclose(smooth.joints[0], given.joints[0], atol=1e-5)


def test_clean_motion_lags_a_little() -> None:
    given, true = estimate(0.0)
    smooth = smooth_estimate(given, np.arange(120) / 30, BODY, OneEuroBody())
    hips = smooth.joints - smooth.joints[:, :1] - (true - true[:, :1])
    assert 0 < np.linalg.norm(hips, axis=-1).mean() < 0.03
    # the default says that a walk lags by about 45 ms: 5 cm at 1.1 m/s
    behind = true[60:, 0, 0] - smooth.joints[60:, 0, 0]
    assert 0.02 < behind.mean() < 0.08


def test_columns_become_rotations() -> None:
    rng = np.random.default_rng(5)
    turns = Rotation.random(9, rng=rng).as_matrix()
    np.testing.assert_allclose(orthonormal(turns[..., :2] * [2.0, 0.5]), turns, atol=1e-9)
    bent = orthonormal(rng.normal(size=(9, 3, 2)))
    np.testing.assert_allclose(np.linalg.det(bent), 1)
