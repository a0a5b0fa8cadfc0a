# SPDX-License-Identifier: GPL-3.0-or-later
"""The artist's flow by script, with the real backend on real footage: once in every Blender.

The form is filled, people are found, one of two is ticked, recovered, imported, saved, opened again. Folders
have spaces and letters outside of ASCII, as users' names do.
"""

import os
import shutil
from pathlib import Path

import bpy
import numpy as np
import pytest
import recover_motion
from recover_motion import session
from recover_motion.compat import curves_of

REPOSITORY = Path(__file__).parents[2]
BACKEND = REPOSITORY / ".venv" / ("Scripts/fasthmr.exe" if os.name == "nt" else "bin/fasthmr")
FOOTAGE = REPOSITORY / "build" / "demo" / "demo.mp4"

pytestmark = [pytest.mark.bpy, pytest.mark.slow]


@pytest.fixture
def shoot(tmp_path):
    """A folder of the artist's own with the footage in it: 7.7 s, two people."""
    for needed in (BACKEND, FOOTAGE):
        if not needed.is_file():
            why = f"{needed} is not there: `python build.py test` makes it"
            pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    folder = tmp_path / "Jörg's Aufnahmen 東京"
    folder.mkdir()
    shutil.copy(FOOTAGE, folder / "Tanz übung.mp4")
    return folder


@pytest.fixture(autouse=True)
def addon(scene, monkeypatch, open_body_path):
    monkeypatch.setenv("FASTHMR_COMMAND", f'"{BACKEND}"')
    recover_motion.register()
    yield
    recover_motion.unregister()


def pose(armature):
    """World positions of all bones' heads and tails over the motion, (frames, bones, 2, 3) metres."""
    scene, found = bpy.context.scene, []
    first, last = (int(frame) for frame in armature.animation_data.action.frame_range)
    for frame in range(first, last + 1):
        scene.frame_set(frame)
        posed = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
        found.append([[posed.matrix_world @ end for end in (b.head, b.tail)] for b in posed.pose.bones])
    return np.array(found)


def test_from_footage_to_a_saved_file_that_opens_the_same(shoot):
    form = bpy.context.scene.recover_motion
    form.footage = str(shoot / "Tanz übung.mp4")
    form.part, form.start, form.end = "TIMES", 0.0, 2.0
    form.who = "CHOSEN"
    assert not bpy.ops.recover_motion.recover.poll()  # nobody is ticked yet

    assert bpy.ops.recover_motion.find_people() == {"FINISHED"}
    assert [person.number for person in form.people] == [1, 2]
    assert form.people[0].coverage > 0.9
    assert form.people[1].start > 0.5  # she comes later
    form.people[1].chosen = False

    assert bpy.ops.recover_motion.recover() == {"FINISHED"}
    assert session.job.message.startswith("Recovered one person, frames 1 to ")
    (armature,) = (thing for thing in bpy.data.objects if thing.type == "ARMATURE")
    assert armature.name == "Tanz übung.person01"
    assert tuple(armature.animation_data.action.frame_range) == (1.0, 60.0)
    assert bpy.context.scene.camera is not None
    (motion,) = (shoot / "Tanz übung_motion").glob("*.npz")
    assert motion.name == "Tanz übung.person01.npz"

    before = pose(armature)
    assert np.isfinite(before).all()
    assert 1.2 < np.ptp(before[..., 2], axis=(1, 2)).max() < 2.5  # as tall as a person
    assert np.ptp(before[:, :, 0], axis=0).max() > 0.1  # and moving
    blend = shoot / "Szene.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    again = bpy.data.objects["Tanz übung.person01"]
    np.testing.assert_array_equal(pose(again), before)
    assert len(list(curves_of(again))) > 24
    assert bpy.context.scene.recover_motion.people[1].chosen is False
    assert next(iter(bpy.data.movieclips)).filepath.endswith("Tanz übung.mp4")
