# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of docs/headless.md, run as they stand there, with a stand-in for the backend."""

import json
import re
import shlex
import sys
from pathlib import Path

import bpy
import pytest
import recover_motion
from recover_motion import command_line
from recover_motion.headless_record import SCHEMA, Outcome, Person
from smpl_reference import write_motion

FAKE = Path(__file__).with_name("fake_worker.py")
TEXT = (Path(__file__).parents[2] / "docs" / "headless.md").read_text(encoding="utf-8")

pytestmark = [pytest.mark.bpy, pytest.mark.once]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]


@pytest.fixture(autouse=True)
def folder(scene, tmp_path, monkeypatch, open_body_path):
    """A folder with what the examples name."""
    ready = write_motion(tmp_path / "ready.npz", count=12)
    monkeypatch.setenv("FAKE_WORKER_MOTION", str(ready))
    monkeypatch.setenv("FASTHMR_COMMAND", f"{sys.executable} {FAKE}")
    work = tmp_path / "work"
    (work / "shoot").mkdir(parents=True)
    (work / "motion").mkdir()
    for name in ("walk.mp4", "shoot/take1.mp4", "shoot/take2.mp4"):
        (work / name).write_bytes(b"pictures")
    write_motion(work / "motion" / "walk.person01.npz", count=12)
    for name in ("set.blend", "shot.blend"):
        bpy.ops.wm.save_as_mainfile(filepath=str(work / name), copy=True)
    monkeypatch.chdir(work)
    recover_motion.register()
    yield work
    recover_motion.unregister()


@pytest.mark.parametrize("line", COMMANDS)
def test_commands(folder, line):
    words = shlex.split(line)
    assert words[:2] == ["blender", "-b"]
    start = words.index("--command")
    for opened in words[2:start]:
        bpy.ops.wm.open_mainfile(filepath=str(folder / opened))
    assert words[start + 1] == "recover_motion"
    arguments = words[start + 2 :]
    assert command_line.run(arguments) == 0
    wanted = {"--blend": None, "--json": None, "--out": None}
    for option in wanted:
        if option in arguments:
            assert Path(arguments[arguments.index(option) + 1]).exists()


def test_there_are_examples_of_each_command():
    assert {re.search(r"recover_motion (\w+)", line)[1] for line in COMMANDS} == {
        "recover",
        "batch",
        "import",
    }
    assert len(blocks("python")) == len(blocks("json")) == 1


def test_the_script(folder, capsys):
    exec(blocks("python")[0], {})  # noqa: S102 (our own document)
    assert "['walk.person01']" in capsys.readouterr().out
    bpy.ops.wm.open_mainfile(filepath=str(folder / "walk.blend"))
    assert [thing.name for thing in bpy.data.objects if thing.type == "ARMATURE"] == ["walk.person01"]


def test_a_script_that_fails_raises_as_blender_s_operators_do(folder):
    bpy.context.scene.recover_motion.footage = "gone.mp4"
    with pytest.raises(RuntimeError, match=r"gone\.mp4"):
        bpy.ops.recover_motion.recover()
    (folder / "unreadable.mp4").touch()
    bpy.context.scene.recover_motion.footage = "unreadable.mp4"
    with pytest.raises(RuntimeError, match="is not a video"):
        bpy.ops.recover_motion.recover()


def test_the_report_is_like_the_example(folder):
    example = json.loads(blocks("json")[0])
    assert example["schema"] == SCHEMA
    assert command_line.run(["batch", "shoot", "--out", "motion", "--json", "report.json"]) == 0
    real = json.loads((folder / "report.json").read_text())
    assert list(real) == list(example)
    assert set(example["asked"]) <= set(real["asked"])
    for clip in example["clips"]:
        assert list(clip) == list(real["clips"][0])
        assert Outcome(**{**clip, "people": [Person(**person) for person in clip["people"]]})


def test_every_option_that_it_names_is_there():
    named = set(re.findall(r"`(--[a-z-]+)", TEXT)) - {"--help"}
    parser = command_line._parser()
    known = {
        option
        for command in parser._subparsers._group_actions[0].choices.values()
        for option in command._option_string_actions
    }
    assert named <= known
