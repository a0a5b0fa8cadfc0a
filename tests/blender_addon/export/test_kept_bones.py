# SPDX-License-Identifier: GPL-3.0-or-later
"""kept_bones: one tree under one root, whatever mechanism the deforming bones hang under."""

import pytest
from example_rigs import rig
from recover_motion.export.kept_bones import in_order, kept_bones
from recover_motion.retarget.mapping import RigBone


def bone(name: str, parent: str, head: float, *, deforms: bool) -> RigBone:
    return RigBone(name, parent, (0, 0, head), (0, 0, head + 1), deforms)


def test_controls_go_and_their_children_hang_on_what_is_above():
    bones = [
        bone("root", "", 0, deforms=False),
        bone("hips", "root", 1, deforms=True),
        bone("control", "hips", 2, deforms=False),
        bone("chest", "control", 3, deforms=True),
    ]
    assert kept_bones(bones) == {"root": "", "hips": "root", "chest": "hips"}


def test_a_bone_in_the_place_of_a_mechanism_stands_in_for_it():
    bones = [
        bone("root", "", 0, deforms=False),
        bone("ORG-hips", "root", 1, deforms=False),
        bone("DEF-hips", "ORG-hips", 1, deforms=True),
        bone("ORG-leg", "ORG-hips", 3, deforms=False),
        bone("DEF-leg", "ORG-leg", 3, deforms=True),
    ]
    assert kept_bones(bones) == {"root": "", "DEF-hips": "root", "DEF-leg": "DEF-hips"}


def test_two_bones_in_one_place_do_not_hang_on_each_other():
    bones = [
        bone("a mechanism", "", 0, deforms=False),
        bone("one", "a mechanism", 0, deforms=True),
        bone("b mechanism", "a mechanism", 0, deforms=False),
        bone("other", "b mechanism", 0, deforms=True),
    ]
    parents = kept_bones(bones)
    assert parents["one"] != "other" or parents["other"] != "one"
    assert set(in_order(parents)) == set(parents)


def test_a_bone_does_not_hang_on_one_below_it():
    bones = [
        bone("mechanism", "", 0, deforms=False),
        bone("above", "mechanism", 5, deforms=True),
        bone("below", "above", 0, deforms=True),  # lies as the mechanism does
    ]
    assert kept_bones(bones) == {"mechanism": "", "above": "mechanism", "below": "above"}


def test_a_bone_that_carries_an_object_stays():
    bones = [bone("hips", "", 0, deforms=True), bone("prop", "hips", 2, deforms=False)]
    assert "prop" not in kept_bones(bones)
    assert kept_bones(bones, frozenset(["prop"]))["prop"] == "hips"


@pytest.mark.parametrize("name", ["rigify_human", "rigify_basic", "auto_rig_pro"])
def test_control_rigs_become_one_tree(name):
    bones = rig(name)
    parents = kept_bones(bones)
    deforming = {bone.name for bone in bones if bone.deforms}
    assert deforming <= set(parents)
    assert len([name for name, parent in parents.items() if not parent]) == 1
    order = in_order(parents)
    assert len(order) == len(parents)
    assert all(order.index(parent) < order.index(name) for name, parent in parents.items() if parent)


def test_rigifys_limbs_hang_on_its_spine():
    parents = kept_bones(rig("rigify_human"))
    assert parents["DEF-thigh.L"].startswith("DEF-spine") or parents["DEF-thigh.L"].startswith("DEF-pelvis")
    assert parents["DEF-shin.L"] == "DEF-thigh.L.001"
    assert parents["DEF-upper_arm.L"] == "DEF-shoulder.L"
    assert parents["DEF-spine"] == "root"
