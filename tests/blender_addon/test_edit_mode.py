# SPDX-License-Identifier: GPL-3.0-or-later
"""Edit Mode for a moment, in the scene that was asked for, with a window or without one."""

import bpy
import pytest
from mathutils import Vector
from recover_motion.edit_mode import edit_mode, in_window


def new_rig(scene: bpy.types.Scene) -> bpy.types.Object:
    rig = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    scene.collection.objects.link(rig)
    return rig


@pytest.mark.parametrize("windowless", [False, True])
def test_bones_are_made_in_a_scene_that_no_window_shows(scene, windowless: bool) -> None:
    """As in `blender -b --command` and in timers, which have no window."""
    other = bpy.data.scenes.new("Other")
    rig = new_rig(other)
    window = None if windowless else bpy.context.window_manager.windows[0]
    with bpy.context.temp_override(window=window):
        assert (bpy.context.window is None) == windowless
        place = {"scene": other, "view_layer": other.view_layers[0]}
        with in_window(bpy.context), bpy.context.temp_override(**place):
            assert bpy.context.scene == other
            with edit_mode(bpy.context, rig):
                rig.data.edit_bones.new("bone").tail = Vector((0, 0, 1))
    assert [bone.name for bone in rig.data.bones] == ["bone"]
    assert rig.mode == "OBJECT"
    assert bpy.context.window_manager.windows[0].scene == scene


def test_active_object_mode_and_selection_come_back(scene) -> None:
    mine, rig = new_rig(scene), new_rig(scene)
    layer = bpy.context.view_layer
    layer.objects.active = mine
    mine.select_set(True)
    bpy.ops.object.mode_set(mode="POSE")
    with edit_mode(bpy.context, rig):
        assert rig.mode == "EDIT"
    assert layer.objects.active == mine
    assert mine.mode == "POSE"
    assert list(layer.objects.selected) == [mine]
