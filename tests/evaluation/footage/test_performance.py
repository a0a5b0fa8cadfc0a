# SPDX-License-Identifier: Apache-2.0
"""A motion on another body keeps its feet on the floor and its clothes on the skin."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fasthmr.evaluation.footage.performance import (
    Performance,
    dressed_vertices,
    joints_of,
    perform,
    pose_points,
)
from fasthmr.training.synthesis.look import Wardrobe
from tests.decoder.landmark_fit.synthetic import BODY
from tests.evaluation.filmed_walk import little_set

TALL = np.array([2.0, 0.5, 0, 0, 0, 0, 0, 0, 0, 0], np.float32)
FEET = [7, 8, 10, 11]


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, np.ndarray]:
    mocap = little_set(tmp_path_factory.mktemp("mocap") / "set", 1, 40)
    return mocap.rotations(0, 40), mocap.pelvis(0, 40)


def performed(captured: tuple[np.ndarray, np.ndarray], betas: np.ndarray, touching: bool) -> Performance:
    rotations, pelvis = captured
    contacts = np.zeros((40, 4), np.float32)
    contacts[10:20, 0] = float(touching)
    return perform(BODY, rotations, pelvis, contacts, np.zeros(10, np.float32), betas)


def skin(performance: Performance) -> np.ndarray:
    rest = BODY.rest_vertices(torch.from_numpy(performance.betas)).numpy()
    return pose_points(BODY, performance.betas, rest, performance.rotations, performance.pelvis)


@pytest.mark.parametrize("betas", [np.zeros(10, np.float32), TALL, -TALL])
def test_soles_are_on_the_floor_when_they_touch(
    captured: tuple[np.ndarray, np.ndarray], betas: np.ndarray
) -> None:
    lowest = skin(performed(captured, betas, True))[..., 2].min(1)
    assert np.median(lowest[10:20]) == pytest.approx(0, abs=2e-3)
    lowest = skin(performed(captured, betas, False))[..., 2].min(1)
    assert (lowest > -0.005).mean() > 0.9


def test_skin_is_that_of_the_body_model(captured: tuple[np.ndarray, np.ndarray]) -> None:
    performance = performed(captured, TALL, True)
    shape = torch.from_numpy(TALL)
    frames = [0, 17]
    expected, joints = BODY.vertices(torch.from_numpy(performance.rotations[frames]), shape)
    moved = expected.numpy() - joints[:, :1].numpy() + performance.pelvis[frames][:, None]
    np.testing.assert_allclose(skin(performance)[frames], moved, atol=1e-4)
    np.testing.assert_allclose(
        performance.joints,
        joints_of(BODY, TALL, performance.rotations, performance.pelvis),
    )
    np.testing.assert_allclose(performance.joints[:, 0], performance.pelvis, atol=1e-5)
    some = np.array([5, 900, 4000])
    rest = BODY.rest_vertices(shape).numpy()
    np.testing.assert_array_equal(
        pose_points(BODY, TALL, rest, performance.rotations, performance.pelvis, some),
        skin(performance)[:, some],
    )


def test_longer_legs_go_farther(captured: tuple[np.ndarray, np.ndarray]) -> None:
    tall, small = performed(captured, TALL, True), performed(captured, -TALL, True)
    assert tall.stature > small.stature + 0.1
    way = [np.ptp(one.pelvis[:, 0]) for one in (tall, small)]
    legs = [one.pelvis[:, 2].mean() for one in (tall, small)]
    assert way[0] / way[1] == pytest.approx(legs[0] / legs[1], rel=0.05)
    np.testing.assert_array_equal(tall.rotations, small.rotations)
    assert set(np.unique(tall.contacts)) == {0.0, 1.0}


def test_clothes_stand_off_a_little_and_soles_not_at_all(captured: tuple[np.ndarray, np.ndarray]) -> None:
    performance = performed(captured, np.zeros(10, np.float32), True)
    random = np.random.default_rng(0)
    dressed = dressed_vertices(BODY, performance, Wardrobe(BODY).random_look(random), random)
    off = np.linalg.norm(dressed - skin(performance), axis=-1)
    assert off.max() < 0.09  # hair may stand farther off than the 4 cm of clothes
    assert off.mean() > 0.001
    assert dressed[10:20, :, 2].min() > -0.05
