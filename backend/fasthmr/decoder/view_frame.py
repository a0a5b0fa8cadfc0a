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
# Standard deviation of the blur that steadies boxes, frames of 30 a second.
_STEADY: int = 5


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


def steady_boxes(boxes: Tensor) -> Tensor:
    """Boxes that move as calmly as somebody who follows the person with a camera.

    A detector's boxes tremble by a few percent of their size from frame to frame. In a view frame that
    trembles with them, even somebody who stands still trembles, and the networks would have to tell it
    exactly for motion to be smooth again; so boxes are blurred over time (a Gaussian of a sixth of a second)
    before anything is told relative to them.

    Args:
        boxes: (B, T, 4) x0 y0 x1 y1, pixels, 30 frames a second.

    Returns:
        (B, T, 4); towards both ends over the frames that there are.
    """
    offsets = torch.arange(-3 * _STEADY, 3 * _STEADY + 1, device=boxes.device).to(boxes)
    kernel = torch.exp(-0.5 * (offsets / _STEADY) ** 2)[None, None]
    rows = boxes.mT.reshape(-1, 1, boxes.shape[1])
    blurred = torch.nn.functional.conv1d(rows, kernel, padding=3 * _STEADY)
    share = torch.nn.functional.conv1d(torch.ones_like(rows[:1]), kernel, padding=3 * _STEADY)
    return (blurred / share).reshape(boxes.mT.shape).mT


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
