# SPDX-License-Identifier: GPL-3.0-or-later
"""lost_markers.py: where a person was lost, on the timeline."""

from pathlib import Path

import bpy
import numpy as np
import pytest
from recover_motion.import_motion import import_motion
from recover_motion.lost_markers import lost_spans
from recover_motion.motion_file import read_motion_file
from smpl_reference import write_motion

pytestmark = pytest.mark.bpy


def motion(folder: Path, lost: str, person: int = 1, **changes) -> Path:
    """A motion with a sample for each letter: x where the person was lost."""
    confidence = np.full((len(lost), 24), 0.5, np.float32)
    confidence[[index for index, letter in enumerate(lost) if letter == "x"]] = 0
    path = folder / f"clip.person{person:02d}.npz"
    return write_motion(path, count=len(lost), confidence=confidence, **changes)


def markers() -> list[tuple[int, str]]:
    return sorted((marker.frame, marker.name) for marker in bpy.context.scene.timeline_markers)


@pytest.fixture
def bring(scene, synthetic_body_path):
    def bring_in(*paths, **options):
        return import_motion(bpy.context, paths, body_path=synthetic_body_path, **options)

    return bring_in


@pytest.mark.parametrize(
    ("lost", "spans"),
    [
        ("-----", []),
        ("--xx-", [(2, 4)]),
        ("xx-x-", [(0, 2), (3, 4)]),
        ("---xx", [(3, None)]),
        ("x", [(0, None)]),
    ],
)
def test_spans(tmp_path, lost, spans):
    path = motion(tmp_path, lost, timestamps=10 + np.arange(len(lost)) / 25)
    found = lost_spans(read_motion_file(path))
    times = [(10 + a / 25, None if b is None else 10 + b / 25) for a, b in spans]
    assert [(a, b) for a, b in found] == [(pytest.approx(a), b and pytest.approx(b)) for a, b in times]


def test_one_joint_that_is_sure_is_enough(tmp_path):
    confidence = np.zeros((4, 24), np.float32)
    confidence[:, 7] = 0.1
    path = write_motion(tmp_path / "clip.person01.npz", count=4, confidence=confidence)
    assert lost_spans(read_motion_file(path)) == []


def test_markers_of_two_people(bring, tmp_path):
    bring(motion(tmp_path, "-xx---"), motion(tmp_path, "----xx", 2), start_frame=101)
    assert markers() == [
        (102, "clip.person01 lost"),
        (104, "clip.person01 found"),
        (105, "clip.person02 lost"),
    ]


def test_frames_are_the_scenes(scene, bring, tmp_path):
    scene.render.fps = 60
    bring(motion(tmp_path, "--xxx---"))
    assert [frame for frame, _ in markers()] == [5, 11]


def test_a_span_between_two_frames_has_no_markers(scene, bring, tmp_path):
    scene.render.fps = 5
    bring(motion(tmp_path, "-------x----xxxxxxxxx--------"))
    assert [frame for frame, _ in markers()] == [3, 5]


def test_a_second_import_doubles_nothing(bring, tmp_path):
    path = motion(tmp_path, "-xx---")
    for _ in range(2):
        bring(path)
    bring(path, existing="REPLACE")
    bring(path, existing="STACK")
    assert markers() == [(2, "clip.person01 lost"), (4, "clip.person01 found")]


def test_a_better_run_takes_the_place_of_its_own_markers_only(scene, bring, tmp_path):
    scene.timeline_markers.new("cut", frame=2)
    bring(motion(tmp_path, "-xx--xx-"))
    assert len(markers()) == 5
    mine = next(marker for marker in scene.timeline_markers if marker.frame == 6)
    mine.name = "look here"
    bring(motion(tmp_path, "--x-----"), existing="REPLACE")
    assert markers() == [
        (2, "cut"),
        (3, "clip.person01 lost"),
        (4, "clip.person01 found"),
        (6, "look here"),
    ]
    bring(motion(tmp_path, "--------"), existing="STACK")
    assert markers() == [(2, "cut"), (6, "look here")]
