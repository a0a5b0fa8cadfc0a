# SPDX-License-Identifier: GPL-3.0-or-later
"""bone_names.py: names as different tools write them."""

import pytest
from recover_motion.retarget.bone_names import RigNames, canonical, spelling


@pytest.mark.parametrize(
    ("name", "words", "side"),
    [
        ("LeftUpLeg", ("up", "leg"), "left"),
        ("mixamorig7:LeftUpLeg", ("up", "leg"), "left"),
        ("Armature|mixamorig:LeftUpLeg", ("up", "leg"), "left"),
        ("thigh.L", ("thigh",), "left"),
        ("thigh_l", ("thigh",), "left"),
        ("L_Thigh", ("thigh",), "left"),
        ("Thigh-R", ("thigh",), "right"),
        ("Left thigh", ("thigh",), "left"),
        ("Bip01 R UpperArm", ("bip", "1", "upper", "arm"), "right"),
        ("J_Bip_L_UpperArm", ("j", "bip", "upper", "arm"), "left"),
        ("RHipJoint", ("hip", "joint"), "right"),
        ("lShldrBend", ("shldr", "bend"), "left"),
        ("lefthand", ("hand",), "left"),
        ("upperarm_twist_01_l", ("upperarm", "twist", "1"), "left"),
        ("spine.001", ("spine", "1"), ""),
        ("spine_01", ("spine", "1"), ""),
        ("Spine1", ("spine", "1"), ""),
        ("左ひじ", ("ひじ",), "left"),
        ("右足首", ("足首",), "right"),
        ("IKTarget", ("ik", "target"), ""),
        ("leg", ("leg",), ""),
        ("Left", (), "left"),
        ("Hips:", ("hips",), ""),
        ("", (), ""),
    ],
)
def test_words_and_side(name, words, side):
    found = canonical(name)
    assert (found.words, found.side) == (words, side)


def test_one_bone_in_many_spellings_has_one_key():
    spellings = ["LeftUpLeg", "left_up_leg", "Left Up Leg", "leftupleg", "LEFT-UP-LEG", "UpLeg.L", "l_upLeg"]
    assert {canonical(name).key for name in spellings} == {("left", "upleg")}


def test_other_sides_and_numbers_have_other_keys():
    names = ["thigh.L", "thigh.R", "thigh", "thigh.L.001", "DEF-thigh.L"]
    assert len({canonical(name).key for name in names}) == len(names)


def test_spelling_forgets_case_and_separators_only():
    assert spelling("Bip01 L Thigh") == spelling("BIP01_L_THIGH") == spelling("bip01.l-thigh")
    assert spelling("LeftUpLeg") != spelling("Left_Up_Leg")


def test_prefix_is_the_one_that_fits_most_names():
    rig = RigNames(["mixamorig7:Hips", "mixamorig7:Spine", "mixamorig7:Head", "other:Hips", "Hips"])
    prefix = rig.prefix(["Hips", "Spine", "Head"])
    assert prefix == "mixamorig7_"
    assert rig.spelled("Hips", prefix) == "mixamorig7:Hips"
    assert rig.spelled("Hips") == "Hips"


def test_without_a_prefix_there_is_none():
    rig = RigNames(["Hips", "Spine", "UpperSpine"])
    assert rig.prefix(["Hips", "Spine"]) == ""
    assert RigNames([]).prefix(["Hips"]) == ""


def test_prefix_without_separator():
    rig = RigNames(["mixamorigHips", "mixamorigSpine"])
    assert rig.spelled("Spine", rig.prefix(["Hips", "Spine"])) == "mixamorigSpine"


def test_bone_that_is_called_what_stands_in_front():
    rig = RigNames(["x:Bip01", "x:Bip01 Pelvis", "x:Bip01 Spine"])
    prefix = rig.prefix(["Bip01", "Pelvis", "Spine"])
    assert prefix == "x_bip01_"
    assert rig.spelled("Bip01", prefix) == "x:Bip01"
    assert rig.spelled("Bip02", prefix) == ""


def test_exact_spelling_goes_first():
    rig = RigNames(["thigh_l", "thigh.L"])
    assert rig.spelled("thigh.L") == "thigh.L"
    assert rig.spelled("thigh_l") == "thigh_l"


def test_alike_only_when_there_is_no_doubt():
    rig = RigNames(["L_Thigh", "Head", "head.L", "HEAD"])
    assert rig.alike("thigh.L") == "L_Thigh"
    assert rig.alike("head") == ""
    assert rig.alike("thigh.R") == ""


def test_numbers_that_an_exporter_appended_do_not_matter():
    rig = RigNames(["Hips_01", "Spine_02", "LeftUpLeg_055", "Head_0100"])
    assert rig.spelled("LeftUpLeg") == "LeftUpLeg_055"
    assert rig.alike("upleg.L") == "LeftUpLeg_055"
    few = RigNames(["spine_01", "spine_02", "head", "neck"])
    assert few.spelled("spine") == ""
