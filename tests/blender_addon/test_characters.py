# SPDX-License-Identifier: GPL-3.0-or-later
"""characters: what the tests of retargeting and export stand on is itself as it says."""

from dataclasses import dataclass
from pathlib import Path
from time import process_time

import bpy
import numpy as np
import pytest
from characters import CHARACTERS, Character, character, exact, motions
from mathutils import Matrix, Vector
from recover_motion.skeleton import JOINT_NAMES

pytestmark = pytest.mark.bpy

SIDES = (("Left", "Right"), (".L", ".R"), ("_l", "_r"), ("LHip", "RHip"), ("LThumb", "RThumb"))


@dataclass
class Facts:
    """What a character is, read from Blender once.

    Attributes:
        name: in `CHARACTERS`.
        skin: (V, 3) as posed, in the world.
        ends: heads and tails (2, 3) of the bones at rest, in the world.
        shares: (V,) sums of the skin's weights.
        unmoved: groups of vertices without a bone that deforms.
        seconds: of the processor that it took to build it.
    """

    name: str
    skin: np.ndarray
    ends: dict[str, np.ndarray]
    shares: np.ndarray
    unmoved: list[str]
    seconds: float


@pytest.fixture(scope="module")
def all_facts() -> dict[str, Facts]:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    character("rigify", bpy.context.scene)  # generated the first time, and only then slow
    found = {}
    for name in CHARACTERS:
        start = process_time()
        made = character(name, bpy.context.scene)
        found[name] = facts_of(made, process_time() - start)
    return found


@pytest.fixture(params=CHARACTERS)
def facts(request: pytest.FixtureRequest, all_facts: dict[str, Facts]) -> Facts:
    return all_facts[request.param]


def facts_of(made: Character, seconds: float) -> Facts:
    bones = made.armature.data.bones
    matrix = made.armature.matrix_world
    return Facts(
        made.name,
        skin_in_world(made.mesh),
        {b.name: np.array([matrix @ b.head_local, matrix @ b.tail_local]) for b in bones},
        np.array([sum(group.weight for group in vertex.groups) for vertex in made.mesh.data.vertices]),
        [g.name for g in made.mesh.vertex_groups if g.name not in bones or not bones[g.name].use_deform],
        seconds,
    )


def skin_in_world(mesh: bpy.types.Object) -> np.ndarray:
    """(V, 3) as posed."""
    posed = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    places = np.empty(3 * len(posed.data.vertices), np.float32)
    posed.data.vertices.foreach_get("co", places)
    matrix = np.array(posed.matrix_world)
    return places.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]


def mirrored(name: str) -> str:
    """The bone on the other side; itself where there is none."""
    for one, other in (*SIDES, *((b, a) for a, b in SIDES)):
        if one[0] in "._" and (name.endswith(one) or f"{one}." in name):
            return other.join(name.rsplit(one, 1))
        if one[0] not in "._" and one in name:
            return name.replace(one, other)
    return name


# --- characters


def test_it_stands_on_the_floor(facts: Facts) -> None:
    assert abs(facts.skin[:, 2].min()) < 1e-4
    assert 1.0 < facts.skin[:, 2].max() < 2.2


def test_skin_is_shared_out_among_bones(facts: Facts) -> None:
    assert facts.unmoved == []
    assert np.abs(facts.shares - 1).max() < 1e-4


def test_bones_have_length(facts: Facts) -> None:
    assert all(np.linalg.norm(tail - head) > 0.003 for head, tail in facts.ends.values())


def test_both_sides_are_alike(facts: Facts) -> None:
    flip = np.array([-1.0, 1.0, 1.0])
    if facts.name == "cartoon_plain":  # names tell nothing there: each bone must have a mirror image
        heads = np.array([head for head, _ in facts.ends.values()])
        assert all(np.linalg.norm(heads - head * flip, axis=1).min() < 1e-4 for head in heads)
        return
    parts = slice(1) if facts.name == "mannequin_axes" else slice(2)  # there tails point to no limb
    for name, ends in facts.ends.items():
        if name != "ik_hand_gun":
            assert np.abs(facts.ends[mirrored(name)][parts] * flip - ends[parts]).max() < 1e-4, name
    assert sum(mirrored(name) != name for name in facts.ends) >= 14


def test_left_is_left_and_it_looks_to_the_front(facts: Facts) -> None:
    soles = facts.skin[facts.skin[:, 2] < 0.02]
    assert -soles[:, 1].min() > max(soles[:, 1].max(), 0.05), "toes are farther from the middle than heels"
    for name, (head, _) in facts.ends.items():
        if "Left" in name or name.endswith((".L", "_l")):
            assert head[0] >= 0, name


def test_proportions_differ(all_facts: dict[str, Facts]) -> None:
    heights = [all_facts[name].skin[:, 2].max() for name in ("mixamo", "game_engine", "cmu_mb", "default")]
    assert np.diff(sorted(heights)).min() > 0.05

    def leg(name: str, hip: str) -> float:
        return all_facts[name].ends[hip][0][2] / all_facts[name].skin[:, 2].max()

    assert leg("cartoon", "UpperLeg.L") < 0.6 * leg("mixamo", "mixamorig:LeftUpLeg")


def test_building_one_is_quick(facts: Facts) -> None:
    assert facts.seconds < 0.5


def test_the_fbx_import_is_centimetres_with_y_up(scene: bpy.types.Scene) -> None:
    made = character("fbx_mixamo", scene)
    assert np.allclose(made.armature.scale, 0.01)
    assert np.allclose(made.armature.rotation_euler, (np.pi / 2, 0, 0), atol=1e-6)
    assert made.mesh.parent == made.armature
    assert np.allclose(made.mesh.matrix_local, np.eye(4))
    head = made.armature.data.bones["mixamorig:Head"].head_local
    assert head.y > 100
    assert np.allclose(made.armature.pose.bones["mixamorig:Head"].head, head, atol=1e-3)


KNEES = {
    "mixamo": "mixamorig:LeftLeg",
    "game_engine": "calf_l",
    "cmu_mb": "LeftLeg",
    "default": "lowerleg01.L",
    "mannequin": "calf_l",
    "mannequin_axes": "calf_l",
    "fbx_mixamo": "mixamorig:LeftLeg",
    "cartoon": "LowerLeg.L",
    "cartoon_plain": "Bone.002",
    "rigify": "shin_fk.L",
}


@pytest.mark.parametrize("name", CHARACTERS)
def test_a_bent_knee_takes_the_skin_along(name: str, scene: bpy.types.Scene) -> None:
    """What only the shin and the foot hold turns with them, and what they do not hold stays."""
    made = character(name, scene)
    if name == "rigify":
        made.armature.pose.bones["thigh_parent.L"]["IK_FK"] = 1.0
    before = skin_in_world(made.mesh)
    shin = made.armature.pose.bones[KNEES[name]]
    world = made.armature.matrix_world
    knee = world @ shin.head
    assert 0.03 < knee.x < 0.4
    turn = Matrix.Rotation(0.6, 4, "X")
    turn = Matrix.Translation(knee) @ turn @ Matrix.Translation(-knee)
    shin.matrix = world.inverted() @ turn @ world @ shin.matrix
    bpy.context.view_layer.update()
    after = skin_in_world(made.mesh)

    deforming = made.armature.pose.bones["DEF-shin.L"] if name == "rigify" else shin
    below = {deforming.name, *(bone.name for bone in deforming.children_recursive)}
    groups = made.mesh.vertex_groups
    held = np.array(
        [
            sum(g.weight for g in vertex.groups if groups[g.group].name in below)
            for vertex in made.mesh.data.vertices
        ]
    )
    matrix = np.array(turn)
    turned = before @ matrix[:3, :3].T + matrix[:3, 3]
    whole, none = held > 0.9999, held == 0
    assert whole.sum() > 30
    assert none.sum() > 500
    assert np.abs(after - turned)[whole].max() < 1e-3
    stretch = 0.005 if name == "rigify" else 1e-5  # its thigh is a curve that ends at the knee
    assert np.abs(after - before)[none].max() < stretch
    front = before[:, 1] < before[whole][:, 1].min() + 0.02
    assert (whole & front).any(), "the toes are held by the foot"


def test_rigify_leaves_nothing_else_in_the_file(scene: bpy.types.Scene) -> None:
    made = character("rigify", scene)
    assert {thing.name for thing in scene.collection.all_objects} == {"rigify", "rigify.body"}
    assert "rigify" not in bpy.context.preferences.addons
    assert len(made.armature.data.bones) > 400
    assert {"torso", "upper_arm_fk.L", "hand_ik.R", "foot_ik.L", "toe_fk.L"} <= set(
        made.armature.pose.bones.keys()
    )
    drivers = made.armature.animation_data.drivers
    assert len(drivers) > 50
    assert all(
        curve.driver.is_valid and curve.driver.is_simple_expression
        for curve in drivers
        if curve.driver.type == "SCRIPTED"
    )


# --- rigs for exactness


@pytest.fixture
def still(scene: bpy.types.Scene, tmp_path: Path) -> motions.Source:
    return motions.random_poses(tmp_path, count=2)


def directions(armature: bpy.types.Object, names: list[str]) -> np.ndarray:
    """Unit vectors (N, 3) of bones at rest in the world."""
    matrix = np.array(armature.matrix_world)[:3, :3]
    ends = np.array(
        [(armature.data.bones[n].tail_local - armature.data.bones[n].head_local)[:] for n in names]
    )
    world = ends @ matrix.T
    return world / np.linalg.norm(world, axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(3))
def test_same_directions_at_rest_in_another_object(scene, still: motions.Source, seed: int) -> None:
    made = exact.same_directions(still.armature, seed, scene)
    names = list(JOINT_NAMES)
    difference = directions(made.armature, [made.bones[n] for n in names]) - directions(still.armature, names)
    assert np.abs(difference).max() < np.radians(0.01)
    scale = made.armature.matrix_world.to_scale()
    assert np.ptp(scale) < 1e-4 * max(scale)
    rolls = [
        made.armature.matrix_world.to_3x3().normalized() @ made.armature.data.bones[made.bones[n]].x_axis
        for n in names
    ]
    same = [still.armature.data.bones[n].x_axis for n in names]
    assert np.mean([one.angle(other) for one, other in zip(rolls, same, strict=True)]) > 0.5
    skin = skin_in_world(made.mesh)
    own = skin_in_world_at_rest(still)
    factor = np.ptp(skin[:, 2]) / np.ptp(own[:, 2])
    place = skin - factor * own
    assert np.ptp(place, axis=0).max() < 1e-4


def skin_in_world_at_rest(source: motions.Source) -> np.ndarray:
    source.armature.data.pose_position = "REST"
    bpy.context.view_layer.update()
    return skin_in_world(source.mesh)


def test_a_pose_differs_in_the_arms_alone(scene, still: motions.Source) -> None:
    made = exact.a_pose(still.armature, 50, scene)
    names = list(JOINT_NAMES)
    one, other = directions(made.armature, names), directions(still.armature, names)
    between = np.degrees(np.arccos(np.clip(np.sum(one * other, axis=1), -1, 1)))
    arms = [any(part in name for part in ("shoulder", "elbow", "wrist", "hand")) for name in names]
    assert np.abs(between[~np.array(arms)]).max() < 0.1
    assert np.allclose(between[[names.index("left_shoulder"), names.index("right_shoulder")]], 50, atol=0.5)
    elbow = np.sum(one[names.index("left_shoulder")] * one[names.index("left_elbow")])
    assert np.isclose(np.degrees(np.arccos(elbow)), 15, atol=0.1)
    assert abs(skin_in_world(made.mesh)[:, 2].min()) < 1e-4


# --- motions


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


def test_random_poses_are_the_files(scene: bpy.types.Scene, tmp_path: Path) -> None:
    source = motions.random_poses(tmp_path, seed=4)
    assert source.frames == (1, 200)
    again = motions.random_poses(tmp_path, seed=4)
    other = motions.random_poses(tmp_path, seed=5, count=20)
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
