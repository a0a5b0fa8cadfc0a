# SPDX-License-Identifier: GPL-3.0-or-later
"""rig_bones.py: bones of Blender's armatures as detection sees them; and the user's folder."""

import bpy
import pytest
from characters.rigify_human import rigify_armature
from recover_motion.retarget import rig_bones as module
from recover_motion.retarget.detection import detect
from recover_motion.retarget.preset_file import built_in_presets
from recover_motion.retarget.rig_bones import presets_folder, rig_bones


@pytest.fixture
def armature(scene):
    data = bpy.data.armatures.new("Rig")
    thing = bpy.data.objects.new("Rig", data)
    scene.collection.objects.link(thing)
    bpy.context.view_layer.objects.active = thing
    bpy.ops.object.mode_set(mode="EDIT")
    hips = data.edit_bones.new("Hips")
    hips.head, hips.tail = (0, 0, 1), (0, 0.25, 1.5)
    leg = data.edit_bones.new("Leg")
    leg.head, leg.tail, leg.parent = (0.5, 0, 1), (0.5, 0, 0.5), hips
    bpy.ops.object.mode_set(mode="OBJECT")
    data.bones["Leg"].use_deform = False
    thing.pose.bones["Leg"]["IK_FK"] = 1.0
    thing.pose.bones["Leg"].location.x = 3  # a pose does not matter
    thing.location = (5, 5, 5)
    return thing


def test_bones_at_rest(armature):
    hips, leg = rig_bones(armature)
    assert (hips.name, hips.parent, hips.head, hips.tail) == ("Hips", "", (0, 0, 1), (0, 0.25, 1.5))
    assert (leg.name, leg.parent, leg.head, leg.tail) == ("Leg", "Hips", (0.5, 0, 1), (0.5, 0, 0.5))
    assert (hips.deforms, leg.deforms) == (True, False)
    assert (hips.properties, leg.properties) == (frozenset(), {"IK_FK"})


def test_metarig_of_rigify_is_recognised(scene):
    """The names in the preset are those of the Rigify that comes with this Blender."""
    best = detect(rig_bones(rigify_armature(scene, "metarig")), built_in_presets())[0]
    assert (best.id, best.missing) == ("rigify_metarig", ())
    assert best.score == pytest.approx(1.0)


def test_folder_is_among_the_users_own_files(monkeypatch, tmp_path):
    assert presets_folder().is_absolute()
    assert presets_folder().name == "retarget_presets"
    asked = []

    def own_folder(package):
        asked.append(package)
        return str(tmp_path)

    monkeypatch.setattr(module.bpy.utils, "extension_path_user", own_folder)
    assert presets_folder() == tmp_path / "retarget_presets"
    assert asked == ["recover_motion"]
