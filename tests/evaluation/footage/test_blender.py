# SPDX-License-Identifier: Apache-2.0
"""Blender is found or its absence explained; its output is followed; a real one draws the person in place."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fasthmr.errors import BadCall, BadInput
from fasthmr.evaluation.footage import blender
from fasthmr.evaluation.footage.blender import SCRIPT, Blender, find_blender, run_following
from fasthmr.evaluation.footage.cameras import project
from fasthmr.evaluation.footage.film_reel import pictures, read_picture
from fasthmr.evaluation.footage.plan import changing_boxes, plan_sequences, scene_of
from fasthmr.files import save_arrays
from tests.decoder.landmark_fit.synthetic import BODY
from tests.evaluation.filmed_walk import little_set

POSIX = pytest.mark.skipif(os.name != "posix", reason="the stand-in programs are shell scripts")


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@POSIX
def test_programs_are_told_apart(tmp_path: Path) -> None:
    found = find_blender(program(tmp_path / "b", "echo 'Blender 4.5.3 LTS'"), 3)
    assert (found.is_module, found.version, found.threads) == (False, "4.5.3 LTS", 3)
    module = "case $1 in --version) echo Python 3.11.2;; *) echo 'noise'; echo Blender 5.0.1;; esac"
    assert find_blender(program(tmp_path / "p", module)).is_module
    for number, text in enumerate(("echo 'Blender 3.6.1'", "echo hello", "exit 1")):
        with pytest.raises(BadCall, match=r"no Blender 4\.2 or newer"):
            find_blender(program(tmp_path / f"x{number}", text))
    with pytest.raises(BadCall, match="pip install bpy"):
        find_blender(tmp_path / "nothing")


def test_python_without_the_module_is_refused() -> None:
    with pytest.raises(BadCall, match="bpy"):
        find_blender(Path(sys.executable))


def test_absence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blender, "candidates", lambda: iter(()))
    with pytest.raises(BadCall, match="--blender"):
        find_blender()


def test_commands_of_both_kinds() -> None:
    words = ["--", "s.npz", "f", "2"]
    module = Blender(Path("py"), True, "4.2", 2).command(Path("s.npz"), Path("f"))
    assert module == ["py", str(SCRIPT), *words]
    whole = Blender(Path("b"), False, "4.2", 2).command(Path("s.npz"), Path("f"))
    assert whole[:2] == ["b", "-b"]
    assert whole[-len(words) - 2 :] == ["--python", str(SCRIPT), *words]


def test_output_is_followed_and_kept(tmp_path: Path) -> None:
    done: list[int] = []
    code = "print('Fra:1'); print('FRAME 1 2'); print('FRAME 2 2')"
    run_following([sys.executable, "-c", code], tmp_path / "log", done.append)
    assert done == [1, 2]
    assert "Fra:1" in (tmp_path / "log").read_text()


def test_failure_shows_the_last_words(tmp_path: Path) -> None:
    code = "import sys; print('out of paint'); sys.exit(7)"
    with pytest.raises(BadInput, match=r"(?s)code 7.*out of paint"):
        run_following([sys.executable, "-c", code], tmp_path / "log", lambda _: None)
    with pytest.raises(BadInput, match="does not start"):
        run_following([str(tmp_path / "nothing")], tmp_path / "log", lambda _: None)


def test_cancelling_ends_the_program(tmp_path: Path) -> None:
    class Stop(Exception):  # noqa: N818
        pass

    def stop(_: int) -> None:
        raise Stop

    code = "import time; print('FRAME 1 2', flush=True); time.sleep(600)"
    with pytest.raises(Stop):
        run_following([sys.executable, "-c", code], tmp_path / "log", stop)


@pytest.fixture(scope="module")
def real() -> Blender:
    try:
        return find_blender()
    except BadCall:
        pytest.skip(
            "no Blender: neither BLENDER, nor .venv-blender (`build.py test` makes it), nor on the path"
        )


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 2], ids=["still", "moving"])
def test_real_blender_draws_the_person_where_the_truth_is(real: Blender, tmp_path: Path, number: int) -> None:
    """The pixels of the person's colour lie on the projected vertices."""
    mocap = little_set(tmp_path / "mocap", 4, 20)
    sequence = plan_sequences(mocap, BODY, 3, 0.1, 4)[number]
    scene = scene_of(sequence, BODY)
    small = np.array([160, 90])
    intrinsics = scene["intrinsics"] * np.array(
        [[160 / scene["image_size"][0]], [90 / scene["image_size"][1]], [1]]
    )
    shot = type(sequence.shot)(
        sequence.shot.set_up, intrinsics, sequence.shot.camera_from_world, (160, 90), 1.0
    )
    boxes = changing_boxes(scene["vertices"], scene["sun"], shot)
    # plain violet skin and clothes in a grey place, so that the person stands out
    scene |= {"image_size": small, "intrinsics": intrinsics, "boxes": boxes, "samples": np.array(1)}
    scene["colours"] = np.tile(np.array([1.0, 0.0, 0.9], np.float32), (len(scene["colours"]), 1))
    for name in ("pattern_colours", "prop_colours", "sky_colour", "sun_colour", "ground_colour"):
        scene[name] = np.repeat(scene[name].mean(-1, keepdims=True), 3, axis=-1)
    save_arrays(tmp_path / "scene.npz", scene)
    done: list[int] = []
    real.render(tmp_path / "scene.npz", tmp_path / "frames", done.append)
    count = len(scene["vertices"])
    assert done == list(range(1, count + 1))
    still = bool(scene["still"])
    pixels, _ = project(scene["vertices"].astype(np.float64), intrinsics, shot.camera_from_world)
    for frame, picture in enumerate(pictures(tmp_path / "frames", count, boxes if still else None)):
        assert picture.shape == (90, 160, 3)
        red, green, blue = picture.astype(int).transpose(2, 0, 1)
        person = ((red > green + 40) & (blue > green + 40)).astype(np.uint8)
        person = cv2.medianBlur(person, 3) > 0  # with one ray a pixel some are wrong
        mask = np.zeros((90, 160), np.uint8)
        inside = pixels[frame].round().astype(int)
        good = ((inside >= 0) & (inside < small)).all(-1)
        mask[inside[good, 1], inside[good, 0]] = 1
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)) > 0
        overlap = (person & mask).sum() / (person | mask).sum()
        assert overlap > 0.6
        rows, columns = np.nonzero(person)
        middle = pixels[frame].min(0) / 2 + pixels[frame].max(0) / 2
        found = np.array([columns.min() + columns.max() + 1, rows.min() + rows.max() + 1]) / 2
        assert np.abs(found - middle).max() < 2.5
    # nothing is rendered twice
    stamp = (tmp_path / "frames/0000.png").stat().st_mtime_ns
    real.render(tmp_path / "scene.npz", tmp_path / "frames", done.append)
    assert (tmp_path / "frames/0000.png").stat().st_mtime_ns == stamp
    if still:
        assert read_picture(tmp_path / "frames/background.png").shape == (90, 160, 3)
