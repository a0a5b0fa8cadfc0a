# SPDX-License-Identifier: Apache-2.0
"""Token merging on a real frame, and the picture of it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from fasthmr.encoder import merge_picture
from fasthmr.encoder.config import SMALL_OPEN
from fasthmr.encoder.crop_geometry import HMR2_CROP, CropSquare, square_of
from fasthmr.encoder.merge_picture import Look, draw, find_frame, look_at, mixed_groups, random_model
from fasthmr.encoder.protection import patch_levels
from fasthmr.encoder.token_merging import SCHEDULE, TokenMerging
from fasthmr.errors import BadCall, MissingModel
from fasthmr.footage import open_footage
from fasthmr.people import People, find_people
from fasthmr.people.bundle import find_bundle
from tests.real_clip import demo_clip

FRAMES = 12
SQUARE = CropSquare(250.0, 180.0, 320.0)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[np.ndarray], People]:
    """A few frames of the real clip, and who is in them."""
    try:
        find_bundle()
    except MissingModel:
        pytest.skip("the person detector's weights are not prepared: run `python build.py setup`")
    footage = open_footage(demo_clip(), 2.0, 2.0 + FRAMES / 30)
    return [frame.image for frame in footage], find_people(footage)


@pytest.fixture(scope="module")
def looks(clip: tuple[list[np.ndarray], People]) -> list[Look]:
    images, people = clip
    model = random_model(len(SCHEDULE), SMALL_OPEN)
    looks = []
    for track in people.tracks:
        frame, place = find_frame(people, track.person, None)
        (square,) = square_of(track.boxes[place : place + 1], HMR2_CROP)
        (levels,) = patch_levels([track.masks[place]], [square])
        image = images[frame - int(people.frame_indices[0])]
        looks.append(look_at(image, square, levels, model, TokenMerging()))
    return looks


def test_on_a_real_frame_only_background_merges(looks: list[Look]) -> None:
    assert looks
    for look in looks:
        assert 20 < (look.levels > 0).sum() < 88
        assert look.with_mask.forced.tolist() == [0]
        origin = look.with_mask.origin[0].numpy()
        assert sorted(set(origin.tolist())) == list(range(96))
        for token in range(96):
            members = np.flatnonzero(origin == token)
            assert len(members) == 1 or not look.levels[members].any()
        assert mixed_groups(look.levels, look.with_mask) == 0
        # And it is the mask that does this: without, parts of the person are gone.
        assert mixed_groups(look.levels, look.without_mask) > 5


def test_the_picture_shows_what_merged(looks: list[Look]) -> None:
    look = looks[0]
    picture = draw(look, "Weights: random.")
    assert picture.dtype == np.uint8
    height, width = look.view.shape[:2]
    left = picture[46 : 46 + height, 12 : 12 + width]
    middle = picture[46 : 46 + height, 24 + width : 24 + 2 * width]
    sizes = look.with_mask.sizes[0][look.with_mask.origin[0]].numpy()
    inner = np.s_[8:24, 8:24]
    for patch in range(192):
        row, column = divmod(patch, 12)
        part = np.s_[32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
        assert (left[part][inner] == look.view[part][inner]).all()
        same = (middle[part][inner] == look.view[part][inner]).all()
        assert same == (sizes[patch] == 1)


def test_the_view_is_what_the_patches_see() -> None:
    # Two pixels of the image for one of the network's input: the view has the image's own pixels.
    image = np.random.default_rng(0).integers(0, 255, (600, 600, 3), np.uint8)
    view = merge_picture._view(image, CropSquare(300.5, 280.5, 512.0))
    # The pixel u of the crop is at 300.5 + 2 (u - 128); the first patch begins at column 29.5 and row -2.5.
    left, top = 300.5 + 2 * (29.5 - 128), 280.5 + 2 * (-2.5 - 128)
    x, y = int(left + 0.5), int(top + 0.5)
    expected = image[y : y + 512, x : x + 384]
    difference = np.abs(view[: len(expected)].astype(int) - expected)
    assert np.median(difference) <= 1


def test_forced_merges_are_crossed_out() -> None:
    image = np.full((360, 500, 3), 90, np.uint8)
    levels = np.ones(192, np.uint8)
    look = look_at(image, SQUARE, levels, random_model(4, SMALL_OPEN), TokenMerging())
    assert look.with_mask.forced.tolist() == [96]
    assert mixed_groups(look.levels, look.with_mask) > 96
    lost = (draw(look, "")[46:558, 24 + 384 : 24 + 768] == merge_picture._LOST).all(-1)
    assert lost.sum() > 1000


def test_the_command_writes_a_picture_and_says_what_it_shows(
    clip: tuple[list[np.ndarray], People],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(merge_picture, "find_people", lambda footage: clip[1])
    monkeypatch.setattr(merge_picture, "random_model", lambda layers: random_model(layers, SMALL_OPEN))
    part = [str(demo_clip()), "--start", "2.0", "--end", str(2.0 + FRAMES / 30)]
    out = tmp_path / "merging.jpg"
    assert merge_picture.main([*part, "--out", str(out)]) == 0
    assert "0 with the mask" in capsys.readouterr().out
    picture = cv2.imread(str(out))
    assert picture is not None
    assert picture.shape[1] > 1000
    assert merge_picture.main([*part, "--out", str(tmp_path / "merging.gif")]) == 2
    assert merge_picture.main([*part, "--out", str(out), "--person", "9"]) == 2
    assert merge_picture.main([*part, "--out", str(out), "--frame", "9999"]) == 2
    assert "not seen in frame 9999" in capsys.readouterr().err
    assert merge_picture.main(["nothing.mp4", "--out", str(out)]) == 3


def test_random_weights_are_the_same_everywhere() -> None:
    one, other = (random_model(2, SMALL_OPEN).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_nobody_is_made_up(clip: tuple[list[np.ndarray], People]) -> None:
    with pytest.raises(BadCall, match="no person 7"):
        find_frame(clip[1], 7, None)
