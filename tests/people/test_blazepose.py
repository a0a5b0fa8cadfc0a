# SPDX-License-Identifier: Apache-2.0
"""BlazePose on real footage: who is found, for how long, where, and who is who after a crossing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest

from fasthmr.errors import MissingModel
from fasthmr.footage import FootageInfo, Frame, open_footage
from fasthmr.people import LANDMARK_INDEX, BlazePoseDetector, People, Track, find_people
from fasthmr.people.blazepose import search_windows

from ..real_clip import demo_clip


@pytest.fixture(scope="module")
def detector() -> BlazePoseDetector:
    try:
        return BlazePoseDetector()
    except MissingModel as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def people(detector: BlazePoseDetector) -> People:
    with open_footage(demo_clip()) as footage:
        return find_people(footage, detector)


def middle(track: Track, frame: int) -> np.ndarray:
    """(2,) middle of the box in a frame."""
    (row,) = np.flatnonzero(track.frame_indices == frame)
    return (track.boxes[row, :2] + track.boxes[row, 2:]) / 2


@pytest.mark.parametrize("size", [(1920, 1080), (1080, 1920), (1000, 1000), (640, 360), (3000, 400), (8, 8)])
def test_windows_cover_the_picture(size: tuple[int, int]) -> None:
    width, height = size
    (whole,), *finer = search_windows(width, height)
    assert whole == (0, 0, max(size))
    for windows in finer:
        covered = np.zeros((height, width), int)
        for left, top, side in windows:
            assert 0 <= left <= width - side
            assert 0 <= top <= height - side
            covered[top : top + side, left : left + side] += 1
        if windows:
            assert covered.min() >= 1
            assert len(windows) < 120


@pytest.mark.slow
def test_two_people_are_found_and_nobody_else(people: People) -> None:
    man, woman = people.tracks
    assert people.cuts == ()
    assert (man.first_frame, man.last_frame) == pytest.approx((0, 225), abs=6)
    assert (woman.first_frame, woman.last_frame) == pytest.approx((36, 205), abs=6)
    assert people.coverage(man) > 0.93  # the somersault before the sun is left out
    assert people.coverage(woman) > 0.95


@pytest.mark.slow
def test_they_are_where_one_sees_them(people: People) -> None:
    """Places read off the pictures by eye."""
    man, woman = people.tracks
    for frame, x, y in ((0, 652, 270), (60, 625, 250), (120, 710, 280), (190, 1075, 690), (220, 1437, 722)):
        np.testing.assert_allclose(middle(man, frame), (x, y), atol=40)
    for frame, x, y in ((60, 1390, 740), (100, 1028, 722), (140, 622, 726), (180, 205, 730)):
        np.testing.assert_allclose(middle(woman, frame), (x, y), atol=40)
    steps = np.diff([middle(woman, int(frame))[0] for frame in woman.frame_indices])
    assert np.median(steps) < 0
    assert np.abs(steps).max() < 60


@pytest.mark.slow
def test_landmarks_lie_in_the_masks(people: People) -> None:
    names = [f"{side}_{name}" for side in ("left", "right") for name in ("shoulder", "hip", "knee")]
    rows = [LANDMARK_INDEX[name] for name in names]
    for track in people.tracks:
        inside = []
        for i in range(0, len(track), 10):
            mask = track.masks[i]
            assert mask is not None
            full = mask.unpack()
            points = (
                track.landmarks_image[i, rows, :2].astype(int).clip(0, (full.shape[1] - 1, full.shape[0] - 1))
            )
            inside.append(full[points[:, 1], points[:, 0]].mean())
            box = track.boxes[i]
            share = full.sum() / np.prod(box[2:] - box[:2])
            assert 0.15 < share < 0.8
        assert np.mean(inside) > 0.9
    sizes = [len(mask.data) for track in people.tracks for mask in track.masks if mask is not None]
    assert np.mean(sizes) < 1000


@pytest.mark.slow
def test_world_landmarks_have_the_cameras_axes(people: People) -> None:
    """y points down, z away: heads are above feet, and the woman who walks to the left looks to the left."""
    man, woman = people.tracks
    nose, feet = LANDMARK_INDEX["nose"], [LANDMARK_INDEX["left_heel"], LANDMARK_INDEX["right_heel"]]
    standing = man.frame_indices < 60
    assert (man.landmarks_world[standing, nose, 1] < -0.4).all()
    assert (man.landmarks_world[standing][:, feet, 1] > 0.4).all()
    facing = np.median(man.landmarks_world[standing, nose, 2])
    assert facing < -0.1  # towards the camera
    walking = (woman.frame_indices > 60) & (woman.frame_indices < 180)
    ears = [LANDMARK_INDEX["left_ear"], LANDMARK_INDEX["right_ear"]]
    ahead = woman.landmarks_world[walking, nose, 0] - woman.landmarks_world[walking][:, ears, 0].mean(1)
    assert np.median(ahead) < -0.05
    left, right = LANDMARK_INDEX["left_shoulder"], LANDMARK_INDEX["right_shoulder"]
    nearer = woman.landmarks_world[walking, left, 2] < woman.landmarks_world[walking, right, 2]
    assert nearer.mean() > 0.9  # her left side is towards us


@dataclass
class Crossing:
    """The clip mirrored, with the woman of the unmirrored one in other clothes walking through it."""

    info: FootageInfo
    frames: list[Frame]

    @property
    def expected_frames(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)


@pytest.fixture(scope="module")
def crossing(people: People) -> tuple[Crossing, np.ndarray, np.ndarray]:
    """The footage (frames 70 to 139 at half the size), and where each of the two women is: x, pixels."""
    woman = people.tracks[1]
    rows = {int(frame): row for row, frame in enumerate(woman.frame_indices)}
    frames, to_left, to_right = [], [], []
    with open_footage(demo_clip()) as footage:
        info = replace(footage.info, width=884, height=497)
        for frame in footage:
            if not 70 <= frame.index < 140:
                continue
            mask = woman.masks[rows[frame.index]]
            assert mask is not None
            soft = cv2.GaussianBlur(mask.unpack().astype(np.float32), (0, 0), 1.5)[..., None]
            dyed = cv2.cvtColor(frame.image, cv2.COLOR_RGB2HSV)
            dyed[..., 0] = (dyed[..., 0].astype(int) + 60) % 180
            dyed[..., 1] = np.minimum(255, dyed[..., 1] * 1.6)
            dyed = cv2.cvtColor(dyed, cv2.COLOR_HSV2RGB)
            image = frame.image[:, ::-1] * (1 - soft) + dyed * soft
            image = cv2.resize(image.astype(np.uint8), (884, 497), interpolation=cv2.INTER_AREA)
            frames.append(Frame(frame.index, frame.time, image))
            x = middle(woman, frame.index)[0] / 2
            to_left.append(x)
            to_right.append(884 - x)
    return Crossing(info, frames), np.array(to_left), np.array(to_right)


@pytest.mark.slow
def test_real_people_who_cross_keep_their_identities(
    crossing: tuple[Crossing, np.ndarray, np.ndarray], detector: BlazePoseDetector
) -> None:
    footage, *walks = crossing
    found = find_people(footage, detector)  # pyright: ignore[reportArgumentType]
    women = [track for track in found.tracks if np.median(track.boxes[:, 3]) > 400]
    assert len(women) == 2
    followed = []
    for track in women:
        assert found.coverage(track) > 0.75
        x = (track.boxes[:, 0] + track.boxes[:, 2]) / 2
        rows = track.frame_indices - 70
        apart = np.abs(walks[0] - walks[1])[rows] > 100  # nobody can tell while they overlap
        errors = np.array([np.abs(x - walk[rows])[apart].mean() for walk in walks])
        assert errors.min() < 12
        followed.append(int(errors.argmin()))
    assert sorted(followed) == [0, 1]


def test_a_detector_starts_afresh(detector: BlazePoseDetector) -> None:
    """What was seen before a reset changes nothing, and frames of any size and shape are taken."""
    with open_footage(demo_clip(), 2.0, 2.3) as footage:
        images = [cv2.resize(frame.image, (884, 497), interpolation=cv2.INTER_AREA) for frame in footage]
    times = [index / 30 for index in range(len(images))]
    results = []
    for before in (images[::-1], [np.zeros((8, 8, 3), np.uint8)], [images[0][:, :3].copy()], []):
        detector.reset()
        detector.detect(before, times[: len(before)])
        detector.reset()
        results.append(detector.detect(images, times))
    assert [len(frame) for frame in results[0]] == [2] * len(images)
    for result in results[1:]:
        for frame, expected in zip(result, results[0], strict=True):
            for one, other in zip(frame, expected, strict=True):
                np.testing.assert_array_equal(one.landmarks_image, other.landmarks_image)
                assert one.mask == other.mask


def test_pictures_without_people(detector: BlazePoseDetector) -> None:
    rng = np.random.default_rng(0)
    detector.reset()
    for image in (
        np.zeros((8, 8, 3), np.uint8),
        np.full((720, 1280, 3), 128, np.uint8),
        rng.integers(0, 255, (360, 640, 3), dtype=np.uint8),
        np.zeros((1, 900, 3), np.uint8),
    ):
        detector.reset()
        assert detector.detect([image] * 3, [0.0, 0.1, 0.2]) == [[], [], []]
    assert detector.detect([], []) == []
