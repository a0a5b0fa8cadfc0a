# SPDX-License-Identifier: GPL-3.0-or-later
"""Euler angles against Blender's own, and over time."""

import numpy as np
import pytest
from recover_motion.retarget.euler import ORDERS, euler_from_matrix, matrix_from_euler
from recover_motion.rotations import matrix_from_quat


def random_matrices(seed: int, count: int) -> np.ndarray:
    quats = np.random.default_rng(seed).normal(size=(count, 4))
    return matrix_from_quat(quats / np.linalg.norm(quats, axis=1, keepdims=True))


@pytest.mark.parametrize("order", ORDERS)
def test_matrix_is_blenders(order: str) -> None:
    pytest.importorskip("bpy")  # which brings mathutils
    import mathutils

    angles = np.random.default_rng(3).uniform(-4, 4, (20, 3))
    theirs = [np.array(mathutils.Euler(one, order).to_matrix()) for one in angles]
    np.testing.assert_allclose(matrix_from_euler(angles, order), theirs, atol=1e-6)


@pytest.mark.parametrize("order", ORDERS)
def test_angles_give_the_matrix_again(order: str) -> None:
    matrices = random_matrices(5, 300)
    np.testing.assert_allclose(
        matrix_from_euler(euler_from_matrix(matrices, order), order), matrices, atol=1e-9
    )


@pytest.mark.parametrize("order", ORDERS)
def test_angles_go_on_beyond_half_a_turn_and_a_right_middle_angle(order: str) -> None:
    time = np.linspace(0, 1, 200)
    angles = np.stack([4 * np.pi * time, 1.4 * np.sin(5 * time) + 1.2 * time, -7 * time], axis=1)
    middle = ord(order[1]) - ord("X")
    angles[:, [1, middle]] = angles[:, [middle, 1]]
    found = euler_from_matrix(matrix_from_euler(angles, order), order)
    np.testing.assert_allclose(matrix_from_euler(found, order), matrix_from_euler(angles, order), atol=1e-9)
    steps = np.abs(np.diff(angles, axis=0)).max()
    assert np.abs(np.diff(found, axis=0)).max() < 1.05 * steps + 1e-9


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("middle_angle", [np.pi / 2, -np.pi / 2])
def test_gimbal_lock_keeps_the_last_angle(order: str, middle_angle: float) -> None:
    first, middle, last = (ord(letter) - ord("X") for letter in order)
    angles = np.zeros((3, 3))
    angles[:, first], angles[:, last] = [0.3, 0.4, 0.5], 0.2
    angles[:, middle] = [0.0, middle_angle, 0.0]
    found = euler_from_matrix(matrix_from_euler(angles, order), order, near=angles[0])
    np.testing.assert_allclose(found, angles, atol=1e-7)


def test_first_frame_is_close_to_what_was_asked() -> None:
    matrices = matrix_from_euler(np.array([[0.1, 0.2, 0.3]]), "XYZ")
    near = np.array([0.1 + 2 * np.pi, 0.2, 0.3 - 4 * np.pi])
    np.testing.assert_allclose(euler_from_matrix(matrices, "XYZ", near), near[None], atol=1e-12)
