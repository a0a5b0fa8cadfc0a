# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing the backend from a package index on disk: interrupted, gone on, cancelled, refused, removed.

The folder's path has spaces and letters that are not ASCII throughout.
"""

import importlib.util
import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest
from fake_index import FakeIndex
from recover_motion import backend_setup
from recover_motion.backend_folder import STAMP, environment_python, read_stamp
from recover_motion.backend_location import find_command
from recover_motion.backend_setup import Setup, State, Status, condition_of
from recover_motion.install_backend import STEPS

VERSION = "0.1.0"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder for everything, and the index's variables set for all that is started."""
    return tmp_path_factory.mktemp("Größe 日本 é") / "my files"


@pytest.fixture(scope="module")
def index(place):
    index = FakeIndex(place)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in index.variables.items():
            patch.setenv(name, value)
        yield index


def begin(index, folder, **options):
    wanted = {"wheel": index.wheel, "version": VERSION, "requirements": index.requirements}
    return Setup("install", folder, **(wanted | options))


def wait(setup, condition=lambda setup: not setup.active, seconds=900.0):
    """Do what the timer does, until something has happened; the whole never goes back."""
    deadline = time.monotonic() + seconds
    fraction = 0.0
    while not condition(setup):
        assert time.monotonic() < deadline, (setup.state, setup.step, setup.message)
        assert setup.active, (setup.message, setup.lines)
        start = time.monotonic()
        setup.advance()
        assert time.monotonic() - start < 3.0
        assert setup.fraction >= fraction
        fraction = setup.fraction
        time.sleep(0.01)
    return setup


def log_of(folder):
    return (folder / "install.log").read_text(encoding="utf-8")


def gone(pid, seconds=5.0):
    """Whether a process ends; one that nobody waits for counts as ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        stat = Path(f"/proc/{pid}/stat")
        try:
            os.kill(pid, 0)
            if stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def installed(index, place):
    """A finished installation; stopped twice on the way."""
    folder = place / "the backend ü"
    assert condition_of(folder, VERSION).status is Status.NOT_INSTALLED
    setup = wait(begin(index, folder), lambda setup: setup.step == "torch")
    setup.cancel()
    assert setup.state is State.CANCELLED
    assert gone(setup.pid)
    stamp = read_stamp(folder)
    assert list(stamp["steps"]) == ["environment", "libraries"]
    assert condition_of(folder, VERSION).status is Status.INTERRUPTED

    setup = wait(begin(index, folder), lambda setup: setup.step == "backend")
    os.kill(setup.pid, 9)  # the process dies, and pip with its input, or is done
    while setup.active:
        setup.advance()
    assert setup.state is State.FAILED
    assert "goes on after the last finished step" in setup.message
    assert "torch" in read_stamp(folder)["steps"]

    setup = wait(begin(index, folder))
    assert setup.state is State.DONE, (setup.message, setup.lines)
    assert setup.fraction == 1.0
    assert [check["name"] for check in setup.checks] == ["torch", "body", "preview"]
    return folder


def test_an_interrupted_installation_goes_on_and_ends_well(installed):
    assert condition_of(installed, VERSION).status is Status.READY
    log = log_of(installed)
    assert log.count("Successfully installed tinylib-1.0") == 1
    assert log.count("Successfully installed torch-2.13.0") == 1
    assert log.count(" -m venv ") == 1
    assert set(read_stamp(installed)["steps"]) == set(STEPS)
    (command,) = find_command(str(installed), {})
    assert Path(command).is_relative_to(installed)


def test_the_environment_is_apart_from_blenders(installed):
    assert environment_python(installed).is_file()
    packages = next((installed / ".venv").glob("[Ll]ib/**/site-packages"))
    assert (packages / "tinylib.py").is_file()
    assert importlib.util.find_spec("tinylib") is None  # in the Python that made it


def test_a_newer_wheel_is_another_version_and_updates_only_what_changed(installed, index, tmp_path):
    before = log_of(installed)
    assert condition_of(installed, "0.2.0").status is Status.OTHER_VERSION
    assert "version 0.1.0, this add-on is 0.2.0" in condition_of(installed, "0.2.0").text
    setup = wait(begin(index, installed, wheel=index.backend("0.2.0", tmp_path), version="0.2.0"))
    assert setup.state is State.DONE, setup.lines
    assert condition_of(installed, "0.2.0").status is Status.READY
    new = log_of(installed)[len(before) :]
    assert "fasthmr-0.2.0" in new
    assert "tinylib" not in new
    assert wait(begin(index, installed)).state is State.DONE  # and back again, for the tests below


def test_a_package_that_was_left_half_installed_is_installed_again(installed, index):
    packages = next((installed / ".venv").glob("[Ll]ib/**/site-packages"))
    (packages / "tinylib-1.0.dist-info" / "INSTALLER").unlink()
    (packages / "tinylib.py").unlink()
    stamp = read_stamp(installed)
    del stamp["steps"]["libraries"]
    (installed / STAMP).write_text(json.dumps(stamp), encoding="utf-8")
    setup = wait(begin(index, installed))
    assert setup.state is State.DONE, setup.lines
    assert (packages / "tinylib.py").is_file()


@pytest.mark.parametrize("mood", ["bad", "crash"])
def test_what_the_doctor_finds_is_told_and_the_installation_is_not_ready(installed, index, mood, monkeypatch):
    monkeypatch.setenv("FAKE_DOCTOR", mood)
    setup = wait(begin(index, installed))
    assert setup.state is State.FAILED
    assert setup.step == "check"
    assert ("Get it back." if mood == "bad" else "libGL.so.1") in "\n".join(setup.lines)
    assert condition_of(installed, VERSION).status is Status.INTERRUPTED
    monkeypatch.delenv("FAKE_DOCTOR")
    assert wait(begin(index, installed)).state is State.DONE


@pytest.mark.skipif(os.name == "nt", reason="looks at processes as POSIX has them")
def test_cancel_ends_the_process_and_its_children(installed, index, monkeypatch, tmp_path):
    number = tmp_path / "child"
    monkeypatch.setenv("FAKE_DOCTOR", "slow")
    monkeypatch.setenv("FAKE_CHILD", str(number))
    setup = wait(begin(index, installed), lambda setup: number.exists() and number.read_text())
    start = time.monotonic()
    setup.cancel()
    assert time.monotonic() - start < 3.0
    assert setup.state is State.CANCELLED
    assert gone(setup.pid)
    assert gone(int(number.read_text()))
    monkeypatch.delenv("FAKE_DOCTOR")
    assert wait(begin(index, installed)).state is State.DONE


@pytest.mark.skipif(os.name == "nt", reason="looks at processes as POSIX has them")
def test_the_installation_does_not_outlive_its_input(installed, index, monkeypatch, tmp_path):
    number = tmp_path / "child"
    monkeypatch.setenv("FAKE_DOCTOR", "slow")
    monkeypatch.setenv("FAKE_CHILD", str(number))
    setup = wait(begin(index, installed), lambda setup: number.exists() and number.read_text())
    setup._process.stdin.close()  # what the end of Blender does, however it ends
    assert gone(int(number.read_text()))
    monkeypatch.delenv("FAKE_DOCTOR")
    while setup.active:
        setup.advance()
    assert wait(begin(index, installed)).state is State.DONE


def test_two_at_once_do_not_meet_in_one_folder(installed, index, monkeypatch, tmp_path):
    number = tmp_path / "child"
    monkeypatch.setenv("FAKE_DOCTOR", "slow")
    monkeypatch.setenv("FAKE_CHILD", str(number))
    first = wait(begin(index, installed), lambda setup: number.exists())
    second = wait(begin(index, installed))
    assert second.state is State.FAILED
    assert "Another Blender is at work" in second.message
    first.cancel()
    monkeypatch.delenv("FAKE_DOCTOR")
    assert wait(begin(index, installed)).state is State.DONE


def test_a_moved_folder_and_a_lost_python_are_broken(installed, tmp_path):
    copy = tmp_path / "moved"
    copy.mkdir()
    shutil.copy(installed / STAMP, copy)
    moved = condition_of(copy, VERSION)
    assert moved.status is Status.BROKEN
    assert "was moved from" in moved.text
    settings = installed / ".venv" / "pyvenv.cfg"
    text = settings.read_text(encoding="utf-8")
    settings.write_text("home = /gone/Blender 4.2/python/bin\n", encoding="utf-8")
    lost = condition_of(installed, VERSION)
    settings.write_text(text, encoding="utf-8")
    assert lost.status is Status.BROKEN
    assert "Blender 4.2" in lost.text
    command = find_command(str(installed), {})[0]
    Path(command).rename(command + ".away")
    assert condition_of(installed, VERSION).status is Status.BROKEN
    Path(command + ".away").rename(command)
    assert condition_of(installed, VERSION).status is Status.READY


@pytest.mark.parametrize("content", ["photo.jpg", STAMP, ".venv/bin/python"])
def test_a_folder_that_is_not_ours_is_refused_and_left_as_it_was(index, tmp_path, content):
    file = tmp_path / "é things" / content
    file.parent.mkdir(parents=True)
    file.write_text('{"made_by": "somebody else"}')
    folder = tmp_path / "é things"
    assert condition_of(folder, VERSION).status is Status.FOREIGN
    for setup in (wait(begin(index, folder)), wait(Setup("remove", folder))):
        assert setup.state is State.FAILED
        assert "not made by this add-on" in setup.message
    assert [path for path in folder.rglob("*") if path.is_file()] == [file]
    assert file.read_text() == '{"made_by": "somebody else"}'


def test_without_a_registry_it_says_so_and_keeps_pips_words(index, tmp_path, monkeypatch):
    folder = tmp_path / "offline"
    monkeypatch.setenv("PIP_FIND_LINKS", (tmp_path / "nothing").as_uri())
    setup = wait(begin(index, folder))
    assert setup.state is State.FAILED
    assert setup.step == "libraries"
    assert "no such build" in setup.message
    assert any("No matching distribution found for tinylib==1.0" in line for line in setup.lines)
    assert condition_of(folder, VERSION).status is Status.INTERRUPTED


def test_a_file_that_is_not_the_tested_one_is_refused(index, installed, tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text(f"tinylib==1.0 \\\n    --hash=sha256:{'1' * 64}\n")
    packages = next((installed / ".venv").glob("[Ll]ib/**/site-packages"))
    (packages / "tinylib-1.0.dist-info" / "INSTALLER").unlink()  # so that pip has to fetch it again
    setup = wait(begin(index, installed, requirements=lock))
    assert setup.state is State.FAILED
    assert "not the one that was tested" in setup.message
    assert wait(begin(index, installed)).state is State.DONE


def test_a_missing_package_and_a_missing_python_are_told(index, tmp_path):
    setup = wait(begin(index, tmp_path / "a", wheel=None))
    assert setup.state is State.FAILED
    assert "zip again" in setup.message
    assert not (tmp_path / "a").exists()
    with pytest.raises(OSError, match="no python"):
        begin(index, tmp_path / "b", python=str(tmp_path / "no python"))


def test_remove_takes_away_what_was_made_and_follows_no_link(installed, tmp_path):
    """The last test of the installation: it is gone afterwards."""
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "precious.txt").write_text("keep me")
    (installed / ".venv" / "link").symlink_to(outside, target_is_directory=True)
    (installed / ".venv" / "file").symlink_to(outside / "deep" / "precious.txt")
    (installed / "notes of mine.txt").write_text("mine")
    setup = wait(Setup("remove", installed))
    assert setup.state is State.DONE, setup.message
    assert "left alone" in setup.message
    assert (outside / "deep" / "precious.txt").read_text() == "keep me"
    assert [path.name for path in installed.iterdir()] == ["notes of mine.txt"]
    assert condition_of(installed, VERSION).status is Status.FOREIGN


def test_remove_of_an_environment_that_is_a_link_takes_the_link(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.txt").write_text("keep me")
    folder = tmp_path / "linked"
    folder.mkdir()
    stamp = {"made_by": "recover_motion", "folder": str(folder), "steps": {}}
    (folder / STAMP).write_text(json.dumps(stamp))
    (folder / ".venv").symlink_to(outside, target_is_directory=True)
    assert wait(Setup("remove", folder)).state is State.DONE
    assert (outside / "precious.txt").read_text() == "keep me"
    assert not folder.exists()


def test_the_addons_version_is_the_manifests():
    manifest = Path(backend_setup.__file__).with_name("blender_manifest.toml").read_text("utf-8")
    assert f'\nversion = "{backend_setup.addon_version()}"\n' in manifest
    assert sys.version_info >= (3, 11)
