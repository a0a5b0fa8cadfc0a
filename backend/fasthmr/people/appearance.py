# SPDX-License-Identifier: Apache-2.0
"""The colours of a person's clothes, to tell people apart when their paths have crossed.

A few points on head, trunk and limbs are looked up in the picture: seven mean colours. Left and right go
into one mean, so that a figure whose sides the detector mixed up looks the same.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from fasthmr.people.detection import Detection
from fasthmr.people.landmarks import LANDMARK_INDEX

ZONES: Final = ("head", "upper trunk", "lower trunk", "upper arms", "forearms", "thighs", "shins")

# Distances of CIE Lab colours: below 10 is the same cloth in other light, 40 is another one.
DIFFERENT: Final = 40.0
_MIN_VISIBILITY: Final = 0.4


def _points() -> tuple[np.ndarray, np.ndarray]:
    """Sample points as mixtures of landmarks: weights (P, 33) and the zone of each (P,)."""
    weights, zones = [], []

    def add(zone: str, **mixture: float) -> None:
        row = np.zeros(len(LANDMARK_INDEX))
        for name, weight in mixture.items():
            row[LANDMARK_INDEX[name]] = weight
        weights.append(row)
        zones.append(ZONES.index(zone))

    for share in (0.25, 0.5, 0.75):
        add("head", left_ear=share, right_ear=1 - share)
    add("head", nose=1.0)
    for down, zone in ((0.15, 1), (0.3, 1), (0.45, 1), (0.6, 2), (0.75, 2), (0.9, 2)):
        for across in (0.25, 0.5, 0.75):
            add(
                ZONES[zone],
                left_shoulder=(1 - down) * across,
                right_shoulder=(1 - down) * (1 - across),
                left_hip=down * across,
                right_hip=down * (1 - across),
            )
    for side in ("left", "right"):
        for zone, start, end in (
            ("upper arms", "shoulder", "elbow"),
            ("forearms", "elbow", "wrist"),
            ("thighs", "hip", "knee"),
            ("shins", "knee", "ankle"),
        ):
            for share in (0.25, 0.4, 0.55, 0.7):
                add(zone, **{f"{side}_{start}": 1 - share, f"{side}_{end}": share})
    return np.array(weights), np.array(zones)


_WEIGHTS, _ZONE_OF = _points()


def describe(image: np.ndarray, detection: Detection) -> np.ndarray:
    """The colours of a person in one frame.

    Args:
        image: (height, width, 3) uint8 RGB.
        detection: the person.

    Returns:
        (7, 3) float32 CIE Lab, one colour a zone; NaN where a zone cannot be seen.
    """
    height, width = image.shape[:2]
    at = _WEIGHTS @ detection.landmarks_image[:, :2]
    seen = (_WEIGHTS > 0) @ (detection.visibility < _MIN_VISIBILITY) == 0
    seen &= np.all((at >= 0) & (at < (width, height)), axis=1)
    if detection.mask is not None:
        mask = detection.mask
        cells = mask.cells()
        cell = np.floor((at - mask.origin) / mask.cell).astype(int)
        inside = np.all((cell >= 0) & (cell < (cells.shape[1], cells.shape[0])), axis=1)
        cell[~inside] = 0
        seen &= inside & cells[cell[:, 1], cell[:, 0]]
    colours = np.full((len(ZONES), 3), np.nan, np.float32)
    if seen.any():
        pixels = at[seen].astype(int)
        # The mean of a few pixels around each point: single ones are noisy.
        reach = max(1, int(0.006 * (detection.box[3] - detection.box[1])))
        rows = (pixels[:, 1, None, None] + np.array([-reach, 0, reach])[:, None]).clip(0, height - 1)
        columns = (pixels[:, 0, None, None] + np.array([-reach, 0, reach])).clip(0, width - 1)
        patches = image[rows, columns].astype(np.float32).mean((1, 2)) / 255.0
        lab = cv2.cvtColor(patches[None], cv2.COLOR_RGB2Lab)[0]
        for zone in np.unique(_ZONE_OF[seen]):
            colours[zone] = np.median(lab[_ZONE_OF[seen] == zone], axis=0)
    return colours


def typical(descriptions: np.ndarray) -> np.ndarray:
    """(7, 3), the median over frames (T, 7, 3) of each zone; NaN where it was never seen."""
    seen = ~np.isnan(descriptions).all(axis=(0, 2))
    median = np.full(descriptions.shape[1:], np.nan, np.float32)
    if seen.any():
        median[seen] = np.nanmedian(descriptions[:, seen], axis=0)
    return median


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """0..1, how unlike two people's colours are; one half where no zone is seen in both.

    Lightness counts half: it changes when somebody walks from the sun into the shade.
    """
    both = ~np.isnan(a).any(axis=1) & ~np.isnan(b).any(axis=1)
    if both.sum() < 2:
        return 0.5
    distance = np.linalg.norm((a[both] - b[both]) * (0.5, 1.0, 1.0), axis=1)
    return float(np.minimum(1.0, distance / DIFFERENT).mean())
