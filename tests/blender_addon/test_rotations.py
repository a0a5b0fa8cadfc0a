# SPDX-License-Identifier: GPL-3.0-or-later
"""rotations.py against Rodrigues' formula, round trips and the geometry of the shorter arc."""

import numpy as np
import pytest
from recover_motion.rotations import (
    matrix_from_quat,
    matrix_from_rotvec,
    quat_from_matrix,
    quat_from_rotvec,
    quat_inverse,
    quat_multiply,
    rotvec_from_quat,
    slerp,
    without_sign_jumps,
)
from smpl_reference import rotation


@pytest.fixture
def rotvecs() -> np.ndarray:
    """Random turns of all sizes up to several full ones, with the awkward ones among them."""
    random = np.random.default_rng(1)
    awkward = [(0, 0, 0), (1e-9, 0, 0), (0, 1e-7, 2e-7), (np.pi, 0, 0), (0, -np.pi, 0), (0, 0, 3.1415926)]
    return np.concatenate([random.normal(0, 2, (300, 3)), random.normal(0, 1e-4, (30, 3)), awkward])


def test_rotvec_to_matrix_is_rodrigues(rotvecs):
    naive = np.array([rotation(rotvec) for rotvec in rotvecs])
    np.testing.assert_allclose(matrix_from_rotvec(rotvecs), naive, atol=1e-12)


def test_leading_shapes_are_kept(rotvecs):
    batch = rotvecs[:300].reshape(5, 60, 3)
    np.testing.assert_array_equal(matrix_from_rotvec(batch)[3, 7], matrix_from_rotvec(batch[3, 7]))
    assert quat_from_matrix(matrix_from_rotvec(batch)).shape == (5, 60, 4)


def test_matrix_round_trip(rotvecs):
    matrices = np.array([rotation(rotvec) for rotvec in rotvecs])
    quats = quat_from_matrix(matrices)
    np.testing.assert_allclose(np.linalg.norm(quats, axis=-1), 1, atol=1e-12)
    np.testing.assert_allclose(matrix_from_quat(quats), matrices, atol=1e-9)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_half_turns_have_no_preferred_component(axis):
    matrix = -np.eye(3)
    matrix[axis, axis] = 1
    np.testing.assert_allclose(np.abs(quat_from_matrix(matrix)), np.eye(4)[axis + 1], atol=1e-12)


def test_rotvec_round_trip():
    rotvecs = np.random.default_rng(2).normal(0, 1, (200, 3))
    rotvecs *= (np.random.default_rng(3).uniform(0, 3.14, 200) / np.linalg.norm(rotvecs, axis=1))[:, None]
    np.testing.assert_allclose(rotvec_from_quat(-quat_from_rotvec(rotvecs)), rotvecs, atol=1e-9)
    np.testing.assert_allclose(rotvec_from_quat(np.array([1.0, 1e-9, 0, 0])), [2e-9, 0, 0], atol=1e-15)


def test_product_and_inverse(rotvecs):
    left, right = quat_from_rotvec(rotvecs), quat_from_rotvec(rotvecs[::-1])
    np.testing.assert_allclose(
        matrix_from_quat(quat_multiply(left, right)),
        matrix_from_quat(left) @ matrix_from_quat(right),
        atol=1e-12,
    )
    np.testing.assert_allclose(
        quat_multiply(left, quat_inverse(left)), np.tile([1.0, 0, 0, 0], (len(left), 1)), atol=1e-12
    )


def test_slerp_turns_at_constant_speed_along_the_shorter_arc():
    random = np.random.default_rng(4)
    for _ in range(50):
        start = quat_from_rotvec(random.normal(0, 2, 3))
        step = random.normal(0, 0.8, 3)
        end = quat_multiply(start, quat_from_rotvec(step)) * random.choice([-1, 1])
        weight = random.uniform()
        expected = rotation(rotvec_from_quat(start)) @ rotation(step * weight)
        np.testing.assert_allclose(matrix_from_quat(slerp(start, end, weight)), expected, atol=1e-9)


def test_slerp_ends_and_equal_rotations():
    start, end = quat_from_rotvec(np.array([[0.3, 1, 0], [0, 0, 2.0]]))
    np.testing.assert_allclose(slerp(start, end, np.array(0.0)), start, atol=1e-15)
    np.testing.assert_allclose(slerp(start, end, np.array(1.0)), end, atol=1e-15)
    np.testing.assert_allclose(slerp(start, start, np.array(0.3)), start, atol=1e-15)
    np.testing.assert_allclose(slerp(start, -start, np.array(0.3)), start, atol=1e-15)


def test_sign_jumps_are_removed_and_nothing_else():
    random = np.random.default_rng(5)
    smooth = quat_from_rotvec(np.linspace((0, 0, 0), (5, 3, 1), 80))[:, None] * np.ones((1, 3, 1))
    jumping = smooth * random.choice([-1, 1], (80, 3, 1))
    mended = without_sign_jumps(jumping)
    assert (np.sum(mended[1:] * mended[:-1], axis=-1) > 0).all()
    np.testing.assert_allclose(matrix_from_quat(mended), matrix_from_quat(smooth), atol=1e-12)
    np.testing.assert_array_equal(mended[0], jumping[0])
