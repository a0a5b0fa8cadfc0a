# SPDX-License-Identifier: Apache-2.0
"""The packed set gives back what was put in, and is whole or not there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fasthmr.errors import BadInput
from fasthmr.training.mocap.packed import (
    MocapClip,
    MocapSet,
    PackedMotion,
    activity,
    matrices_from_quaternions,
    quaternions_from_matrices,
    sampling_weights,
    split_of,
    write_mocap_set,
)


def motion(name: str, count: int = 5, seed: int = 0, label: str = "walk") -> PackedMotion:
    rng = np.random.default_rng(seed)
    turns = Rotation.random(count * 24, rng=rng).as_matrix().reshape(count, 24, 3, 3)
    return PackedMotion(
        name=name,
        skeleton="cmu_asf",
        subject=5,
        label=label,
        split="train",
        source_frame_rate=120.0,
        betas=rng.normal(size=10).astype(np.float32),
        rotations=turns.astype(np.float32),
        pelvis=rng.normal(size=(count, 3)).astype(np.float32),
        contacts=rng.uniform(size=(count, 4)).astype(np.float32),
    )


def test_round_trip(tmp_path: Path) -> None:
    clips = [motion("a", 5, 0), motion("b", 7, 1)]
    write_mocap_set(tmp_path / "set", clips)
    packed = MocapSet.open(tmp_path / "set")
    assert [clip.name for clip in packed.clips] == ["a", "b"]
    for clip, source in zip(packed.clips, clips, strict=True):
        assert clip.count == len(source.rotations)
        np.testing.assert_allclose(packed.rotations(clip.start, clip.count), source.rotations, atol=1e-6)
        np.testing.assert_array_equal(packed.pelvis(clip.start, clip.count), source.pelvis)
        np.testing.assert_array_equal(packed.contacts(clip.start, clip.count), source.contacts)
        np.testing.assert_allclose(clip.betas, source.betas)
    second = packed.clips[1]
    np.testing.assert_array_equal(packed.pelvis(second.start + 2, 3), clips[1].pelvis[2:5])


def test_quaternions_agree_with_scipy() -> None:
    # Half turns about each axis are where a careless formula divides by nothing.
    half = Rotation.from_rotvec(np.pi * np.eye(3)).as_matrix()
    turns = np.concatenate(
        [half, np.eye(3)[None], Rotation.random(200, rng=np.random.default_rng(3)).as_matrix()]
    )
    ours = quaternions_from_matrices(turns)
    np.testing.assert_allclose(matrices_from_quaternions(ours), turns, atol=1e-6)
    theirs = Rotation.from_matrix(turns).as_quat()[:, [3, 0, 1, 2]]
    assert np.abs(np.abs((ours * theirs).sum(-1)) - 1).max() < 1e-6


def test_a_set_is_not_written_over_another(tmp_path: Path) -> None:
    write_mocap_set(tmp_path / "set", [motion("a")])
    with pytest.raises(BadInput, match="not empty"):
        write_mocap_set(tmp_path / "set", [motion("b")])
    assert MocapSet.open(tmp_path / "set").clips[0].name == "a"


def test_nothing_is_left_when_a_clip_is_bad(tmp_path: Path) -> None:
    broken = motion("b")
    broken.pelvis[2] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        write_mocap_set(tmp_path / "set", [motion("a"), broken])
    with pytest.raises(ValueError, match="two clips"):
        write_mocap_set(tmp_path / "set", [motion("a"), motion("a")])
    assert list(tmp_path.iterdir()) == []


def test_opening_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has no clips"):
        MocapSet.open(tmp_path)
    write_mocap_set(tmp_path / "set", [motion("a")])
    listing = tmp_path / "set" / "clips.json"
    content = json.loads(listing.read_text())
    content["clips"][0]["count"] = 6
    listing.write_text(json.dumps(content))
    with pytest.raises(BadInput, match="Make the set again"):
        MocapSet.open(tmp_path / "set")


def test_splits_are_stable_and_small() -> None:
    names = [f"{subject:02}_{trial:02}" for subject in range(50) for trial in range(40)]
    splits = [split_of(name, False) for name in names]
    assert 0.03 < splits.count("validation") / len(names) < 0.05
    assert splits == [split_of(name, False) for name in names]
    assert split_of("131_01", True) == "test"


def test_weights_balance_groups() -> None:
    base = MocapClip("x", "acrnn_bvh", None, "salsa", "train", 0, 900, 60.0)
    clips = [
        base,
        replace(base, name="y"),
        replace(base, name="z", label="walk", count=200, skeleton="cmu_asf"),
    ]
    weights = sampling_weights(clips)
    assert weights.sum() == pytest.approx(1)
    assert weights[0] == pytest.approx(weights[1])
    # 1800 frames against 200: three to one, not nine to one.
    assert (weights[0] + weights[1]) / weights[2] == pytest.approx(3)
    assert len(sampling_weights([])) == 0


def test_activities() -> None:
    base = MocapClip("cmu_acrnn/salsa/1", "acrnn_bvh", None, "", "train", 0, 9, 60.0)
    assert activity(base) == "salsa"
    assert activity(replace(base, name="a", label="Run Dive Over Roll Run")) == "floor"
    assert activity(replace(base, name="a", label="slow walk")) == "walk"
    assert activity(replace(base, name="a", label="?")) == "other"
