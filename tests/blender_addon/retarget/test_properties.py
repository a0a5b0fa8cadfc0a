# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scene keeps of retargeting: the options' words are the core's, and all of it is saved."""

from typing import get_args

import bpy
import pytest
import recover_motion
from recover_motion.retarget import options
from recover_motion.retarget.chosen import options_of
from recover_motion.retarget.mapping import BoneMap, IkControl, Setting, Twist
from recover_motion.retarget.mapping_list import fill, find_list, make_list, read
from recover_motion.root_path import InPlace
from simple_character import add_character

pytestmark = pytest.mark.bpy


@pytest.fixture
def scene(quick_scene):
    return quick_scene


@pytest.fixture
def settings(scene):
    recover_motion.register()
    yield scene.recover_motion_retarget
    recover_motion.unregister()


def test_the_defaults_are_the_core_s(settings):
    assert options_of(settings) == options.Options()


def test_every_word_of_the_core_can_be_chosen(settings):
    words = {
        "alignment": options.Alignment,
        "feet": options.Feet,
        "root": options.RootCarrier,
        "heights": options.Heights,
        "place": options.Place,
        "scale": options.Scale,
        "in_place": InPlace,
    }
    for name, kind in words.items():
        offered = settings.bl_rna.properties[name].enum_items.keys()
        assert set(offered) == set(get_args(kind))
        for word in offered:
            setattr(settings, name, word)
            assert getattr(options_of(settings), name) == word


def test_everything_survives_saving_and_loading(settings, tmp_path):
    hero = add_character()
    bone_map = BoneMap(
        bones={"pelvis": ("mixamorig:Hips",), "neck": ("mixamorig:Neck", "mixamorig:Head")},
        root="ruß",
        settings=(Setting("hand", 'IK_"FK"', 1.0),),
        twists=(Twist("twist.L", "left_elbow", 0.5),),
        ik=(IkControl("left_wrist", "hand_ik.L", pole="elbow.L"),),
        name="Mine",
    )
    fill(make_list(settings, hero), bone_map, "Seen.", 0.75)
    settings.target, settings.feet, settings.every = hero, "FLOOR", 3
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    settings = bpy.context.scene.recover_motion_retarget
    hero = bpy.data.objects["Hero"]
    assert (settings.target, settings.feet, settings.every) == (hero, "FLOOR", 3)
    listed = find_list(settings, hero)
    assert read(listed) == bone_map
    assert (listed.says, listed.score) == ("Seen.", 0.75)


def test_nothing_is_left_of_it_when_the_add_on_is_off(scene):
    recover_motion.register()
    recover_motion.unregister()
    assert not hasattr(bpy.types.Scene, "recover_motion_retarget")
