# SPDX-License-Identifier: GPL-3.0-or-later
"""confidence.py: light curves that stay close to what was measured."""

import bpy
import numpy as np
import pytest
from recover_motion.compat import curves_of
from recover_motion.confidence import CONFIDENCE, OBJECT_PATH, TOLERANCE, bone_path, thinned
from recover_motion.import_motion import import_motion
from smpl_reference import NAMES, write_motion

pytestmark = pytest.mark.bpy


def smooth(count: int, seed: int) -> np.ndarray:
    """Confidence (count, 24) that swells and falls slowly, as the backend's does."""
    random = np.random.default_rng(seed)
    time = np.arange(count)[:, None] / 30
    waves = np.sin(time * random.uniform(0.3, 2, 24) + random.uniform(0, 6, 24))
    return np.clip(0.7 + 0.35 * waves, 0, 1)


@pytest.mark.parametrize("kind", ["smooth", "noise", "steps", "flat", "uneven"])
@pytest.mark.parametrize("tolerance", [0.005, 0.02, 0.2])
def test_thinned_curves_stay_within_the_tolerance(kind, tolerance):
    random = np.random.default_rng(2)
    frames = np.arange(5, 405)
    if kind == "uneven":
        frames = np.cumsum(random.integers(1, 9, 400))
    values = {
        "smooth": smooth(400, 1),
        "noise": random.uniform(0, 1, (400, 7)),
        "steps": random.integers(0, 2, (40, 3)).repeat(10, axis=0).astype(float),
        "flat": np.full((400, 2), 0.4),
        "uneven": smooth(400, 3),
    }[kind]
    kept = thinned(frames, values, tolerance)
    assert len(kept) == values.shape[1]
    for column, keys in zip(values.T, kept, strict=True):
        assert (keys[0], keys[-1]) == (0, 399)
        assert (np.diff(keys) > 0).all()
        drawn = np.interp(frames, frames[keys], column[keys])
        assert np.abs(drawn - column).max() <= tolerance + 1e-9
    if kind == "flat":
        assert [len(keys) for keys in kept] == [2, 2]
    if kind == "smooth":
        assert sum(map(len, kept)) < 0.25 * values.size


def test_one_and_two_frames():
    assert [list(keys) for keys in thinned(np.array([3]), np.ones((1, 2)), 0.1)] == [[0], [0]]
    assert [list(keys) for keys in thinned(np.array([3, 4]), np.ones((2, 1)), 0.1)] == [[0, 1]]


def test_the_curves_in_blender(scene, synthetic_body_path, tmp_path):
    confidence = smooth(300, 5)
    confidence[100:140] = 0
    path = write_motion(tmp_path / "clip.person01.npz", count=300, confidence=confidence)
    armature = import_motion(bpy.context, [path], body_path=synthetic_body_path).armatures[0]
    curves = {curve.data_path: curve for curve in curves_of(armature) if CONFIDENCE in curve.data_path}
    assert set(curves) == {OBJECT_PATH} | {bone_path(name) for name in NAMES}
    expected = dict(zip(map(bone_path, NAMES), confidence.T, strict=True))
    expected[OBJECT_PATH] = confidence.mean(axis=1)
    for data_path, curve in curves.items():
        assert curve.group.name == "Confidence"
        drawn = np.array([curve.evaluate(frame) for frame in range(1, 301)])
        assert np.abs(drawn - expected[data_path]).max() < TOLERANCE + 1e-5
        assert curve.evaluate(121) == pytest.approx(0, abs=TOLERANCE)
    assert sum(len(curve.keyframe_points) for curve in curves.values()) < 0.2 * 25 * 300
    scene.frame_set(120)
    assert armature[CONFIDENCE] == pytest.approx(0, abs=TOLERANCE)
    bone = armature.pose.bones["head"]
    assert bone.id_properties_ui(CONFIDENCE).as_dict()["max"] == 1.0


def test_a_file_that_does_not_know_its_confidence(scene, synthetic_body_path, tmp_path):
    path = tmp_path / "walk.npz"
    np.savez(path, poses=np.zeros((3, 72)), trans=np.zeros((3, 3)), mocap_framerate=30.0)
    armature = import_motion(bpy.context, [path], body_path=synthetic_body_path).armatures[0]
    assert CONFIDENCE not in armature
    assert not [curve for curve in curves_of(armature) if CONFIDENCE in curve.data_path]
    assert len(scene.timeline_markers) == 0
