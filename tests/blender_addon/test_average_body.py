# SPDX-License-Identifier: GPL-3.0-or-later
"""average_body.py: the same turns on other legs, feet on the floor as before, and steps without sliding."""

from dataclasses import replace

import bpy  # the bones' tails come from a module that needs it
import numpy as np
import pytest
from recover_motion.average_body import leg_length, on_average_body
from recover_motion.body_file import read_body_file
from recover_motion.import_motion import import_motion
from recover_motion.motion_file import read_motion_file
from recover_motion.rest_figure import RestFigure
from smpl_reference import NAMES, BodyArrays, forward_kinematics, skinned, write_motion

pytestmark = pytest.mark.bpy

UPRIGHT = (np.pi / 2, 0, 0)  # from the body's axes, y up, to the world's, z up
ANKLES = (7, 8)


def write(path, poses, trans, betas, **changes):
    return read_motion_file(
        write_motion(path, count=len(poses), poses=poses.reshape(-1, 72), trans=trans, betas=betas, **changes)
    )


def squats(count=40):
    """A figure that stands upright and bends hips, knees and ankles."""
    poses = np.zeros((count, 24, 3))
    poses[:, 0] = UPRIGHT
    bend = 0.5 * (1 - np.cos(np.linspace(0, 4 * np.pi, count)))
    poses[:, 1:3, 0], poses[:, 4:6, 0], poses[:, 7:9, 0] = (
        -bend[:, None],
        1.8 * bend[:, None],
        -0.8 * bend[:, None],
    )
    return poses


def lowest_skin(body, motion):
    return np.array(
        [
            skinned(body, motion.betas, pose, trans)[0][:, 2].min()
            for pose, trans in zip(motion.poses, motion.trans, strict=True)
        ]
    )


def betas_of(seed):
    return 1.5 * np.random.default_rng(seed).normal(size=10)


def test_the_average_body_itself_is_not_changed(tmp_path, body):
    random = np.random.default_rng(3)
    poses, trans = random.normal(0, 0.5, (6, 24, 3)), random.normal(0, 1, (6, 3))
    motion = write(tmp_path / "a.npz", poses, trans, np.zeros(10))
    moved = on_average_body(motion, read_body_file(body.path), np.zeros(10))
    np.testing.assert_allclose(moved.trans, motion.trans, atol=1e-9)
    np.testing.assert_array_equal(moved.poses, motion.poses)


@pytest.mark.parametrize("seed", range(4))
def test_soles_are_as_high_as_before(tmp_path, open_body_path, seed):
    """In squats and in a jump, measured at the skin, which the module does not look at."""
    body, betas = BodyArrays.load(open_body_path), betas_of(seed)
    poses = squats()
    own = write(tmp_path / "a.npz", poses, np.zeros((40, 3)), betas)
    trans = np.zeros((40, 3))
    trans[:, 2] -= lowest_skin(body, own)  # the lowest point on the floor in each frame
    trans[15:25, 2] += 0.3  # a jump
    own = write(tmp_path / "a.npz", poses, trans, betas)
    moved = on_average_body(own, read_body_file(open_body_path), betas)
    assert np.all(moved.betas == 0)
    before, after = lowest_skin(body, own), lowest_skin(body, moved)
    np.testing.assert_allclose(before[:15], 0, atol=1e-6)
    np.testing.assert_allclose(after, before, atol=0.008)
    # with the translations left as they were, the body would float or sink
    naive = lowest_skin(body, replace(own, betas=np.zeros(10)))
    assert np.abs(naive - before).max() > 2 * np.abs(after - before).max()


@pytest.mark.parametrize("seed", range(4))
def test_a_foot_that_stands_still_stands_still_on_other_legs(tmp_path, body, seed):
    """The pelvis swings over one ankle, which is held where it is."""
    betas, count = betas_of(seed), 30
    poses = np.zeros((count, 24, 3))
    poses[:, 0] = UPRIGHT
    poses[:, 1, 0] = np.linspace(
        -0.3, 0.3, count
    )  # the left thigh swings; hip, knee and ankle are held straight
    rest = body.rest_joints(betas)
    trans = np.array([-forward_kinematics(rest, pose, np.zeros(3))[0][7] for pose in poses])
    own = write(tmp_path / "a.npz", poses, trans, betas)
    moved = on_average_body(own, read_body_file(body.path), betas)

    def ankle(motion):
        joints = body.rest_joints(motion.betas)
        return np.array(
            [
                forward_kinematics(joints, *frame)[0][7]
                for frame in zip(motion.poses, motion.trans, strict=True)
            ]
        )

    assert np.ptp(ankle(own), axis=0).max() < 1e-5
    travel = np.ptp(own.trans[:, 1])
    assert travel > 0.1
    slides = np.ptp(ankle(moved)[:, :2], axis=0).max()
    legs = [RestFigure.of(read_body_file(body.path), shape) for shape in (betas, np.zeros(10))]
    without = abs(1 - leg_length(legs[1]) / leg_length(legs[0])) * travel
    assert slides < 0.02 * travel + 0.35 * without


def test_the_import_gives_everyone_the_same_bones(scene, tmp_path, synthetic_body_path):
    for person, seed in ((1, 1), (2, 2)):
        write_motion(tmp_path / f"clip.person{person:02d}.npz", seed=seed)
    paths = sorted(tmp_path.glob("*.npz"))
    own = import_motion(bpy.context, paths, body_path=synthetic_body_path)
    average = import_motion(bpy.context, paths, body_path=synthetic_body_path, average_body=True)

    def heads(armature):
        return np.array([armature.data.bones[name].head_local for name in NAMES])

    assert np.abs(heads(own.armatures[0]) - heads(own.armatures[1])).max() > 0.001
    np.testing.assert_array_equal(heads(average.armatures[0]), heads(average.armatures[1]))
    expected = RestFigure.of(read_body_file(synthetic_body_path), np.zeros(10)).joints
    np.testing.assert_allclose(heads(average.armatures[0]), expected, atol=1e-6)
    assert average.armatures[0]["recovered_from"]["shape_shown"] == "average"
    assert "shape_shown" not in own.armatures[0]["recovered_from"]
