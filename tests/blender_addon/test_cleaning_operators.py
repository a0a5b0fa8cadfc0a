# SPDX-License-Identifier: GPL-3.0-or-later
"""The buttons of cleaning and their panel: when they are grey and why, undo, linked armatures, speed."""

import subprocess
import sys
import time
from pathlib import Path

import bpy
import numpy as np
import pytest
import recover_motion
from recover_motion import cleaning_panel
from recover_motion.cleaning import imported_armature
from recover_motion.compat import Placed, curves_of
from recover_motion.import_motion import import_motion
from recover_motion.motion_curves import fingerprint
from smpl_reference import write_motion

pytestmark = pytest.mark.bpy


@pytest.fixture
def addon(scene):
    recover_motion.register()
    yield scene
    recover_motion.unregister()


def bring_in(tmp_path, body, count=40):
    vectors = 0.3 * np.sin(np.arange(count)[:, None] / 9 + np.arange(72))
    path = write_motion(tmp_path / "walk.person01.npz", count=count, poses=vectors, betas=np.zeros(10))
    armature = import_motion(bpy.context, [path], body_path=body).armatures[0]
    bpy.context.view_layer.objects.active = armature
    return armature


@pytest.fixture
def armature(addon, tmp_path, synthetic_body_path):
    return bring_in(tmp_path, synthetic_body_path)


def refused(operator, reason):
    assert not operator.poll()
    with pytest.raises(RuntimeError, match=reason):
        operator()


# --- when


def test_nothing_imported_is_active(armature):
    bpy.ops.object.camera_add()  # active now
    for name in ("clean", "show_source", "show_cleaned", "trim_to_scene"):
        refused(getattr(bpy.ops.recover_motion, name), "Make an armature with recovered motion active")
    with bpy.context.temp_override(object=armature):
        assert bpy.ops.recover_motion.clean() == {"FINISHED"}
    assert armature.animation_data.action.name == "walk.person01.clean"


def test_the_body_stands_for_its_armature(armature):
    body = next(thing for thing in armature.children if thing.type == "MESH")
    bpy.context.view_layer.objects.active = body
    assert imported_armature(bpy.context) == armature
    assert bpy.ops.recover_motion.clean() == {"FINISHED"}


def test_edit_mode(armature):
    bpy.ops.object.mode_set(mode="EDIT")
    refused(bpy.ops.recover_motion.clean, "Go back to Object Mode or Pose Mode")
    bpy.ops.object.mode_set(mode="POSE")
    assert bpy.ops.recover_motion.clean() == {"FINISHED"}


def test_other_rotations(armature):
    armature.pose.bones["neck"].rotation_mode = "XYZ"
    refused(bpy.ops.recover_motion.clean, "rotation mode of neck")


def test_a_bone_is_gone(armature):
    bpy.ops.object.mode_set(mode="EDIT")
    armature.data.edit_bones.remove(armature.data.edit_bones["left_hand"])
    bpy.ops.object.mode_set(mode="OBJECT")
    refused(bpy.ops.recover_motion.clean, "no bone left_hand")


def test_the_source_is_gone(armature):
    bpy.ops.recover_motion.clean()
    bpy.data.actions.remove(armature.recover_motion_cleaning.source)
    refused(bpy.ops.recover_motion.clean, "The recovered action is gone")


def test_a_source_without_keys_is_an_error_and_changes_nothing(armature):
    source = armature.animation_data.action
    bag = Placed.on(armature.animation_data).curves()
    for curve in bag:
        curve.keyframe_points.clear()
    with pytest.raises(RuntimeError, match="no keys on the bones"):
        bpy.ops.recover_motion.clean()
    assert armature.animation_data.action == source
    assert armature.recover_motion_cleaning.source is None


def test_already_in_use(armature):
    refused(bpy.ops.recover_motion.show_source, "in use already")
    refused(bpy.ops.recover_motion.show_cleaned, "not been cleaned yet")
    bpy.ops.recover_motion.clean()
    refused(bpy.ops.recover_motion.show_cleaned, "in use already")
    bpy.ops.recover_motion.show_source()
    assert bpy.ops.recover_motion.show_cleaned.poll()


# --- what


def test_trim_to_the_scenes_range(armature):
    scene, settings = bpy.context.scene, armature.recover_motion_cleaning
    scene.frame_start, scene.frame_end = 5, 30
    assert bpy.ops.recover_motion.trim_to_scene() == {"FINISHED"}
    assert (settings.trim_start, settings.trim_end) == (4, 10)
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, -10, 100
    bpy.ops.recover_motion.trim_to_scene()
    assert (settings.trim_start, settings.trim_end) == (0, 0)
    scene.frame_preview_start, scene.frame_preview_end = 80, 100
    with pytest.raises(RuntimeError, match="no frames between 80 and 100"):
        bpy.ops.recover_motion.trim_to_scene()


def test_one_undo_step_each(armature):
    """Undo replaces everything, so what was there is looked up by name again."""

    def state():
        armature = bpy.data.objects["walk.person01"]
        settings = armature.recover_motion_cleaning
        names = [action and action.name for action in (settings.source, settings.cleaned)]
        return (
            armature.animation_data.action.name,
            *names,
            sorted(bpy.data.actions.keys()),
            fingerprint(curves_of(armature)),
        )

    bpy.ops.ed.undo_push(message="Imported")
    states = [state()]
    armature.recover_motion_cleaning.smooth = 0.1
    bpy.ops.recover_motion.clean()
    bpy.ops.ed.undo_push(message="Clean Up")  # Blender does it itself for what a user clicks
    states.append(state())
    bpy.ops.recover_motion.show_source()
    bpy.ops.ed.undo_push(message="Back to Source")
    states.append(state())
    assert len({repr(each) for each in states}) == 3
    bpy.ops.ed.undo()
    assert state() == states[1]
    bpy.ops.ed.undo()
    assert state() == states[0]
    bpy.ops.ed.redo()
    assert state() == states[1]
    bpy.context.view_layer.objects.active = bpy.data.objects["walk.person01"]
    assert bpy.ops.recover_motion.clean() == {"FINISHED"}
    assert sorted(bpy.data.actions.keys()) == ["walk.person01", "walk.person01.clean"]


def test_a_linked_armature_is_cleaned_through_an_override(armature, tmp_path):
    """The library's file has never been cleaned; the shot's file keeps what is set there."""
    library = str(tmp_path / "library.blend")
    bpy.ops.wm.save_as_mainfile(filepath=library)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with bpy.data.libraries.load(library, link=True) as (_, wanted):
        wanted.collections = ["walk"]
    collection = bpy.data.collections["walk"]
    bpy.context.scene.collection.children.link(collection)
    linked = bpy.data.objects["walk.person01"]
    bpy.context.view_layer.objects.active = linked
    refused(bpy.ops.recover_motion.clean, "make a library override")
    collection.override_hierarchy_create(bpy.context.scene, bpy.context.view_layer, do_fully_editable=True)
    own = next(thing for thing in bpy.data.objects if thing.type == "ARMATURE" and thing.library is None)
    bpy.context.view_layer.objects.active = own
    own.recover_motion_cleaning.smooth = 0.33
    assert bpy.ops.recover_motion.clean() == {"FINISHED"}
    assert own.animation_data.action.library is None
    marked = fingerprint(curves_of(own))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    own = next(thing for thing in bpy.data.objects if thing.type == "ARMATURE" and thing.library is None)
    settings = own.recover_motion_cleaning
    assert settings.smooth == pytest.approx(0.33)
    assert settings.source.library is not None
    assert settings.cleaned.library is None
    assert own.animation_data.action == settings.cleaned
    assert fingerprint(curves_of(own)) == marked


class Paper:
    """A layout that takes note of properties and operators, and checks that they are there."""

    def __init__(self):
        self.drawn = []

    def row(self, **_):
        return self

    column = row

    def label(self, **_):
        pass

    def prop(self, data, name, **_):
        assert name in data.bl_rna.properties
        self.drawn.append(name)

    def operator(self, name, **_):
        module, _, function = name.partition(".")
        assert getattr(getattr(bpy.ops, module), function).get_rna_type()
        self.drawn.append(name)


def test_the_panel_draws_every_setting(armature, monkeypatch):
    panel, paper = bpy.types.RECOVER_MOTION_PT_clean, Paper()
    said = []
    monkeypatch.setattr(cleaning_panel, "write", lambda layout, context, text, icon: said.append(text))
    bpy.ops.recover_motion.clean()
    settings = armature.recover_motion_cleaning
    settings.use_loop = settings.use_floor = True
    assert panel.poll(bpy.context)
    panel.draw(type("Stand", (), {"layout": paper})(), bpy.context)
    hidden = {"rna_type", "name", "source", "cleaned"}
    assert {name for name in paper.drawn if "." not in name} == set(
        settings.bl_rna.properties.keys()
    ) - hidden
    assert said == [armature.animation_data.action["recovered_clean"]["says"]]
    settings.use_loop = settings.use_floor = settings.use_thinning = False
    fewer = Paper()
    panel.draw(type("Stand", (), {"layout": fewer})(), bpy.context)
    assert len(fewer.drawn) < len(paper.drawn)
    bpy.ops.object.camera_add()
    assert not panel.poll(bpy.context)


@pytest.mark.slow
def test_ten_minutes_take_seconds(addon, tmp_path, synthetic_body_path):
    """18,000 frames with everything on; processor time, so that other programs do not count."""
    armature = bring_in(tmp_path, synthetic_body_path, 18_000)
    settings = armature.recover_motion_cleaning
    settings.use_loop = settings.use_floor = True
    settings.in_place = "TREND"
    start = time.process_time()
    assert bpy.ops.recover_motion.clean() == {"FINISHED"}
    assert time.process_time() - start < 15.0


def test_it_works_in_a_process_of_its_own_without_a_window(armature, tmp_path):
    """A saved scene, cleaned by a script that knows nothing but Blender's operators."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    script = (
        "import sys, bpy, recover_motion\n"
        f"bpy.ops.wm.open_mainfile(filepath={str(tmp_path / 'scene.blend')!r})\n"
        "recover_motion.register()\n"
        "armature = bpy.data.objects['walk.person01']\n"
        "armature.recover_motion_cleaning.smooth = 0.5\n"
        "with bpy.context.temp_override(object=armature):\n"
        "    bpy.ops.recover_motion.clean()\n"
        "sys.stderr.write(armature.animation_data.action.name)\n"
        "recover_motion.unregister()\n"
    )
    package = str(Path(recover_motion.__file__).parents[1])
    ended = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {package!r})\n{script}"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.endswith("walk.person01.clean")
