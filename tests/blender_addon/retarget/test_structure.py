# SPDX-License-Identifier: GPL-3.0-or-later
"""structure.py, skeleton_shape.py: roles from places alone, however the rig lies; None for other beings."""

import dataclasses

import example_rigs
import numpy as np
import pytest
from recover_motion.retarget.mapping import RigBone
from recover_motion.retarget.preset_file import built_in_presets
from recover_motion.retarget.skeleton_shape import Shape
from recover_motion.retarget.structure import find_structure
from smpl_reference import rotation

BY_ID = {preset.id: preset for preset in built_in_presets()}
FIGURES = tuple(name for name in example_rigs.OWN_PRESET if name not in example_rigs.CONTROL_RIGS)
FEW = (
    "biped",
    "daz_genesis_8",
    "mpfb_cmu_mb",
    "mpfb_default",
    "rigify_metarig_human",
    "smpl",
    "ue5_mannequin",
)
LIMBS = tuple(
    f"{side}_{joint}"
    for side in ("left", "right")
    for joint in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
)
SPINE = ("spine1", "spine2", "spine3")
QUARTER = np.pi / 2


def nameless(name, seed=5):
    """A rig with random names and in random order; and the roles that its preset gives it."""
    random = np.random.default_rng(seed)
    bones = example_rigs.rig(name)
    names = {bone.name: f"{random.integers(1 << 60):x}" for bone in bones}
    own = BY_ID[example_rigs.OWN_PRESET[name]].bone_map([bone.name for bone in bones]).bones
    order = random.permutation(len(bones))
    shuffled = example_rigs.renamed([bones[index] for index in order], names)
    return shuffled, {role: tuple(names[bone] for bone in chain) for role, chain in own.items()}


def below_of(bones, tops):
    """Names of all bones that hang on some."""
    below, found = set(), tops
    while found := {bone.name for bone in bones if bone.parent in found}:
        below |= found
    return below


def check(structure, own):
    for role in (*LIMBS, "pelvis", "head"):
        assert structure.bones[role][0] == own[role][0], role
    for role, chain in structure.bones.items():
        if role in own and role not in SPINE:
            assert set(chain) & set(own[role]), role
    spine = [bone for role in SPINE for bone in structure.bones.get(role, ())]
    assert spine == [bone for role in SPINE for bone in own.get(role, ())]
    assert len(structure.bones) >= len(own) - 1
    assert 0.5 < structure.score <= 0.7


@pytest.mark.parametrize("name", FIGURES)
def test_roles_from_places_alone(name):
    bones, own = nameless(name)
    structure = find_structure(bones)
    check(structure, own)
    np.testing.assert_allclose(structure.up, [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(structure.front, [0, -1, 0], atol=1e-6)


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize(
    ("turn", "scale"),
    [
        ((-QUARTER, 0, 0), 100.0),  # Y up, in centimetres: what FBX files have
        ((0, 0, QUARTER), 0.01),
        ((2 * QUARTER, 0, 0), 1.0),  # on its head
    ],
)
def test_roles_however_the_rig_lies(name, turn, scale):
    bones, own = nameless(name)
    matrix = rotation(np.array(turn))
    structure = find_structure(example_rigs.turned(bones, matrix, scale))
    check(structure, own)
    np.testing.assert_allclose(structure.up, matrix @ [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(structure.front, matrix @ [0, -1, 0], atol=1e-6)


@pytest.mark.parametrize("name", FEW)
def test_roles_when_tails_say_nothing(name):
    """Importers of FBX and glTF cannot know where a bone ends."""
    bones, own = nameless(name)
    bones = [dataclasses.replace(b, tail=(b.head[0], b.head[1], b.head[2] + 0.03)) for b in bones]
    structure = find_structure(bones)
    for role in (*LIMBS, "pelvis"):
        assert structure.bones[role][0] == own[role][0], role


@pytest.mark.parametrize("name", FEW)
def test_small_asymmetry_is_no_obstacle(name):
    bones, own = nameless(name)
    random = np.random.default_rng(2)
    places = {bone.name: random.normal(0, 0.002, 3) for bone in bones}
    moved = [
        dataclasses.replace(
            bone,
            head=tuple(np.array(bone.head) + places[bone.name]),
            tail=tuple(np.array(bone.tail) + places[bone.name]),
        )
        for bone in bones
    ]
    structure = find_structure(moved)
    for role in (*LIMBS, "pelvis"):
        assert structure.bones[role][0] == own[role][0], role


@pytest.mark.parametrize("name", FIGURES)
def test_without_fingers_and_toes(name):
    bones, own = nameless(name)
    ends = {own[role][-1] for role in ("left_wrist", "right_wrist", "left_ankle", "right_ankle")}
    structure = find_structure(example_rigs.without(bones, below_of(bones, ends)))
    for role in (*LIMBS, "pelvis", "head"):
        assert structure.bones[role][0] == own[role][0], role
    assert "left_foot" not in structure.bones


@pytest.mark.parametrize("name", FIGURES)
def test_short_legs_and_a_large_head(name):
    """A cartoon figure: legs at 45 % of their length, a head three times as large, arms a little shorter."""
    bones, own = nameless(name)
    by_name = {bone.name: bone for bone in bones}
    parents = {bone.name: bone.parent for bone in bones}
    factor = {}
    for role, value in (("left_hip", 0.45), ("right_hip", 0.45), ("head", 3.0)):
        factor[own[role][0]] = value
    for role in ("left_shoulder", "right_shoulder"):
        factor[own[role][0]] = 0.8

    def place(name, point):
        above = name
        while above:
            if above in factor:
                start = np.array(by_name[above].head)
                return tuple(start + factor[above] * (np.array(point) - start))
            above = parents[above]
        return point

    cartoon = [dataclasses.replace(b, head=place(b.name, b.head), tail=place(b.name, b.tail)) for b in bones]
    structure = find_structure(cartoon)
    for role in (*LIMBS, "pelvis"):
        assert structure.bones[role][0] == own[role][0], role


@pytest.mark.parametrize("name", FEW)
def test_feet_as_long_as_shins(name):
    bones, own = nameless(name)
    heads = {bone.name: np.array(bone.head) for bone in bones}
    parents = {bone.name: bone.parent for bone in bones}
    ankles = {own[role][0] for role in ("left_ankle", "right_ankle")}

    def place(name, point):
        above = name
        while above and above not in ankles:
            above = parents[above]
        if not above:
            return point
        return tuple(heads[above] + np.array([1, 3.5, 1]) * (np.array(point) - heads[above]))

    longer = [dataclasses.replace(b, head=place(b.name, b.head), tail=place(b.name, b.tail)) for b in bones]
    check(find_structure(longer), own)


def test_arms_straight_down_and_straight_to_the_side():
    bones, own = nameless("mpfb_mixamo")
    for angle in (0.9, -0.75):  # from the A-pose to hanging arms, and to a T-pose
        posed = bones
        for role, sign in (("left_shoulder", 1), ("right_shoulder", -1)):
            posed = turned_below(posed, own[role][0], rotation(np.array([0, sign * angle, 0])))
        check(find_structure(posed), own)


def turned_below(bones, top, matrix):
    """A rig in which one bone and all below it are turned about its head."""
    parents = {bone.name: bone.parent for bone in bones}
    pivot = np.array(next(bone.head for bone in bones if bone.name == top))

    def hangs(name):
        while name and name != top:
            name = parents[name]
        return bool(name)

    def place(point):
        return tuple(pivot + matrix @ (np.array(point) - pivot))

    return [
        dataclasses.replace(b, head=place(b.head), tail=place(b.tail)) if hangs(b.name) else b for b in bones
    ]


@pytest.mark.parametrize("name", example_rigs.CONTROL_RIGS[1:])
def test_control_rigs_are_not_guessed_at(name):
    assert find_structure(nameless(name)[0]) is None


@pytest.mark.parametrize(
    ("turn", "front"),
    [((0, 0, 0), (0, -1, 0)), ((-QUARTER, 0, 0), (0, 0, 1)), ((0, 0, QUARTER), (0, -1, 0))],
)
def test_figure_as_flat_as_a_drawing_faces_as_most_rigs_do(turn, front):
    flat = [
        RigBone("hips", "", (0, 0, 1), (0, 0, 1.1)),
        RigBone("spine", "hips", (0, 0, 1.1), (0, 0, 1.3)),
        RigBone("chest", "spine", (0, 0, 1.3), (0, 0, 1.5)),
        RigBone("head", "chest", (0, 0, 1.5), (0, 0, 1.8)),
    ]
    for side, x in (("+", 1), ("-", -1)):
        for part, above, head, tail in (
            ("arm", "chest", (0.2 * x, 0, 1.4), (0.5 * x, 0, 1.4)),
            ("forearm", "arm" + side, (0.5 * x, 0, 1.4), (0.8 * x, 0, 1.4)),
            ("hand", "forearm" + side, (0.8 * x, 0, 1.4), (0.95 * x, 0, 1.4)),
            ("thigh", "hips", (0.1 * x, 0, 0.95), (0.1 * x, 0, 0.5)),
            ("shin", "thigh" + side, (0.1 * x, 0, 0.5), (0.1 * x, 0, 0.08)),
            ("foot", "shin" + side, (0.1 * x, 0, 0.08), (0.1 * x, 0, 0)),
        ):
            flat.append(RigBone(part + side, above, head, tail))
    matrix = rotation(np.array(turn))
    structure = find_structure(example_rigs.turned(flat, matrix))
    if turn[2]:  # edge-on to the usual axis: nothing tells the front, but the sides are told apart
        assert {structure.bones["left_knee"][0], structure.bones["right_knee"][0]} == {"shin+", "shin-"}
        return
    np.testing.assert_allclose(structure.front, front, atol=1e-9)
    assert structure.bones["left_knee"] == ("shin+",)
    assert structure.bones["right_elbow"] == ("forearm-",)
    assert structure.bones["head"] == ("head",)
    assert "left_collar" not in structure.bones


@pytest.mark.parametrize("name", FEW)
def test_knees_tell_the_front_where_there_are_no_toes(name):
    bones, own = nameless(name)
    ends = {own[role][0] for role in ("left_ankle", "right_ankle")}
    below = below_of(bones, ends)
    bare = [
        dataclasses.replace(b, tail=(b.head[0], b.head[1], b.head[2] - 0.05)) if b.name in ends else b
        for b in example_rigs.without(bones, below)
    ]
    bent = {own[role][0]: (0, -0.06, 0) for role in ("left_knee", "right_knee")}
    bare = [
        dataclasses.replace(b, head=tuple(np.add(b.head, bent[b.name]))) if b.name in bent else b
        for b in bare
    ]
    turned = example_rigs.turned(bare, rotation(np.array([0, 0, 2 * QUARTER])))
    structure = find_structure(turned)
    np.testing.assert_allclose(structure.front, [0, 1, 0], atol=1e-6)
    for role in (*LIMBS, "pelvis"):
        assert structure.bones[role][0] == own[role][0], role


# --- what is no biped


def dog(*, with_hands=False) -> list[RigBone]:
    """Four legs down from a level spine, a head in front, a tail behind."""
    bones = [RigBone("hips", "", (0, 0.5, 0.6), (0, 0.3, 0.6))]
    for number, y in enumerate((0.3, 0.1, -0.1, -0.3)):
        above = f"spine{number - 1}" if number else "hips"
        bones.append(RigBone(f"spine{number}", above, (0, y, 0.6), (0, y - 0.2, 0.6)))
    bones += [
        RigBone("neck", "spine3", (0, -0.5, 0.65), (0, -0.6, 0.8)),
        RigBone("head", "neck", (0, -0.6, 0.8), (0, -0.8, 0.8)),
        RigBone("tail0", "hips", (0, 0.5, 0.6), (0, 0.7, 0.6)),
        RigBone("tail1", "tail0", (0, 0.7, 0.6), (0, 0.9, 0.6)),
    ]
    for pair, above, y in (("hind", "hips", 0.5), ("fore", "spine3", -0.4)):
        for side, x in (("l", 0.12), ("r", -0.12)):
            heights = (0.58, 0.35, 0.12, 0.03)
            joints = [(x, y + bend, z) for bend, z in zip((0, -0.05, 0.04, -0.02), heights, strict=True)]
            ends = [*joints[1:], (x, y - 0.1, 0.0)]
            for number, (head, tail) in enumerate(zip(joints, ends, strict=True)):
                parent = f"{pair}{number - 1}_{side}" if number else above
                bones.append(RigBone(f"{pair}{number}_{side}", parent, head, tail))
    return bones


def bird() -> list[RigBone]:
    """Wings, and a body, but no legs."""
    bones = [RigBone(f"b{n}", f"b{n - 1}" if n else "", (0, 0, n / 4), (0, 0, (n + 1) / 4)) for n in range(5)]
    for side, x in (("l", 1), ("r", -1)):
        for number in range(5):
            parent = f"w{number - 1}{side}" if number else "b3"
            bones.append(
                RigBone(
                    f"w{number}{side}",
                    parent,
                    (x * (0.1 + number / 4), 0, 1),
                    (x * (0.35 + number / 4), 0, 1),
                )
            )
    return bones


def spider() -> list[RigBone]:
    bones = [RigBone("body", "", (0, 0, 0.5), (0, 0.3, 0.5))]
    for leg in range(8):
        angle = np.pi / 8 + leg * np.pi / 4
        for number in range(4):
            near, far = 0.2 + 0.2 * number, 0.4 + 0.2 * number
            place = [(d * np.cos(angle), d * np.sin(angle), 0.5 - 0.1 * number) for d in (near, far)]
            parent = f"leg{leg}_{number - 1}" if number else "body"
            bones.append(RigBone(f"leg{leg}_{number}", parent, *place))
    return bones


@pytest.mark.parametrize("being", [dog, bird, spider])
def test_other_beings_are_none(being):
    assert len(being()) >= 10
    assert find_structure(being()) is None


def test_ropes_and_rubbish_are_none():
    rope = [RigBone(f"b{n}", f"b{n - 1}" if n else "", (0, 0, n), (0, 0, n + 1)) for n in range(900)]
    assert find_structure(rope) is None
    assert find_structure([]) is None
    assert (
        find_structure([RigBone("a", "", (0, 0, 0), (0, 0, 1)), RigBone("b", "a", (0, 0, 1), (0, 0, 2))])
        is None
    )
    random = np.random.default_rng(4)
    cloud = [
        RigBone(f"c{n}", f"c{random.integers(n)}" if n else "", tuple(random.normal(size=3)), (0, 0, 0))
        for n in range(80)
    ]
    assert find_structure(cloud) is None


def test_half_a_body_is_none():
    bones, own = nameless("mpfb_mixamo")
    parents = {bone.name: bone.parent for bone in bones}

    def hangs(name, top):
        while name and name != top:
            name = parents[name]
        return bool(name)

    for role in ("left_hip", "right_shoulder"):
        assert find_structure([bone for bone in bones if not hangs(bone.name, own[role][0])]) is None


# --- the tree


def test_mirror_plane_of_a_rig_off_its_centre():
    bones = [
        dataclasses.replace(b, head=(b.head[0] + 3, *b.head[1:]), tail=(b.tail[0] + 3, *b.tail[1:]))
        for b in example_rigs.rig("mpfb_mixamo")
    ]
    shape = Shape(bones)
    assert shape.side == 0
    assert shape.middle * shape.size == pytest.approx(3, abs=0.02)


def test_branch_is_the_longest_way():
    bones = [
        RigBone("a", "", (0, 0, 0), (0, 0, 1)),
        RigBone("b", "a", (0, 0, 1), (0, 0, 2)),
        RigBone("twist", "b", (0, 0, 1.5), (0, 0, 2)),
        RigBone("c", "b", (0, 0, 2), (0, 0, 4)),
        RigBone("d", "c", (0, 1, 4), (0, 2, 4)),
    ]
    shape = Shape(bones)
    branch = shape.branch(1)
    assert [shape.names[index] for index in branch.path] == ["b", "c", "d"]
    assert branch.count == 4
    np.testing.assert_allclose(branch.lengths * shape.size, [1, np.sqrt(5), 1])
    assert shape.above(4) == [4, 3, 1, 0]
