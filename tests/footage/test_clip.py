# SPDX-License-Identifier: Apache-2.0
"""Footage as a value: counted in advance, read again, closed at any time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fasthmr.footage import open_footage, probe


def test_the_expected_number_of_frames_is_the_number_that_comes(make):
    path = make.video("clip.mp4", 40, rate=25, options={"g": "10"})
    for start, end in [(None, None), (0.4, None), (None, 0.8), (0.41, 1.19), (0.0, 100.0)]:
        footage = open_footage(path, start, end)
        assert footage.expected_frames == len(list(footage))


def test_footage_can_be_read_again(make):
    footage = open_footage(make.video(), 0.1)
    assert [frame.index for frame in footage] == [frame.index for frame in footage] == list(range(3, 12))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's list of open files")
def test_closing_half_way_closes_the_file(make):
    path = make.video("clip.mp4", 60)

    def is_open() -> bool:
        links = [entry.path for entry in os.scandir("/proc/self/fd")]
        return any(os.path.realpath(link) == str(path.resolve()) for link in links)

    with open_footage(path) as footage:
        assert not is_open()
        frames = iter(footage)
        next(frames)
        assert is_open()
    assert not is_open()
    assert next(frames, None) is None


def test_text_paths_are_paths(make):
    path = make.video()
    assert probe(str(path)) == probe(path)
    assert len(list(open_footage(str(path)))) == 12
