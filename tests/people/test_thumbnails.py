# SPDX-License-Identifier: Apache-2.0
"""Thumbnails: sizes, edges, and which moment is best."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fasthmr.people import Detection
from fasthmr.people.thumbnails import HEIGHT, decode, encode, merit, thumbnail

from .synthetic import IMAGE_SIZE, detection

IMAGE = cv2.resize(np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8), (640, 480))


@pytest.mark.parametrize(
    "box",
    [(100, 50, 200, 350), (-50, -50, 100, 200), (600, 440, 700, 500), (10, 10, 13, 400), (0, 0, 640, 480)],
)
def test_thumbnails_are_256_high(box: tuple[int, int, int, int]) -> None:
    picture = thumbnail(IMAGE, np.array(box, float))
    assert picture is not None
    assert picture.dtype == np.uint8
    assert picture.shape[0] == HEIGHT
    assert picture.shape[1] <= 2 * HEIGHT


def test_wide_ones_are_less_high() -> None:
    picture = thumbnail(IMAGE, np.array([0, 200, 640, 220], float))
    assert picture is not None
    assert picture.shape[1] == 2 * HEIGHT
    assert picture.shape[0] < HEIGHT


def test_the_box_lies_in_the_middle() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    image[100:300, 200:300] = (255, 0, 0)
    picture = thumbnail(image, np.array([200, 100, 300, 300], float))
    assert picture is not None
    rows, columns = np.nonzero(picture[..., 0] > 128)
    assert abs(rows.mean() - (picture.shape[0] - 1) / 2) < 2
    assert abs(columns.mean() - (picture.shape[1] - 1) / 2) < 2


def test_outside_of_the_image_there_is_none() -> None:
    assert thumbnail(IMAGE, np.array([900, 50, 950, 100], float)) is None


def test_jpeg_keeps_colours() -> None:
    again = decode(encode(IMAGE))
    assert again.shape == IMAGE.shape
    assert np.abs(again.astype(int) - IMAGE).mean() < 6


def test_the_best_moment_is_large_whole_and_sure() -> None:
    best = detection(640, height=300)
    assert merit(best, IMAGE_SIZE) > merit(detection(640, height=150), IMAGE_SIZE)
    assert merit(best, IMAGE_SIZE) > merit(detection(0, height=300), IMAGE_SIZE)
    assert merit(best, IMAGE_SIZE) > merit(detection(640, height=300, score=0.6), IMAGE_SIZE)
    away = best.landmarks_world * (-1, 1, -1)
    turned = Detection(best.box, best.landmarks_image, away, best.visibility, best.score)
    assert merit(best, IMAGE_SIZE) > merit(turned, IMAGE_SIZE)
