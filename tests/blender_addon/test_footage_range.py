# SPDX-License-Identifier: GPL-3.0-or-later
"""footage_range.py: the backend reads exactly the frames that were chosen; they stand where they stood."""

from pathlib import Path

import bpy
import numpy as np
import pytest
from recover_motion.chosen_footage import Footage
from recover_motion.footage_range import (
    RangeProblem,
    Span,
    _of_clip,
    _of_scene,
    _of_times,
    scene_range,
)
from recover_motion.resample import sample_at_scene_frames

pytestmark = pytest.mark.bpy

RATES = [24.0, 25.0, 30.0, 30000 / 1001, 60000 / 1001, 119.88, 10.0]
PATH = Path("/clip.mp4")


def movie_clip(rate=30.0, count=300, frame_start=1, offset=0):
    """What `chosen_footage` makes of a clip in the Movie Clip editor."""
    return Footage(PATH, False, rate, (64, 36), count, (offset, count - 1), frame_start - offset, rate)


def file(scene_rate=30.0, start=1, rate=None, count=None):
    return Footage(PATH, rate is not None, rate, None, count, None, start, scene_rate)


def read_by_the_backend(span, rate, count, tick):
    """Indices of the frames that are shown at the start or later, and before the end: times in whole ticks,
    compared to half a tick, as fasthmr.footage.timeline does it."""
    times = np.round(np.arange(count) / rate / tick).astype(int)
    first, stop = (
        0 if span.start is None else np.searchsorted(times, span.start / tick - 0.5),
        count if span.end is None else np.searchsorted(times, span.end / tick - 0.5),
    )
    return list(range(count))[first:stop]


@pytest.mark.parametrize("tick", [1 / 1000, 1 / 90000, 1 / 30000, 1 / 600])
@pytest.mark.parametrize("rate", RATES)
def test_exactly_the_frames_of_the_scenes_range_are_read(rate, tick):
    random = np.random.default_rng(5)
    for _ in range(60):
        start, offset = int(random.integers(-50, 200)), int(random.integers(0, 40))
        first = int(random.integers(start - 10, start + 150))
        last = first + int(random.integers(0, 200))
        footage = movie_clip(rate, 240, start, offset)
        # one clip frame a scene frame, whatever the scene's rate is
        wanted = [s - start + offset for s in range(first, last + 1) if offset <= s - start + offset < 240]
        if not wanted:
            with pytest.raises(RangeProblem, match="show nothing of the clip"):
                _of_scene(footage, first, last, 24.0)
            continue
        span = _of_scene(footage, first, last, 24.0)
        assert read_by_the_backend(span, rate, 240, tick) == wanted
        assert span.frames == (wanted[0], wanted[-1])


@pytest.mark.parametrize("scene_rate", [24.0, 25.0, 30.0, 30000 / 1001, 60.0])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("frames", [(1, 250), (-20, 30), (100, 100), (37, 141)])
def test_the_motion_of_a_movie_clip_begins_where_the_clip_shows_it(rate, scene_rate, frames):
    footage = movie_clip(rate, 400, frame_start=-30, offset=5)
    span = _of_scene(footage, *frames, scene_rate)
    times = np.array(read_by_the_backend(span, rate, 400, 1 / 90000)) / rate
    keyed = sample_at_scene_frames(times, scene_rate, span.start_frame).frames
    assert keyed[0] in (
        frames[0],
        frames[0] + 1,
        frames[0] - 1,
    )  # where rates differ, a whole frame is chosen
    if rate == scene_rate:
        assert (keyed[0], keyed[-1]) == frames


@pytest.mark.parametrize("scene_rate", [24.0, 25.0, 30000 / 1001, 60.0])
@pytest.mark.parametrize("rate", RATES)
def test_the_motion_of_a_file_fills_the_scenes_range(rate, scene_rate):
    footage = file(scene_rate, start=101)
    span = _of_scene(footage, 120, 180, scene_rate)
    assert span.start_frame == 101
    read = read_by_the_backend(span, rate, 2000, 1 / 90000)
    keyed = sample_at_scene_frames(np.array(read) / rate, scene_rate, span.start_frame).frames
    # no frame outside; and at its ends at most as many are missing as one clip frame lasts
    assert keyed[0] >= 120
    assert keyed[-1] <= 180
    one = int(np.ceil(scene_rate / rate))
    assert keyed[0] - 120 < one
    assert 180 - keyed[-1] < one


def test_a_file_at_the_scenes_rate_gives_the_scenes_frames_one_by_one():
    for rate in RATES:
        span = _of_scene(file(rate, start=1), 1, 250, rate)
        assert span.start is None
        assert read_by_the_backend(span, rate, 400, 1 / 90000) == list(range(250))
        preview = _of_scene(file(rate, start=1), 11, 20, rate)
        assert read_by_the_backend(preview, rate, 400, 1 / 1000) == list(range(10, 20))


def test_known_frames_of_a_sequence_are_those_that_are_read():
    footage = file(24.0, start=1, rate=10.0, count=50)
    span = _of_scene(footage, 25, 72, 24.0)  # from 23.5/24 s to 71.5/24 s
    assert span.frames == (10, 29)
    assert read_by_the_backend(span, 10.0, 50, 1e-6) == list(range(10, 30))
    assert _of_scene(footage, 1, 1000, 24.0).frames == (0, 49)


def test_the_clips_own_range():
    span = _of_clip(movie_clip(25.0, 100, frame_start=7, offset=40), 25.0)
    assert read_by_the_backend(span, 25.0, 100, 1 / 1000) == list(range(40, 100))
    assert span.start_frame == -33  # its frame 40 stands at scene frame 7
    assert _of_clip(movie_clip(25.0, 100), 25.0).start is None
    with pytest.raises(RangeProblem, match="Only a movie clip has a range"):
        _of_clip(file(), 30.0)
    with pytest.raises(RangeProblem, match="frame offset of the movie clip leaves nothing"):
        _of_clip(movie_clip(25.0, 100, offset=100), 25.0)


def test_in_and_out():
    assert _of_times(file(), 1.25, 0.0, 30.0) == Span(1.25, None, None, None)
    assert _of_times(file(), float(np.float32(0.1)), float(np.float32(2.2)), 30.0) == Span(
        0.1, 2.2, None, None
    )
    span = _of_times(movie_clip(30.0, 300, frame_start=1), 1.0, 2.0, 30.0)
    assert span == Span(1.0, 2.0, (30, 59), 1)
    assert read_by_the_backend(span, 30.0, 300, 1 / 90000) == list(range(30, 60))
    assert _of_times(movie_clip(30.0, 300), 1.0, 0.0, 30.0).frames == (30, 299)
    for start, end in ((3.0, 2.0), (2.0, 2.0)):
        with pytest.raises(RangeProblem, match="ends before it starts"):
            _of_times(file(), start, end, 30.0)
    with pytest.raises(RangeProblem, match=r"starts at 10\.00 s, but the clip lasts 10\.00 s"):
        _of_times(movie_clip(30.0, 300), 10.0, 0.0, 30.0)


def test_a_preview_range_that_is_over_before_the_clip_begins():
    with pytest.raises(RangeProblem, match="range ends at frame 90, but the clip begins at frame 101"):
        _of_scene(file(start=101), 80, 90, 30.0)
    with pytest.raises(RangeProblem, match=r"begins 9\.98 s into the clip, which lasts 5\.00 s"):
        _of_scene(file(24.0, rate=10.0, count=50), 241, 300, 24.0)


def test_the_preview_range_counts_where_it_is_in_use(scene):
    scene.frame_start, scene.frame_end = 5, 50
    scene.frame_preview_start, scene.frame_preview_end = 10, 20
    assert scene_range(scene) == (5, 50)
    scene.use_preview_range = True
    scene.frame_preview_start, scene.frame_preview_end = 10, 20
    assert scene_range(bpy.context.scene) == (10, 20)
