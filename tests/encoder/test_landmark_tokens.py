# SPDX-License-Identifier: Apache-2.0
"""What the network reads of landmarks."""

from __future__ import annotations

import torch

from fasthmr.decoder import evidence_features
from fasthmr.encoder.config import OPEN
from fasthmr.encoder.crop_geometry import CropSquare, crop_from_image
from fasthmr.encoder.landmark_tokens import READ, landmark_numbers


def drawn(count: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    image = 100 + 40 * torch.randn(count, 33, 2, generator=generator)
    world = 0.5 * torch.randn(count, 33, 3, generator=generator)
    visibility = torch.rand(count, 33, generator=generator).clamp_min(0.01)
    squares = torch.tensor([100.0, 90, 120]) + 20 * torch.rand(count, 3, generator=generator)
    return image, world, visibility, squares


def test_the_same_landmarks_are_read_as_by_the_decoder() -> None:
    assert READ == evidence_features.READ
    assert len(READ) == OPEN.landmarks


def test_places_are_those_of_the_crop() -> None:
    image, world, visibility, squares = drawn()
    numbers = landmark_numbers(image, world, visibility, squares)
    assert numbers.shape == (3, 25, 6)
    assert numbers.dtype == torch.float32
    for person in range(3):
        square = CropSquare(*squares[person].tolist())
        for token, mark in enumerate(READ):
            for axis in (0, 1):
                index = crop_from_image(square, float(image[person, mark, axis]), axis)
                expected = min(2.0, max(-2.0, (index - 128) / 128))
                assert abs(float(numbers[person, token, axis]) - expected) < 1e-4
            assert float(numbers[person, token, 2]) == float(visibility[person, mark])
            assert torch.allclose(numbers[person, token, 3:], 2 * world[person, mark])


def test_moving_and_enlarging_picture_and_square_changes_nothing() -> None:
    image, world, visibility, squares = drawn()
    shift = torch.tensor([31.0, -17.0])
    moved = torch.cat([2.5 * squares[:, :2] + shift, 2.5 * squares[:, 2:]], dim=1)
    other = landmark_numbers(2.5 * image + shift, world, visibility, moved)
    torch.testing.assert_close(other, landmark_numbers(image, world, visibility, squares), rtol=0, atol=1e-5)


def test_what_was_not_seen_is_zero() -> None:
    image, world, visibility, squares = drawn()
    visibility[1, READ[4]] = 0
    numbers = landmark_numbers(image, world, visibility, squares)
    assert not numbers[1, 4].any()
    assert numbers[0].ne(0).all()
