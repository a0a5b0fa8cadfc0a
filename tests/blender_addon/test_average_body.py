# SPDX-License-Identifier: GPL-3.0-or-later
"""average_body.py: the same turns on other legs, feet on the floor as before, and steps without sliding."""

from dataclasses import replace

import bpy  # the bones' tails come from a module that needs it
import numpy as np
import pytest
import recover_motion
from recover_motion.average_body import on_average_body
from recover_motion.body_file import read_body_file
from recover_motion.import_motion import import_motion
from recover_motion.motion_file import read_motion_file
from recover_motion.rest_figure import RestFigure
from smpl_reference import NAMES, BodyArrays, forward_kinematics, skinned, write_motion

pytestmark = [pytest.mark.bpy, pytest.mark.once]

UPRIGHT = (np.pi / 2, 0, 0)  # from the body's axes, y up, to the world's, z up


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


def joints_of(body, motion, joint):
    rest = body.rest_joints(motion.betas)
    frames = zip(motion.poses, motion.trans, strict=True)
    return np.array([forward_kinematics(rest, pose, trans)[0][joint] for pose, trans in frames])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("side", [0, 1])
def test_a_foot_that_stands_still_stands_still_on_other_legs(tmp_path, body, seed, side):
    """The pelvis swings over one flat foot; the other is lifted and kicks."""
    betas, count = betas_of(seed), 30
    hip, ankle, ball = 1 + side, 7 + side, 10 + side
    swing = np.linspace(-0.3, 0.3, count)
    poses = np.zeros((count, 24, 3))
    poses[:, 0] = UPRIGHT
    poses[:, hip, 0], poses[:, ankle, 0] = swing, -swing
    poses[:, 2 - side, 0], poses[:, 5 - side, 0] = -1.2 + swing / 2, 1.6 - swing
    shape = RestFigure.of(read_body_file(body.path), betas)
    own = write(tmp_path / "a.npz", poses, np.zeros((count, 3)), betas)
    trans = np.array([0.3, -0.2, shape.joints[ankle][2]]) - joints_of(body, own, ankle)
    own = write(tmp_path / "a.npz", poses, trans, betas)
    moved = on_average_body(own, read_body_file(body.path), betas)
    for joint in (ankle, ball):
        assert np.ptp(joints_of(body, own, joint), axis=0).max() < 1e-5
        assert np.ptp(joints_of(body, moved, joint), axis=0).max() < 1e-4
    assert np.ptp(own.trans[:, 1]) > 0.2
    # with the translations left as they were, it slides
    naive = joints_of(body, replace(own, betas=np.zeros(10)), ankle)
    assert np.ptp(naive, axis=0).max() > 0.001


def test_what_is_in_the_air_goes_as_far_as_its_legs_are_long(tmp_path, body):
    betas = betas_of(1)
    poses = np.zeros((5, 24, 3))
    poses[:, 0] = UPRIGHT
    trans = np.array([[0.1 * frame, -0.3 * frame, 2.0] for frame in range(5)])
    own = write(tmp_path / "a.npz", poses, trans, betas)
    moved = on_average_body(own, read_body_file(body.path), betas)

    def legs(shape):
        rest = body.rest_joints(shape)
        parts = [(1, 4), (4, 7), (2, 5), (5, 8)]
        return sum(np.linalg.norm(rest[one] - rest[other]) for one, other in parts)

    travel = joints_of(body, moved, 0)[-1] - joints_of(body, moved, 0)[0]
    ratio = legs(np.zeros(10)) / legs(betas)
    assert abs(1 - ratio) > 0.005
    np.testing.assert_allclose(travel, ratio * np.array([0.4, -1.2, 0.0]), atol=1e-6)
    np.testing.assert_allclose(joints_of(body, moved, 0)[0, :2], joints_of(body, own, 0)[0, :2], atol=1e-6)


def test_a_single_frame(tmp_path, synthetic_body_path):
    own = write(tmp_path / "a.npz", squats(1), np.array([[1.0, 2.0, 1.0]]), betas_of(2))
    moved = on_average_body(own, read_body_file(synthetic_body_path), own.betas)
    assert np.isfinite(moved.trans).all()


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


def test_the_importer_has_the_choice_too(scene, tmp_path, open_body_path):
    path = write_motion(tmp_path / "clip.person01.npz")
    recover_motion.register()
    try:
        assert bpy.ops.recover_motion.import_motion(filepath=str(path), shape="AVERAGE") == {"FINISHED"}
        assert bpy.ops.recover_motion.import_motion(filepath=str(path)) == {"FINISHED"}
    finally:
        recover_motion.unregister()
    average, own = (
        bpy.data.objects[name]["recovered_from"] for name in ("clip.person01", "clip.person01.001")
    )
    assert average["shape_shown"] == "average"
    assert "shape_shown" not in own
