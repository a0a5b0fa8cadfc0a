# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel draws in every state, shows every setting, and says what to do where something is missing."""

import bpy
import pytest
import recover_motion
from recover_motion.retarget import known_presets, panel
from recover_motion.retarget.mapping_list import PARTS, find_list
from recover_motion.retarget.preset_file import built_in_presets
from simple_character import add_character, bring_in

pytestmark = pytest.mark.bpy
ops = bpy.ops.recover_motion


class Paper:
    """A layout that takes note of what is drawn, and checks that properties and operators are there."""

    def __init__(self):
        self.props, self.operators, self.labels, self.alerts = [], [], [], []
        self._alert = False

    def row(self, **_):
        return self

    column = split = box = row

    @property
    def alert(self):
        return self._alert

    @alert.setter
    def alert(self, value):
        self._alert = value

    def separator(self):
        pass

    def label(self, text="", icon="NONE", **_):
        self.labels.append(text)
        if self._alert:
            assert icon == "ERROR"
            self.alerts.append(text)

    def prop(self, data, name, **_):
        assert name in data.bl_rna.properties
        self.props.append(name)

    def prop_search(self, data, name, where, collection, **_):
        assert name in data.bl_rna.properties
        assert collection in where.bl_rna.properties
        self.props.append(name)

    def menu(self, name, **_):
        assert hasattr(bpy.types, name)
        self.operators.append(name)

    def operator(self, name, text="", **_):
        module, _, function = name.partition(".")
        kind = getattr(getattr(bpy.ops, module), function).get_rna_type()
        self.operators.append(name)
        self.labels.append(text)
        return type("Button", (), dict.fromkeys(kind.properties.keys()))()


@pytest.fixture
def scene(quick_scene):
    return quick_scene


@pytest.fixture
def said(scene, monkeypatch):
    recover_motion.register()
    said = []
    monkeypatch.setattr(panel, "write", lambda layout, context, text, icon, inset=0: said.append(text))
    yield said
    recover_motion.unregister()


@pytest.fixture
def hero(said, scene, tmp_path, open_body_path):
    scene.recover_motion_retarget.source = bring_in(tmp_path, open_body_path)
    return add_character()


def draw(name, said):
    paper = Paper()
    said.clear()
    kind = getattr(bpy.types, name)
    assert not hasattr(kind, "poll")  # it is there in every mode
    kind.draw(type("Stand", (), {"layout": paper})(), bpy.context)
    return paper


def test_an_empty_scene(said):
    draw("RECOVER_MOTION_PT_retarget", said)
    assert said == ["There is no recovered motion in this scene: recover some, or import it"]
    draw("RECOVER_MOTION_PT_retarget_bones", said)
    assert said == ["Choose the target: the character's armature, or its skin"]


def test_from_choosing_to_keeping(said, hero, scene):
    settings = scene.recover_motion_retarget
    first = draw("RECOVER_MOTION_PT_retarget", said)
    assert said == ["Choose the target: the character's armature, or its skin"]
    assert "RECOVER_MOTION_MT_rig_presets" not in first.operators
    settings.target = hero
    paper = draw("RECOVER_MOTION_PT_retarget", said)
    assert said == []
    assert "RECOVER_MOTION_MT_rig_presets" in paper.operators
    assert "recover_motion.preview_keep" not in paper.operators
    ops.detect_rig()
    draw("RECOVER_MOTION_PT_retarget", said)
    assert len(said) == 1
    assert said[0].endswith("Match: 100%.")
    ops.preview_frame()
    paper = draw("RECOVER_MOTION_PT_retarget", said)
    assert {"recover_motion.preview_keep", "recover_motion.preview_discard"} <= set(paper.operators)
    assert "Hero shows one frame's pose. Keep retargets the whole motion." in said
    ops.preview_range()
    draw("RECOVER_MOTION_PT_retarget", said)
    assert "Hero shows a preview." in said
    bpy.ops.object.select_all(action="DESELECT")
    hero.select_set(True)
    bpy.ops.object.delete()
    draw("RECOVER_MOTION_PT_retarget", said)
    assert "The character of the preview was deleted." in said


def test_in_edit_mode_it_says_where_to_go(said, hero, scene):
    scene.recover_motion_retarget.target = hero
    bpy.context.view_layer.objects.active = hero
    bpy.ops.object.mode_set(mode="EDIT")
    draw("RECOVER_MOTION_PT_retarget", said)
    assert said == ["Go back to Object Mode or Pose Mode"]


def test_the_list(said, hero, scene):
    scene.recover_motion_retarget.target = hero
    paper = draw("RECOVER_MOTION_PT_retarget_bones", said)
    assert {"recover_motion.detect_rig", "recover_motion.start_list"} <= set(paper.operators)
    ops.detect_rig()
    paper = draw("RECOVER_MOTION_PT_retarget_bones", said)
    assert set(PARTS.values()) <= set(paper.labels)
    assert paper.props.count("bone") == 22
    assert paper.props.count("root") == 1
    assert (said, paper.alerts) == ([], [])
    listed = find_list(scene.recover_motion_retarget, hero)
    index = next(number for number, row in enumerate(listed.bones) if row.role == "left_knee")
    listed.bones[index].bone = ""
    ops.add_row(index=[row.role for row in listed.bones].index("neck"))
    paper = draw("RECOVER_MOTION_PT_retarget_bones", said)
    assert paper.alerts == ["Left Shin"]
    assert said[0] == "No bone plays the Left Shin: choose one"
    assert paper.operators.count("recover_motion.clear_row") == 1
    assert "recover_motion.pick_bone" not in paper.operators
    bpy.context.view_layer.objects.active = hero
    bpy.ops.object.mode_set(mode="POSE")
    paper = draw("RECOVER_MOTION_PT_retarget_bones", said)
    assert paper.operators.count("recover_motion.pick_bone") == 23


def test_every_setting_is_drawn_somewhere(said, hero, scene):
    settings = scene.recover_motion_retarget
    settings.target, settings.scale = hero, "FACTOR"
    drawn = set()
    for name in ("", "_options", "_batch"):
        drawn.update(draw(f"RECOVER_MOTION_PT_retarget{name}", said).props)
    assert drawn == set(settings.bl_rna.properties.keys()) - {"rna_type", "name", "lists", "preview"}


def test_the_menu_has_every_preset(said, hero, scene, tmp_path, monkeypatch):
    monkeypatch.setattr(known_presets, "presets_folder", lambda: tmp_path)
    known_presets.look_again()
    scene.recover_motion_retarget.target = hero
    ops.detect_rig()
    ops.save_preset(name="My Rig")
    (tmp_path / "broken.json").write_text("{")
    paper = draw("RECOVER_MOTION_MT_rig_presets", said)
    assert {preset.name for preset in built_in_presets()} | {"My Rig"} <= set(paper.labels)
    assert "RECOVER_MOTION_MT_remove_preset" in paper.operators
    assert any("broken.json" in label for label in paper.labels)
    assert draw("RECOVER_MOTION_MT_remove_preset", said).labels == ["My Rig"]
    known_presets.look_again()
