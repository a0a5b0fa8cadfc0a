# SPDX-License-Identifier: Apache-2.0
"""From a crop's camera to the whole picture's, and what CameraHMR is told of both.

The networks say where the person is in the crop by three numbers: s, tx, ty. A point (x, y, z) of the body,
in metres from its origin, appears in the crop at ``s (x + tx)`` and ``s (y + ty)`` of half a side to the
right and below of the middle, if it lies in the plane z = 0; HMR (Kanazawa et al., CVPR 2018, section 3)
calls it weak perspective. A focal length makes a distance of the scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from fasthmr.encoder.crop_geometry import CROP_SIDE, CropSquare

#: Focal length that HMR2.0 was trained with, pixels of the crop: the view of 3 degrees.
HMR2_FOCAL: Final = 5000.0


def translation_in_crop(camera: np.ndarray, focal: float = HMR2_FOCAL) -> np.ndarray:
    """Where the body stands before the crop's own camera, which looks at the crop's middle.

    HMR2.0 projects its training keypoints with it: ``focal * (point + translation)`` over depth, from
    index 128 of the crop.

    Args:
        camera: (T, 3) s, tx, ty.
        focal: of the crop's camera, pixels of the crop.

    Returns:
        (T, 3) metres.
    """
    scale, across, down = np.moveaxis(np.asarray(camera, np.float64), -1, 0)
    return np.stack([across, down, 2 * focal / (CROP_SIDE * scale)], axis=-1)


def translation_in_image(
    camera: np.ndarray, squares: Sequence[CropSquare] | np.ndarray, intrinsics: np.ndarray
) -> np.ndarray:
    """Where the body stands before the camera of the whole picture.

    Both networks' demonstrations use this formula (``cam_crop_to_full``, ``convert_to_full_img_cam``) with
    the picture's middle for the principal point; here it is the camera's. CameraHMR was trained through it:
    its projection is this camera's. For HMR2.0 it is an approximation: the crop's camera and the picture's
    show the body's origin, and what is as far away as it, at the same pixel, and the rest the better the
    longer the lens and the nearer the crop is to the picture's middle.

    Args:
        camera: (T, 3) s, tx, ty.
        squares: T squares that the crops were cut from, or (T, 3): x, y, side.
        intrinsics: (3, 3) of the picture, pixels are square.

    Returns:
        (T, 3) metres; behind the camera where s is negative, which a trained network does not say.
    """
    scale, across, down = np.moveaxis(np.asarray(camera, np.float64), -1, 0)
    x, y, side = _columns(squares)
    focal = float(intrinsics[0, 0])
    pixels_a_metre = scale * side / 2
    return np.stack(
        [
            across + (x - intrinsics[0, 2]) / pixels_a_metre,
            down + (y - intrinsics[1, 2]) / pixels_a_metre,
            focal / pixels_a_metre,
        ],
        axis=-1,
    )


def box_information(squares: Sequence[CropSquare] | np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """What CameraHMR is told of a crop: where it lies and how large it is, in focal lengths.

    CLIFF's (Li et al., ECCV 2022, section 3.2) with the real focal length instead of the diagonal.

    Args:
        squares: B squares that the crops were cut from, or (B, 3): x, y, side.
        intrinsics: (3, 3) of the picture, pixels are square.

    Returns:
        (B, 3) float32: centre from the principal point, x and y, and side.
    """
    x, y, side = _columns(squares)
    place = np.stack([x - intrinsics[0, 2], y - intrinsics[1, 2], side], axis=-1)
    return (place / float(intrinsics[0, 0])).astype(np.float32)


def _columns(squares: Sequence[CropSquare] | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y, side = np.asarray(squares, np.float64).reshape(-1, 3).T
    return x, y, side
