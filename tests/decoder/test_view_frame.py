# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import torch

from fasthmr.body.projection import directions, turn_from_forward
from fasthmr.decoder.view_frame import box_rays, camera_from_view, pixels_in_box, steady_boxes

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


def test_steady_boxes_are_weighted_means_over_time() -> None:
    boxes = random_boxes(37)[None].repeat(2, 1, 1)
    boxes[1] += 5
    steady = steady_boxes(boxes)
    weights = torch.exp(-0.5 * ((torch.arange(37.0)[:, None] - torch.arange(37.0)) / 5) ** 2)
    weights[(torch.arange(37)[:, None] - torch.arange(37)).abs() > 15] = 0
    naive = (weights / weights.sum(1, keepdim=True)) @ boxes
    assert torch.allclose(steady, naive, rtol=1e-5, atol=1e-3)


def test_steady_boxes_keep_what_stands_still_and_calm_what_trembles() -> None:
    still = torch.tensor([100.0, 50, 300, 600]).expand(1, 64, 4)
    assert torch.allclose(steady_boxes(still), still, atol=1e-3)
    assert torch.allclose(steady_boxes(still[:, :1]), still[:, :1], atol=1e-3)  # a clip of one frame
    generator = torch.Generator().manual_seed(3)
    trembling = still + 10 * torch.randn(1, 64, 4, generator=generator)
    moves = [boxes.diff(n=2, dim=1).abs().mean() for boxes in (steady_boxes(trembling), trembling)]
    assert moves[0] < 0.02 * moves[1]
