# SPDX-License-Identifier: Apache-2.0
"""What the add-on exports is read by the backend and by Meshcapade's own codec."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from smplcodec import SMPLCodec, SMPLGender, SMPLVersion

from blender_addon.export.smpl_files import SmplMotion, write_motion_file, write_smpl
from fasthmr.motion import Motion, export_smpl
from tests.test_motion import random_motion


def edited(motion: Motion) -> SmplMotion:
    """A motion as the add-on has it after an edit that changed nothing."""
    return SmplMotion(
        poses=motion.poses.reshape(-1, 24, 3).astype(np.float64),
        trans=motion.trans.astype(np.float64),
        betas=motion.betas.astype(np.float64),
        fps=motion.mocap_framerate,
        rest_joints=np.random.default_rng(0).normal(0, 0.5, (24, 3)),
        confidence=motion.confidence,
        intrinsics=motion.camera_intrinsics,
        world_from_camera=motion.world_from_camera,
        image_size=(int(motion.image_size[0]), int(motion.image_size[1])),
        meta=dict(motion.meta),
    )


def test_the_backend_reads_what_the_add_on_exports(tmp_path: Path) -> None:
    motion = random_motion(9)
    write_motion_file(edited(motion), tmp_path / "clip.person01.npz")
    read = Motion.load(tmp_path / "clip.person01.npz")
    assert read.problems() == []
    for name in ("poses", "trans", "betas", "confidence", "camera_intrinsics", "world_from_camera"):
        np.testing.assert_array_equal(getattr(read, name), getattr(motion, name))
    assert read.mocap_framerate == motion.mocap_framerate
    assert dict(read.meta) == dict(motion.meta)


def test_smplcodec_reads_what_the_add_on_exports(tmp_path: Path) -> None:
    motion = random_motion(9)
    write_smpl(edited(motion), tmp_path / "ours.smpl")
    export_smpl(motion, tmp_path / "theirs.smpl")
    ours, theirs = (SMPLCodec.from_file(tmp_path / f"{name}.smpl") for name in ("ours", "theirs"))
    assert ours == theirs
    assert (ours.smpl_version, ours.gender) == (SMPLVersion.SMPL, SMPLGender.NEUTRAL)
    assert ours.codec_version == theirs.codec_version
    np.testing.assert_array_equal(ours.full_pose, motion.poses.reshape(-1, 24, 3))


def test_both_write_the_same_kinds_of_arrays(tmp_path: Path) -> None:
    motion = random_motion(3)
    write_smpl(edited(motion), tmp_path / "ours.smpl")
    export_smpl(motion, tmp_path / "theirs.smpl")
    with np.load(tmp_path / "ours.smpl") as ours, np.load(tmp_path / "theirs.smpl") as theirs:
        assert set(ours.files) == set(theirs.files)
        for name in ours.files:
            assert ours[name].dtype == theirs[name].dtype, name
            assert ours[name].shape == theirs[name].shape, name
