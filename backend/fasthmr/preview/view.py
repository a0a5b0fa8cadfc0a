# SPDX-License-Identifier: Apache-2.0
"""Pinhole cameras as OpenGL wants them, and the camera that follows the figures from the side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

_NEAREST: Final = 0.05  # metres
_FARTHEST: Final = 1000.0

# World axes of a level camera that looks along -x: its x is the world's y, its y points down.
_SIDE_AXES: Final = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])

# Half the side view's shorter angle: narrow enough that a figure at the edge is seen from the side too.
_SIDE_HALF_ANGLE: Final = math.radians(16.0)
_SIDE_MARGIN: Final = 0.3  # metres around the joints, for heads, hands and the soles
_FOLLOW_SECONDS: Final = 0.5


@dataclass(frozen=True)
class View:
    """One picture's camera.

    Attributes:
        clip_from_world: (4, 4) float64, to OpenGL's clip space with y DOWN, so that the first row
            that is read back is the top of the picture.
        eye: (3,) float64, the camera's place in the world.
        size: width and height in pixels.
    """

    clip_from_world: np.ndarray
    eye: np.ndarray
    size: tuple[int, int]


def pinhole_view(
    intrinsics: np.ndarray, world_from_camera: np.ndarray, image_size: Sequence[int], size: tuple[int, int]
) -> View:
    """The view of a pinhole camera (OpenCV axes), drawn at another size.

    A point that the camera matrix projects to (u, v) of the image, whose corner is (0, 0), is drawn at
    (u, v) times size / image_size.

    Args:
        intrinsics: (3, 3) in pixels of the image.
        world_from_camera: (4, 4), rigid.
        image_size: width and height that the intrinsics belong to.
        size: width and height to draw.
    """
    width, height = (float(side) for side in image_size)
    (fx, skew, cx), (_, fy, cy) = intrinsics[0], intrinsics[1]
    near, far = _NEAREST, _FARTHEST
    clip_from_camera = np.array(
        [
            [2 * fx / width, 2 * skew / width, 2 * cx / width - 1, 0.0],
            [0.0, 2 * fy / height, 2 * cy / height - 1, 0.0],
            [0.0, 0.0, (far + near) / (far - near), -2 * far * near / (far - near)],
            [0.0, 0.0, 1.0, 0.0],
        ]
    )
    return View(clip_from_camera @ np.linalg.inv(world_from_camera), world_from_camera[:3, 3].copy(), size)


class SideCamera:
    """A level camera beside the figures, at +x and looking along -x, that follows them smoothly.

    The picture's right is the world's +y, the direction in which the footage's camera looks: what is near
    that camera stands on the left. It keeps everybody and the floor in the picture.

    Args:
        lower: (N, 3) metres, lowest corner of the box around all joints in each frame; NaN where
            nobody is there.
        upper: (N, 3) the highest corner.
        frame_rate: frames per second, for the smoothing.
        size: width and height of the picture.
    """

    def __init__(
        self, lower: np.ndarray, upper: np.ndarray, frame_rate: float, size: tuple[int, int]
    ) -> None:
        lower, upper = _held(lower) - _SIDE_MARGIN, _held(upper) + _SIDE_MARGIN
        lower[:, 2] = np.minimum(lower[:, 2], 0.0)  # the floor belongs in the picture
        sigma = max(1e-3, _FOLLOW_SECONDS * frame_rate)
        self._target = gaussian_filter1d((lower + upper) / 2, sigma, axis=0, mode="nearest")
        width, height = size
        slope = math.tan(_SIDE_HALF_ANGLE) / min(size)
        half = np.maximum(upper - self._target, self._target - lower)
        needed = half[:, 0] + np.maximum(half[:, 1] / (slope * width), half[:, 2] / (slope * height))
        # The widest need of the coming and past second, smoothed: the camera backs off in time.
        widest = maximum_filter1d(needed, int(2 * sigma) * 2 + 1, mode="nearest")
        self._distance = gaussian_filter1d(widest, sigma, mode="nearest", truncate=2.0)
        focal = 0.5 / slope
        self._intrinsics = np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
        self._size = size

    def target(self, frame: int) -> np.ndarray:
        """(3,) metres: the point in the middle of the picture."""
        return self._target[frame]

    def view(self, frame: int) -> View:
        """The view of frame ``frame``, counted from the first one of ``lower``."""
        world_from_camera = np.eye(4)
        world_from_camera[:3, :3] = _SIDE_AXES
        world_from_camera[:3, 3] = self._target[frame] + (self._distance[frame], 0.0, 0.0)
        return pinhole_view(self._intrinsics, world_from_camera, self._size, self._size)


def _held(corners: np.ndarray) -> np.ndarray:
    """Fill frames in which nobody is there, evenly between their neighbours."""
    frames = np.arange(len(corners))
    known = np.isfinite(corners).all(axis=1)
    return np.stack([np.interp(frames, frames[known], axis[known]) for axis in corners.T], axis=1)
