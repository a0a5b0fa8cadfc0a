# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import torch

from fasthmr.body.projection import directions, turn_from_forward
from fasthmr.decoder.view_frame import box_rays, camera_from_view, pixels_in_box

INTRINSICS = torch.tensor([[900.0, 0, 640], [0, 850, 360], [0, 0, 1]])


def random_boxes(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(count, 2, generator=generator) * 600
    return torch.cat([corner, corner + 20 + 300 * torch.rand(count, 2, generator=generator)], dim=-1)


def test_turn_is_the_one_that_world_landmarks_are_turned_by() -> None:
    boxes = random_boxes(50)
    rays, _ = box_rays(boxes[None], INTRINSICS[None])
    middle = boxes.reshape(-1, 2, 2).mean(1)
    expected = turn_from_forward(directions(middle, INTRINSICS))
    assert torch.allclose(camera_from_view(rays[0]), expected, atol=1e-5)


def test_corners_of_the_larger_side_are_one_away() -> None:
    boxes = random_boxes(20)
    corners = pixels_in_box(boxes.reshape(1, 20, 2, 2), boxes[None])[0]
    assert torch.allclose(corners.abs().amax((-1, -2)), torch.ones(20), atol=1e-5)
    assert torch.allclose(corners.sum(-2), torch.zeros(20, 2), atol=1e-5)


def test_size_is_told_at_depth_one() -> None:
    box = torch.tensor([[[640.0 - 90, 360 - 10, 640 + 90, 360 + 10]]])
    rays, half = box_rays(box, torch.tensor([[[900.0, 0, 640], [0, 900, 360], [0, 0, 1]]]))
    assert torch.allclose(rays, torch.zeros(1, 1, 2), atol=1e-6)
    assert torch.allclose(half, torch.tensor([[0.1]]), atol=1e-6)


def test_box_of_no_size_divides_by_nothing() -> None:
    box = torch.tensor([[[100.0, 100, 100, 100]]])
    assert pixels_in_box(torch.full((1, 1, 3, 2), 120.0), box).isfinite().all()
