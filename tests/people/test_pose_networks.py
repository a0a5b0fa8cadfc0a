# SPDX-License-Identifier: Apache-2.0
"""What happens around the two networks, against naive code; and the networks on a real picture."""

from __future__ import annotations

import itertools

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasthmr.errors import MissingModel
from fasthmr.people import LANDMARK_INDEX
from fasthmr.people.bundle import read_bundle
from fasthmr.people.pose_networks import (
    LandmarkReader,
    PersonSearch,
    Region,
    anchor_centers,
    box_overlap,
    refine_from_heat,
    suppress,
)

from ..real_clip import demo_clip


@given(
    st.floats(-500, 2000), st.floats(-500, 2000), st.floats(1, 2000), st.floats(-3.1, 3.1), st.floats(0, 1)
)
def test_a_region_maps_its_square_to_the_image(
    x: float, y: float, side: float, angle: float, u: float
) -> None:
    region = Region(x, y, side, angle)
    matrix = region.image_from_region()
    middle = matrix @ (0.5, 0.5, 1.0)
    np.testing.assert_allclose(middle, (x, y), atol=1e-6)
    edge = matrix @ (u, 0.5, 1.0) - middle
    np.testing.assert_allclose(edge, (u - 0.5) * side * np.array([np.cos(angle), np.sin(angle)]), atol=1e-6)
    corners = np.array([matrix @ (a, b, 1.0) for a in (0, 1) for b in (0, 1)])
    np.testing.assert_allclose(
        region.bounds(), np.concatenate([corners.min(0), corners.max(0)]), atol=1e-6 * (1 + side)
    )


@given(st.floats(-3.1, 3.1), st.floats(5, 500))
def test_a_region_is_upright_for_its_person(lean: float, radius: float) -> None:
    """The rim point lies straight above the middle in the region's own axes."""
    center = np.array([300.0, 200.0])
    rim = center + radius * np.array([np.sin(lean), -np.cos(lean)])
    region = Region.around(center, rim)
    matrix = region.image_from_region()
    inside = np.linalg.solve(matrix[:, :2], rim - matrix[:, 2])
    np.testing.assert_allclose(inside, (0.5, 0.5 - 0.5 / 1.25), atol=1e-6)


def test_anchors_are_two_a_cell() -> None:
    anchors = anchor_centers()
    assert anchors.shape == (2254, 2)
    naive = []
    for stride in (8, 16, 32, 32, 32):
        naive += [
            ((column + 0.5) * stride / 224, (row + 0.5) * stride / 224)
            for row in range(224 // stride)
            for column in range(224 // stride)
            for _ in range(2)
        ]
    assert sorted(map(tuple, anchors.round(9).tolist())) == sorted(
        (round(x, 9), round(y, 9)) for x, y in naive
    )
    np.testing.assert_allclose(anchors[:1960], np.array(naive)[:1960])


@pytest.mark.parametrize("seed", range(5))
def test_refinement_is_the_centre_of_mass_nearby(seed: int) -> None:
    rng = np.random.default_rng(seed)
    heat = rng.normal(-2, 2, (64, 64, 39))
    points = rng.uniform(-0.1, 1.1, (39, 2))
    refined = refine_from_heat(points, heat)
    for point in range(39):
        column, row = (int(np.floor(at * 64)) for at in points[point])
        if not (0 <= column < 64 and 0 <= row < 64):
            np.testing.assert_array_equal(refined[point], points[point])
            continue
        weights, x, y, peak = 0.0, 0.0, 0.0, 0.0
        for r in range(max(0, row - 3), min(64, row + 4)):
            for c in range(max(0, column - 3), min(64, column + 4)):
                share = 1 / (1 + np.exp(-heat[r, c, point]))
                weights, x, y, peak = weights + share, x + c * share, y + r * share, max(peak, share)
        expected = points[point] if peak < 0.5 else (x / weights / 64, y / weights / 64)
        np.testing.assert_allclose(refined[point], expected)


def test_overlap_of_boxes() -> None:
    box = np.array([0.0, 0.0, 2.0, 2.0])
    others = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [2, 0, 4, 2], [0, 0, 1, 1], [5, 5, 5, 5]], float)
    np.testing.assert_allclose(box_overlap(box, others), [1, 1 / 7, 0, 1 / 4, 0])


def test_finds_of_one_person_become_their_mean() -> None:
    points = np.zeros((3, 6, 2))
    points[:, 1] = 0.2
    points[0, 0], points[1, 0], points[2, 0] = (0.5, 0.5), (0.52, 0.5), (0.9, 0.9)
    merged = suppress(np.array([0.9, 0.3, 0.6]), points)
    assert [score for score, _ in merged] == [0.9, 0.6]
    np.testing.assert_allclose(merged[0][1][0], (0.505, 0.5))
    np.testing.assert_allclose(merged[1][1][0], (0.9, 0.9))


@pytest.mark.parametrize("model", [b"", b"not a model", b"\0" * 5000])
def test_damaged_weights_are_refused(model: bytes) -> None:
    with pytest.raises(MissingModel, match="weights"):
        PersonSearch(model)
    with pytest.raises(MissingModel, match="weights"):
        LandmarkReader(model)


@pytest.fixture(scope="module")
def networks() -> tuple[bytes, bytes]:
    try:
        return read_bundle()
    except MissingModel:
        pytest.skip("the perception bundle is not prepared: run `python build.py setup`")


def test_weights_in_each_others_place_are_refused(networks: tuple[bytes, bytes]) -> None:
    with pytest.raises(MissingModel, match="take images of"):
        PersonSearch(networks[1])
    with pytest.raises(MissingModel, match="take images of"):
        LandmarkReader(networks[0])


# MediaPipe 0.10.21's own graph with the same network (Pose, images, complexity 2) on frame 120 of the clip:
# x and y in pixels, and world landmarks in metres, of the woman who walks to the left.
MEDIAPIPE = {
    "nose": (803.5, 551.6, -0.092, -0.645, -0.186),
    "left_shoulder": (848.6, 598.2, 0.135, -0.430, -0.229),
    "right_shoulder": (831.7, 601.9, 0.049, -0.506, 0.101),
    "left_elbow": (882.3, 664.3, 0.258, -0.246, -0.344),
    "right_wrist": (743.2, 697.1, -0.291, -0.114, 0.029),
    "left_hip": (818.3, 724.9, 0.014, 0.013, -0.062),
    "right_hip": (823.4, 722.6, -0.011, -0.018, 0.063),
    "left_knee": (775.8, 811.5, -0.150, 0.406, -0.042),
    "right_knee": (853.2, 813.8, 0.135, 0.328, 0.109),
    "left_ankle": (772.1, 904.8, -0.145, 0.767, 0.068),
    "right_ankle": (923.7, 882.9, 0.371, 0.674, 0.172),
}


def test_a_real_person_is_read_as_mediapipe_reads_it(networks: tuple[bytes, bytes]) -> None:
    with av.open(str(demo_clip())) as container:
        frame = next(itertools.islice(container.decode(video=0), 120, None))
        image = frame.to_ndarray(format="rgb24")
    search, reader = PersonSearch(networks[0]), LandmarkReader(networks[1])
    (_, region), *_ = search.find(image)
    reading = reader.read(image, region)
    assert reading.score > 0.95
    for name, expected in MEDIAPIPE.items():
        index = LANDMARK_INDEX[name]
        found = (*reading.landmarks_image[index, :2], *reading.landmarks_world[index])
        np.testing.assert_allclose(found[:2], expected[:2], atol=6.0, err_msg=name)  # 1.5 % of her height
        np.testing.assert_allclose(found[2:], expected[2:], atol=0.06, err_msg=name)
