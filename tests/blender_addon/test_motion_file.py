# SPDX-License-Identifier: GPL-3.0-or-later
"""motion_file.py: what is read, what is refused, and what the message says."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from recover_motion.array_file import ImportProblem
from recover_motion.motion_file import clip_and_person, read_motion_file
from smpl_reference import motion_arrays, write_motion


def meta(**changes: object) -> np.ndarray:
    return np.array(json.dumps({"schema": 1, "body": "open"} | changes))


def test_a_whole_file(tmp_path):
    path = write_motion(tmp_path / "Ünder café.person02.npz", count=7, seed=3)
    motion, arrays = read_motion_file(path), motion_arrays(7, 3)
    assert (motion.clip, motion.person) == ("Ünder café", "person02")
    np.testing.assert_array_equal(motion.poses, arrays["poses"].reshape(7, 24, 3))
    for name in ("trans", "betas", "timestamps", "confidence"):
        np.testing.assert_array_equal(getattr(motion, name), arrays[name])
    assert motion.frame_rate == 30
    assert motion.body_name == "open"
    assert motion.meta["footage"] == {"name": "clip.mp4", "sha256": "0" * 64}
    assert motion.camera is not None
    assert motion.camera.image_size == (1920, 1080)
    np.testing.assert_array_equal(motion.camera.world_from_camera, arrays["world_from_camera"])
    np.testing.assert_array_equal(motion.camera.intrinsics, arrays["camera_intrinsics"])


def test_names_from_the_file_name():
    assert clip_and_person(Path("a/dance.v2.person12.npz")) == ("dance.v2", "person12")
    assert clip_and_person(Path("a/walk.npz")) == ("walk", "person01")


@pytest.mark.parametrize("columns", [72, 156, 165])
@pytest.mark.parametrize("rate_key", ["mocap_framerate", "mocap_frame_rate"])
def test_plain_amass(tmp_path, columns, rate_key):
    random = np.random.default_rng(0)
    poses = random.normal(size=(9, columns))
    path = tmp_path / "walk.npz"
    np.savez(
        path,
        poses=poses,
        trans=random.normal(size=(9, 3)),
        betas=np.arange(16.0) / 10,
        gender=np.array(b"male"),
        marker_labels=np.array(["a", "b"]),
        **{rate_key: np.array(120.0)},
    )
    motion = read_motion_file(path)
    shared = 72 if columns == 72 else 66
    np.testing.assert_array_equal(motion.poses.reshape(9, 72)[:, :shared], poses[:, :shared])
    assert not motion.poses.reshape(9, 72)[:, shared:].any()
    np.testing.assert_allclose(motion.betas, np.arange(10) / 10)
    np.testing.assert_allclose(motion.timestamps, np.arange(9) / 120)
    assert motion.camera is None
    assert motion.confidence is None
    assert motion.meta == {}


def test_amass_with_other_peoples_pickles_is_still_read(tmp_path):
    path = tmp_path / "walk.npz"
    labels = np.array([{"any": "object"}], dtype=object)
    np.savez(path, poses=np.zeros((2, 72)), trans=np.zeros((2, 3)), mocap_framerate=30.0, labels=labels)
    assert len(read_motion_file(path).poses) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"meta": meta(schema=2)}, "newer version (schema 2"),
        ({"meta": meta(schema=2), "poses": None}, "newer version"),
        ({"meta": np.array("{not json")}, "'meta'"),
        ({"meta": np.array("[1]")}, "'meta'"),
        ({"meta": np.array(["a", "b"])}, "'meta'"),
        ({"trans": None}, "lacks trans"),
        ({"confidence": None, "boxes": None}, "lacks confidence, boxes"),
        ({"poses": np.zeros((5, 69))}, "'poses' has shape (5, 69) instead of (5, 72)"),
        ({"poses": np.zeros((0, 72))}, "holds no frames"),
        ({"poses": np.array(1.0)}, "holds no frames"),
        ({"trans": np.zeros((4, 3))}, "'trans' has shape (4, 3)"),
        ({"trans": np.full((5, 3), np.nan)}, "'trans' holds values that are not finite"),
        ({"betas": np.full(10, 11.0)}, "'betas' leave the range"),
        ({"poses": np.full((5, 72), "x")}, "'poses' holds no numbers"),
        ({"confidence": np.full((5, 24), 1.5)}, "'confidence' leaves"),
        ({"timestamps": np.zeros(5)}, "'timestamps' do not increase"),
        ({"frame_indices": np.array([0, 1, 3, 4, 5])}, "'frame_indices' are not consecutive"),
        ({"mocap_framerate": np.float64(0)}, "'mocap_framerate'"),
        ({"mocap_framerate": np.array("fast")}, "'mocap_framerate'"),
        ({"image_size": np.array([0, 10])}, "'image_size'"),
        ({"camera_intrinsics": -np.eye(3)}, "focal length"),
        ({"world_from_camera": np.tile(2 * np.eye(4), (5, 1, 1))}, "not rigid"),
        ({"world_from_camera": np.tile(np.diag([1.0, 1, -1, 1]), (5, 1, 1))}, "not rigid"),
    ],
)
def test_refused_values(tmp_path, changes, words):
    rate = changes.pop("mocap_framerate", None)
    path = write_motion(tmp_path / "clip.person01.npz", **changes)
    if rate is not None:
        with np.load(path) as stored:
            np.savez(path, **{**stored, "mocap_framerate": rate})
    with pytest.raises(ImportProblem) as caught:
        read_motion_file(path)
    assert words in str(caught.value)
    assert "clip.person01.npz" in str(caught.value)


def test_refused_files(tmp_path):
    whole = write_motion(tmp_path / "whole.npz", count=50).read_bytes()
    broken = bytearray(whole)
    broken[len(broken) // 2 : len(broken) // 2 + 300] = b"\0" * 300
    cases = {
        "missing.npz": (None, "not there"),
        "empty.npz": (b"", "is empty"),
        "text.npz": (b"just text", "no .npz archive"),
        "cut.npz": (whole[: len(whole) // 2], "damaged"),
        "broken.npz": (bytes(broken), "damaged"),
        "pickle.npz": (pickle.dumps([1, 2, 3]), "no .npz archive"),
    }
    for name, (content, words) in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ImportProblem) as caught:
            read_motion_file(path)
        assert words in str(caught.value), name
        assert str(path) in str(caught.value), name
    with pytest.raises(ImportProblem, match="is a folder"):
        read_motion_file(tmp_path)


class _Evil:
    """What a hostile file would hold."""

    def __reduce__(self):
        return Path.touch, (Path("evil_was_here"),)


def test_code_in_a_file_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_motion(tmp_path / "clip.person01.npz", trans=np.array([_Evil()], dtype=object))
    with pytest.raises(ImportProblem):
        read_motion_file(path)
    assert not Path("evil_was_here").exists()
