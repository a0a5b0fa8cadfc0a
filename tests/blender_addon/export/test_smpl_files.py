# SPDX-License-Identifier: GPL-3.0-or-later
"""smpl_files: what is written is read back by the add-on, and stands where it stood."""

import numpy as np
from recover_motion.export.smpl_files import (
    SmplMotion,
    joints_in_world,
    read_smpl,
    write_motion_file,
    write_smpl,
)
from recover_motion.motion_file import read_motion_file
from smpl_reference import forward_kinematics, intrinsics, level_camera


def motion(count=6, seed=0):
    random = np.random.default_rng(seed)
    return SmplMotion(
        poses=random.normal(0, 0.7, (count, 24, 3)),
        trans=random.normal(0, 1, (count, 3)),
        betas=random.normal(0, 1, 10),
        fps=30000 / 1001,
        rest_joints=random.normal(0, 0.5, (24, 3)),
        confidence=random.uniform(0, 1, (count, 24)),
        intrinsics=intrinsics(1920, 1080),
        world_from_camera=level_camera(count),
        image_size=(1920, 1080),
        meta={"schema": 1, "body": "open", "model": "open"},
    )


def test_joints_are_those_of_plain_forward_kinematics():
    one = motion()
    for frame in range(6):
        expected, _ = forward_kinematics(one.rest_joints, one.poses[frame], one.trans[frame])
        np.testing.assert_allclose(one.joints[frame], expected, atol=1e-12)


def test_motion_file_is_read_by_the_importer(tmp_path):
    one = motion()
    write_motion_file(one, tmp_path / "clip.person01.npz")
    read = read_motion_file(tmp_path / "clip.person01.npz")
    np.testing.assert_allclose(read.poses, one.poses, atol=1e-6)
    np.testing.assert_allclose(read.trans, one.trans, atol=1e-6)
    np.testing.assert_allclose(read.confidence, one.confidence, atol=1e-6)
    np.testing.assert_allclose(read.timestamps, np.arange(6) * 1001 / 30000)
    assert read.frame_rate == one.fps
    assert read.body_name == "open"
    assert read.camera.image_size == (1920, 1080)


def test_joints_and_boxes_are_seen_by_the_camera(tmp_path):
    one = motion(seed=4)
    write_motion_file(one, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as stored:
        seen, boxes = stored["joints_camera"], stored["boxes"]
    for frame in range(6):
        camera_from_world = np.linalg.inv(one.world_from_camera[frame])
        for joint in range(24):
            there = camera_from_world @ [*one.joints[frame, joint], 1]
            np.testing.assert_allclose(seen[frame, joint], there[:3], atol=1e-5)
        if seen[frame, :, 2].min() > 0:
            pixels = (one.intrinsics @ (seen[frame] / seen[frame, :, 2:]).T).T[:, :2]
            np.testing.assert_allclose(boxes[frame], [*pixels.min(0), *pixels.max(0)], rtol=1e-4, atol=0.1)


def test_smpl_file_keeps_the_motion(tmp_path):
    one = motion()
    write_smpl(one, tmp_path / "a.smpl")
    poses, trans, fps = read_smpl(tmp_path / "a.smpl")
    off = joints_in_world(poses, trans, one.rest_joints) - one.joints
    assert np.abs(off).max() < 1e-5
    assert abs(fps - one.fps) < 1e-5
