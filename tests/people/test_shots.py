# SPDX-License-Identifier: Apache-2.0
"""Cuts in made-up and in real footage; flashes, pans and people close to the camera are none."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import av
import cv2
import numpy as np
import pytest

from fasthmr.people.shots import CutFinder

from ..real_clip import demo_clip

RNG_SIZE = (120, 160)


def scene(seed: int, size: tuple[int, int] = RNG_SIZE) -> np.ndarray:
    """A picture of soft blobs in colours of its own, three times as wide as a frame."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (6, 24, 3), dtype=np.uint8)
    tint = rng.uniform(0.3, 1.0, 3)
    wide = cv2.resize(coarse, (size[1] * 3, size[0]), interpolation=cv2.INTER_CUBIC)
    return (wide * tint).astype(np.uint8)


def view(wide: np.ndarray, shift: int = 0) -> np.ndarray:
    return wide[:, shift : shift + RNG_SIZE[1]]


def cuts(frames: Iterable[np.ndarray]) -> list[int]:
    finder = CutFinder()
    answers = [answer for frame in frames for answer in finder.push(frame)]
    return np.flatnonzero(answers + finder.finish()).tolist()


def noisy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(5))
def test_cuts_are_found_at_their_frames(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = [noisy(view(scene(100 * seed + shot), 20), rng) for shot in range(3) for _ in range(15)]
    assert cuts(frames) == [15, 30]


def test_a_cut_at_the_very_end_and_the_very_beginning() -> None:
    a, b = view(scene(1)), view(scene(2))
    assert cuts([a] * 10 + [b]) == [10]
    assert cuts([a] * 3 + [b] * 10) == [3]
    assert cuts([a] + [b] * 10) == []  # a shot of one frame is a damaged frame


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_flash_is_no_cut(length: int) -> None:
    rng = np.random.default_rng(0)
    picture = view(scene(3))
    flash = np.clip(picture.astype(int) + 150, 0, 255).astype(np.uint8)
    frames = [picture] * 12 + [flash] * length + [picture] * 12
    assert cuts(noisy(frame, rng) for frame in frames) == []


def test_a_white_frame_is_no_cut() -> None:
    picture = view(scene(3))
    assert cuts([picture] * 12 + [np.full_like(picture, 255)] * 2 + [picture] * 12) == []


@pytest.mark.parametrize("speed", [2, 20, 60])
@pytest.mark.parametrize("seed", range(4))
def test_a_pan_is_no_cut(speed: int, seed: int) -> None:
    wide = np.concatenate([scene(seed), scene(seed + 10), scene(seed + 20), scene(seed + 30)], axis=1)
    assert cuts(view(wide, speed * frame) for frame in range(1600 // speed if speed > 40 else 40)) == []


def test_a_cut_in_a_pan_is_found() -> None:
    first, second = scene(5), scene(6)
    frames = [view(first, 3 * frame) for frame in range(20)] + [
        view(second, 3 * frame) for frame in range(20)
    ]
    assert cuts(frames) == [20]


def test_somebody_who_walks_past_the_camera_is_no_cut() -> None:
    picture = view(scene(7))
    frames = []
    for frame in range(30):
        image = picture.copy()
        left = -60 + 9 * frame
        image[:, max(0, left) : max(0, left + 70)] = (40, 30, 30)
        frames.append(image)
    assert cuts(frames) == []


def test_a_fade_to_black_and_back_is_no_cut() -> None:
    picture = view(scene(8)).astype(float)
    shares = np.concatenate([np.linspace(1, 0, 20), np.linspace(0, 1, 20)])
    assert cuts((picture * share).astype(np.uint8) for share in shares) == []


def test_plain_frames() -> None:
    assert cuts(np.full((8, 8, 3), 90, np.uint8) for _ in range(10)) == []
    assert cuts([]) == []
    assert cuts([np.zeros((1, 1, 3), np.uint8)]) == []


def test_real_footage_cut_together() -> None:
    with av.open(str(demo_clip())) as container:
        decoded = itertools.islice(container.decode(video=0), 190)
        frames = [frame.to_ndarray(format="rgb24") for frame in decoded]
    assert cuts(frames) == []
    closer = [frame[300:900, 900:1700] for frame in frames[60:80]]
    closer = [cv2.resize(frame, (frames[0].shape[1], frames[0].shape[0])) for frame in closer]
    assert cuts(frames[:30] + closer + frames[150:180]) == [30, 50]
