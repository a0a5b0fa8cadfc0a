# SPDX-License-Identifier: GPL-3.0-or-later
"""command: `blender -b FILE.blend --command recover_motion export`, called as Blender calls it."""

import json

import bpy
import pytest
import recover_motion
from recover_motion import command_line

pytestmark = pytest.mark.bpy


@pytest.fixture
def opened(recovered, tmp_path):
    """A saved scene with a recovered body, opened, and no window in the context: a command has none."""
    recover_motion.register()
    path = tmp_path / "shot.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    with bpy.context.temp_override(window=None):
        yield path
    recover_motion.unregister()


def test_every_character_goes_into_the_folder(opened, tmp_path, capsys):
    out, report = tmp_path / "out", tmp_path / "report.json"
    code = command_line.run(
        ["export", "--format", "fbx", "--preset", "unity", "--out", str(out), "--json", str(report)]
    )
    assert code == 0
    said = capsys.readouterr()
    assert str(out / "walk.person01.fbx") in said.out
    assert "8 frames at 30 fps read back, joints within" in said.err
    told = json.loads(report.read_text())
    assert told["command"] == "export"
    assert told["exit_code"] == 0
    assert told["asked"]["preset"] == "unity"
    (clip,) = told["clips"]
    assert clip["status"] == "done"
    assert clip["people"] == [
        {
            "name": "walk.person01",
            "file": str(out / "walk.person01.fbx"),
            "first_frame": 1,
            "last_frame": 8,
        }
    ]
    assert (out / "walk.person01.fbx").is_file()


@pytest.mark.parametrize("kind", ["glb", "usd", "alembic"])
def test_formats_need_no_window(opened, tmp_path, capsys, kind):
    assert bpy.context.window is None
    assert command_line.run(["export", "--format", kind, "--end", "4", "--out", str(tmp_path / "out")]) == 0
    assert "4 frames at 30 fps read back" in capsys.readouterr().err


def test_one_character_goes_into_a_file(opened, tmp_path):
    arguments = ["export", "--character", "walk.person01.body", "--format", "bvh", "--start", "3"]
    assert command_line.run([*arguments, "--no-check", "--out", str(tmp_path / "hero.bvh")]) == 0
    assert "Frames: 6\n" in (tmp_path / "hero.bvh").read_text()


def test_bad_calls(opened, tmp_path, capsys):
    def code(*arguments):
        return command_line.run(["export", "--out", str(tmp_path / "out"), *arguments])

    assert code() == 2
    assert code("--format", "avi") == 2
    assert code("--format", "fbx", "--character", "Nobody") == 2
    assert "Its armatures: walk.person01" in capsys.readouterr().err
    assert code("--format", "npz") == 3  # it stands on another body than the open one
    assert "proportions" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*"))


def test_several_characters_do_not_fit_into_one_file(opened, made, tmp_path, capsys):
    made("cartoon_plain")
    assert command_line.run(["export", "--format", "glb", "--out", str(tmp_path / "a.glb")]) == 2
    assert "there are 2 characters" in capsys.readouterr().err


def test_a_scene_without_motion(opened, tmp_path, capsys):
    bpy.data.objects["walk.person01"].animation_data.action = None
    assert command_line.run(["export", "--format", "glb", "--out", str(tmp_path / "out")]) == 3
    assert "No armature of the scene has motion" in capsys.readouterr().err


def test_no_scene_at_all(scene, tmp_path, capsys):
    recover_motion.register()
    try:
        assert command_line.run(["export", "--format", "glb", "--out", str(tmp_path)]) == 2
    finally:
        recover_motion.unregister()
    assert "let Blender open one" in capsys.readouterr().err
