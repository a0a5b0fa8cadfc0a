# SPDX-License-Identifier: GPL-3.0-or-later
"""`blender --command recover_motion`: what it makes, and the exit codes it ends with."""

import json
import sys
from pathlib import Path

import bpy
import pytest
import recover_motion
from recover_motion import command_line, session
from recover_motion.backend_setup import addon_version
from smpl_reference import write_motion

FAKE = Path(__file__).with_name("fake_worker.py")

pytestmark = pytest.mark.bpy


@pytest.fixture(autouse=True)
def addon(scene, tmp_path, monkeypatch, open_body_path):
    monkeypatch.setenv("FAKE_WORKER_MOTION", str(write_motion(tmp_path / "ready.npz", count=12)))
    monkeypatch.setenv("FASTHMR_COMMAND", f"{sys.executable} {FAKE}")
    recover_motion.register()
    yield
    recover_motion.unregister()


def clip(tmp_path, name):
    path = tmp_path / f"{name}.mp4"
    path.touch()
    return str(path)


def bodies_in(blend):
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    return sorted(thing.name for thing in bpy.data.objects if thing.type == "ARMATURE")


def test_recover_saves_the_scene_beside_the_motion(tmp_path, capfd):
    out = tmp_path / "out"
    assert command_line.run(["recover", clip(tmp_path, "walk"), "--out", str(out)]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == str(out / "walk.blend")
    assert session._worker is None  # nothing goes on running
    assert bodies_in(out / "walk.blend") == ["walk.person01"]
    scene = bpy.context.scene
    assert scene.render.fps / scene.render.fps_base == 30.0
    assert (scene.frame_start, scene.frame_end) == (1, 12)


def test_recover_passes_its_options_on(tmp_path):
    options = ["--person", "1,3", "--start", "0.5", "--end", "2", "--camera-fov", "55", "--no-camera"]
    where = ["--out", str(tmp_path / "out"), "--blend", str(tmp_path / "scenes" / "shot.blend")]
    assert command_line.run(["recover", clip(tmp_path, "walk"), *where, *options]) == 0
    sent = session.job.result["request"]
    assert {name: sent[name] for name in ("person", "start", "end", "camera_fov")} == {
        "person": "1,3",
        "start": 0.5,
        "end": 2.0,
        "camera_fov": 55.0,
    }
    assert bodies_in(tmp_path / "scenes" / "shot.blend") == ["walk.person01"]
    assert bpy.context.scene.camera is None


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("unreadable", 3, "is not a video"),
        ("empty", 4, "There is nobody"),
        ("spoiled", 3, "spoiled.person01.npz"),
        ("crash", 1, "the last straw"),
    ],
)
def test_exit_codes_of_recover(tmp_path, capfd, name, code, words):
    assert command_line.run(["recover", clip(tmp_path, name), "--out", str(tmp_path)]) == code
    assert words in capfd.readouterr().err
    assert not list(tmp_path.glob("*.blend"))


def test_no_backend(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("FASTHMR_COMMAND", "/nowhere/fasthmr")
    assert command_line.run(["recover", clip(tmp_path, "walk"), "--out", str(tmp_path)]) == 1
    assert "/nowhere/fasthmr" in capfd.readouterr().err


def test_import_takes_a_clip_s_people(tmp_path):
    motions = [
        str(write_motion(tmp_path / f"dance.person0{person}.npz", seed=person, count=9)) for person in (1, 2)
    ]
    assert command_line.run(["import", *motions, "--start-frame", "101"]) == 0
    assert bodies_in(tmp_path / "dance.blend") == ["dance.person01", "dance.person02"]
    action = bpy.data.objects["dance.person02"].animation_data.action
    assert tuple(action.frame_range) == (101.0, 109.0)


def test_import_goes_into_the_file_that_was_opened(tmp_path):
    bpy.ops.object.empty_add()
    bpy.context.object.name = "set dressing"
    bpy.context.scene.render.fps = 24
    bpy.context.scene.frame_end = 77
    opened = tmp_path / "set.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(opened))
    before = opened.read_bytes()
    motion = str(write_motion(tmp_path / "walk.person01.npz"))
    assert command_line.run(["import", motion, "--blend", str(tmp_path / "shot.blend")]) == 0
    assert opened.read_bytes() == before
    assert bodies_in(tmp_path / "shot.blend") == ["walk.person01"]
    assert "set dressing" in bpy.data.objects
    assert (bpy.context.scene.render.fps, bpy.context.scene.frame_end) == (24, 77)


def test_import_of_what_is_no_motion(tmp_path, capfd):
    path = tmp_path / "notes.npz"
    path.write_text("not an archive")
    assert command_line.run(["import", str(path)]) == 3
    assert "notes.npz" in capfd.readouterr().err
    assert command_line.run(["import", str(tmp_path / "gone.npz")]) == 3
    assert not list(tmp_path.glob("*.blend"))


def test_a_scene_that_cannot_be_saved(tmp_path, capfd):
    motion = str(write_motion(tmp_path / "walk.person01.npz"))
    (tmp_path / "file").touch()
    assert command_line.run(["import", motion, "--blend", str(tmp_path / "file" / "walk.blend")]) == 3
    assert "could not be saved" in capfd.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["fly"], ["recover"], ["recover", "a.mp4"], ["import"]])
def test_bad_calls(arguments, capfd):
    assert command_line.run(arguments) == 2
    assert "usage: blender" in capfd.readouterr().err


def test_help_is_no_error(capfd):
    assert command_line.run(["--help"]) == 0
    assert "import recovered motion" in capfd.readouterr().out


def test_recover_is_not_done_twice(tmp_path, capfd):
    call = ["recover", clip(tmp_path, "walk"), "--out", str(tmp_path / "out")]
    assert command_line.run(call) == 0
    made = (tmp_path / "out" / "walk.blend").stat().st_mtime_ns
    capfd.readouterr()
    assert command_line.run(call) == 0
    said = capfd.readouterr()
    assert said.out.splitlines() == [str(tmp_path / "out" / "walk.blend")]
    assert "walk.mp4 is already there" in said.err
    assert (tmp_path / "out" / "walk.blend").stat().st_mtime_ns == made
    assert command_line.run([*call, "--again"]) == 0
    assert (tmp_path / "out" / "walk.blend").stat().st_mtime_ns != made


@pytest.mark.parametrize(("name", "code"), [("walk", 0), ("empty", 4)])
def test_the_report_of_recover(tmp_path, name, code):
    report = tmp_path / "report.json"
    call = ["recover", clip(tmp_path, name), "--out", str(tmp_path / "out"), "--json", str(report)]
    assert command_line.run(call) == code
    value = json.loads(report.read_text())
    assert (value["command"], value["exit_code"], value["version"]) == ("recover", code, addon_version())
    (outcome,) = value["clips"]
    assert outcome["exit_code"] == code
    assert len(outcome["people"]) == (code == 0)
    assert value["asked"]["clip"] == str(tmp_path / f"{name}.mp4")


def test_the_report_of_import(tmp_path):
    motions = [
        str(write_motion(tmp_path / f"dance.person0{person}.npz", seed=person, count=9)) for person in (1, 2)
    ]
    report = tmp_path / "report.json"
    assert command_line.run(["import", *motions, "--start-frame", "101", "--json", str(report)]) == 0
    value = json.loads(report.read_text())
    (outcome,) = value["clips"]
    assert outcome["blend"] == str(tmp_path / "dance.blend")
    assert [person["file"] for person in outcome["people"]] == motions
    assert {(person["first_frame"], person["last_frame"]) for person in outcome["people"]} == {(101, 109)}
    assert value["asked"]["motions"] == motions
    assert command_line.run(["import", str(tmp_path / "gone.npz"), "--json", str(report)]) == 3
    value = json.loads(report.read_text())
    assert (value["exit_code"], value["clips"][0]["status"]) == (3, "failed")
    assert "gone.npz" in value["clips"][0]["message"]


def test_import_replaces_who_is_there(tmp_path):
    motion = str(write_motion(tmp_path / "walk.person01.npz", seed=1))
    first, second = tmp_path / "first.blend", tmp_path / "second.blend"
    assert command_line.run(["import", motion, "--blend", str(first)]) == 0
    for existing, bodies in (("NEW", 2), ("replace", 1), ("STACK", 1)):
        bpy.ops.wm.open_mainfile(filepath=str(first))
        assert command_line.run(["import", motion, "--blend", str(second), "--existing", existing]) == 0
        assert len(bodies_in(second)) == bodies
    assert [track.mute for track in bpy.data.objects["walk.person01"].animation_data.nla_tracks] == [True]


def test_a_report_that_cannot_be_written_is_told_before_the_work(tmp_path, capfd):
    (tmp_path / "file").touch()
    report = tmp_path / "file" / "report.json"
    call = ["recover", clip(tmp_path, "walk"), "--out", str(tmp_path / "out"), "--json", str(report)]
    assert command_line.run(call) == 3
    assert "could not be written" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_options_of_the_import_are_those_of_the_panel(tmp_path):
    motion = str(write_motion(tmp_path / "walk.person01.npz", seed=1, count=30))
    blend = tmp_path / "walk.blend"
    options = "--smooth 0.2 --feet free --floor soles --body-shape average --use-nla --set-render-size"
    assert command_line.run(["import", motion, *options.split()]) == 0
    assert bodies_in(blend) == ["walk.person01"]
    cleaning = bpy.data.objects["walk.person01"].recover_motion_cleaning
    assert cleaning.cleaned is not None
    assert cleaning.smooth == pytest.approx(0.2)
    assert (cleaning.keep_feet, cleaning.use_floor) == (False, True)
    (body,) = bpy.data.objects["walk.person01"].children
    shapes = body.data.shape_keys.key_blocks[1:] if body.data.shape_keys else []
    assert all(key.value == 0.0 for key in shapes)
    assert bpy.context.scene.render.resolution_x == 1920
    bpy.ops.wm.read_homefile(use_empty=True)
    assert command_line.run(["import", motion]) == 0  # left out, everything stays as it was recovered
    assert bodies_in(blend) == ["walk.person01"]
    armature = bpy.data.objects["walk.person01"]
    assert armature.recover_motion_cleaning.cleaned is None
    assert not armature.animation_data.nla_tracks


@pytest.mark.parametrize("value", ["-1", "11", "strong"])
def test_a_strength_that_cannot_be_is_a_bad_call(tmp_path, capfd, value):
    assert command_line.run(["import", str(tmp_path / "walk.npz"), "--smooth", value]) == 2
    assert "--smooth" in capfd.readouterr().err
