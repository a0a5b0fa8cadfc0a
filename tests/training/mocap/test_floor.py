# SPDX-License-Identifier: Apache-2.0
"""The floor under a clip, and who stands on it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fasthmr.body import load_body
from fasthmr.training.mocap.floor import find_contacts, floor_height, sole_points, spans


def steps(count: int = 240, floor: float = 0.4, noise: float = 0.0) -> np.ndarray:
    """(T, 4, 3) soles of somebody who walks: each foot rests 20 frames and swings 20."""
    soles = np.zeros((count, 4, 3))
    soles[..., 2] = floor
    for foot, first in ((0, 0), (1, 20)):
        for frame in range(count):
            phase = (frame - first) % 40
            walked = 0.6 * ((frame - first) // 40)
            swing = max(phase - 20, 0) / 20
            height = 0.12 * np.sin(np.pi * swing) if swing else 0.0
            soles[frame, 2 * foot : 2 * foot + 2, 0] = walked + 0.6 * swing + np.array([0.0, 0.2])
            soles[frame, 2 * foot : 2 * foot + 2, 2] += height
    return soles + noise * np.random.default_rng(0).normal(size=soles.shape)


def test_walking() -> None:
    soles = steps(noise=0.001)
    floor = floor_height(soles)
    assert floor == pytest.approx(0.4, abs=0.004)
    contacts = find_contacts(soles, floor)
    frames = np.arange(40, 200)
    resting = (frames % 40 >= 3) & (frames % 40 < 17)
    swinging = (frames % 40 >= 25) & (frames % 40 < 36)
    assert contacts[frames[resting]][:, :2].min() == 1
    assert contacts[frames[swinging]][:, :2].max() == 0
    assert contacts[frames[swinging]][:, 2:].min() == 1


def test_the_lowest_level_is_the_floor_and_platforms_are_stood_on() -> None:
    low, high = steps(160, 0.0), steps(400, 0.5)
    soles = np.concatenate([low, high])
    floor = floor_height(soles)
    assert floor == pytest.approx(0.0, abs=0.01)
    assert find_contacts(soles, floor)[200:500].mean() > 0.3


def test_one_bad_frame_does_not_move_the_floor() -> None:
    soles = steps()
    soles[50, 1, 2] = -0.6
    assert floor_height(soles) == pytest.approx(0.4, abs=0.01)


def test_in_the_air_nothing_is_touched() -> None:
    soles = steps(60)
    flight = soles + np.array([0, 0, 1.0])
    assert find_contacts(flight[:, :, :] + np.linspace(0, 3, 60)[:, None, None], 0.4).max() == 0


def test_soles_of_the_body_at_rest_are_on_its_floor() -> None:
    body = load_body("open")
    rotations = torch.eye(3).repeat(2, 24, 1, 1)
    rotations[:, 0] = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    pelvis = body.rest_joints(torch.zeros(10))[0]
    height = float(pelvis[1])
    soles = sole_points(body, np.zeros(10), rotations.numpy(), np.array([[0, 0, height]] * 2, np.float32))
    assert soles.shape == (2, 4, 3)
    np.testing.assert_allclose(soles[..., 2], 0, atol=0.012)
    # Left of the body is +x, heels are behind: it faces -y in the world.
    assert soles[0, 0, 0] > 0 > soles[0, 2, 0]
    assert soles[0, 0, 1] > soles[0, 1, 1]


def test_spans() -> None:
    assert spans(np.array([1, 1, 0, 0, 1], bool)) == [(0, 2), (4, 5)]
    assert spans(np.zeros(3, bool)) == []
