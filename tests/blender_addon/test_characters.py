# SPDX-License-Identifier: GPL-3.0-or-later
"""characters: what the tests of retargeting and export stand on is itself as it says."""

from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
import pytest
from characters import CHARACTERS, Character, character, exact, motions
from mathutils import Matrix
from recover_motion.skeleton import JOINT_NAMES

pytestmark = pytest.mark.bpy

SIDES = (("Left", "Right"), (".L", ".R"), ("_l", "_r"), ("LHip", "RHip"), ("LThumb", "RThumb"))


@dataclass
class Bent:
    """A character whose left shin is turned.

    Attributes:
        knee: (3,) place of the knee in the world.
        skin: (V, 3) in the world.
        turned: (V, 3) where the skin at rest goes if it all turns with the shin.
        held: (V,) share of shin, foot and toes in the skin.
    """

    knee: np.ndarray
    skin: np.ndarray
    turned: np.ndarray
    held: np.ndarray


@dataclass
class Facts:
    """What a character is, read from Blender once.

    Attributes:
        name: in `CHARACTERS`.
        skin: (V, 3) as posed, in the world.
        ends: heads and tails (2, 3) of the bones at rest, in the world.
        shares: (V,) sums of the skin's weights.
        unmoved: groups of vertices without a bone that deforms.
        bent: the same with a bent knee.
    """

    name: str
    skin: np.ndarray
    ends: dict[str, np.ndarray]
    shares: np.ndarray
    unmoved: list[str]
    bent: "Bent"


@pytest.fixture(scope="module")
def all_facts() -> dict[str, Facts]:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    character("rigify", bpy.context.scene)  # generated the first time, and only then slow
    found = {}
    for name in CHARACTERS:
        made = character(name, bpy.context.scene)
        found[name] = facts_of(made)
    return found


@pytest.fixture(params=CHARACTERS)
def facts(request: pytest.FixtureRequest, all_facts: dict[str, Facts]) -> Facts:
    return all_facts[request.param]


def facts_of(made: Character) -> Facts:
    bones = made.armature.data.bones
    matrix = made.armature.matrix_world
    skin = skin_in_world(made.mesh)
    return Facts(
        made.name,
        skin,
        {b.name: np.array([matrix @ b.head_local, matrix @ b.tail_local]) for b in bones},
        np.array([sum(group.weight for group in vertex.groups) for vertex in made.mesh.data.vertices]),
        [g.name for g in made.mesh.vertex_groups if g.name not in bones or not bones[g.name].use_deform],
        with_bent_knee(made, skin),
    )


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


def with_bent_knee(made: Character, before: np.ndarray) -> Bent:
    """Turn the left shin about the knee."""
    bones, world = made.armature.pose.bones, made.armature.matrix_world
    shin = deforming = bones[KNEES[made.name]]
    if made.name == "rigify":
        bones["thigh_parent.L"]["IK_FK"] = 1.0
        deforming = bones["DEF-shin.L"]
    knee = world @ shin.head
    turn = Matrix.Translation(knee) @ Matrix.Rotation(0.6, 4, "X") @ Matrix.Translation(-knee)
    shin.matrix = world.inverted() @ turn @ world @ shin.matrix
    made.armature.update_tag()
    bpy.context.view_layer.update()
    below = {deforming.name, *(bone.name for bone in deforming.children_recursive)}
    groups = [group.name in below for group in made.mesh.vertex_groups]
    vertices = made.mesh.data.vertices
    held = [sum(element.weight for element in v.groups if groups[element.group]) for v in vertices]
    matrix = np.array(turn)
    turned = before @ matrix[:3, :3].T + matrix[:3, 3]
    return Bent(np.array(knee), skin_in_world(made.mesh), turned, np.array(held))


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


def test_the_fbx_import_is_centimetres_with_y_up(scene: bpy.types.Scene) -> None:
    made = character("fbx_mixamo", scene)
    assert np.allclose(made.armature.scale, 0.01)
    assert np.allclose(made.armature.rotation_euler, (np.pi / 2, 0, 0), atol=1e-6)
    assert made.mesh.parent == made.armature
    assert np.allclose(made.mesh.matrix_local, np.eye(4))
    head = made.armature.data.bones["mixamorig:Head"].head_local
    assert head.y > 100
    assert np.allclose(made.armature.pose.bones["mixamorig:Head"].head, head, atol=1e-3)


def test_a_bent_knee_takes_the_skin_along(facts: Facts) -> None:
    """What only the shin and the foot hold turns with them, and what they do not hold stays."""
    bent = facts.bent
    assert 0.03 < bent.knee[0] < 0.4
    whole, none = bent.held > 0.9999, bent.held == 0
    assert whole.sum() > 30
    assert none.sum() > 500
    assert np.abs(bent.skin - bent.turned)[whole].max() < 1e-3
    stretch = 0.005 if facts.name == "rigify" else 1e-5  # its thigh is a curve that ends at the knee
    assert np.abs(bent.skin - facts.skin)[none].max() < stretch
    left = facts.skin[:, 0] > 0.02
    toes = left & (facts.skin[:, 1] < facts.skin[left & (facts.skin[:, 2] < 0.05), 1].min() + 0.02)
    assert (whole & toes).any(), "the toes are held by the foot"


def test_the_mannequins_twist_bones_hold_skin(scene: bpy.types.Scene) -> None:
    made = character("mannequin", scene)
    most = dict.fromkeys((group.name for group in made.mesh.vertex_groups), 0.0)
    for vertex in made.mesh.data.vertices:
        for element in vertex.groups:
            name = made.mesh.vertex_groups[element.group].name
            most[name] = max(most[name], element.weight)
    twists = [bone.name for bone in made.armature.data.bones if "_twist_" in bone.name]
    assert len(twists) == 12
    for twist in twists:
        assert made.armature.data.bones[twist].parent.name == f"{twist.split('_')[0]}_{twist[-1]}"
        assert most[twist] > 0.7
        assert most[f"{twist.split('_')[0]}_{twist[-1]}"] > 0.7


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


def test_same_directions_at_rest_in_another_object(scene, still: motions.Source) -> None:
    source_skin = skin_at_rest(still)
    for seed in (0, 1):
        made = exact.same_directions(still.armature, seed, scene)
        check_same_directions(made, still.armature, source_skin)


def check_same_directions(made: Character, source: bpy.types.Object, source_skin: np.ndarray) -> None:
    names = list(JOINT_NAMES)
    difference = directions(made.armature, [made.bones[n] for n in names]) - directions(source, names)
    assert np.abs(difference).max() < np.radians(0.01)
    scale = made.armature.matrix_world.to_scale()
    assert np.ptp(scale) < 1e-4 * max(scale)
    world = made.armature.matrix_world.to_3x3().normalized()
    sideways = [world @ made.armature.data.bones[made.bones[n]].matrix_local.to_3x3().col[0] for n in names]
    same = [source.data.bones[n].matrix_local.to_3x3().col[0] for n in names]
    assert np.mean([one.angle(other) for one, other in zip(sideways, same, strict=True)]) > 0.5, "rolls"
    skin = skin_in_world(made.mesh)
    factor = np.ptp(skin[:, 2]) / np.ptp(source_skin[:, 2])
    place = skin - factor * source_skin
    assert np.ptp(place, axis=0).max() < 1e-4


def skin_at_rest(source: motions.Source) -> np.ndarray:
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
