# SPDX-License-Identifier: Apache-2.0
"""Misread stretches against tracks made to contain them."""

from __future__ import annotations

import numpy as np
import pytest

from fasthmr.people.misreadings import misread_frames, pixels_per_metre

from .synthetic import figure


def track(scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    world = np.stack([figure(0.2 * np.sin(frame / 5)) for frame in range(len(scales))])
    image = world[..., :2] * scales[:, None, None] + rng.normal(0, 2, (len(scales), 33, 2))
    return image, world


def test_the_scale_is_that_of_the_camera() -> None:
    image, world = track(np.linspace(100, 300, 20))
    np.testing.assert_allclose(pixels_per_metre(image, world), np.linspace(100, 300, 20), rtol=0.03)


@pytest.mark.parametrize("factor", [0.6, 1.4])
def test_a_jump_and_back_is_found(factor: float) -> None:
    scales = np.full(90, 220.0)
    scales[40:47] *= factor
    found = misread_frames(*track(scales), np.arange(90) / 30.0)
    assert np.flatnonzero(found).tolist() == list(range(40, 47))


def test_coming_near_is_no_misreading() -> None:
    image, world = track(np.geomspace(80, 400, 90))
    assert not misread_frames(image, world, np.arange(90) / 30.0).any()


def test_ends_and_short_tracks_are_left_alone() -> None:
    scales = np.full(60, 220.0)
    scales[:5] *= 1.5
    scales[-5:] *= 0.5
    assert not misread_frames(*track(scales), np.arange(60) / 30.0).any()
    short = np.array([220.0, 400.0, 220.0])
    assert not misread_frames(*track(short), np.arange(3) / 30.0).any()
