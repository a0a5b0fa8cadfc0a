# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of bones: filled, edited, read, and what is wrong with it."""

import bpy
import numpy as np
import pytest
import recover_motion
from recover_motion.retarget.mapping import AXIAL, REQUIRED, ROLES, BoneMap, Setting, Twist
from recover_motion.retarget.mapping_list import (
    ORDER,
    PARTS,
    add_row,
    armature_of,
    clear_row,
    count,
    extras_in_words,
    fill,
    find_list,
    is_edited,
    make_list,
    problem_of_list,
    problems,
    read,
    rows,
    title,
    verdict,
)
from simple_character import add_character

pytestmark = pytest.mark.bpy

_TRUNK = ("pelvis Hips", "spine1 Spine", "spine2 Spine1", "spine3 Spine2", "neck Neck", "head Head")
_LIMBS = (
    *("collar Shoulder", "shoulder Arm", "elbow ForeArm", "wrist Hand"),
    *("hip UpLeg", "knee Leg", "ankle Foot", "foot ToeBase"),
)
NAMES = dict(pair.split() for pair in _TRUNK)
NAMES |= {
    f"{side.lower()}_{joint}": side + bone
    for side in ("Left", "Right")
    for joint, bone in (pair.split() for pair in _LIMBS)
}


@pytest.fixture
def scene(quick_scene):
    return quick_scene


@pytest.fixture
def hero(scene):
    recover_motion.register()
    yield add_character(prefix="")
    recover_motion.unregister()


@pytest.fixture
def listed(scene, hero):
    listed = make_list(scene.recover_motion_retarget, hero)
    fill(listed, BoneMap(bones={role: (bone,) for role, bone in NAMES.items()}, name="Mine"))
    return listed


def row_of(listed, role):
    return next(row for row in listed.bones if row.role == role)


def test_every_role_has_a_name_and_a_place():
    assert set(PARTS) == set(ORDER) == set(ROLES)
    assert len(ORDER) == len(ROLES) == len(set(PARTS.values()))


def test_what_is_filled_is_read_again_for_any_mapping(scene, hero):
    """Random chains of random bones, against the mapping itself."""
    random, listed = np.random.default_rng(6), make_list(scene.recover_motion_retarget, hero)
    for _ in range(20):
        bones = {
            role: tuple(random.permutation(sorted(NAMES.values()))[: random.integers(1, 4)].tolist())
            for role in ROLES
            if random.random() < 0.7
        }
        bone_map = BoneMap(bones, root="r", settings=(Setting("a", "b", 0.5),), name="n")
        fill(listed, bone_map)
        assert read(listed) == bone_map
        assert {row.role for row in listed.bones} == set(ROLES)
        assert len(listed.bones) == sum(max(len(bones.get(role, ())), 1) for role in ROLES)
        assert not is_edited(listed)


def test_a_list_in_order_has_no_problem(listed, hero):
    assert problem_of_list(listed, hero) == ""
    assert count(listed, hero) == 22
    assert title(listed, hero) == "Mine, 22 of 22 bones"


def test_a_hole_where_a_bone_is_needed_names_the_part(listed, hero):
    for row in listed.bones:
        bone, row.bone = row.bone, ""
        if row.role in REQUIRED:
            assert problem_of_list(listed, hero) == f"No bone plays the {PARTS[row.role]}: choose one"
            assert sum(map(bool, problems(listed, hero))) == 1
        else:
            assert problem_of_list(listed, hero) == ""
        assert title(listed, hero) == "Mine (changed), 21 of 22 bones"
        row.bone = bone


def test_a_bone_that_is_not_there(listed, hero):
    row_of(listed, "neck").bone = "giraffe"
    assert problem_of_list(listed, hero) == 'Neck: the rig has no bone "giraffe"'
    row_of(listed, "neck").bone = ""
    listed.root = "roots"
    assert problem_of_list(listed, hero) == 'Root Bone: the rig has no bone "roots"'


def test_a_bone_that_is_there_twice_is_marked_at_both_places(listed, hero):
    row_of(listed, "neck").bone = "LeftArm"
    wrong = [row.role for row, text in zip(listed.bones, problems(listed, hero), strict=True) if text]
    assert wrong == ["neck", "left_shoulder"]
    assert problem_of_list(listed, hero) == 'Neck: the bone "LeftArm" is in the list more than once'


def test_further_rows_are_a_chain(listed, hero):
    row_of(listed, "head").bone = ""
    neck = [row.role for row in listed.bones].index("neck")
    added = add_row(listed, "neck")
    assert added == neck + 1
    listed.bones[added].bone = "Head"
    assert read(listed).bones["neck"] == ("Neck", "Head")
    assert [first for _, row, first in rows(listed) if row.role == "neck"] == [True, False]
    clear_row(listed, neck)  # the first goes, the other one stays
    assert read(listed).bones["neck"] == ("Head",)
    clear_row(listed, neck)
    assert "neck" not in read(listed).bones
    assert [row.role for row in listed.bones] == list(ORDER)
    assert set(AXIAL) < set(ORDER)


def test_what_detection_said_counts_until_somebody_edits(listed):
    fill(listed, read(listed), "All there.", 0.876)
    assert verdict(listed) == "All there. Match: 88%."
    row_of(listed, "neck").bone = ""
    assert verdict(listed) == ""
    row_of(listed, "neck").bone = "Neck"
    assert verdict(listed)


def test_extras_are_counted(listed):
    assert extras_in_words(listed) == ""
    twists = (Twist("a", "left_elbow", 0.5), Twist("b", "left_elbow", 0.25))
    fill(listed, BoneMap({}, twists=twists, settings=(Setting("a", "b", 1.0),)))
    assert extras_in_words(listed) == "Twist bones: 2. Settings of the rig: 1"


def test_each_character_has_its_own_list_and_those_of_the_deleted_go(scene, hero, listed):
    settings = scene.recover_motion_retarget
    other = add_character("Other")
    assert find_list(settings, other) is None
    fill(make_list(settings, other), BoneMap({"pelvis": ("mixamorig:Hips",)}))
    assert read(find_list(settings, hero)).bones["pelvis"] == ("Hips",)
    assert find_list(settings, None) is None
    bpy.data.objects.remove(other)
    third = add_character("Third")
    bpy.context.view_layer.objects.active = third
    bpy.ops.object.delete()  # it stays in the file, as its list uses it
    make_list(settings, hero)
    assert [one.target for one in settings.lists] == [hero]


def test_the_skin_stands_for_its_armature(hero):
    skin = hero.children[0]
    assert armature_of(skin) == armature_of(hero) == hero
    bpy.ops.object.camera_add()
    assert armature_of(bpy.context.object) is None
    assert armature_of(None) is None
