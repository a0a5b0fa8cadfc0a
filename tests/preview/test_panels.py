# SPDX-License-Identifier: Apache-2.0
"""Sizes, blending, labels and the strip."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasthmr.preview.panels import blend, label, moments, overlay_size, side_size, strip


@given(st.integers(1, 8000), st.integers(1, 8000))
def test_sizes_are_even_and_moderate_and_keep_the_shape(width, height):
    drawn = overlay_size(width, height)
    assert 480 <= max(drawn) <= 960
    assert all(side % 2 == 0 and side >= 2 for side in drawn)
    if min(drawn) >= 100:
        assert drawn[0] / drawn[1] == pytest.approx(width / height, rel=0.02)
    side = side_size(*drawn)
    assert side[1] == drawn[1]
    assert side[0] % 2 == 0
    assert 2 <= side[0] <= max(2, side[1])


def test_footage_within_the_limits_keeps_its_size():
    assert overlay_size(640, 480) == (640, 480)
    assert overlay_size(1920, 1080) == (960, 540)
    assert overlay_size(1080, 1920) == (540, 960)


def test_blending_is_the_weighted_mean_where_the_figure_is():
    rng = np.random.default_rng(0)
    footage = rng.integers(0, 256, (40, 50, 3), np.uint8)
    figures = np.zeros((40, 50, 4), np.uint8)
    figures[10:20, 5:30, 3] = rng.integers(0, 256, (10, 25))
    figures[10:20, 5:30, :3] = figures[10:20, 5:30, 3:] * 0.8
    out = footage.copy()
    blend(out, figures)
    opacity = 0.68 * figures[..., 3:] / 255
    expected = footage * (1 - opacity) + 0.68 * figures[..., :3]
    np.testing.assert_allclose(out, expected, atol=1)
    untouched = footage.copy()
    blend(untouched, np.zeros_like(figures))
    np.testing.assert_array_equal(untouched, footage)


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_labels_are_readable_on_any_ground(ground):
    image = np.full((200, 400, 3), ground, np.uint8)
    label(image, "frame 12")
    second = image.copy()
    label(second, "person 1", 1)
    assert image.max() >= 230
    assert image.min() <= 20
    assert (second != image).any(axis=(1, 2)).nonzero()[0].min() > 14  # below the first line


@given(st.integers(0, 1000), st.integers(1, 500))
def test_moments_are_spread_and_inside(first, count):
    found = moments(first, first + count - 1, 6)
    assert found == sorted(set(found))
    assert len(found) == min(6, count) or count < 6
    assert first <= found[0]
    assert found[-1] < first + count
    if count >= 12:
        assert max(np.diff(found)) - min(np.diff(found)) <= 1


@pytest.mark.parametrize(
    ("count", "size"),
    [(6, (1500, 540)), (6, (1116, 960)), (1, (1500, 540)), (3, (960, 480)), (5, (200, 100))],
)
def test_the_strip_shows_every_picture_once_in_order(count, size):
    width, height = size
    pictures = [np.full((height, width, 3), 60 + 30 * number, np.uint8) for number in range(count)]
    sheet = strip(pictures)
    assert sheet.shape[1] <= 1800
    grey = sheet.reshape(-1, 3)[:, 0]
    areas = [(grey == 60 + 30 * number).sum() for number in range(count)]
    assert min(areas) == max(areas) > 0
    firsts = [int(np.flatnonzero(grey == 60 + 30 * number)[0]) for number in range(count)]
    assert firsts == sorted(firsts)
