# SPDX-License-Identifier: GPL-3.0-or-later
"""The rotations that bones should have, and how spine and twist are shared out."""

from dataclasses import replace

import bpy  # noqa: F401 (the package imports it)
import numpy as np
import pytest
from recover_motion.retarget.mapping import ROLES, BoneMap, Twist
from recover_motion.retarget.options import Options
from recover_motion.retarget.rig_pose import Channel
from recover_motion.retarget.source_motion import SourceMotion
from recover_motion.retarget.target_rig import TargetRig
from recover_motion.retarget.transfer import goal_turns
from recover_motion.rotations import (
    matrix_from_quat,
    quat_from_rotvec,
    quat_inverse,
    quat_multiply,
    rotvec_from_quat,
)
from recover_motion.skeleton import INDEX, JOINT_COUNT, JOINT_NAMES

FRAMES = 7


def t_pose() -> np.ndarray:
    """Places (24, 3) of SMPL's joints, roughly; facing -y."""
    places = np.zeros((24, 3))
    middle = {"pelvis": 1.0, "spine1": 1.1, "spine2": 1.2, "spine3": 1.3, "neck": 1.5, "head": 1.6}
    for name, height in middle.items():
        places[INDEX[name]] = [0, 0, height]
    for side, sign in (("left", 1), ("right", -1)):
        at = {"hip": (0.1, 0.95), "knee": (0.1, 0.5), "ankle": (0.1, 0.08), "foot": (0.1, 0.02)}
        at |= {"collar": (0.05, 1.4), "shoulder": (0.2, 1.45), "elbow": (0.45, 1.45)}
        at |= {"wrist": (0.7, 1.45), "hand": (0.8, 1.45)}
        for name, (across, height) in at.items():
            ahead = -0.12 if name == "foot" else 0
            places[INDEX[f"{side}_{name}"]] = [sign * across, ahead, height]
    return places


def source_of(turns: np.ndarray) -> SourceMotion:
    rest = t_pose()
    joints = np.tile(rest, (len(turns), 1, 1))
    return SourceMotion(
        np.arange(len(turns)),
        turns,
        joints,
        rest,
        rest + np.array([0, 0, 0.1]),
        np.zeros((len(turns), 2, 3, 3)),
        0.95,
        np.eye(3),
    )


def target_of(
    names: dict[str, tuple[str, ...]], extra: dict[str, str], seed: int
) -> tuple[TargetRig, BoneMap]:
    """The same figure with rolls of its own; several bones of a role lie in one place.

    Args:
        names: role to bones.
        extra: helper bones and the roles that they lie beside.
        seed: of the rolls.
    """
    random = np.random.default_rng(seed)
    at = {name: role for role, chain in names.items() for name in chain} | extra
    heads = np.array([t_pose()[INDEX[role]] for role in at.values()])
    quats = random.normal(size=(len(at), 4))
    rig = TargetRig(
        tuple(at),
        quats / np.linalg.norm(quats, axis=1, keepdims=True),
        heads,
        heads + np.array([0, -0.1, 0]),
        tuple(Channel() for _ in at),
        np.eye(3),
        1.0,
        np.zeros(3),
        {},
    )
    return rig, BoneMap(names)


def one_each() -> dict[str, tuple[str, ...]]:
    return {role: (role,) for role in ROLES}


def random_turns(seed: int) -> np.ndarray:
    return quat_from_rotvec(np.random.default_rng(seed).normal(scale=0.7, size=(FRAMES, JOINT_COUNT, 3)))


def away_from_rest(rig: TargetRig, goals, name: str) -> np.ndarray:
    """Turns (T, 4) of a bone away from its rest."""
    return quat_multiply(goals.turns[name], quat_inverse(rig.turns[rig.index(name)]))


def same(one: np.ndarray, other: np.ndarray) -> None:
    np.testing.assert_allclose(matrix_from_quat(one), matrix_from_quat(other), atol=1e-9)


def test_every_bone_turns_as_the_sources_does() -> None:
    source = source_of(random_turns(1))
    rig, bone_map = target_of(one_each(), {}, 2)
    goals = goal_turns(source, rig, bone_map, Options())
    for role in ROLES:
        same(away_from_rest(rig, goals, role), source.turns[:, INDEX[role]])


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_spine_is_shared_out(count: int) -> None:
    """A bend that grows evenly up the spine grows evenly up any number of bones."""
    turns = np.tile([1.0, 0, 0, 0], (FRAMES, JOINT_COUNT, 1))
    bend = np.linspace(0, 0.9, FRAMES)
    for share, role in ((1 / 3, "spine1"), (2 / 3, "spine2"), (1, "spine3")):
        turns[:, INDEX[role]] = quat_from_rotvec(share * bend[:, None] * [1.0, 0, 0])
    names = one_each() | {
        "spine1": tuple(f"back{number}" for number in range(count)),
        "spine2": (),
        "spine3": (),
    }
    rig, bone_map = target_of(names, {}, 3)
    goals = goal_turns(source_of(turns), rig, bone_map, Options())
    for number in range(count):
        wanted = quat_from_rotvec((number + 1) / count * bend[:, None] * [1.0, 0, 0])
        same(away_from_rest(rig, goals, f"back{number}"), wanted)


def test_two_neck_bones_share_the_necks_turn() -> None:
    source = source_of(random_turns(5))
    names = one_each() | {"neck": ("neck_01", "neck_02")}
    rig, bone_map = target_of(names, {}, 4)
    goals = goal_turns(source, rig, bone_map, Options())
    chest, neck = source.turns[:, INDEX["spine3"]], source.turns[:, INDEX["neck"]]
    same(away_from_rest(rig, goals, "neck_02"), neck)
    half = rotvec_from_quat(quat_multiply(neck, quat_inverse(chest))) / 2
    same(away_from_rest(rig, goals, "neck_01"), quat_multiply(quat_from_rotvec(half), chest))


def test_both_bones_of_a_limb_turn_together() -> None:
    source = source_of(random_turns(6))
    names = one_each() | {"left_shoulder": ("arm1", "arm2")}
    rig, bone_map = target_of(names, {}, 5)
    goals = goal_turns(source, rig, bone_map, Options())
    for name in ("arm1", "arm2"):
        same(away_from_rest(rig, goals, name), source.turns[:, INDEX["left_shoulder"]])


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_forearm_twist_takes_its_share_of_the_hands_roll(share: float) -> None:
    turns = np.tile([1.0, 0, 0, 0], (FRAMES, JOINT_COUNT, 1))
    arm = quat_from_rotvec(np.array([0.3, -0.4, 0.5]))
    turns[:, INDEX["left_elbow"]] = arm
    roll, bend = np.linspace(0, 4, FRAMES), np.linspace(0, 0.6, FRAMES)  # through more than half a turn
    rolled = quat_from_rotvec(roll[:, None] * np.array([1.0, 0, 0]))
    bent = quat_from_rotvec(bend[:, None] * np.array([0, 1.0, 0]))
    turns[:, INDEX["left_wrist"]] = quat_multiply(arm, quat_multiply(bent, rolled))
    rig, bone_map = target_of(one_each(), {"helper": "left_elbow"}, 6)
    bone_map = BoneMap(bone_map.bones, twists=(Twist("helper", "left_elbow", share),))
    goals = goal_turns(source_of(turns), rig, bone_map, Options())
    wanted = quat_multiply(arm, quat_from_rotvec(share * roll[:, None] * np.array([1.0, 0, 0])))
    same(away_from_rest(rig, goals, "helper"), wanted)


def test_upper_arm_twist_takes_back_the_arms_own_roll() -> None:
    turns = np.tile([1.0, 0, 0, 0], (FRAMES, JOINT_COUNT, 1))
    roll = np.linspace(0, 1.5, FRAMES)
    swing = quat_from_rotvec(np.array([0, 0.7, -0.3]))
    turns[:, INDEX["left_shoulder"]] = quat_multiply(
        swing, quat_from_rotvec(roll[:, None] * np.array([1.0, 0, 0]))
    )
    rig, bone_map = target_of(one_each(), {"helper": "left_shoulder"}, 7)
    bone_map = BoneMap(bone_map.bones, twists=(Twist("helper", "left_shoulder", 1.0),))
    goals = goal_turns(source_of(turns), rig, bone_map, Options())
    same(away_from_rest(rig, goals, "helper"), np.tile(swing, (FRAMES, 1)))


def test_rest_mode_takes_both_rests_for_one_pose() -> None:
    source = source_of(random_turns(8))
    rig, bone_map = target_of(one_each(), {}, 8)
    lowered = rig.heads.copy()
    lowered[rig.index("left_wrist")] += [-0.2, 0, -0.2]
    rig = replace(rig, heads=lowered)
    same(
        away_from_rest(rig, goal_turns(source, rig, bone_map, Options(alignment="REST")), "left_elbow"),
        source.turns[:, INDEX["left_elbow"]],
    )
    aligned = away_from_rest(rig, goal_turns(source, rig, bone_map, Options()), "left_elbow")
    off = quat_multiply(quat_inverse(source.turns[:, INDEX["left_elbow"]]), aligned)
    assert np.degrees(np.linalg.norm(rotvec_from_quat(off), axis=1)).min() > 30


def test_joint_names_are_what_the_tests_think() -> None:
    assert len(JOINT_NAMES) == JOINT_COUNT == 24
