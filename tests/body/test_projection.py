# SPDX-License-Identifier: Apache-2.0
"""The pinhole camera and the least-squares translation."""

from __future__ import annotations

import numpy as np
import torch

from fasthmr.body.projection import project, rays, translation_from_rays

INTRINSICS = torch.tensor([[1100.0, 0, 650], [0, 1050.0, 340], [0, 0, 1]], dtype=torch.float64)


def scene(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    points = 0.4 * torch.randn(9, 20, 3, generator=generator, dtype=torch.float64)
    places = torch.randn(9, 3, generator=generator, dtype=torch.float64) + torch.tensor([0.0, 0, 5])
    return points, places


def test_projection_against_the_matrix() -> None:
    points, places = scene()
    inside = points + places[:, None]
    homogeneous = inside @ INTRINSICS.T
    expected = homogeneous[..., :2] / homogeneous[..., 2:]
    torch.testing.assert_close(project(inside, INTRINSICS), expected)


def test_rays_undo_the_projection() -> None:
    points, places = scene(1)
    inside = points + places[:, None]
    torch.testing.assert_close(
        rays(project(inside, INTRINSICS), INTRINSICS), inside[..., :2] / inside[..., 2:]
    )


def test_points_behind_the_camera_stay_finite() -> None:
    assert torch.isfinite(project(torch.tensor([[0.1, 0.2, -3.0], [0, 0, 0]]), INTRINSICS.float())).all()


def test_translation_is_found_exactly() -> None:
    points, places = scene(2)
    directions = rays(project(points + places[:, None], INTRINSICS), INTRINSICS)
    weights = torch.rand(9, 20, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    torch.testing.assert_close(translation_from_rays(points, directions, weights), places)


def test_translation_at_a_known_depth() -> None:
    points, places = scene(8)
    directions = rays(project(points + places[:, None], INTRINSICS), INTRINSICS)
    weights = torch.ones(9, 20, dtype=torch.float64)
    torch.testing.assert_close(translation_from_rays(points, directions, weights, places[:, 2]), places)


def test_translation_against_numpy_least_squares() -> None:
    points, places = scene(4)
    noise = 3 * torch.randn(9, 20, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    directions = rays(project(points + places[:, None], INTRINSICS) + noise, INTRINSICS)
    weights = torch.rand(9, 20, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    found = translation_from_rays(points, directions, weights)
    for frame in range(9):
        rows, right = [], []
        for (x, y, z), (u, v), weight in zip(points[frame], directions[frame], weights[frame], strict=True):
            scale = float(weight) ** 0.5
            rows += [[scale, 0, -scale * float(u)], [0, scale, -scale * float(v)]]
            right += [scale * float(u * z - x), scale * float(v * z - y)]
        expected = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]
        np.testing.assert_allclose(found[frame].numpy(), expected, atol=1e-9)


def test_translation_has_gradients() -> None:
    points, places = scene(7)
    directions = rays(project(points + places[:, None], INTRINSICS), INTRINSICS)
    weights = torch.ones(9, 20, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        translation_from_rays, (points[:2].requires_grad_(), directions[:2].requires_grad_(), weights[:2])
    )
