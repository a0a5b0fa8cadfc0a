# SPDX-License-Identifier: Apache-2.0
"""The file of truth gives back what was put in, refuses what cannot be, and agrees with its camera."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fasthmr.errors import BadInput
from fasthmr.evaluation.ground_truth import GroundTruth
from fasthmr.files import load_arrays, save_arrays
from tests.decoder.landmark_fit.synthetic import BODY
from tests.evaluation.filmed_walk import filmed


def test_round_trip(tmp_path: Path) -> None:
    truth = filmed(7)
    truth.save(tmp_path / "a.truth.npz")
    again = GroundTruth.load(tmp_path / "a.truth.npz")
    for item in fields(GroundTruth):
        np.testing.assert_array_equal(getattr(again, item.name), getattr(truth, item.name))
        assert np.asarray(getattr(again, item.name)).dtype == np.asarray(getattr(truth, item.name)).dtype
    np.testing.assert_allclose(again.timestamps, np.arange(7) / 30)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("pelvis", np.zeros((6, 3)), "shape"),
        ("pelvis", np.full((7, 3), np.nan), "not finite"),
        ("rotations", np.ones((7, 24, 3, 3)), "no rotations"),
        ("camera_from_world", np.ones((7, 4, 4)), "no rotations"),
        ("image_size", np.array([0, 5]), "positive"),
        ("frame_rate", np.array(0.0), "positive number"),
        ("frame_rate", np.array("fast"), "wrong kind"),
        ("betas", np.array(["a"] * 10), "wrong kind"),
    ],
)
def test_damaged_values_are_refused(tmp_path: Path, name: str, value: np.ndarray, says: str) -> None:
    path = tmp_path / "a.truth.npz"
    filmed(7).save(path)
    save_arrays(path, {**load_arrays(path), name: value})
    with pytest.raises(BadInput, match=says) as caught:
        GroundTruth.load(path)
    assert str(path) in str(caught.value)


def test_missing_arrays_and_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.truth.npz"
    filmed(3).save(path)
    arrays = load_arrays(path)
    del arrays["betas"]
    save_arrays(path, arrays)
    with pytest.raises(BadInput, match="betas"):
        GroundTruth.load(path)
    with pytest.raises(BadInput, match="no file of truth"):
        GroundTruth.load(tmp_path / "b.npz")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadInput, match="damaged"):
        GroundTruth.load(path)


def test_what_is_not_valid_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="image_size"):
        replace(filmed(3), image_size=np.array([0, 0])).save(tmp_path / "a.npz")
    assert not list(tmp_path.iterdir())
    empty = replace(
        filmed(3), **{n: getattr(filmed(3), n)[:0] for n in ("pelvis", "rotations", "contacts", "visible")}
    )
    assert replace(empty, camera_from_world=np.zeros((0, 4, 4))).problems() == ["it holds no frames"]


def test_joints_and_vertices_stand_where_the_pelvis_is() -> None:
    truth = filmed(6)
    joints, turns = truth.joints(BODY)
    np.testing.assert_allclose(joints[:, 0], truth.pelvis, atol=1e-6)
    np.testing.assert_allclose(turns[:, 0], truth.rotations[:, 0], atol=1e-6)
    frames = np.array([1, 4])
    skin, skeleton = BODY.vertices(torch.from_numpy(truth.rotations[frames]), torch.from_numpy(truth.betas))
    moved = skin.numpy() + (joints[frames, :1] - skeleton[:, :1].numpy())
    np.testing.assert_allclose(truth.vertices(BODY, frames), moved, atol=1e-5)


def test_world_is_the_camera_frame_turned_back() -> None:
    truth = filmed(6)
    joints, _ = truth.joints(BODY)
    world, turns = truth.joints_world(BODY)
    for frame in range(6):
        matrix = truth.camera_from_world[frame]
        back = world[frame] @ matrix[:3, :3].T + matrix[:3, 3]
        np.testing.assert_allclose(back, joints[frame], atol=1e-9)
        np.testing.assert_allclose(
            matrix[:3, :3] @ turns[frame, 0], truth.rotations[frame, 0].astype(float), atol=1e-6
        )
    assert (np.diff(world[:, 0, 0]) > 0.02).all()  # walks to the right
    assert 0.5 < world[:, 0, 2].mean() < 1.5
    some = np.array([0, 5])
    np.testing.assert_allclose(
        truth.vertices_world(BODY, some), truth.to_world(truth.vertices(BODY, some), some)
    )
