# SPDX-License-Identifier: Apache-2.0
"""Focal length: given, from metadata, or the stated default."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fasthmr.errors import BadCall
from fasthmr.footage import FootageInfo
from fasthmr.placement import camera_intrinsics, focal_length
from fasthmr.placement.camera import LEVEL_CAMERA
from fasthmr.request import RecoverRequest, check

INFO = FootageInfo(
    path=Path("clip.mp4"),
    kind="video",
    width=1920,
    height=1080,
    rotation=0,
    frame_rate=30.0,
    variable_rate=False,
    frame_count=100,
    duration=100 / 30,
    focal_35mm=None,
)


def test_given_field_of_view() -> None:
    focal, source = focal_length(INFO, 60.0)
    assert source == "given"
    assert 2 * math.degrees(math.atan(960 / focal)) == pytest.approx(60)


def test_metadata_is_taken_by_the_diagonal() -> None:
    focal, source = focal_length(replace(INFO, focal_35mm=50.0))
    assert source == "metadata"
    # A 3:2 picture of the full frame has 50 mm at 36 mm width exactly.
    assert focal_length(replace(INFO, width=3000, height=2000, focal_35mm=50.0))[0] == pytest.approx(
        50 * 3000 / 36
    )
    assert focal == pytest.approx(50 * math.hypot(1920, 1080) / math.hypot(36, 24))


def test_given_beats_metadata() -> None:
    assert focal_length(replace(INFO, focal_35mm=50.0), 60.0) == focal_length(INFO, 60.0)


def test_default_is_the_diagonal() -> None:
    assert focal_length(INFO) == (math.hypot(1920, 1080), "default")


def test_the_principal_point_is_the_middle() -> None:
    intrinsics = camera_intrinsics(INFO, 60.0)
    np.testing.assert_allclose(intrinsics[:2, 2], [960, 540])
    assert intrinsics[0, 0] == intrinsics[1, 1] == focal_length(INFO, 60.0)[0]


@pytest.mark.parametrize("degrees", [0.0, -5.0, 180.0])
def test_impossible_fields_of_view(degrees: float) -> None:
    with pytest.raises(BadCall, match="field of view"):
        camera_intrinsics(INFO, degrees)


@pytest.mark.parametrize("degrees", [-1.0, 0.0, 0.5, 1.0, 60.0, 170.0, 171.0, 179.0, math.nan])
def test_a_request_is_refused_at_once_for_what_the_placement_would_refuse_later(degrees: float) -> None:
    def refused(act: Callable[[], object]) -> bool:
        try:
            act()
        except BadCall:
            return True
        return False

    request = RecoverRequest(Path("clip.mp4"), Path("out"), camera_fov=degrees)
    assert refused(lambda: check(request)) == refused(lambda: camera_intrinsics(INFO, degrees))


def test_a_level_camera_looks_along_y() -> None:
    assert np.linalg.det(LEVEL_CAMERA) == pytest.approx(1)
    np.testing.assert_allclose(LEVEL_CAMERA @ [0, 0, 1], [0, 1, 0])  # forward
    np.testing.assert_allclose(LEVEL_CAMERA @ [0, 1, 0], [0, 0, -1])  # down
    np.testing.assert_allclose(LEVEL_CAMERA @ [1, 0, 0], [1, 0, 0])  # right
