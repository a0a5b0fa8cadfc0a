# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of clips without a window: each into its .blend or all into one, stopped and gone on with."""

import json
import os
import sys
import time
from pathlib import Path

import bpy
import pytest
import recover_motion
from recover_motion import command_line, headless_recover, session
from smpl_reference import write_motion

FAKE = Path(__file__).with_name("fake_worker.py")

pytestmark = [pytest.mark.bpy, pytest.mark.once]


@pytest.fixture(autouse=True)
def addon(scene, tmp_path, monkeypatch, open_body_path):
    # without a checksum of the footage, who a person is says the motion file's name
    ready = write_motion(tmp_path / "ready.npz", count=12, meta=json.dumps({"schema": 1, "body": "open"}))
    monkeypatch.setenv("FAKE_WORKER_MOTION", str(ready))
    monkeypatch.setenv("FASTHMR_COMMAND", f"{sys.executable} {FAKE}")
    recover_motion.register()
    yield
    recover_motion.unregister()


@pytest.fixture
def jobs(monkeypatch):
    """The clips that the backend was asked for, with the process that was asked."""
    asked = []
    run = session.run

    def counted(job, *arguments, **options):
        run(job, *arguments, **options)
        asked.append((Path(job.params["footage"]).name, session._worker.pid if session._worker else None))

    monkeypatch.setattr(headless_recover.session, "run", counted)
    return asked


@pytest.fixture
def shoot(tmp_path):
    """A folder of clips; gives the function that adds some."""

    def add(*names):
        folder = tmp_path / "shoot"
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"pictures")
        return folder

    return add


def batch(folder, tmp_path, *more):
    """Run a batch; gives its exit code and its report."""
    report = tmp_path / "report.json"
    code = command_line.run(
        ["batch", str(folder), "--out", str(tmp_path / "out"), "--json", str(report), *more]
    )
    return code, json.loads(report.read_text(encoding="utf-8"))


def statuses(report):
    return [(Path(clip["footage"]).name, clip["status"], clip["exit_code"]) for clip in report["clips"]]


def bodies_in(blend):
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    return sorted(thing.name for thing in bpy.data.objects if thing.type == "ARMATURE")


def test_every_clip_gets_its_scene_and_the_backend_stays(tmp_path, shoot, jobs, capfd):
    folder = shoot("take10.mp4", "take2.mov", "stills/0001.png", "notes.txt")
    code, report = batch(folder, tmp_path)
    assert code == report["exit_code"] == 0
    assert statuses(report) == [("stills", "done", 0), ("take2.mov", "done", 0), ("take10.mp4", "done", 0)]
    assert [name for name, _ in jobs] == ["stills", "take2.mov", "take10.mp4"]
    assert len({pid for _, pid in jobs}) == 1
    assert session._worker is None
    out = tmp_path / "out"
    said = capfd.readouterr()
    blends = [str(out / f"{name}.blend") for name in ("stills", "take2", "take10")]
    assert [line for line in said.out.splitlines() if line.endswith(".blend")] == blends
    assert "Clip 2 of 3: take2.mov" in said.err
    assert "3 clips: 3 done." in said.err
    for name in ("stills", "take2", "take10"):
        assert bodies_in(out / f"{name}.blend") == [f"{name}.person01"]
        assert (bpy.context.scene.frame_start, bpy.context.scene.frame_end) == (1, 12)


def test_the_report_says_what_was_asked_and_what_came_out(tmp_path, shoot):
    folder = shoot("walk.mp4")
    _, report = batch(folder, tmp_path, "--start", "1.5", "--existing", "stack", "--decoder", "regressor")
    assert report["command"] == "batch"
    assert report["blender"] == bpy.app.version_string
    asked = report["asked"]
    assert (asked["folder"], asked["out"]) == (str(folder), str(tmp_path / "out"))
    assert (asked["start"], asked["existing"], asked["decoder"]) == (1.5, "STACK", "regressor")
    assert report["message"] == ""
    (clip,) = report["clips"]
    assert clip["footage"] == str(folder / "walk.mp4")
    assert clip["blend"] == str(tmp_path / "out" / "walk.blend")
    assert clip["message"] == "One person, frames 1 to 12."
    assert clip["people"] == [
        {
            "name": "walk.person01",
            "file": str(tmp_path / "out" / "walk.person01.npz"),
            "first_frame": 1,
            "last_frame": 12,
        }
    ]
    assert 0 < clip["seconds"] <= report["seconds"]


def test_a_clip_that_fails_does_not_stop_the_others(tmp_path, shoot, capfd):
    folder = shoot("a.mp4", "crash.mp4", "empty.mp4", "spoiled.mp4", "unreadable.mp4", "z.mp4")
    code, report = batch(folder, tmp_path)
    assert statuses(report) == [
        ("a.mp4", "done", 0),
        ("crash.mp4", "failed", 1),
        ("empty.mp4", "failed", 4),
        ("spoiled.mp4", "failed", 3),
        ("unreadable.mp4", "failed", 3),
        ("z.mp4", "done", 0),
    ]
    assert code == report["exit_code"] == 1
    assert "is not a video" in report["clips"][4]["message"]
    assert report["clips"][1]["notes"][-1] == "the last straw"
    said = capfd.readouterr().err
    assert "6 clips: 2 done, 4 failed." in said
    assert "unreadable.mp4 (exit code 3):" in said
    assert sorted(path.name for path in (tmp_path / "out").glob("*.blend")) == ["a.blend", "z.blend"]


def test_nobody_found_is_better_than_a_clip_that_cannot_be_read(tmp_path, shoot):
    assert batch(shoot("a.mp4", "empty.mp4"), tmp_path)[0] == 4
    assert batch(shoot("unreadable.mp4"), tmp_path)[0] == 3


def test_what_is_there_is_not_done_again(tmp_path, shoot, jobs, capfd):
    folder = shoot("a.mp4", "b.mp4")
    assert batch(folder, tmp_path)[0] == 0
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    capfd.readouterr()
    code, report = batch(folder, tmp_path, "--device", "cpu")  # the device changes nothing of the result
    assert code == 0
    assert statuses(report) == [("a.mp4", "already there", 0), ("b.mp4", "already there", 0)]
    assert report["clips"][0]["people"][0]["name"] == "a.person01"
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert len(jobs) == 2
    said = capfd.readouterr()
    assert "a.mp4 is already there" in said.err
    assert said.out.splitlines() == [str(tmp_path / "out" / name) for name in ("a.blend", "b.blend")]


def test_other_settings_other_footage_or_again_do_it_again(tmp_path, shoot, jobs):
    folder = shoot("a.mp4", "b.mp4")
    batch(folder, tmp_path)
    del jobs[:]
    os.utime(folder / "b.mp4", (1, 1))
    assert statuses(batch(folder, tmp_path)[1])[0][1] == "already there"
    assert [name for name, _ in jobs] == ["b.mp4"]
    for more in (
        ["--end", "1"],
        ["--end", "1", "--use-nla"],
        ["--end", "1", "--floor", "soles"],
        ["--end", "1", "--floor", "soles", "--again"],
    ):
        del jobs[:]
        assert batch(folder, tmp_path, *more)[0] == 0
        assert [name for name, _ in jobs] == ["a.mp4", "b.mp4"]
    assert (tmp_path / "out" / "a.blend1").is_file()  # what was there, as Blender keeps it


def test_a_result_that_is_gone_is_made_again(tmp_path, shoot, jobs):
    folder = shoot("a.mp4", "b.mp4", "c.mp4")
    batch(folder, tmp_path)
    del jobs[:]
    (tmp_path / "out" / "a.blend").unlink()
    (tmp_path / "out" / "c.person01.npz").unlink()
    assert batch(folder, tmp_path)[0] == 0
    assert [name for name, _ in jobs] == ["a.mp4", "c.mp4"]


def test_stopped_and_started_again_it_goes_on(tmp_path, shoot, jobs, monkeypatch, capfd):
    folder = shoot("a.mp4", "b.mp4", "c.mp4")
    run = headless_recover.session.run

    def stopped_at_b(job, *arguments, **options):
        if job.params["footage"].endswith("b.mp4"):
            raise KeyboardInterrupt
        run(job, *arguments, **options)

    monkeypatch.setattr(headless_recover.session, "run", stopped_at_b)
    code, report = batch(folder, tmp_path)
    assert code == report["exit_code"] == 130
    assert statuses(report) == [
        ("a.mp4", "done", 0),
        ("b.mp4", "cancelled", 130),
        ("c.mp4", "not started", 0),
    ]
    assert "3 clips: 1 done, 1 cancelled, 1 not started." in capfd.readouterr().err
    monkeypatch.setattr(headless_recover.session, "run", run)
    code, report = batch(folder, tmp_path)
    assert code == 0
    assert [status for _, status, _ in statuses(report)] == ["already there", "done", "done"]
    assert [name for name, _ in jobs] == ["a.mp4", "b.mp4", "c.mp4"]


def test_ctrl_c_cancels_the_job_and_ends_the_backend(tmp_path, shoot, monkeypatch):
    folder = shoot("a.mp4", "slow.mp4", "z.mp4")
    running = []

    def press(job):
        running.append(session._worker.pid)
        if job.stage == "fit" and len(running) > 1:
            running.append(session._worker.pid)
            monkeypatch.undo()
            os.environ["FASTHMR_COMMAND"] = f"{sys.executable} {FAKE}"
            import signal

            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(headless_recover, "Teller", lambda: press)
    code, report = batch(folder, tmp_path)
    assert code == 130
    assert statuses(report)[1:] == [("slow.mp4", "cancelled", 130), ("z.mp4", "not started", 0)]
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(running[-1], 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("the backend is still running")


def test_all_clips_into_one_file_and_it_goes_on(tmp_path, shoot, jobs):
    folder, one = shoot("a.mp4", "b.mp4"), tmp_path / "scenes" / "all.blend"
    code, report = batch(folder, tmp_path, "--blend", str(one))
    assert code == 0
    assert {clip["blend"] for clip in report["clips"]} == {str(one)}
    assert bodies_in(one) == ["a.person01", "b.person01"]
    assert not list((tmp_path / "out").glob("*.blend"))
    shoot("c.mp4")
    bpy.ops.wm.read_homefile(use_empty=True)
    code, report = batch(folder, tmp_path, "--blend", str(one))
    assert [status for _, status, _ in statuses(report)] == ["already there", "already there", "done"]
    assert [name for name, _ in jobs] == ["a.mp4", "b.mp4", "c.mp4"]
    assert bodies_in(one) == ["a.person01", "b.person01", "c.person01"]


def test_a_clip_done_again_in_the_one_file_is_not_there_twice(tmp_path, shoot):
    folder, one = shoot("a.mp4", "b.mp4"), tmp_path / "all.blend"
    batch(folder, tmp_path, "--blend", str(one))
    bpy.ops.wm.read_homefile(use_empty=True)
    code, report = batch(folder, tmp_path, "--blend", str(one), "--again")
    assert code == 0
    assert [status for _, status, _ in statuses(report)] == ["done", "done"]
    assert bodies_in(one) == ["a.person01", "b.person01"]
    assert len([action for action in bpy.data.actions if action.name.startswith("a.person01")]) == 2


def test_somebody_s_own_file_is_not_taken_for_the_one(tmp_path, shoot, jobs, capfd):
    folder, one = shoot("a.mp4"), tmp_path / "mine.blend"
    bpy.ops.object.empty_add()
    bpy.ops.wm.save_as_mainfile(filepath=str(one), copy=True)
    before = one.read_bytes()
    code, report = batch(folder, tmp_path, "--blend", str(one))
    assert code == report["exit_code"] == 2
    assert "was not made by this command" in report["message"]
    assert (one.read_bytes(), jobs) == (before, [])
    bpy.ops.wm.open_mainfile(filepath=str(one))  # as `blender -b mine.blend --command` does
    assert batch(folder, tmp_path, "--blend", str(one))[0] == 0
    assert bodies_in(one) == ["a.person01"]
    assert any(thing.type == "EMPTY" for thing in bpy.data.objects)
    assert statuses(batch(folder, tmp_path, "--blend", str(one))[1]) == [("a.mp4", "already there", 0)]


def test_each_clip_gets_a_fresh_copy_of_the_file_that_was_opened(tmp_path, shoot):
    bpy.ops.object.empty_add()
    bpy.context.object.name = "set dressing"
    bpy.context.scene.frame_end = 77
    opened = tmp_path / "set.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(opened))
    before = opened.read_bytes()
    assert batch(shoot("a.mp4", "b.mp4"), tmp_path)[0] == 0
    assert opened.read_bytes() == before
    for name in ("a", "b"):
        assert bodies_in(tmp_path / "out" / f"{name}.blend") == [f"{name}.person01"]
        assert "set dressing" in bpy.data.objects
        assert bpy.context.scene.frame_end == 77


@pytest.mark.parametrize(
    ("names", "code", "words"),
    [(["notes.txt"], 3, "There are no clips in"), (["a.mp4", "A.mov"], 2, "overwrite one another")],
)
def test_a_batch_that_cannot_begin(tmp_path, shoot, jobs, capfd, names, code, words):
    ended, report = batch(shoot(*names), tmp_path)
    assert ended == report["exit_code"] == code
    assert words in report["message"]
    assert words in capfd.readouterr().err
    assert jobs == []


def test_a_folder_that_is_not_there(tmp_path):
    code, report = batch(tmp_path / "nowhere", tmp_path)
    assert (code, report["clips"]) == (3, [])
    assert "nowhere cannot be read: No such file or directory" in report["message"]


def test_without_a_backend_no_other_clip_is_tried(tmp_path, shoot, monkeypatch):
    monkeypatch.setenv("FASTHMR_COMMAND", "/nowhere/fasthmr")
    code, report = batch(shoot("a.mp4", "b.mp4"), tmp_path)
    assert code == 1
    assert statuses(report) == [("a.mp4", "failed", 1), ("b.mp4", "not started", 0)]
    assert "/nowhere/fasthmr" in report["message"]


def test_options_reach_the_backend_and_what_is_left_open_does_not(tmp_path, shoot, monkeypatch):
    sent = []
    run = session.run
    monkeypatch.setattr(
        headless_recover.session, "run", lambda job, **more: (sent.append(dict(job.params)), run(job, **more))
    )
    monkeypatch.chdir(tmp_path)
    folder = shoot("a.mp4")
    batch(folder, tmp_path)
    assert sent[-1] == {"footage": str(folder / "a.mp4"), "out": str(tmp_path / "out"), "person": "all"}
    options = "--person 1,3 --start 0.5 --end 2 --frame-rate 12 --camera-fov 55 --body SMPL_NEUTRAL.pkl"
    options += " --model hmr2 --checkpoint hmr2.ckpt --device cpu --precision fp32 --tokens 96"
    options += " --decoder diffusion --steps 4 --decoder-weights mine.safetensors --no-refine"
    batch(folder, tmp_path, *options.split())
    assert sent[-1] == {
        "footage": str(folder / "a.mp4"),
        "out": str(tmp_path / "out"),
        "person": "1,3",
        "start": 0.5,
        "end": 2.0,
        "frame_rate": 12.0,
        "camera_fov": 55.0,
        "body": str(tmp_path / "SMPL_NEUTRAL.pkl"),
        "model": "hmr2",
        "checkpoint": str(tmp_path / "hmr2.ckpt"),
        "device": "cpu",
        "precision": "fp32",
        "tokens": 96,
        "decoder": "diffusion",
        "steps": 4,
        "decoder_weights": str(tmp_path / "mine.safetensors"),
        "refine": False,
    }
