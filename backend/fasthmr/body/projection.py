# SPDX-License-Identifier: Apache-2.0
"""The pinhole camera, and where a body of known size stands in front of it.

Camera frame: OpenCV (x right, y down, z forward), metres; images in pixels.
"""

from __future__ import annotations

import roma
import torch
from torch import Tensor


def project(points: Tensor, intrinsics: Tensor, nearest: float = 0.05) -> Tensor:
    """Project points of the camera frame into the image.

    Args:
        points: (..., 3) metres.
        intrinsics: (3, 3) camera matrix in pixels.
        nearest: depth in metres below which points are held, so that a point at or behind the
            camera gives a large finite value instead of infinity.

    Returns:
        (..., 2) pixels.
    """
    depth = points[..., 2:].clamp_min(nearest)
    focal = torch.stack([intrinsics[0, 0], intrinsics[1, 1]])
    return points[..., :2] / depth * focal + intrinsics[:2, 2]


def rays(pixels: Tensor, intrinsics: Tensor) -> Tensor:
    """Directions through pixels, scaled to depth 1: (..., 2) pixels to (..., 2) x/z and y/z."""
    focal = torch.stack([intrinsics[0, 0], intrinsics[1, 1]])
    return (pixels - intrinsics[:2, 2]) / focal


def turn_from_forward(toward: Tensor) -> Tensor:
    """The least rotations (T, 3, 3) that turn the optical axis into unit directions (T, 3).

    What sees a crop sees it as if the camera looked straight at it; this turns what it says of
    directions into the camera's own axes.
    """
    forward = torch.tensor([0.0, 0.0, 1.0]).expand_as(toward)
    axis = torch.linalg.cross(forward, toward)
    sine = axis.norm(dim=-1, keepdim=True)
    angle = torch.atan2(sine, toward[:, 2:])
    return roma.rotvec_to_rotmat(axis / sine.clamp_min(1e-9) * angle)


def directions(pixels: Tensor, intrinsics: Tensor) -> Tensor:
    """Unit vectors (T, 3) from the camera through pixels (T, 2)."""
    toward = torch.cat([rays(pixels, intrinsics), torch.ones(len(pixels), 1)], dim=-1)
    return torch.nn.functional.normalize(toward, dim=-1)


def translation_from_rays(
    points: Tensor, directions: Tensor, weights: Tensor, depth: Tensor | None = None
) -> Tensor:
    """The translation that puts points of known shape onto their rays, by linear least squares.

    A point p at translation t lies on its ray (u, v) when p_x + t_x = u (p_z + t_z), and likewise
    in y: two linear equations a point in the three unknowns. Written out, the normal equations are
    3x3 and solved in closed form, differentiable in all arguments.

    Args:
        points: (..., K, 3) metres, in camera axes, any origin.
        directions: (..., K, 2) rays of :func:`rays`.
        weights: (..., K) non-negative; at least two points need weight for a depth.
        depth: (...) metres, where the depth of the translation is known already.

    Returns:
        (..., 3) translation in metres.
    """
    u, v = directions[..., 0], directions[..., 1]
    right_x = u * points[..., 2] - points[..., 0]
    right_y = v * points[..., 2] - points[..., 1]
    share = weights / weights.sum(-1, keepdim=True).clamp_min(1e-12)
    mean_u, mean_v = (share * u).sum(-1), (share * v).sum(-1)
    mean_x, mean_y = (share * right_x).sum(-1), (share * right_y).sum(-1)
    # t_x and t_y are eliminated first: t_x = mean_x + mean_u t_z. What is left is one equation in t_z.
    if depth is None:
        off_u, off_v = u - mean_u[..., None], v - mean_v[..., None]
        spread = (share * (off_u.square() + off_v.square())).sum(-1)
        product = share * (off_u * (right_x - mean_x[..., None]) + off_v * (right_y - mean_y[..., None]))
        depth = -product.sum(-1) / spread.clamp_min(1e-12)
    return torch.stack([mean_x + mean_u * depth, mean_y + mean_v * depth, depth], dim=-1)
