# SPDX-License-Identifier: Apache-2.0
"""The frame of somebody who looks straight at the person: evidence and motion are told in it.

What a detector or an encoder sees is a crop. The same person at the edge of a wide picture looks turned; in
the view frame, whose z axis runs through the middle of the person's box, this is gone. Where the box lies is
told beside it.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Half the larger side of a box is at least this many pixels.
_SMALLEST: float = 4.0


def box_rays(boxes: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
    """Where boxes lie and how large they look.

    Args:
        boxes: (B, T, 4) x0 y0 x1 y1, pixels.
        intrinsics: (B, 3, 3) pixels.

    Returns:
        Ray (B, T, 2) through the middle (x/z, y/z) and half the larger side (B, T) at depth 1.
    """
    focal, centre = _focal(intrinsics), intrinsics[:, None, :2, 2]
    corners = boxes.unflatten(-1, (2, 2))
    middle = (corners.mean(-2) - centre) / focal
    half = 0.5 * (corners[..., 1, :] - corners[..., 0, :]).amax(-1).clamp_min(2 * _SMALLEST)
    return middle, half / focal.mean(-1)


def camera_from_view(rays: Tensor) -> Tensor:
    """The least rotations that turn the optical axis to rays.

    Args:
        rays: (..., 2) x/z and y/z.

    Returns:
        (..., 3, 3); the same as :func:`fasthmr.body.projection.turn_from_forward` gives for their directions.
    """
    toward = torch.nn.functional.normalize(torch.cat([rays, torch.ones_like(rays[..., :1])], dim=-1), dim=-1)
    x, y, z = toward.unbind(-1)
    # Rodrigues for the axis (-y, x, 0) at right angles to both; z > 0 always, so nothing is divided by zero.
    share = 1 / (1 + z)
    rows = [1 - x * x * share, -x * y * share, x, -x * y * share, 1 - y * y * share, y, -x, -y, z]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def pixels_in_box(pixels: Tensor, boxes: Tensor) -> Tensor:
    """Points relative to the box: its middle is 0, half its larger side 1.

    Args:
        pixels: (B, T, K, 2).
        boxes: (B, T, 4) x0 y0 x1 y1.
    """
    corners = boxes.unflatten(-1, (2, 2))
    half = 0.5 * (corners[..., 1, :] - corners[..., 0, :]).amax(-1).clamp_min(2 * _SMALLEST)
    return (pixels - corners.mean(-2)[..., None, :]) / half[..., None, None]


def _focal(intrinsics: Tensor) -> Tensor:
    """(B, 1, 2) focal lengths."""
    return torch.stack([intrinsics[:, 0, 0], intrinsics[:, 1, 1]], dim=-1)[:, None]
