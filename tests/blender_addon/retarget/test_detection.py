# SPDX-License-Identifier: GPL-3.0-or-later
"""detection.py: every rig goes by its own preset, also when it was changed; nothing else is a body."""

import dataclasses

import example_rigs
import numpy as np
import pytest
from recover_motion.retarget.detection import GOOD, STRUCTURE_NAME, detect
from recover_motion.retarget.mapping import REQUIRED, ROLES, RigBone
from recover_motion.retarget.preset_file import built_in_presets, preset_of

PRESETS = built_in_presets()
BY_ID = {preset.id: preset for preset in PRESETS}
RIGS = tuple(example_rigs.OWN_PRESET)
FEW = (
    "auto_rig_pro",
    "biped",
    "mixamo",
    "mpfb_default",
    "rigify_basic",
    "rigify_metarig_basic",
    "ue5_mannequin",
)
FINGERS = ("thumb", "index", "mid", "ring", "pinky", "little", "finger", "palm", "metacarpal", "f_")


def own_map(name):
    return BY_ID[example_rigs.OWN_PRESET[name]].bone_map([bone.name for bone in example_rigs.rig(name)])


@pytest.mark.parametrize("name", RIGS)
def test_every_rig_goes_by_its_own_preset(name):
    found = detect(example_rigs.rig(name), PRESETS)
    best = found[0]
    assert best.id == example_rigs.OWN_PRESET[name]
    assert best.is_good
    assert 0.95 < best.score <= 1.0
    assert dict(best.bone_map.bones) == dict(own_map(name).bones)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert best.bone_map.name == best.name == BY_ID[best.id].name
    if name in ("auto_rig_pro_split", "cats"):
        assert best.missing == ("spine3",)
        assert best.says.endswith("were found. Without chest.")
    else:
        assert best.missing == ()
        assert best.says == f"{best.name}: bones for all 22 parts of the body were found."


@pytest.mark.parametrize("name", FEW)
def test_order_of_the_presets_and_of_the_bones_does_not_matter(name):
    bones = example_rigs.rig(name)
    order = np.random.default_rng(3).permutation(len(bones))
    found = detect([bones[index] for index in order], PRESETS[::-1])
    assert [(one.id, one.score) for one in found] == [(o.id, o.score) for o in detect(bones, PRESETS)]


@pytest.mark.parametrize("name", FEW)
def test_case_does_not_matter(name):
    bones = example_rigs.rig(name)
    names = {bone.name: bone.name.swapcase() for bone in bones}
    best = detect(example_rigs.renamed(bones, names), PRESETS)[0]
    assert best.id == example_rigs.OWN_PRESET[name]
    wanted = own_map(name).bones
    assert dict(best.bone_map.bones) == {r: tuple(names[b] for b in chain) for r, chain in wanted.items()}


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("prefix", ["rig:Armature|", "Hero_"])
def test_prefixes(name, prefix):
    own = BY_ID[example_rigs.OWN_PRESET[name]]
    bones = example_rigs.rig(name)
    names = {bone.name: prefix + bone.name for bone in bones}
    best = detect(example_rigs.renamed(bones, names), PRESETS)[0]
    if own.prefix == "none" or (own.prefix == "namespace" and prefix == "Hero_"):
        assert best.id != own.id  # those names are another family's
        return
    assert best.id == own.id
    assert dict(best.bone_map.bones) == {
        r: tuple(names[b] for b in chain) for r, chain in own_map(name).bones.items()
    }


@pytest.mark.parametrize(
    "prefix", ["mixamorig:", "mixamorig1:", "mixamorig12:", "mixamorig_", "mixamorig", ""]
)
def test_every_prefix_of_mixamo(prefix):
    bones = example_rigs.rig("mixamo")
    names = {bone.name: prefix + bone.name.partition(":")[2] for bone in bones}
    best = detect(example_rigs.renamed(bones, names), PRESETS)[0]
    assert (best.id, best.score, best.missing) == ("mixamo", 1.0, ())


@pytest.mark.parametrize("name", FEW)
def test_without_fingers(name):
    bones = example_rigs.rig(name)
    own = {bone for chain in own_map(name).bones.values() for bone in chain}
    removed = {b.name for b in bones if any(f in b.name.lower() for f in FINGERS) and b.name not in own}
    best = detect(example_rigs.without(bones, removed), PRESETS)[0]
    assert best.id == example_rigs.OWN_PRESET[name]
    assert dict(best.bone_map.bones) == dict(own_map(name).bones)


@pytest.mark.parametrize("name", RIGS)
def test_without_toes(name):
    wanted = own_map(name).bones
    toes = {bone for role in ("left_foot", "right_foot") for bone in wanted[role]}
    best = detect(example_rigs.without(example_rigs.rig(name), toes), PRESETS)[0]
    assert best.id == example_rigs.OWN_PRESET[name]
    assert best.is_good
    assert {"left_foot", "right_foot"} <= set(best.missing)
    assert best.says.endswith("both toes.")
    assert best.bone_map.bones.items() <= wanted.items()


@pytest.mark.parametrize("name", FEW)
def test_further_bones_do_not_disturb(name):
    bones = example_rigs.rig(name)
    own = own_map(name).bones
    hand, head = own["left_wrist"][-1], own["head"][-1]
    more = [
        RigBone("sword", hand, (0.8, 0, 1), (1.5, 0, 1)),
        RigBone("sheath", own["pelvis"][0], (0.2, 0, 1), (0.3, 0, 0.5)),
        *(
            RigBone(f"hair_{n}", head if n == 0 else f"hair_{n - 1}", (0, 0.1, 1 - n), (0, 0.1, 0.9 - n))
            for n in range(30)
        ),
    ]
    best = detect([*bones, *more], PRESETS)[0]
    assert best.id == example_rigs.OWN_PRESET[name]
    assert dict(best.bone_map.bones) == dict(own)


@pytest.mark.parametrize("name", [name for name in RIGS if name not in example_rigs.CONTROL_RIGS])
def test_a_fifth_of_the_bones_renamed(name):
    """What is left of the names and the shape of the rest give nearly all; what is given is right."""
    bones = example_rigs.rig(name)
    random = np.random.default_rng(len(bones))
    chosen = random.choice(len(bones), round(0.2 * len(bones)), replace=False)
    names = {bones[index].name: f"x{random.integers(1 << 40):x}" for index in chosen}
    best = detect(example_rigs.renamed(bones, names), PRESETS)[0]
    wanted = {r: {names.get(b, b) for b in chain} for r, chain in own_map(name).bones.items()}
    assert best.score < 1 or not any(set(names) & set(chain) for chain in own_map(name).bones.values())
    assert not best.bone_map.missing()
    assert len(best.bone_map.bones) >= len(wanted) - 3
    for role in REQUIRED:
        assert best.bone_map.bones[role][0] in wanted[role], role
    wrong = [r for r, chain in best.bone_map.bones.items() if r in wanted and not set(chain) & wanted[r]]
    assert len(wrong) <= 2, wrong


@pytest.mark.parametrize("name", example_rigs.CONTROL_RIGS)
def test_renamed_controls_are_asked_for(name):
    """Nobody can tell from its shape which bone of a control rig is a control: what is missing is said."""
    own = own_map(name).bones
    names = {own["left_knee"][0]: "something", own["head"][0]: "other"}
    best = detect(example_rigs.renamed(example_rigs.rig(name), names), PRESETS)[0]
    assert best.id == example_rigs.OWN_PRESET[name]
    assert set(best.missing) == {"left_knee", "head"}
    assert not best.is_good
    assert best.says.endswith("Choose bones for left shin.")


@pytest.mark.parametrize("name", [name for name in RIGS if name not in example_rigs.CONTROL_RIGS])
def test_names_that_say_nothing(name):
    bones = example_rigs.rig(name)
    names = {bone.name: f"b{number}" for number, bone in enumerate(bones)}
    found = detect(example_rigs.renamed(bones, names), PRESETS)
    assert len(found) == 1
    assert (found[0].id, found[0].name) == ("", STRUCTURE_NAME)
    assert not found[0].is_good
    assert 0.4 < found[0].score < GOOD
    assert "told apart by their places. Check the list." in found[0].says
    own = own_map(name).bones
    for role in REQUIRED:
        assert found[0].bone_map.bones[role][0] == names[own[role][0]]


# --- families with the same names


def scores(name):
    return {one.id: one.score for one in detect(example_rigs.rig(name), PRESETS)}


@pytest.mark.parametrize(
    ("rig", "others"),
    [
        ("rigify_human", ("rigify_metarig", "rigify_deform")),
        ("rigify_basic", ("rigify_metarig", "rigify_deform")),
        ("rigify_metarig_human", ("rigify", "rigify_deform")),
        ("rigify_deform", ("rigify", "rigify_metarig")),
        ("ue5_mannequin", ("ue4_mannequin", "mpfb_game_engine")),
        ("ue4_mannequin", ("ue5_mannequin", "mpfb_game_engine")),
        ("mpfb_game_engine", ("ue4_mannequin", "ue5_mannequin")),
        ("mpfb_cmu_mb", ("mixamo", "ready_player_me")),
        ("ready_player_me", ("mixamo", "mpfb_cmu_mb")),
        ("mpfb_mixamo", ("ready_player_me", "mpfb_cmu_mb")),
        ("auto_rig_pro", ("auto_rig_pro_deform", "auto_rig_pro_split")),
        ("auto_rig_pro_deform", ("auto_rig_pro_split", "auto_rig_pro")),
        ("vrm_vroid", ("vrm_humanoid",)),
        ("vrm_humanoid", ("vrm_vroid", "mixamo")),
        ("recovered_body", ("smpl",)),
    ],
)
def test_families_with_the_same_names_are_told_apart(rig, others):
    found = scores(rig)
    assert all(found.get(other, 0.0) < found[example_rigs.OWN_PRESET[rig]] - 0.02 for other in others)


def test_settings_go_along_as_far_as_the_rig_has_them():
    bones = example_rigs.rig("rigify_basic")
    best = detect(bones, PRESETS)[0]
    assert len(best.bone_map.settings) == len(BY_ID["rigify"].settings)
    fewer = [
        dataclasses.replace(bone, properties=bone.properties - {"head_follow", "IK_FK", "pole_vector"})
        for bone in bones
    ]
    kept = detect(fewer, PRESETS)[0].bone_map.settings
    assert {one.property for one in kept} == {"FK_limb_follow", "neck_follow"}


def test_twist_bones_that_hang_elsewhere_are_left_alone():
    bones = [
        dataclasses.replace(bone, parent="pelvis") if bone.name == "lowerarm_twist_01_l" else bone
        for bone in example_rigs.rig("ue4_mannequin")
    ]
    twists = {one.bone for one in detect(bones, PRESETS)[0].bone_map.twists}
    assert "lowerarm_twist_01_r" in twists
    assert "lowerarm_twist_01_l" not in twists


def test_names_that_hang_together_wrongly_count_less():
    """A heap of bones with the right names is no body."""
    bones = [dataclasses.replace(bone, parent="") for bone in example_rigs.rig("recovered_body")]
    preset = BY_ID["recovered_body"]
    found = {one.id: one.score for one in detect(bones, [preset])}
    assert found.get(preset.id, 0.0) < 0.4
    shuffled = [
        dataclasses.replace(bone, parent="left_wrist" if bone.name == "right_knee" else bone.parent)
        for bone in example_rigs.rig("recovered_body")
    ]
    assert detect(shuffled, [preset])[0].score == pytest.approx(1 - 0.8 * 2.0 / sum_of_weights(), abs=1e-9)


def test_names_that_lie():
    """All names of a family, on the wrong bones: the places are right."""
    bones = example_rigs.rig("recovered_body")
    names = [bone.name for bone in bones]
    random = np.random.default_rng(8)
    wrong = dict(zip(names, (names[index] for index in random.permutation(len(names))), strict=True))
    best = detect(example_rigs.renamed(bones, wrong), PRESETS)[0]
    assert best.id == ""
    assert best.bone_map.bones["left_knee"] == (wrong["left_knee"],)
    assert best.bone_map.bones["pelvis"] == (wrong["pelvis"],)


def sum_of_weights():
    return sum(2 if r in REQUIRED else 0.5 if r.endswith(("_collar", "_foot")) else 1 for r in ROLES)


def test_of_equals_the_users_own_goes_first():
    own = preset_of(own_map("mixamo"), "A name of my own")
    found = detect(example_rigs.rig("mixamo"), [*PRESETS, own])
    assert [one.id for one in found[:2]] == ["a_name_of_my_own", "mixamo"]
    assert found[0].score == found[1].score == 1.0


def test_own_preset_of_a_control_rig_finds_it_again():
    own = preset_of(own_map("rigify_basic"), "Mine")
    best = detect(example_rigs.rig("rigify_basic"), [own])[0]
    assert best.is_good
    assert best.bone_map.bones == own_map("rigify_basic").bones


def test_holes_are_filled_by_the_shape():
    bones = example_rigs.rig("mixamo")
    names = {f"mixamorig7:{n}": f"weird_{n[-1]}{k}" for k, n in enumerate(
        ["LeftLeg", "RightLeg", "LeftArm", "RightArm", "Head", "LeftFoot"]
    )}  # fmt: skip
    best = detect(example_rigs.renamed(bones, names), PRESETS)[0]
    assert best.id == "mixamo"
    assert best.missing == ()
    assert best.bone_map.bones["left_knee"] == (names["mixamorig7:LeftLeg"],)
    assert best.says == (
        "Mixamo; both shins, left foot, head and both upper arms found by their places, not by their names."
        " Check the list."
    )


# --- what is no body


def no_bodies():
    chain = [RigBone(f"b{n}", f"b{n - 1}" if n else "", (0, 0, n), (0, 0, n + 1)) for n in range(40)]
    two = [RigBone("root", "", (0, 0, 0), (0, 0, 1)), RigBone("tip", "root", (0, 0, 1), (0, 0, 2))]
    star = [RigBone("c", "", (0, 0, 0), (0, 0, 1))]
    star += [RigBone(f"s{n}", "c", (n - 10, 0, 1), (n - 10, 0, 2)) for n in range(20)]
    loops = [RigBone(f"l{n}", f"l{(n + 1) % 12}", (n, 0, 0), (n, 1, 0)) for n in range(12)]
    same = [RigBone(f"p{n}", "p0" if n else "", (0, 0, 0), (0, 0, 0)) for n in range(15)]
    return {"nothing": [], "two": two, "chain": chain, "star": star, "loops": loops, "point": same}


@pytest.mark.parametrize("kind", no_bodies())
def test_what_is_no_body(kind):
    assert detect(no_bodies()[kind], PRESETS) == []


def test_without_presets_there_is_still_the_shape():
    assert [one.id for one in detect(example_rigs.rig("mixamo"), [])] == [""]
