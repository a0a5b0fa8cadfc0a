# SPDX-License-Identifier: Apache-2.0
"""The written video, read again."""

from __future__ import annotations

import errno
import io

import numpy as np
import pytest

from fasthmr.footage import open_footage, probe
from fasthmr.preview.video import VideoWriter


@pytest.mark.parametrize("encoder", ["libx264", "mpeg4"])
def test_pictures_and_times_come_back(tmp_path, monkeypatch, encoder):
    monkeypatch.setattr("fasthmr.preview.video.codecs_available", {encoder})
    times = np.cumsum([0.0, 0.04, 0.033, 0.1, 0.04, 0.025, 0.04])
    colours = [
        (200, 40, 40),
        (40, 190, 60),
        (50, 60, 200),
        (128, 128, 128),
        (230, 230, 40),
        (20, 20, 20),
        (250, 250, 250),
    ]
    path = tmp_path / "out.mp4"
    with path.open("wb") as stream, VideoWriter(stream, (96, 64), 25.0) as writer:
        assert writer.encoder == encoder
        for colour, time in zip(colours, times, strict=True):
            writer.write(np.full((64, 96, 3), colour, np.uint8), float(time))
    info = probe(path)
    assert (info.width, info.height, info.frame_count) == (96, 64, 7)
    frames = list(open_footage(path))
    np.testing.assert_allclose([frame.time for frame in frames], times, atol=1e-4)
    if encoder == "libx264":  # the other one has no field for the colour matrix
        for frame, colour in zip(frames, colours, strict=True):
            np.testing.assert_allclose(frame.image.reshape(-1, 3).mean(0), colour, atol=4)


def test_times_that_do_not_increase_still_give_a_frame_each(tmp_path):
    path = tmp_path / "out.mp4"
    with path.open("wb") as stream, VideoWriter(stream, (64, 64), 25.0) as writer:
        for time in (0.0, 0.0, 0.04):
            writer.write(np.zeros((64, 64, 3), np.uint8), time)
    assert probe(path).frame_count == 3


class FullDisk(io.BytesIO):
    """A file that fills up."""

    def write(self, data, /):
        if self.tell() + len(data) > 20_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


@pytest.mark.parametrize("count", [1, 60])
def test_a_full_disk_is_told_as_such(count):
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)

    def write() -> None:
        with VideoWriter(FullDisk(), (320, 240), 25.0) as writer:
            for number in range(count):
                writer.write(np.roll(noise, 37 * number, axis=1), number / 25)

    with pytest.raises(OSError, match="No space left") as refused:
        write()
    assert refused.value.errno == errno.ENOSPC
