# SPDX-License-Identifier: Apache-2.0
"""What the add-on and the backend both know, held against each other: skeleton, rotations, file formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import roma
import torch

from blender_addon import rotations, skeleton
from blender_addon.body_file import read_body_file
from blender_addon.motion_file import read_motion_file
from fasthmr.body import JOINT_NAMES, PARENTS, load_body
from fasthmr.body.model import OPEN_BODY_PATH
from fasthmr.motion import SCHEMA_VERSION
from tests.test_motion import random_motion


def random_rotvecs(count: int = 500) -> torch.Tensor:
    return 1.5 * torch.randn(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_skeleton_is_the_same() -> None:
    assert tuple(skeleton.JOINT_NAMES) == JOINT_NAMES
    assert tuple(skeleton.PARENTS) == PARENTS


def test_rotations_agree_with_roma() -> None:
    rotvecs = random_rotvecs()
    matrices = roma.rotvec_to_rotmat(rotvecs).numpy()
    np.testing.assert_allclose(rotations.matrix_from_rotvec(rotvecs.numpy()), matrices, atol=1e-12)
    quats = np.roll(roma.rotmat_to_unitquat(torch.from_numpy(matrices)).numpy(), 1, axis=-1)  # xyzw -> wxyz
    ours = rotations.quat_from_matrix(matrices)
    np.testing.assert_allclose(ours * np.sign((ours * quats).sum(-1, keepdims=True)), quats, atol=1e-12)


def test_slerp_agrees_with_roma() -> None:
    before, after = (roma.rotvec_to_unitquat(v) for v in random_rotvecs(400).chunk(2))
    share = torch.linspace(0, 1, 200, dtype=torch.float64)
    turned = roma.unitquat_to_rotmat(before) @ roma.rotvec_to_rotmat(
        share[:, None]
        * roma.rotmat_to_rotvec(roma.unitquat_to_rotmat(before).mT @ roma.unitquat_to_rotmat(after))
    )
    ours = rotations.slerp(np.roll(before.numpy(), 1, -1), np.roll(after.numpy(), 1, -1), share.numpy())
    np.testing.assert_allclose(rotations.matrix_from_quat(ours), turned.numpy(), atol=1e-9)


def test_the_add_on_reads_what_the_backend_writes(tmp_path: Path) -> None:
    motion = random_motion(9)
    motion.save(tmp_path / "clip.person01.npz")
    read = read_motion_file(tmp_path / "clip.person01.npz")
    np.testing.assert_array_equal(np.asarray(read.poses).reshape(9, 72), motion.poses)
    np.testing.assert_array_equal(read.trans, motion.trans)
    assert read.frame_rate == motion.mocap_framerate
    assert read.meta == dict(motion.meta)
    assert read.meta["schema"] == SCHEMA_VERSION


def test_both_stand_on_the_same_joints() -> None:
    ours, theirs = load_body("open"), read_body_file(OPEN_BODY_PATH)
    betas = np.random.default_rng(0).normal(size=10)
    expected = ours.rest_joints(torch.from_numpy(betas).float()).numpy()
    np.testing.assert_allclose(theirs.rest_joints(betas), expected, atol=1e-4)
