# SPDX-License-Identifier: Apache-2.0
"""A contact sheet of synthetic people with their masks and landmarks, to be looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np

from fasthmr.encoder.crop_geometry import FIRST_COLUMN, CropSquare, crop_from_image
from fasthmr.errors import BadCall
from fasthmr.files import written_whole
from fasthmr.people.landmarks import LANDMARK_INDEX
from fasthmr.training.synthesis.people_set import PeopleBatch, PeopleSet

_COLUMNS: Final = 8
_OUTLINE: Final = (255, 220, 0)
_SIDES: Final = {"left": (60, 220, 255), "right": (255, 90, 200)}
_MIDDLE: Final = (255, 255, 255)


def write_people_sheet(path: Path, people: PeopleSet, count: int = 32) -> None:
    """Draw samples from all over a set.

    The outline is the mask's; a landmark is a dot where it is visible and a ring where it is hidden; the left
    side is blue, the right one pink.

    Args:
        path: the picture, ``.png`` or ``.jpg``.
        people: the set.
        count: samples.

    Raises:
        BadCall: the name ends otherwise.
        BadInput: the place cannot be written to.
    """
    check_sheet_name(path)
    rows = np.unique(np.linspace(0, len(people) - 1, count).astype(int))
    batch = people.take(rows)
    tiles = [draw_tile(batch, row) for row in range(len(batch))]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % _COLUMNS)
    lines = [np.concatenate(tiles[at : at + _COLUMNS], axis=1) for at in range(0, len(tiles), _COLUMNS)]
    quality = [cv2.IMWRITE_JPEG_QUALITY, 80] if path.suffix == ".jpg" else []
    _, packed = cv2.imencode(path.suffix, np.concatenate(lines)[..., ::-1], quality)
    with written_whole(path) as stream:
        stream.write(packed.tobytes())


def check_sheet_name(path: Path) -> None:
    """Refuse a name that is no picture's.

    Raises:
        BadCall: it ends neither in .png nor in .jpg.
    """
    if path.suffix not in {".png", ".jpg"}:
        raise BadCall(f"A sheet is a .png or a .jpg file; {path} is none.")


def draw_tile(batch: PeopleBatch, row: int) -> np.ndarray:
    """One sample, (256, 192, 3) uint8 RGB."""
    tile = batch.images[row].numpy().copy()
    outline, _ = cv2.findContours(batch.masks[row].numpy(), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(tile, outline, -1, _OUTLINE, 1)
    names = {index: name for name, index in LANDMARK_INDEX.items()}
    for landmark, point in enumerate(landmarks_in_crop(batch, row)):
        colour = _SIDES.get(next((side for side in _SIDES if side in names[landmark]), ""), _MIDDLE)
        filled = bool(batch.visible[row, landmark])
        cv2.circle(tile, (round(point[0]), round(point[1])), 2, colour, -1 if filled else 1, cv2.LINE_AA)
    return tile


def landmarks_in_crop(batch: PeopleBatch, row: int) -> np.ndarray:
    """(33, 2) indices of the crop's columns and rows where the landmarks lie."""
    points = batch.true_landmarks[row].numpy().astype(np.float64)
    projected = points @ batch.intrinsics[row].numpy().T
    pixels = projected[:, :2] / projected[:, 2:].clip(0.1) - 0.5
    square = CropSquare(*batch.squares[row].tolist())
    return np.stack(
        [crop_from_image(square, pixels[:, 0], 0) - FIRST_COLUMN, crop_from_image(square, pixels[:, 1], 1)], 1
    )
