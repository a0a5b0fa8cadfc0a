# SPDX-License-Identifier: Apache-2.0
"""The motion file: what is written comes back, and what is wrong is said."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from smplcodec import SMPLCodec

from fasthmr.errors import BadInput
from fasthmr.files import load_arrays, save_arrays
from fasthmr.motion import SCHEMA_VERSION, Motion, export_smpl


def random_motion(frames: int = 7, seed: int = 0) -> Motion:
    rng = np.random.default_rng(seed)
    camera = np.eye(4)
    camera[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return Motion(
        poses=rng.normal(size=(frames, 72)),
        trans=rng.normal(size=(frames, 3)),
        betas=rng.normal(size=10),
        joints_camera=rng.normal(size=(frames, 24, 3)),
        frame_indices=np.arange(frames) + 12,
        timestamps=np.arange(frames) / 29.97,
        confidence=rng.uniform(size=(frames, 24)),
        contacts=rng.uniform(size=(frames, 4)),
        boxes=rng.uniform(0, 100, size=(frames, 4)),
        camera_intrinsics=np.array([[1000.0, 0, 320], [0, 1000.0, 240], [0, 0, 1]]),
        world_from_camera=np.broadcast_to(camera, (frames, 4, 4)),
        image_size=np.array([640, 480]),
        mocap_framerate=29.97,
        meta={"body": "open", "footage": {"name": "clip é.mp4", "sha256": "00"}},
    )


def rewritten(path: Path, **changes: Any) -> Path:
    """The same file with some arrays replaced; None takes one out."""
    arrays = load_arrays(path)
    for name, value in changes.items():
        if value is None:
            del arrays[name]
        else:
            arrays[name] = np.asarray(value)
    save_arrays(path, arrays)
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    random_motion().save(tmp_path / "clip.person01.npz")
    return tmp_path / "clip.person01.npz"


def test_round_trip(saved: Path) -> None:
    before, after = random_motion(), Motion.load(saved)
    for field in dataclasses.fields(Motion):
        want, got = getattr(before, field.name), getattr(after, field.name)
        if isinstance(want, np.ndarray):
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(got, want)
        else:
            assert got == want


def test_amass_readers_find_their_keys(saved: Path) -> None:
    arrays = load_arrays(saved)
    assert arrays["poses"].shape == (7, 72)
    assert arrays["trans"].shape == (7, 3)
    assert arrays["betas"].shape == (10,)
    assert str(arrays["gender"]) == "neutral"
    assert float(arrays["mocap_framerate"]) == 29.97
    assert str(arrays["surface_model_type"]) == "smpl"


def test_smplcodec_reads_the_file_as_amass(saved: Path) -> None:
    codec = SMPLCodec.from_amass_npz(saved)
    np.testing.assert_allclose(codec.full_pose.reshape(7, 72), random_motion().poses, rtol=1e-6)


def test_smpl_file_round_trip(tmp_path: Path) -> None:
    motion = random_motion()
    export_smpl(motion, tmp_path / "x.smpl")
    codec = SMPLCodec.from_file(tmp_path / "x.smpl")
    assert codec.frame_count == 7
    assert codec.frame_rate == pytest.approx(29.97)
    np.testing.assert_array_equal(codec.body_translation, motion.trans)
    np.testing.assert_array_equal(codec.full_pose.reshape(7, 72), motion.poses)
    np.testing.assert_array_equal(codec.shape_parameters, motion.betas)


def test_a_newer_schema_asks_for_an_update(saved: Path) -> None:
    meta = json.dumps({"schema": SCHEMA_VERSION + 1})
    with pytest.raises(BadInput, match=r"newer version.*Update"):
        Motion.load(rewritten(saved, meta=meta))


def test_a_newer_schema_is_said_even_if_arrays_changed(saved: Path) -> None:
    meta = json.dumps({"schema": SCHEMA_VERSION + 1})
    with pytest.raises(BadInput, match="newer version"):
        Motion.load(rewritten(saved, meta=meta, poses=None, trans=np.ones(3)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"poses": None}, "lacks poses"),
        ({"meta": None}, "lacks 'meta'"),
        ({"meta": "{not json"}, "damaged 'meta'"),
        ({"meta": "{}"}, "damaged 'meta'"),
        ({"poses": np.zeros((7, 71))}, r"'poses' has shape \(7, 71\)"),
        ({"trans": np.zeros((6, 3))}, r"'trans' has shape"),
        ({"betas": np.full(10, np.nan)}, "'betas' holds values that are not finite"),
        ({"poses": np.array(["a"])}, "wrong kind"),
        ({"frame_indices": [1, 2, 3, 5, 6, 7, 8]}, "not consecutive"),
        ({"timestamps": np.zeros(7)}, "do not increase"),
        ({"confidence": np.full((7, 24), 1.5)}, "'confidence' leaves the range"),
        ({"mocap_framerate": 0.0}, "positive number"),
        ({"image_size": [0, 480]}, "'image_size' is not positive"),
        ({"camera_intrinsics": np.zeros((3, 3))}, "focal length"),
        ({"world_from_camera": np.zeros((7, 4, 4))}, "not rigid"),
    ],
)
def test_what_is_wrong_is_said(saved: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        Motion.load(rewritten(saved, **changes))
    assert str(saved) in str(caught.value)


def test_an_invalid_motion_is_not_written(tmp_path: Path) -> None:
    broken = dataclasses.replace(random_motion(), trans=np.zeros((3, 3)))
    with pytest.raises(ValueError, match="'trans' has shape"):
        broken.save(tmp_path / "x.npz")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_motion_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no frames"):
        random_motion(frames=0).save(tmp_path / "x.npz")
