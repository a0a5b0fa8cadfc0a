# SPDX-License-Identifier: Apache-2.0
"""Colours of clothes on figures painted in known colours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fasthmr.people import LANDMARK_INDEX, LANDMARK_MIRROR, Detection
from fasthmr.people.appearance import ZONES, describe, difference, typical

from .synthetic import IMAGE_SIZE, clothes, detection

SHIRT, TROUSERS, SKIN = (200, 30, 40), (30, 40, 160), (220, 180, 150)


def paint(person: Detection, background: int = 90) -> np.ndarray:
    image = np.full((IMAGE_SIZE[1], IMAGE_SIZE[0], 3), background, np.uint8)
    at = {name: person.landmarks_image[index, :2].astype(int) for name, index in LANDMARK_INDEX.items()}
    trunk = np.array([at[name] for name in ("left_shoulder", "right_shoulder", "right_hip", "left_hip")])
    cv2.fillPoly(image, [trunk], SHIRT)
    for side in ("left", "right"):
        for colour, start, end in (
            (TROUSERS, "hip", "knee"),
            (TROUSERS, "knee", "ankle"),
            (SHIRT, "shoulder", "elbow"),
            (SKIN, "elbow", "wrist"),
        ):
            cv2.line(image, at[f"{side}_{start}"].tolist(), at[f"{side}_{end}"].tolist(), colour, 16)
    cv2.circle(image, at["nose"].tolist(), 24, SKIN, -1)
    return image


def lab(colour: tuple[int, int, int]) -> np.ndarray:
    return cv2.cvtColor(np.array([[colour]], np.float32) / 255, cv2.COLOR_RGB2Lab)[0, 0]


def test_zones_have_the_colours_of_their_clothes() -> None:
    person = detection(600)
    found = dict(zip(ZONES, describe(paint(person), person), strict=True))
    expected = [SKIN, SHIRT, None, SHIRT, SKIN, TROUSERS, TROUSERS]  # the lower trunk is half and half
    for zone, colour in zip(ZONES, expected, strict=True):
        assert colour is None or np.linalg.norm(found[zone] - lab(colour)) < 8, zone


def test_mixed_up_sides_look_the_same() -> None:
    person = detection(600)
    image = paint(person)
    order = list(LANDMARK_MIRROR)
    mixed = Detection(
        person.box, person.landmarks_image[order], person.landmarks_world, person.visibility, 1.0, person.mask
    )
    np.testing.assert_allclose(describe(image, mixed), describe(image, person), atol=1.0)


def test_what_cannot_be_seen_has_no_colour() -> None:
    person = detection(600)
    person.visibility[[LANDMARK_INDEX[f"{side}_ankle"] for side in ("left", "right")]] = 0.1
    found = dict(zip(ZONES, describe(paint(person), person), strict=True))
    assert np.isnan(found["shins"]).all()
    assert np.isfinite(found["thighs"]).all()


@pytest.mark.parametrize("x", [-400.0, -20.0, 1275.0, 2000.0])
def test_people_at_and_beyond_the_edge(x: float) -> None:
    person = detection(x)
    found = describe(paint(detection(600)), person)
    assert found.shape == (7, 3)
    if not 0 <= x < IMAGE_SIZE[0]:
        assert np.isnan(found[ZONES.index("head")]).all()


def test_differences() -> None:
    red, green = clothes(0.0), clothes(2.1)
    assert difference(red, red) == 0.0
    assert difference(red, green) > 0.8
    shade = red - np.array([15.0, 0, 0], np.float32)
    assert difference(red, shade) < 0.3
    unseen = np.full_like(red, np.nan)
    assert difference(red, unseen) == 0.5


def test_the_typical_colours_are_the_median_of_what_was_seen() -> None:
    frames = np.stack([clothes(0.0), clothes(0.0), clothes(3.0), clothes(0.0)])
    frames[1, 2] = np.nan
    frames[:, 5] = np.nan
    found = typical(frames)
    np.testing.assert_allclose(found[0], clothes(0.0)[0])
    assert np.isnan(found[5]).all()
    assert np.isfinite(found[2]).all()
