# SPDX-License-Identifier: Apache-2.0
"""Where the person is filmed: a yard with a patterned floor, walls, things that stand about, and light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

PATTERNS: Final = ("checks", "planks", "bricks", "concrete")
PROPS: Final = ("box", "cylinder", "cone", "ball")

_WALL_FROM_PERSON: Final = 2.6  # the sun stands high enough that no shadow reaches so far
_WALL_FROM_CAMERA: Final = 0.8
_LOWEST_SUN: Final = 42.0  # degrees


@dataclass(frozen=True)
class Place:
    """A place, as numbers that a renderer follows without drawing any.

    Attributes:
        room: (4,) left, front, right and back wall in the world, metres.
        wall_height: metres.
        patterns: (2,) numbers in :data:`PATTERNS`: of the floor and the walls.
        pattern_colours: (2, 2, 3) linear RGB, two for each.
        pattern_sizes: (2,) metres.
        prop_kinds: (P,) numbers in :data:`PROPS`.
        props: (P, 7) x, y, width, depth, height, turn about z in radians, 0 or 1: hangs on a wall.
        prop_colours: (P, 3) linear RGB.
        sun: (3,) unit vector towards it.
        sun_colour, sky_colour, ground_colour: (3,) linear; a white sheet that faces it has this colour.
    """

    room: NDArray[np.float64]
    wall_height: float
    patterns: NDArray[np.int64]
    pattern_colours: NDArray[np.float64]
    pattern_sizes: NDArray[np.float64]
    prop_kinds: NDArray[np.int64]
    props: NDArray[np.float64]
    prop_colours: NDArray[np.float64]
    sun: NDArray[np.float64]
    sun_colour: NDArray[np.float64]
    sky_colour: NDArray[np.float64]
    ground_colour: NDArray[np.float64]


def furnish(joints: np.ndarray, eyes: np.ndarray, random: np.random.Generator) -> Place:
    """Draw a place around a person and a camera, with nothing between them.

    Args:
        joints: (T, 24, 3) of the person, world.
        eyes: (T, 3) of the camera.
        random: of everything drawn.
    """
    ground = joints[..., :2].reshape(-1, 2)
    low = np.minimum(ground.min(0) - _WALL_FROM_PERSON, eyes[:, :2].min(0) - _WALL_FROM_CAMERA)
    high = np.maximum(ground.max(0) + _WALL_FROM_PERSON, eyes[:, :2].max(0) + _WALL_FROM_CAMERA)
    low, high = low - random.uniform(0, 2.5, 2), high + random.uniform(0, 2.5, 2)
    kinds, props = _props(low, high, joints[..., :2], eyes[:, :2], random)
    elevation, around = np.radians(random.uniform(_LOWEST_SUN, 70)), random.uniform(0, 2 * np.pi)
    sun = np.array(
        [np.cos(elevation) * np.cos(around), np.cos(elevation) * np.sin(around), np.sin(elevation)]
    )
    warmth, strength = random.uniform(-0.05, 0.12), random.uniform(0.45, 0.95)
    sky = random.uniform(0.3, 0.55)
    return Place(
        np.concatenate([low, high]),
        float(random.uniform(2.8, 5.0)),
        random.integers(len(PATTERNS), size=2),
        np.stack([_two_colours(random) for _ in range(2)]),
        random.uniform(0.25, 0.9, 2),
        kinds,
        props,
        random.uniform(0.03, 0.6, (len(kinds), 3)),
        sun,
        strength * np.array([1 + warmth, 1.0, 1 - warmth]),
        sky * np.array([1 - 0.5 * warmth, 1.0, 1 + warmth]),
        sky * random.uniform(0.4, 0.7) * np.array([1.05, 1.0, 0.9]),
    )


def linear(colours: np.ndarray) -> NDArray[np.float64]:
    """Linear RGB from what a screen takes (sRGB, IEC 61966-2-1)."""
    colours = np.asarray(colours, np.float64)
    return np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


def _two_colours(random: np.random.Generator) -> np.ndarray:
    """Dull colours of floors and walls, one a shade of the other or unlike it."""
    grey = random.uniform(0.25, 0.75)
    first = np.clip(grey + random.uniform(-0.12, 0.12, 3), 0.05, 0.9)
    if random.random() < 0.6:
        return linear(np.stack([first, first * random.uniform(0.6, 0.9)]))
    return linear(np.stack([first, np.clip(random.uniform(0.2, 0.8) + random.uniform(-0.15, 0.15, 3), 0, 1)]))


def _props(
    low: np.ndarray, high: np.ndarray, ground: np.ndarray, eyes: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Things on the floor, out of the way and out of the line of sight, and boards on the walls."""
    kinds: list[int] = []
    props: list[tuple[float, ...]] = []
    step = min(5, max(1, len(ground) // 6))  # neighbouring frames are much alike
    ground, eyes = ground[::step], eyes[::step]
    person = ground.reshape(-1, 2)
    between = np.concatenate([eyes + share * (ground[:, 0] - eyes) for share in np.linspace(0, 1, 25)])
    for _ in range(60):
        if len(props) >= 12:
            break
        size = random.uniform((0.25, 0.25, 0.3), (1.0, 1.0, 1.7))
        reach = 0.5 * np.hypot(size[0], size[1])
        place = random.uniform(low + reach, high - reach)
        near_person = np.linalg.norm(person - place, axis=1).min() < reach + 0.7
        in_sight = np.linalg.norm(between - place, axis=1).min() < reach + 0.5
        if not near_person and not in_sight:
            kinds.append(int(random.integers(len(PROPS))))
            props.append((*place, *size, random.uniform(0, np.pi), 0.0))
    for _ in range(8):
        side, along = int(random.integers(4)), random.uniform(0.15, 0.85)
        place = low + along * (high - low)
        place[side % 2] = (low if side < 2 else high)[side % 2]
        kinds.append(0)
        turn = np.pi / 2 if side % 2 == 0 else 0.0
        props.append((*place, random.uniform(0.6, 1.8), 0.06, random.uniform(0.5, 1.4), turn, 1.0))
    return np.array(kinds), np.array(props)
