# SPDX-License-Identifier: Apache-2.0
"""The contact sheet: dots where landmarks are, outlines where masks end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from fasthmr.errors import BadCall
from fasthmr.people.landmarks import LANDMARK_INDEX
from fasthmr.training.synthesis.people_set import PeopleSet
from fasthmr.training.synthesis.people_sheet import (
    check_sheet_name,
    draw_tile,
    landmarks_in_crop,
    write_people_sheet,
)
from tests.training.synthesis.written_people import write_people


def test_sheet_is_a_picture_of_tiles(tmp_path: Path) -> None:
    people = PeopleSet.open(write_people(tmp_path / "set", 0, 1))
    for name in ("sheet.png", "sheet.jpg"):
        write_people_sheet(tmp_path / name, people, 10)
        image = cv2.imread(str(tmp_path / name))
        assert image is not None
        assert image.shape == (2 * 256, 8 * 192, 3)
        assert image[272:, 2 * 192 + 16 :].max() < 8  # tiles that nobody fills
    write_people_sheet(tmp_path / "all.png", people, 500)
    assert cv2.imread(str(tmp_path / "all.png")).shape == (2 * 256, 8 * 192, 3)  # type: ignore[union-attr] # pyright: ignore


def test_names_of_pictures() -> None:
    check_sheet_name(Path("a.png"))
    with pytest.raises(BadCall, match=r"sheet\.gif is none"):
        check_sheet_name(Path("sheet.gif"))


def test_landmarks_by_hand(tmp_path: Path) -> None:
    batch = PeopleSet.open(write_people(tmp_path / "set", 0)).take([0])
    marks = torch.zeros(1, 33, 3)
    marks[..., 2] = 3.0
    marks[0, 5] = torch.tensor([0.2, -0.3, 3.0])
    # a square of 256 pixels around (160, 120): index 128 of its columns is pixel 160, whose middle is 160.5
    points = landmarks_in_crop(replace(batch, true_landmarks=marks), 0)
    np.testing.assert_allclose(points[0], [159.5 - 160 + 128 - 32, 119.5 - 120 + 128])
    np.testing.assert_allclose(points[5], points[0] + [300 * 0.2 / 3, -300 * 0.3 / 3], atol=1e-5)


def test_dots_rings_and_outlines(tmp_path: Path) -> None:
    batch = PeopleSet.open(write_people(tmp_path / "set", 0)).take([0])
    marks = torch.full((1, 33, 3), 9.0)  # beside the crop
    left, right = LANDMARK_INDEX["left_wrist"], LANDMARK_INDEX["right_wrist"]
    marks[0, left], marks[0, right] = torch.tensor([0.0, 0.0, 3.0]), torch.tensor([0.3, 0.3, 3.0])
    visible = torch.zeros(1, 33, dtype=torch.bool)
    visible[0, left] = True
    grey = torch.full_like(batch.images, 30)
    batch = replace(batch, true_landmarks=marks, visible=visible, images=grey)
    tile = draw_tile(batch, 0)
    points = landmarks_in_crop(batch, 0).round().astype(int)
    filled = tile[points[left, 1], points[left, 0]].astype(int)
    ring = tile[points[right, 1], points[right, 0]].astype(int)
    assert filled[2] > 200  # blue
    assert ring.max() < 120  # as it was, nearly
    beside = tile[points[right, 1], points[right, 0] + 2].astype(int)
    assert beside[0] > 120  # pink
    np.testing.assert_array_equal(tile[100, 60], (255, 220, 0))
    np.testing.assert_array_equal(tile[100, 30], (30, 30, 30))
