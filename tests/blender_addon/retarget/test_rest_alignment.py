# SPDX-License-Identifier: GPL-3.0-or-later
"""Rest poses brought together: facing, A-pose and T-pose, palms, feet."""

import bpy  # noqa: F401 (the package imports it)
import numpy as np
import pytest
from recover_motion.leg_pose import turned
from recover_motion.retarget.problem import RetargetProblem
from recover_motion.retarget.rest_alignment import LIMBS, align_rests, facing, figure_axes, turn_between
from recover_motion.rotations import matrix_from_quat, matrix_from_rotvec

UP = np.array([0.0, 0.0, 1.0])
AHEAD = np.array([0.0, -1.0, 0.0])


def t_pose() -> dict[str, np.ndarray]:
    """A figure facing -y; its left is +x."""
    joints = {
        "pelvis": [0, 0, 1.0],
        "spine3": [0, 0.02, 1.3],
        "neck": [0, -0.03, 1.5],
        "head": [0, -0.1, 1.6],
    }
    for side, sign in (("left", 1), ("right", -1)):
        joints |= {
            f"{side}_collar": [0.05 * sign, 0, 1.42],
            f"{side}_shoulder": [0.18 * sign, 0, 1.43],
            f"{side}_elbow": [0.45 * sign, 0.01, 1.43],
            f"{side}_wrist": [0.70 * sign, 0, 1.43],
            f"{side}_hip": [0.09 * sign, 0, 0.95],
            f"{side}_knee": [0.09 * sign, -0.01, 0.5],
            f"{side}_ankle": [0.09 * sign, 0.03, 0.08],
            f"{side}_foot": [0.11 * sign, -0.1, 0.02],
        }
    return {role: np.array(place, float) for role, place in joints.items()}


def rotation(seed: int) -> np.ndarray:
    return matrix_from_rotvec(np.random.default_rng(seed).normal(size=3))


def a_pose(degrees: float, splay: float = 0.0) -> dict[str, np.ndarray]:
    """Arms lowered, feet turned outwards."""
    joints = t_pose()
    for side, sign in (("left", 1), ("right", -1)):
        lowered = matrix_from_rotvec(np.array([0, sign * np.radians(degrees), 0]))
        out = matrix_from_rotvec(np.array([0, 0, sign * np.radians(splay)]))
        for role in ("elbow", "wrist"):
            arm = joints[f"{side}_{role}"] - joints[f"{side}_shoulder"]
            joints[f"{side}_{role}"] = joints[f"{side}_shoulder"] + lowered @ arm
        foot = joints[f"{side}_foot"] - joints[f"{side}_ankle"]
        joints[f"{side}_foot"] = joints[f"{side}_ankle"] + out @ foot
    return joints


def test_axes_of_a_figure_facing_the_viewer() -> None:
    np.testing.assert_allclose(figure_axes(t_pose())[:, 0], [1, 0, 0], atol=1e-9)
    assert figure_axes(t_pose())[:, 2] @ UP > 0.99


@pytest.mark.parametrize("seed", range(5))
def test_rigs_turned_as_objects_are_turned_back_exactly(seed: int) -> None:
    world, source = rotation(seed), rotation(seed + 100)
    built = matrix_from_rotvec(np.array([-np.pi / 2, 0, 0]))  # y up in the armature, as FBX has it
    joints = {role: world @ built @ place for role, place in t_pose().items()}
    found = facing(source, figure_axes(joints), world)
    np.testing.assert_allclose(found, source @ (world @ built).T, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_rig_whose_bones_make_up_for_its_object_stays_as_it_stands(seed: int) -> None:
    """Its armature's axes say nothing; that it stands as the source does must not be lost for its leaning
    head.
    """
    found = facing(np.eye(3), figure_axes(t_pose()), rotation(seed))
    np.testing.assert_allclose(found, np.eye(3), atol=1e-12)


def test_rig_turned_on_the_spot_is_turned_back_and_not_tilted() -> None:
    yaw = matrix_from_rotvec(np.array([0, 0, 2.0]))
    joints = {role: yaw @ place for role, place in t_pose().items()}
    np.testing.assert_allclose(facing(np.eye(3), figure_axes(joints), rotation(3)), yaw.T, atol=1e-12)


def test_figure_that_leans_in_its_armature_is_taken_as_it_stands() -> None:
    lean = matrix_from_rotvec(np.array([0.9, 0.0, 0.3]))
    joints = {role: lean @ place for role, place in t_pose().items()}
    found = facing(np.eye(3), figure_axes(joints), np.eye(3))
    np.testing.assert_allclose(found @ figure_axes(joints), np.eye(3), atol=1e-9)


def test_hips_in_one_place_are_told() -> None:
    joints = {role: np.zeros(3) if "hip" in role else place for role, place in t_pose().items()}
    joints = {role: place for role, place in joints.items() if "shoulder" not in role}
    with pytest.raises(RetargetProblem, match="both legs"):
        figure_axes(joints)


@pytest.mark.parametrize("degrees", [20, 45, 70])
def test_limbs_come_to_point_the_same_way(degrees: float) -> None:
    source, target = t_pose(), a_pose(degrees, splay=12)
    found = align_rests(source, target, UP, {})
    for role, following in LIMBS.items():
        along = turned(found[role], target[following] - target[role])
        wanted = source[following] - source[role]
        np.testing.assert_allclose(along / np.linalg.norm(along), wanted / np.linalg.norm(wanted), atol=1e-12)
    assert not {"pelvis", "spine3", "neck", "head", "left_collar"} & set(found)
    np.testing.assert_array_equal(found["left_wrist"], found["left_elbow"])


def test_feet_are_turned_about_the_vertical_only() -> None:
    source, target = t_pose(), a_pose(45, splay=20)
    target["left_foot"][2] -= 0.05  # slopes otherwise
    found = align_rests(source, target, UP, {})
    for role in ("left_ankle", "right_ankle", "left_foot"):
        np.testing.assert_allclose(turned(found[role], UP), UP, atol=1e-12)
    angle = 2 * np.degrees(np.arctan2(found["left_ankle"][3], found["left_ankle"][0]))
    assert angle == pytest.approx(-20, abs=1e-9)


def test_palms_that_face_ahead_are_turned_down() -> None:
    source = t_pose()
    along = np.array([1.0, 0.0, 0.0])
    thumbs = {"left_wrist": (AHEAD, 0.6 * along + UP)}  # thumb up: the palm faces ahead
    found = align_rests(source, t_pose(), UP, thumbs)
    np.testing.assert_allclose(turned(found["left_wrist"], UP)[:2], [0, -1], atol=0.05)
    assert np.degrees(2 * np.arccos(found["left_elbow"][0])) < 1e-3


@pytest.mark.parametrize("tilt", [-25, 0, 25])
def test_thumbs_that_stick_out_a_little_otherwise_change_nothing(tilt: float) -> None:
    thumb = matrix_from_rotvec(np.array([np.radians(tilt), 0, 0])) @ AHEAD + np.array([0.5, 0, 0])
    found = align_rests(t_pose(), t_pose(), UP, {"left_wrist": (AHEAD, thumb)})
    np.testing.assert_allclose(found["left_wrist"], found["left_elbow"], atol=1e-12)


def test_turn_between_opposite_directions() -> None:
    for direction in np.eye(3):
        turn = turn_between(direction, -2 * direction)
        np.testing.assert_allclose(matrix_from_quat(turn) @ direction, -direction, atol=1e-12)
