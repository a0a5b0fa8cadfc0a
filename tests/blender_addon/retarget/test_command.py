# SPDX-License-Identifier: GPL-3.0-or-later
"""`recover_motion retarget` without a window: what it saves, what it reports, how it ends."""

import json
from pathlib import Path

import bpy
import pytest
import recover_motion
from recover_motion import command_line
from recover_motion.retarget.character_file import append_character
from recover_motion.retarget.mapping import BoneMap
from recover_motion.retarget.preset_file import save_preset
from recover_motion.retarget.problem import RetargetProblem
from simple_character import add_character, bring_in, write_stroll

pytestmark = pytest.mark.bpy


@pytest.fixture
def scene(quick_scene):
    return quick_scene


@pytest.fixture
def folder(scene, tmp_path, open_body_path, monkeypatch):
    """`scene.blend` with a body and a character, `hero.blend` with the character alone, and two motions."""
    recover_motion.register()
    add_character()
    add_character("Prop", skin=False)
    bpy.ops.object.camera_add()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "hero.blend"), copy=True)
    bring_in(tmp_path, open_body_path)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    for clip in ("run", "jump"):
        write_stroll(tmp_path / f"{clip}.person01.npz", 6)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    recover_motion.unregister()


def run(*words):
    return command_line.run(["retarget", "--json", "report.json", *words])


def report():
    return json.loads(Path("report.json").read_text(encoding="utf-8"))


def empty():
    bpy.ops.wm.read_homefile(use_empty=True)


def action_of(name):
    return bpy.data.objects[name].animation_data.action.name


def test_the_opened_scene(folder, capfd):
    assert (
        run("--target", "Hero", "--feet", "off", "--scale", "0.5", "--in-place", "full", "--every", "2") == 0
    )
    saved = folder / "scene.Hero.blend"
    assert str(saved) in capfd.readouterr().out.splitlines()
    said = report()
    assert (said["command"], said["exit_code"], said["message"]) == ("retarget", 0, "")
    (clip,) = said["clips"]
    assert (clip["status"], clip["blend"], clip["footage"]) == ("done", str(saved), "")
    assert clip["people"] == [{"name": "Hero", "file": "", "first_frame": 1, "last_frame": 12}]
    assert clip["message"] == 'Hero moves by "Hero.walk.person01", frames 1 to 12.'
    bpy.ops.wm.open_mainfile(filepath=str(saved))
    settings = bpy.context.scene.recover_motion_retarget
    assert (settings.feet, settings.scale, settings.in_place, settings.every) == ("OFF", "FACTOR", "FULL", 2)
    assert settings.factor == 0.5
    assert action_of("Hero") == "Hero.walk.person01"


def test_frames_and_out(folder):
    assert run("--target", "Hero.skin", "--start", "4", "--out", "shots/new.blend") == 0
    bpy.ops.wm.open_mainfile(filepath=str(folder / "shots" / "new.blend"))
    assert bpy.data.actions["Hero.walk.person01"].frame_range[:] == (4, 12)


def test_a_preset_by_name_and_as_a_file(folder):
    assert run("--target", "Hero", "--preset", "mixamo") == 0
    save_preset(folder / "squid.json", BoneMap({"pelvis": ("mantle",)}), "Squid")
    assert run("--target", "Hero", "--preset", "squid.json") == 3
    assert "Hero has no bones of the preset Squid" in report()["clips"][0]["message"]
    save_preset(folder / "own.json", BoneMap({"pelvis": ("mixamorig:Hips",)}), "Own")
    assert run("--target", "Hero", "--preset", "own.json") == 3
    assert "No bone plays the Left Thigh" in report()["clips"][0]["message"]
    assert run("--target", "Hero", "--preset", "Octopus") == 3
    assert 'no preset "Octopus"' in report()["clips"][0]["message"]
    assert run("--target", "Hero", "--preset", "gone.json") == 3
    assert "gone.json" in report()["clips"][0]["message"]


def test_motions_each_in_a_file_of_its_own(folder):
    empty()
    (folder / "bad.npz").write_bytes(b"no motion")
    motions = ["run.person01.npz", "bad.npz", "jump.person01.npz"]
    assert run("--motion", *motions, "--target-file", "hero.blend", "--out", "done") == 3
    statuses = [(clip["footage"], clip["status"], clip["exit_code"]) for clip in report()["clips"]]
    assert statuses == [
        (str(folder / motions[0]), "done", 0),
        (str(folder / motions[1]), "failed", 3),
        (str(folder / motions[2]), "done", 0),
    ]
    assert sorted(path.name for path in (folder / "done").iterdir()) == [
        "jump.person01.Hero.blend",
        "run.person01.Hero.blend",
    ]
    bpy.ops.wm.open_mainfile(filepath=str(folder / "done" / "jump.person01.Hero.blend"))
    assert action_of("Hero") == "Hero.jump.person01"
    assert bpy.context.scene.render.fps == 30
    assert {thing.name for thing in bpy.data.objects if thing.type != "MESH"} == {"Hero", "jump.person01"}
    assert bpy.data.objects["Hero.skin"].parent == bpy.data.objects["Hero"]


def test_motions_onto_one_character_in_one_file(folder):
    empty()
    motions = ["run.person01.npz", "jump.person01.npz"]
    call = ["--motion", *motions, "--target-file", "hero.blend", "--out", "all.blend"]
    assert run(*call) == 0
    bpy.ops.wm.open_mainfile(filepath=str(folder / "all.blend"))
    assert {"Hero.run.person01", "Hero.jump.person01"} <= set(bpy.data.actions.keys())
    assert action_of("Hero") == "Hero.jump.person01"
    empty()
    assert run(*call, "--use-nla", "--smooth", "0.1") == 0
    assert {clip["blend"] for clip in report()["clips"]} == {str(folder / "all.blend")}
    bpy.ops.wm.open_mainfile(filepath=str(folder / "all.blend"))
    tracks = bpy.data.objects["Hero"].animation_data.nla_tracks
    assert [(track.name, track.mute) for track in tracks] == [
        ("Hero.run.person01.clean", True),
        ("Hero.jump.person01.clean", False),
    ]


def test_a_motion_into_the_opened_scene(folder):
    assert run("--motion", "run.person01.npz", "--target", "Hero", "--out", "new.blend") == 0
    bpy.ops.wm.open_mainfile(filepath=str(folder / "new.blend"))
    assert action_of("Hero") == "Hero.run.person01"
    assert "walk.person01" in bpy.data.objects


WRONG = (
    ("", 2, "Name the character"),
    ("--target Zero", 3, "There is no Zero in the scene. Its armatures: Hero, Prop, walk.person01"),
    ("--target Camera", 3, "Camera is no armature"),
    ("--target Hero --source Prop", 3, "is no armature with recovered motion"),
    ("--target Hero --source Prop", 3, "(--source walk.person01)"),
    ("--target Hero --start 9 --end 3", 2, "--end is before --start"),
    ("--target Hero --start 90 --end 99", 3, "covers the frames 1 to 12"),
    ("--target Hero --source walk.person01 --motion run.person01.npz", 2, "use one of them"),
    ("--target-file gone.blend", 3, "gone.blend is not there"),
    ("--target-file run.person01.npz", 3, "not a .blend file"),
    ("--target-file hero.blend --target Zero", 3, "has no armature Zero. There are: Hero, Prop."),
    ("--target-file scene.blend --target Hero", 3, "scene.blend is the opened scene itself"),
)


def test_wrong_calls(folder):
    for words, code, message in WRONG:
        bpy.ops.wm.open_mainfile(filepath=str(folder / "scene.blend"))
        objects = set(bpy.data.objects.keys())
        assert run(*words.split()) == code
        said = report()
        assert said["exit_code"] == code
        assert message in said["message"] + "".join(clip["message"] for clip in said["clips"])
        assert set(bpy.data.objects.keys()) == objects
    assert not list(folder.glob("*.Hero.blend"))


def test_the_character_of_a_file_is_the_armature_that_most_skins_hang_on(folder):
    bpy.ops.wm.open_mainfile(filepath=str(folder / "hero.blend"))
    add_character("Villain")
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "two.blend"))
    empty()
    scene = bpy.context.scene
    assert append_character(scene, folder / "hero.blend").name == "Hero"
    assert {thing.name for thing in scene.objects} == {"Hero", "Hero.skin"}
    assert append_character(scene, folder / "hero.blend").name == "Hero.001"
    assert append_character(scene, folder / "hero.blend", "Prop").name == "Prop"
    with pytest.raises(RetargetProblem, match=r"several armatures: Hero, Prop, Villain\. Say which"):
        append_character(scene, folder / "two.blend")
    assert len(scene.objects) == 5


def test_calls_that_the_parser_refuses(folder, capsys):
    for words in (
        *(["--scale", "wide"], ["--scale", "-1"], ["--every", "0"]),
        *(["--feet", "glued"], ["--smooth", "11"]),
    ):
        assert run("--target", "Hero", *words) == 2
        assert words[0] in capsys.readouterr().err


def test_nothing_is_opened(folder):
    empty()
    assert run("--target-file", "hero.blend") == 2
    assert "There is no recovered body" in report()["message"]
    assert run("--motion", "run.person01.npz", "--target", "Hero") == 2
    assert "There is no Hero in an empty scene" in report()["message"]
