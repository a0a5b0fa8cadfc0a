# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations in numpy: axis-angle vectors, unit quaternions (w, x, y, z), 3x3 matrices, slerp.

Every function takes any leading shape ``...`` and computes in float64: the motion is stored in
float32, and half an hour of it still converts in well under a second.
"""

from __future__ import annotations

import numpy as np

# Below this angle (radians) the series of sin(x)/x is exact to float64 and free of 0/0.
_SMALL_ANGLE = 1e-6


def quat_from_rotvec(rotvec: np.ndarray) -> np.ndarray:
    """Unit quaternions (..., 4) of axis-angle vectors (..., 3) in radians."""
    rotvec = np.asarray(rotvec, np.float64)
    angle = np.linalg.norm(rotvec, axis=-1, keepdims=True)
    small = angle < _SMALL_ANGLE
    # sin(angle / 2) / angle
    scale = np.where(small, 0.5 - angle**2 / 48, np.sin(angle / 2) / np.where(small, 1, angle))
    return np.concatenate([np.cos(angle / 2), rotvec * scale], axis=-1)


def rotvec_from_quat(quat: np.ndarray) -> np.ndarray:
    """Axis-angle vectors (..., 3), angle in [0, pi], of unit quaternions (..., 4)."""
    quat = np.asarray(quat, np.float64)
    quat = np.where(quat[..., :1] < 0, -quat, quat)
    sine = np.linalg.norm(quat[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, quat[..., :1])
    small = sine < _SMALL_ANGLE
    return quat[..., 1:] * np.where(small, 2.0, angle / np.where(small, 1, sine))


def matrix_from_quat(quat: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) of unit quaternions (..., 4)."""
    w, x, y, z = np.moveaxis(np.asarray(quat, np.float64), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def quat_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """Unit quaternions (..., 4), w not negative, of rotation matrices (..., 3, 3).

    Each of the four components gives one formula, and the one of the largest component is used, so
    that nothing is ever divided by a small number (Shepperd 1978).
    """
    m = np.asarray(matrix, np.float64)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    # row i of `outer` is 4 q_i q, for each component i of the quaternion q
    outer = np.stack(
        [
            np.stack([1 + xx + yy + zz, wx, wy, wz], axis=-1),
            np.stack([wx, 1 + xx - yy - zz, xy, xz], axis=-1),
            np.stack([wy, xy, 1 - xx + yy - zz, yz], axis=-1),
            np.stack([wz, xz, yz, 1 - xx - yy + zz], axis=-1),
        ],
        axis=-2,
    )
    largest = np.argmax(np.diagonal(outer, axis1=-2, axis2=-1), axis=-1)
    quat = np.take_along_axis(outer, largest[..., None, None], axis=-2)[..., 0, :]
    quat = quat / np.linalg.norm(quat, axis=-1, keepdims=True)
    return np.where(quat[..., :1] < 0, -quat, quat)


def matrix_from_rotvec(rotvec: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) of axis-angle vectors (..., 3) in radians."""
    return matrix_from_quat(quat_from_rotvec(rotvec))


def quat_multiply(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Hamilton product (..., 4): the rotation `right`, then the rotation `left`."""
    aw, ax, ay, az = np.moveaxis(np.asarray(left, np.float64), -1, 0)
    bw, bx, by, bz = np.moveaxis(np.asarray(right, np.float64), -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def quat_inverse(quat: np.ndarray) -> np.ndarray:
    """Inverse rotations (..., 4) of unit quaternions (..., 4)."""
    return np.asarray(quat, np.float64) * np.array([1.0, -1.0, -1.0, -1.0])


def slerp(start: np.ndarray, end: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The rotation a share `weight` of the way from `start` to `end`, along the shorter arc.

    Args:
        start: (..., 4) unit quaternions.
        end: (..., 4) unit quaternions.
        weight: (...) in 0..1.

    Returns:
        (..., 4) unit quaternions, on `start`'s side (weight 0 gives `start` itself, sign included).
    """
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    weight = np.asarray(weight, np.float64)[..., None]
    cosine = np.sum(start * end, axis=-1, keepdims=True)
    end = np.where(cosine < 0, -end, end)
    angle = np.arccos(np.clip(np.abs(cosine), 0, 1))
    near = angle < _SMALL_ANGLE  # sin(angle) would be 0/0; the straight line is the arc there
    sine = np.where(near, 1, np.sin(angle))
    share_start = np.where(near, 1 - weight, np.sin((1 - weight) * angle) / sine)
    share_end = np.where(near, weight, np.sin(weight * angle) / sine)
    mixed = share_start * start + share_end * end
    return mixed / np.linalg.norm(mixed, axis=-1, keepdims=True)


def without_sign_jumps(quat: np.ndarray) -> np.ndarray:
    """The same rotations (T, ..., 4), each written on the side of the frame before it.

    q and -q are one rotation, but curves are interpolated number by number: a change of sign
    between two keys would swing the joint once around.
    """
    quat = np.asarray(quat, np.float64)
    flips = np.sum(quat[1:] * quat[:-1], axis=-1, keepdims=True) < 0
    signs = np.cumprod(np.where(flips, -1.0, 1.0), axis=0)
    return np.concatenate([quat[:1], quat[1:] * signs], axis=0)
