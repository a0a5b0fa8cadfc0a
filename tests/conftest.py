# SPDX-License-Identifier: Apache-2.0
"""What the tests of the runtime share: a clip, and stand-ins for the parts that take long."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest


def write_clip(path: Path, frames: int = 12, rate: int = 30, size: tuple[int, int] = (64, 48)) -> Path:
    """Write a small H.264 clip; every frame is of another grey."""
    width, height = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            picture = np.full((height, width, 3), 20 + index * 7 % 200, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A clip of 12 frames at 30 frames a second."""
    return write_clip(tmp_path / "clip.mp4")


@pytest.fixture
def fake_parts(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Put the stand-ins in the place of detector, fit, placement, body and preview."""
    from tests import fake_parts as parts

    for name, module in parts.stand_ins().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("fasthmr.pipeline.choose_device", parts.choose_device)
    parts.CALLS.clear()
    return parts
