# SPDX-License-Identifier: GPL-3.0-or-later
"""preset.py: a preset read for one rig; each built-in one finds all that it names in rigs of its family."""

import example_rigs
import pytest
from recover_motion.retarget.bone_names import RigNames
from recover_motion.retarget.mapping import ROLES, IkControl, Setting, Twist
from recover_motion.retarget.preset import Preset
from recover_motion.retarget.preset_file import built_in_presets

PRESETS = {preset.id: preset for preset in built_in_presets()}


def made(**changes) -> Preset:
    bones = {
        "pelvis": (("Hips",),),
        "neck": (("Neck", "Neck1"),),
        "left_foot": (("toe_fk.L",), ("toe.L",)),
        "spine1": (("a", "b"), ("c",)),
    }
    return Preset(**({"id": "own", "name": "Own", "bones": bones} | changes))


def test_bones_with_any_prefix_and_case():
    for names in (
        ["Hips", "Neck", "Neck1"],
        ["x:HIPS", "x:neck", "x:Neck1"],
        ["A|Hips", "A|Neck", "A|neck1"],
    ):
        assert made().bone_map(names).bones == {"pelvis": (names[0],), "neck": (names[1], names[2])}


def test_prefix_can_be_ruled_out():
    found = made(prefix="none", bones={"left_hip": (("thigh.L",),)}).bone_map(["DEF-thigh.L"])
    assert found.bones == {}


def test_chain_leaves_out_what_is_missing():
    assert made().bone_map(["Hips", "Neck1"]).bones["neck"] == ("Neck1",)


def test_newest_version_goes_first_and_the_old_one_stands_in():
    assert made().bone_map(["toe_fk.L", "toe.L"]).bones["left_foot"] == ("toe_fk.L",)
    assert made().bone_map(["toe.L"]).bones["left_foot"] == ("toe.L",)


def test_whole_alternative_goes_before_half_of_another():
    assert made().bone_map(["a", "c"]).bones["spine1"] == ("c",)
    assert made().bone_map(["a", "b", "c"]).bones["spine1"] == ("a", "b")


def test_same_words_stand_in_for_the_spelling():
    preset = made(bones={"left_hip": (("LeftUpLeg",),), "right_hip": (("RightUpLeg",),)})
    assert preset.bone_map(["up_leg.L", "R Up Leg"]).bones == {
        "left_hip": ("up_leg.L",),
        "right_hip": ("R Up Leg",),
    }


def test_no_bone_plays_two_roles():
    preset = made(bones={"spine1": (("Spine1",),), "spine2": (("spine_01",),)})
    found = preset.bone_map(["Spine1", "head"]).bones
    assert found == {"spine1": ("Spine1",)}


def test_extras_of_missing_bones_fall_away():
    preset = made(
        root=("root", "Armature"),
        settings=(Setting("torso", "p", 1.0), Setting("gone", "p", 1.0)),
        twists=(Twist("t1", "left_elbow", 0.5), Twist("gone", "left_elbow", 0.5)),
        ik=(IkControl("left_wrist", "hand_ik", "base", "pole"), IkControl("left_ankle", "gone")),
    )
    found = preset.bone_map(["Hips", "armature", "torso", "t1", "hand_ik", "pole"])
    assert found.root == "armature"
    assert found.settings == (Setting("torso", "p", 1.0),)
    assert found.twists == (Twist("t1", "left_elbow", 0.5),)
    assert found.ik == (IkControl("left_wrist", "hand_ik", "", "pole"),)
    assert found.name == "Own"


def test_root_is_none_of_the_mapped_bones():
    assert made(root=("Hips",)).bone_map(["Hips"]).root == ""


# --- the built-in presets and their families

WITHOUT = {"auto_rig_pro_split": {"spine3"}, "cats": {"spine3"}}
"""Roles that a rig lacks: these have two bones in their spines."""


@pytest.mark.parametrize("name", example_rigs.OWN_PRESET)
def test_family_has_all_that_its_preset_names(name):
    preset = PRESETS[example_rigs.OWN_PRESET[name]]
    bones = example_rigs.rig(name)
    found = preset.resolve(RigNames([bone.name for bone in bones]))
    lacking = {role for role in ROLES if role not in found.bone_map.bones}
    assert lacking <= WITHOUT.get(name, set())
    assert not found.bone_map.missing()
    assert found.spelled == frozenset(found.bone_map.bones)
    used = [bone for chain in found.bone_map.bones.values() for bone in chain]
    assert len(used) == len(set(used))
    assert all(found.signs) or name == "auto_rig_pro_split"
    for twist in found.bone_map.twists:
        assert twist.bone not in used
    if preset.settings:
        there = {bone.name: bone.properties for bone in bones}
        assert len(found.bone_map.settings) == len(preset.settings)
        assert all(one.property in there[one.bone] for one in found.bone_map.settings)
    if preset.ik:
        assert {one.role for one in found.bone_map.ik} == {
            f"{side}_{end}" for side in ("left", "right") for end in ("wrist", "ankle")
        }


@pytest.mark.parametrize(
    ("name", "root"),
    [
        ("ue4_mannequin", "root"),
        ("ue5_mannequin", "root"),
        ("mpfb_game_engine", "Root"),
        ("mpfb_mixamo_unity", "mixamorig:Root"),
        ("mixamo", ""),
        ("rigify_human", "root"),
        ("auto_rig_pro", "c_traj"),
        ("reallusion_cc", "CC_Base_BoneRoot"),
        ("vrm_vroid", "Root"),
        ("mpfb_default", ""),  # its bone "root" is the pelvis
        ("smpl", "m_avg_root"),
    ],
)
def test_root_bones(name, root):
    preset = PRESETS[example_rigs.OWN_PRESET[name]]
    assert preset.bone_map([bone.name for bone in example_rigs.rig(name)]).root == root


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("ue4_mannequin", 8),
        ("ue5_mannequin", 16),
        ("reallusion_cc", 16),
        ("auto_rig_pro_deform", 8),
        ("biped", 8),
        ("daz_genesis_9", 12),
    ],
)
def test_twist_bones_are_found(name, count):
    preset = PRESETS[example_rigs.OWN_PRESET[name]]
    twists = preset.bone_map([bone.name for bone in example_rigs.rig(name)]).twists
    assert len({twist.bone for twist in twists}) == len(twists) == count


def test_both_sides_of_every_preset_mirror_each_other():
    for preset in PRESETS.values():
        for role, chains in preset.bones.items():
            if role.startswith("left_"):
                other = preset.bones[role.replace("left_", "right_")]
                assert [len(chain) for chain in other] == [len(chain) for chain in chains]
                assert not {b for c in chains for b in c} & {b for c in other for b in c}


@pytest.mark.parametrize(
    ("preset", "names"),
    [
        # what rigs of these families call their bones, where the examples have another variety
        ("biped", ["Bip01", "Bip01_Pelvis", "Bip01_L_Thigh", "Bip01_R_Toe0", "Bip01_Spine2"]),
        ("biped", ["Hero_Pelvis", "Hero_L_Thigh", "Hero_R_Toe0", "Hero_Spine2"]),
        ("biped", ["Pelvis", "L Thigh", "R Toe0", "Spine2"]),
        ("smpl", ["Pelvis", "L_Hip", "R_Knee", "Spine3", "L_Collar"]),
        ("smpl", ["f_avg_Pelvis", "f_avg_L_Hip", "f_avg_R_Knee", "f_avg_Spine3", "f_avg_L_Collar"]),
        ("mixamo", ["mixamorig_Hips", "mixamorig_LeftUpLeg", "mixamorig_RightForeArm"]),
        ("mixamo", ["Hips", "LeftUpLeg", "RightForeArm"]),
        ("vrm_humanoid", ["Hips", "Chest", "LeftUpperLeg", "RightLowerArm"]),
        ("rigify", ["torso", "toe.L", "toe.R", "thigh_fk.L"]),
    ],
)
def test_other_varieties_of_the_names(preset, names):
    found = PRESETS[preset].bone_map(names).bones
    assert sorted(bone for chain in found.values() for bone in chain) == sorted(names)
