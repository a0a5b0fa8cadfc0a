# SPDX-License-Identifier: Apache-2.0
"""Frame indices and times against a naive search."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fasthmr.footage import open_footage
from fasthmr.footage.timeline import Timeline, read_timeline

ticks = st.lists(st.integers(-500, 5000), min_size=1, max_size=30, unique=True).map(sorted)


def timeline(values, tick=Fraction(1, 1000)):
    return Timeline(np.array(values, np.int64), np.array(values[:1], np.int64), tick, 30.0, True, len(values))


@given(ticks, st.integers(-600, 5100))
def test_index_of_is_the_nearest_frame(values, pts):
    index = timeline(values).index_of(pts)
    assert abs(values[index] - pts) == min(abs(value - pts) for value in values)


@given(ticks, st.integers(0, 4000))
def test_first_index_at_is_the_first_frame_not_before(values, milliseconds):
    found = timeline(values).first_index_at(milliseconds / 1000)
    assert found == sum(1 for value in values if value - values[0] < milliseconds)


@given(ticks)
def test_times_count_from_the_first_frame(values):
    line = timeline(values)
    for index, value in enumerate(values):
        assert line.time_of(index) == (value - values[0]) / 1000


def test_a_stream_without_timestamps_is_counted(make):
    path = make.video("raw.h264", 30, container_options={"format": "h264"}, rate=25)
    with av.open(str(path)) as container:
        line = read_timeline(container, container.streams.video[0])
    assert line.frame_count == 30
    assert not line.has_times
    frames = list(open_footage(path, 0.4))
    assert (
        [make.stamp_of(frame.image) for frame in frames]
        == [frame.index for frame in frames]
        == list(range(10, 30))
    )
    assert frames[0].time == 0.4
