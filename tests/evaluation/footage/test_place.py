# SPDX-License-Identifier: Apache-2.0
"""Places have room for the person, and nothing between the person and the camera."""

from __future__ import annotations

import numpy as np
import pytest

from fasthmr.evaluation.footage.place import PATTERNS, PROPS, Place, furnish, linear


def furnished(seed: int) -> tuple[Place, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    pelvis = np.stack([np.linspace(-1, 1, 40), np.zeros(40), np.full(40, 0.9)], axis=1)
    joints = pelvis[:, None] + rng.uniform(-0.4, 0.4, (40, 24, 3))
    eyes = np.tile([0.5, -4.0, 1.5], (40, 1))
    return furnish(joints, eyes, np.random.default_rng(seed)), joints, eyes


@pytest.mark.parametrize("seed", range(6))
def test_walls_stand_around_person_and_camera(seed: int) -> None:
    place, joints, eyes = furnished(seed)
    low, high = place.room[:2], place.room[2:]
    for points in (joints[..., :2].reshape(-1, 2), eyes[:, :2]):
        assert (points > low).all()
        assert (points < high).all()
    assert set(place.patterns) <= set(range(len(PATTERNS)))
    assert np.linalg.norm(place.sun) == pytest.approx(1)
    assert place.sun[2] > 0.6  # shadows are short


@pytest.mark.parametrize("seed", range(6))
def test_things_are_out_of_the_way_and_the_line_of_sight(seed: int) -> None:
    place, joints, eyes = furnished(seed)
    assert set(place.prop_kinds) <= set(range(len(PROPS)))
    standing = place.props[place.props[:, 6] == 0]
    assert len(standing) > 0
    for x, y, width, depth, *_ in standing:
        reach = 0.5 * np.hypot(width, depth)
        for frame in range(0, 40, 5):
            for share in np.linspace(0, 1, 25):
                on_the_way = eyes[frame, :2] + share * (joints[frame, 0, :2] - eyes[frame, :2])
                assert np.hypot(*(on_the_way - (x, y))) > reach
        assert np.linalg.norm(joints[::5, :, :2] - (x, y), axis=-1).min() > reach


def test_linear_colours_follow_the_standard() -> None:
    np.testing.assert_allclose(linear(np.array([0, 1.0])), [0, 1])
    assert linear(np.array(0.5)) == pytest.approx(0.21404, abs=1e-5)
    assert linear(np.array(0.04)) == pytest.approx(0.04 / 12.92)
