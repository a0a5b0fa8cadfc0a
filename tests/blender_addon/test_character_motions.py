# SPDX-License-Identifier: GPL-3.0-or-later
"""characters.motions: what is known of them is so when Blender plays them."""

from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
import pytest
from characters import motions
from mathutils import Vector
from recover_motion.skeleton import JOINT_NAMES

pytestmark = pytest.mark.bpy

SOLE_BONES = ("left_ankle", "left_foot", "right_ankle", "right_foot")


@dataclass
class Watched:
    """A source as Blender plays it.

    Attributes:
        source: the motion.
        places: (T, 24, 3) of the joints.
        soles: (T, 4, 3) of the points under heels and toes.
        axes: (T, 24, 3, 3) of the bones, as columns.
    """

    source: motions.Source
    places: np.ndarray
    soles: np.ndarray
    axes: np.ndarray


def watch(source: motions.Source) -> Watched:
    bones = source.armature.data.bones
    under = []
    for side in ("left", "right"):
        ankle, tip = bones[f"{side}_ankle"].head_local, bones[f"{side}_foot"].tail_local
        heel = ankle + 0.25 * (ankle - tip)
        under += [Vector((heel.x, heel.y, 0.0)), Vector((tip.x, tip.y, 0.0))]
    local = [bones[name].matrix_local.inverted() @ p for name, p in zip(SOLE_BONES, under, strict=True)]
    posed = source.armature.pose.bones
    source.mesh.hide_viewport = True  # only bones are looked at, and skin takes time
    places, soles, axes = [], [], []
    for frame in range(source.frames[0], source.frames[1] + 1):
        bpy.context.scene.frame_set(frame)
        places.append([posed[name].head[:] for name in JOINT_NAMES])
        soles.append([(posed[n].matrix @ p)[:] for n, p in zip(SOLE_BONES, local, strict=True)])
        axes.append([np.array(posed[name].matrix.to_3x3()) for name in JOINT_NAMES])
    return Watched(source, np.array(places), np.array(soles), np.array(axes))


@pytest.fixture(scope="module")
def walking(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = 30
    return watch(motions.walk(tmp_path_factory.mktemp("walk")))


def test_feet_of_the_walk_stand_still(walking: Watched) -> None:
    """The points are where they are said to be, and move less than a tenth of a millimetre in a contact."""
    contacts = walking.source.contacts
    assert walking.soles.shape == (120, 4, 3)
    assert np.abs(walking.soles - walking.source.points).max() < 1e-5
    assert walking.soles[..., 2].min() > -1e-4, "nothing goes through the floor between contacts either"
    steps = np.linalg.norm(np.diff(walking.soles, axis=0), axis=2)
    for column in range(4):
        touches = contacts[:, column]
        assert 30 < touches.sum() < 80
        assert np.abs(walking.soles[touches, column, 2]).max() < 1e-4
        assert steps[touches[1:] & touches[:-1], column].max() < 1e-4
        assert steps[~touches[1:], column].max() > 0.02
        assert (np.diff(touches.astype(int)) == 1).sum() >= 3, "several steps"


def test_the_walk_rolls_over_its_feet(walking: Watched) -> None:
    """Heel strike before the toes come down, heel off before toe-off, and always a foot on the floor."""
    contacts = walking.source.contacts
    for heel, toe in (contacts[:, :2].T, contacts[:, 2:].T):
        assert (heel & ~toe).any()
        assert (heel & toe).any()
        assert (toe & ~heel).any()
    assert contacts.any(axis=1).all()
    ball = walking.places[:, JOINT_NAMES.index("left_foot")]
    planted = contacts[1:, 1] & contacts[:-1, 1]
    assert np.linalg.norm(np.diff(ball, axis=0), axis=1)[planted].max() < 1e-4


def test_knees_of_the_walk_bend_forward(walking: Watched) -> None:
    for side in ("left", "right"):
        hip, knee, ankle = (
            walking.places[:, JOINT_NAMES.index(f"{side}_{part}")] for part in ("hip", "knee", "ankle")
        )
        forward = walking.axes[:, JOINT_NAMES.index("pelvis"), :, 2]  # bones turn z forward
        share = np.linalg.norm(knee - hip, axis=1) / (
            np.linalg.norm(knee - hip, axis=1) + np.linalg.norm(ankle - knee, axis=1)
        )
        straight = hip + share[:, None] * (ankle - hip)
        assert np.sum((knee - straight) * forward, axis=1).min() > 0.02
        angle = np.arccos(
            np.sum((knee - hip) * (ankle - knee), axis=1)
            / np.linalg.norm(knee - hip, axis=1)
            / np.linalg.norm(ankle - knee, axis=1)
        )
        assert np.degrees(angle).min() > 10
        assert 55 < np.degrees(angle).max() < 80
        assert np.degrees(np.abs(np.diff(angle, n=2))).max() < 12, "no pops"


def test_the_walk_goes_forward_and_turns(walking: Watched) -> None:
    pelvis = walking.places[:, 0]
    first, last = pelvis[15] - pelvis[0], pelvis[-1] - pelvis[-16]
    assert np.degrees(np.arctan2(first[0], -first[1])) == pytest.approx(0, abs=4)
    assert np.degrees(np.arctan2(last[0], -last[1])) == pytest.approx(60, abs=4)
    assert np.linalg.norm(np.diff(pelvis[:, :2], axis=0), axis=1).sum() == pytest.approx(
        0.95 * 119 / 30, rel=0.05
    )
    assert 0.01 < np.ptp(pelvis[:, 2]) < 0.06


def test_random_poses_are_the_same_for_the_same_seed(scene: bpy.types.Scene, tmp_path: Path) -> None:
    source = motions.random_poses(tmp_path, seed=4)
    assert source.frames == (1, 200)
    again = motions.random_poses(tmp_path, seed=4)
    other = motions.random_poses(tmp_path, seed=5, count=20)
    for one in (source, again, other):
        one.mesh.hide_viewport = True
    scene.frame_set(12)
    turns = [np.array(s.armature.pose.bones["left_knee"].rotation_quaternion) for s in (source, again, other)]
    assert np.array_equal(turns[0], turns[1])
    assert np.abs(turns[0] - turns[2]).max() > 1e-3


@pytest.mark.parametrize(("name", "count", "lowest"), [("walk", 171, 0.8), ("jump", 228, 0.4)])
def test_demo_was_recovered_from_free_footage(scene, tmp_path: Path, name, count, lowest) -> None:
    watched = watch(motions.demo(tmp_path, name))
    assert watched.source.contacts.shape == (count, 4)
    assert len(watched.places) == count
    assert watched.places[:, 0, 2].min() > lowest
    with np.load(Path(motions.__file__).with_name(f"demo_{name}.npz"), allow_pickle=False) as stored:
        assert str(stored["licence"]).startswith("BSD-3-Clause")


def test_baked_files_are_small_and_say_whose_they_are() -> None:
    files = sorted(Path(motions.__file__).parent.glob("*.npz"))
    assert sum(path.stat().st_size for path in files) < 500_000
    for path in files:
        with np.load(path, allow_pickle=False) as stored:
            assert str(stored["licence"]).startswith(("CC0-1.0", "BSD-3-Clause"))
            assert len(str(stored["source"])) > 10
