# SPDX-License-Identifier: Apache-2.0
"""Evidence has an entry for every frame, and gaps are missing evidence instead of missing time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fasthmr.errors import BadInput
from fasthmr.evidence import BodyEstimate, Evidence
from fasthmr.files import load_arrays, save_arrays
from fasthmr.people import People, Track

SEEN = np.array([4, 5, 8, 9])


def clip() -> tuple[People, Track]:
    """Twelve frames of uneven length; one person in frames 4, 5, 8 and 9."""
    rng = np.random.default_rng(0)
    timestamps = np.cumsum(rng.uniform(0.02, 0.05, 12)) - 0.02
    track = Track(
        person=1,
        shot=0,
        frame_indices=SEEN.astype(np.int64),
        timestamps=timestamps[SEEN],
        boxes=rng.uniform(0, 100, (4, 4)).astype(np.float32),
        landmarks_image=rng.uniform(0, 100, (4, 33, 3)).astype(np.float32),
        landmarks_world=rng.normal(size=(4, 33, 3)).astype(np.float32),
        visibility=rng.uniform(0.5, 1, (4, 33)).astype(np.float32),
        masks=(None,) * 4,
    )
    people = People(
        tracks=(track,),
        image_size=(640, 480),
        frame_rate=28.0,
        frame_indices=np.arange(12),
        timestamps=timestamps,
    )
    return people, track


def test_every_frame_of_the_span_is_there() -> None:
    people, track = clip()
    evidence = Evidence.from_track(track, people, np.eye(3))
    np.testing.assert_array_equal(evidence.frame_indices, np.arange(4, 10))
    np.testing.assert_array_equal(evidence.timestamps, people.timestamps[4:10])
    np.testing.assert_array_equal(evidence.seen, [True, True, False, False, True, True])
    assert evidence.image_size == (640, 480)
    assert evidence.frame_count == 6


def test_seen_frames_are_kept_and_gaps_filled_in_time() -> None:
    people, track = clip()
    evidence = Evidence.from_track(track, people, np.eye(3))
    rows = SEEN - 4
    np.testing.assert_allclose(evidence.landmarks_image[rows], track.landmarks_image, rtol=1e-6)
    np.testing.assert_array_equal(evidence.visibility[rows], track.visibility)
    assert (evidence.visibility[2:4] == 0).all()
    start, end = people.timestamps[5], people.timestamps[8]
    share = (people.timestamps[6] - start) / (end - start)
    expected = (1 - share) * track.landmarks_world[1] + share * track.landmarks_world[2]
    np.testing.assert_allclose(evidence.landmarks_world[2], expected, atol=1e-6)


def estimate(frames: int = 3) -> BodyEstimate:
    rng = np.random.default_rng(1)
    return BodyEstimate(
        rotations=rng.normal(size=(frames, 24, 3, 3)).astype(np.float32),
        betas=rng.normal(size=10).astype(np.float32),
        translation=rng.normal(size=(frames, 3)).astype(np.float32),
        joints=rng.normal(size=(frames, 24, 3)).astype(np.float32),
        confidence=rng.uniform(size=(frames, 24)).astype(np.float32),
    )


def test_an_estimate_comes_back(tmp_path: Path) -> None:
    before = estimate()
    before.save(tmp_path / "fit.npz")
    after = BodyEstimate.load(tmp_path / "fit.npz")
    for name in ("rotations", "betas", "translation", "joints", "confidence"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))

    assert after.up is None
    assert after.contacts is None


def test_what_a_decoder_knows_of_gravity_and_contacts_comes_back(tmp_path: Path) -> None:
    up = np.tile(np.float32([0, -1, 0]), (3, 1))
    contacts = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    replace(estimate(), up=up, contacts=contacts).save(tmp_path / "decode.npz")
    after = BodyEstimate.load(tmp_path / "decode.npz")
    np.testing.assert_array_equal(after.up, up)
    np.testing.assert_array_equal(after.contacts, contacts)


@pytest.mark.parametrize(
    ("name", "value"),
    [("up", np.zeros((2, 3))), ("up", np.full((3, 3), np.nan)), ("contacts", np.zeros((3, 2)))],
)
def test_damaged_gravity_and_contacts_are_refused(tmp_path: Path, name: str, value: np.ndarray) -> None:
    path = tmp_path / "decode.npz"
    replace(estimate(), **{name: value.astype(np.float32)}).save(path)
    with pytest.raises(BadInput, match=f"damaged '{name}'"):
        BodyEstimate.load(path)


def test_a_damaged_estimate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fit.npz"
    replace(estimate(), joints=np.zeros((2, 24, 3), np.float32)).save(path)
    with pytest.raises(BadInput, match="damaged 'joints'"):
        BodyEstimate.load(path)
    arrays = load_arrays(path)
    del arrays["betas"]
    save_arrays(path, arrays)
    with pytest.raises(BadInput, match="lacks betas"):
        BodyEstimate.load(path)
