# SPDX-License-Identifier: Apache-2.0
"""Motion that is on an SMPL body keeps its rotations at another frame rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from fasthmr.body import load_body
from fasthmr.training.mocap.amass import read_amass
from fasthmr.training.mocap.smpl_source import from_smpl
from fasthmr.training.mocap.source_motion import SourceMotion


def turning(tmp_path: Path, count: int = 241) -> SourceMotion:
    """Slow turns at 120 frames a second; the root goes round once, past the half turn."""
    seconds = np.arange(count) / 120
    poses = np.zeros((count, 156))
    poses[:] = 0.4 * np.sin(seconds[:, None] + np.arange(156))
    poses[:, :3] = np.outer(np.pi * seconds, (0, 0, 1))
    trans = np.stack([seconds, 0 * seconds, 0 * seconds + 1], -1)
    path = tmp_path / "turning.npz"
    np.savez(path, poses=poses, trans=trans, mocap_framerate=120.0)
    return read_amass(path, "turning")


def test_rotations_are_those_of_the_moment(tmp_path: Path) -> None:
    source = turning(tmp_path)
    found = from_smpl(source, 0, source.frame_count)
    assert source.rotations is not None
    wanted = source.rotations[::4]
    assert found["rotations"].shape == wanted.shape == (61, 24, 3, 3)
    between = Rotation.from_matrix((found["rotations"].swapaxes(-1, -2) @ wanted).reshape(-1, 3, 3))
    off = np.rad2deg(between.magnitude()).reshape(61, 24)
    assert off[5:-5].max() < 0.5
    assert off.max() < 3
    np.testing.assert_allclose(np.linalg.det(found["rotations"]), 1, atol=1e-5)
    np.testing.assert_allclose(found["pelvis"], source.positions[::4, 0], atol=0.01)


def test_a_span_is_a_part_of_the_clip(tmp_path: Path) -> None:
    source = turning(tmp_path)
    whole, part = from_smpl(source, 0, 241), from_smpl(source, 40, 201)
    np.testing.assert_allclose(part["pelvis"][4:-4], whole["pelvis"][14:-14], atol=0.003)


def test_the_body_is_the_one_whose_joints_were_read(tmp_path: Path) -> None:
    source = turning(tmp_path)
    found = {name: torch.from_numpy(array) for name, array in from_smpl(source, 0, 241).items()}
    joints, _ = load_body("open").joints(found["rotations"], found["betas"])
    joints = joints - joints[:, :1] + found["pelvis"][:, None]
    np.testing.assert_allclose(joints[5:-5], source.positions[::4][5:-5], atol=0.01)


def test_joints_alone_are_refused() -> None:
    joints = SourceMotion("clip", "smpl", 30.0, ("a",), np.array([-1]), np.zeros((3, 1, 3), np.float32))
    with pytest.raises(ValueError, match="no rotations"):
        from_smpl(joints, 0, 3)
