# SPDX-License-Identifier: Apache-2.0
"""Figures made of numbers: detections of people whose place, size and clothes are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fasthmr.people import LANDMARK_COUNT, LANDMARK_INDEX, Detection, PackedMask
from fasthmr.people.appearance import ZONES
from fasthmr.people.tracking import Sighting

IMAGE_SIZE = (1280, 720)

# A figure of 1.75 m that stands and faces the camera: x right, y down, z forward, origin mid hips. Its left
# side is on the right of the picture.
_MIDDLE = {"nose": (0.0, -0.68, -0.12), "hip": (0.1, 0.0, 0.0), "shoulder": (0.17, -0.48, 0.0)}
_SIDE = {
    **{name: _MIDDLE[name] for name in ("hip", "shoulder")},
    "eye_inner": (0.02, -0.71, -0.1),
    "eye": (0.03, -0.71, -0.1),
    "eye_outer": (0.04, -0.71, -0.09),
    "ear": (0.07, -0.7, -0.02),
    "elbow": (0.22, -0.2, 0.02),
    "wrist": (0.25, 0.03, -0.03),
    "pinky": (0.26, 0.1, -0.04),
    "index": (0.25, 0.11, -0.06),
    "thumb": (0.24, 0.08, -0.06),
    "knee": (0.11, 0.38, -0.03),
    "ankle": (0.11, 0.75, 0.05),
    "heel": (0.11, 0.79, 0.09),
    "foot_index": (0.12, 0.81, -0.08),
}


def figure(stride: float = 0.0) -> np.ndarray:
    """(33, 3) metres; the legs and arms swing by ``stride`` metres."""
    points = np.zeros((LANDMARK_COUNT, 3))
    points[LANDMARK_INDEX["nose"]] = _MIDDLE["nose"]
    for sign, side in ((1.0, "left"), (-1.0, "right")):
        for name, at in _SIDE.items():
            points[LANDMARK_INDEX[f"{side}_{name}"]] = (sign * at[0], at[1], at[2])
        points[LANDMARK_INDEX[f"mouth_{side}"]] = (sign * 0.02, -0.65, -0.1)
        for name, share in (("knee", 0.5), ("ankle", 1.0), ("heel", 1.0), ("foot_index", 1.0)):
            points[LANDMARK_INDEX[f"{side}_{name}"], 0] += sign * share * stride
        points[LANDMARK_INDEX[f"{side}_wrist"], 0] -= sign * 0.5 * stride
    return points


def detection(
    x: float,
    y: float = 360.0,
    height: float = 300.0,
    stride: float = 0.0,
    noise: float = 0.0,
    rng: np.random.Generator | None = None,
    score: float = 0.99,
) -> Detection:
    """A person whose hips are at x, y, ``height`` pixels tall."""
    world = figure(stride)
    scale = height / 1.6
    image = world * scale + (x, y, 0.0)
    if noise and rng is not None:
        image += rng.normal(0, noise, image.shape)
        world = world + rng.normal(0, noise / scale, world.shape)
    low, high = image[:, :2].min(0) - 0.05 * height, image[:, :2].max(0)
    cells = np.ones((int(high[1] - low[1]) // 4, int(high[0] - low[0]) // 4), bool)
    return Detection(
        box=np.concatenate([low, high]).astype(np.float32),
        landmarks_image=image.astype(np.float32),
        landmarks_world=world.astype(np.float32),
        visibility=np.full(LANDMARK_COUNT, 0.95, np.float32),
        score=score,
        mask=PackedMask.pack(cells, IMAGE_SIZE, (int(low[0]), int(low[1])), 4),
    )


def clothes(hue: float) -> np.ndarray:
    """(7, 3) Lab colours of somebody dressed in one hue (radians)."""
    colour = (55.0, 45.0 * np.cos(hue), 45.0 * np.sin(hue))
    return np.tile(np.array(colour, np.float32), (len(ZONES), 1))


Walk = Callable[[float], Detection | None]


def sightings(
    walks: Sequence[tuple[Walk, np.ndarray]], frames: int, rate: float = 30.0, seed: int = 0
) -> tuple[list[list[Sighting]], list[float], dict[int, int]]:
    """What a detector sees of people who walk.

    Args:
        walks: for each person, the detection at a time (None where unseen) and the clothes.
        frames: number of frames.
        rate: frames per second.
        seed: of the order in which people are listed in each frame, and of the noise in their colours.

    Returns:
        The sightings of each frame, the times, and whose each sighting is (by its ``id``).
    """
    rng = np.random.default_rng(seed)
    seen: list[list[Sighting]] = []
    owner: dict[int, int] = {}
    for frame in range(frames):
        now = []
        for person, (walk, colours) in enumerate(walks):
            found = walk(frame / rate)
            if found is not None:
                noisy = colours + rng.normal(0, 4, colours.shape).astype(np.float32)
                now.append(Sighting(frame, frame / rate, found, noisy))
                owner[id(now[-1])] = person
        seen.append([now[i] for i in rng.permutation(len(now))])
    return seen, [frame / rate for frame in range(frames)], owner
