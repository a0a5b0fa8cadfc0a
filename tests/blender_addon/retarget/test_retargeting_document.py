# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of docs/retargeting.md, run as they stand there."""

import re
import shlex
from pathlib import Path

import bpy
import pytest
import recover_motion
from recover_motion import command_line
from recover_motion.retarget.mapping_list import PARTS
from simple_character import add_character, bring_in, write_stroll

pytestmark = pytest.mark.bpy

TEXT = (Path(__file__).parents[3] / "docs" / "retargeting.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]


@pytest.fixture
def scene(quick_scene):
    return quick_scene


@pytest.fixture
def folder(scene, tmp_path, monkeypatch, open_body_path):
    """A folder with what the examples name."""
    monkeypatch.chdir(tmp_path)
    recover_motion.register()
    add_character()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "hero.blend"), copy=True)
    bring_in(tmp_path, open_body_path)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"), copy=True)
    for clip in ("walk", "jump"):
        write_stroll(tmp_path / f"{clip}.person01.npz", 6)
    yield tmp_path
    recover_motion.unregister()


def test_the_commands(folder):
    made = set()
    for line in COMMANDS:
        words = shlex.split(line)
        start = words.index("--command")
        assert words[:2] == ["blender", "-b"]
        if opened := words[2:start]:
            bpy.ops.wm.open_mainfile(filepath=str(folder / opened[0]))
        else:
            bpy.ops.wm.read_homefile(use_empty=True)
        assert command_line.run(words[start + 2 :]) == 0
        made = {path.relative_to(folder).as_posix() for path in folder.rglob("*.blend")}
    assert made == {
        *("hero.blend", "shot.blend", "shot.Hero.blend", "done.blend", "all.blend"),
        *("retargeted/walk.person01.Hero.blend", "retargeted/jump.person01.Hero.blend"),
    }


def test_the_script(folder, capsys):
    (script,) = blocks("python")
    exec(script, {})  # noqa: S102 (our own document)
    said = capsys.readouterr().out
    assert "Hero Mixamo 100%" in said
    assert "left_knee: mixamorig:LeftLeg" in said
    assert "\nHero.walk.person01\n" in said
    assert bpy.data.objects["Hero"].animation_data.action is None


def test_every_option_and_label_that_it_names_is_there(folder):
    parser = command_line._parser()
    known = parser._subparsers._group_actions[0].choices["retarget"]._option_string_actions
    assert set(re.findall(r"`(--[a-z-]+)", TEXT)) <= set(known)
    named = re.search(r"## Options\n(.*?)\n## ", TEXT, flags=re.DOTALL)[1]
    rows = re.findall(r"^\| ([A-Z][A-Za-z ,]+) \|", named, flags=re.MULTILINE)
    labels = {
        one.name for one in bpy.types.Scene.bl_rna.properties["recover_motion_retarget"].fixed_type.properties
    }
    assert {label for row in rows for label in row.split(", ")} <= labels
    assert "Left Shin" in PARTS.values()
