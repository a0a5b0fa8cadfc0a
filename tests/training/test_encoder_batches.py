# SPDX-License-Identifier: Apache-2.0
"""Batches of rendered people and of captured motion, as our encoder reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fasthmr.body import load_body
from fasthmr.encoder.crop_geometry import CropSquare
from fasthmr.encoder.protection import patch_shares as shares_of_packed
from fasthmr.errors import BadInput
from fasthmr.people import PackedMask
from fasthmr.training import encoder_batches
from fasthmr.training.encoder_batches import MocapBatches, PictureBatches, draws, patch_shares
from tests.training.tiny_mocap import tiny_mocap
from tests.training.tiny_people import write_tiny_people


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_people(load_body("open"), tmp_path_factory.mktemp("people") / "set")


@pytest.fixture(scope="module")
def mocap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_mocap(load_body("open"), tmp_path_factory.mktemp("mocap") / "set").folder


def test_a_batch_of_pictures_is_whole(people: Path) -> None:
    batches = PictureBatches(people, seed=1)
    assert len(batches) == 8
    kept = set()
    for _ in range(12):
        batch = batches.draw(5)
        assert batch.crops is not None
        assert batch.levels is not None
        assert batch.crops.shape == (5, 2, 256, 192)
        assert batch.levels.shape == (5, 192)
        assert batch.landmarks.shape == (5, 25, 6)
        kept.add(None if batch.keep is None else batch.keep.shape[1])
        if batch.keep is not None:
            assert (batch.keep.diff(dim=1) > 0).all()  # each patch once
            assert batch.keep.min() >= 0
            assert batch.keep.max() < 192
    assert len(kept) > 1
    assert kept <= {None, *encoder_batches._KEPT}


def test_the_persons_patches_stay_before_the_background(
    people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder_batches, "_PERSON_FIRST", 1.0)
    monkeypatch.setattr(encoder_batches, "_OFTEN", (0, 1.0, 0, 0))
    batch = PictureBatches(people, seed=2).draw(8)
    assert batch.keep is not None
    assert batch.levels is not None
    shown = batch.levels.gather(1, batch.keep).sum(1)
    assert torch.equal(shown, batch.levels.sum(1).clamp_max(64))


def test_held_out_people_are_seen_whole_and_as_they_are(people: Path) -> None:
    held = PictureBatches(people, seed=3, held_out=True)
    batch = held.all_in_order(np.arange(8))
    assert batch.keep is None
    trained = PictureBatches(people, seed=3).all_in_order(np.arange(8))
    assert not torch.equal(batch.betas, trained.betas)


def test_a_mirrored_crop_is_that_of_the_mirrored_picture() -> None:
    """The picture's columns are crop indices from the square's middle; its mirror exchanges i and -i."""
    crop = np.arange(192 * 2).reshape(2, 192)
    flipped = encoder_batches._in_mirror(crop)
    # Index 128 of the square is column 96 of the crop: the middle, which stays where it is.
    assert flipped[0, 96] == crop[0, 96]
    for step in range(1, 96):
        assert flipped[1, 96 + step] == crop[1, 96 - step]
        assert flipped[1, 96 - step] == crop[1, 96 + step]


def test_shares_of_patches_are_those_that_merging_is_told_on_footage() -> None:
    cells = np.random.default_rng(5).random((256, 192)) < 0.4
    # An image that is the crop: index 128 of the square lies at column 96.
    mask = PackedMask.pack(cells)
    assert mask is not None
    expected = shares_of_packed(mask, CropSquare(96, 128, 256)).reshape(-1)
    np.testing.assert_allclose(patch_shares(cells.astype(np.float32)), expected, atol=1e-5)


def test_landmarks_of_motion_have_no_pictures(mocap: Path) -> None:
    batch = MocapBatches(mocap, seed=1).draw(10)
    assert batch.crops is None
    assert 1 <= len(batch.betas) <= 10
    assert batch.landmarks.shape == (len(batch.betas), 25, 6)
    assert torch.isfinite(batch.landmarks).all()
    eye = torch.eye(3).expand_as(batch.rotations)
    torch.testing.assert_close(batch.rotations @ batch.rotations.mT, eye, rtol=0, atol=1e-4)
    held = MocapBatches(mocap, seed=1, split="validation").draw(10)
    assert not torch.equal(held.betas[:1], batch.betas[:1])


def test_a_step_has_what_was_asked_for(people: Path, mocap: Path, tmp_path: Path) -> None:
    pictures, motion = draws(people, None, 3, 4, 0, 2)()
    assert pictures is not None
    assert motion is None
    pictures, motion = draws(None, mocap, 3, 4, 0, 2)()
    assert pictures is None
    assert motion is not None
    pictures, motion = draws(people, mocap, 3, 4, 0, 5)()
    assert pictures is not None
    assert motion is not None
    assert pictures.crops is not None
    assert pictures.crops.shape[1] == 5
    with pytest.raises(BadInput, match="no shards"):
        draws(tmp_path, None, 3, 4, 0, 2)
