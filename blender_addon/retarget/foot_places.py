# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a foot stands: one place for each step, from heel strike to toe-off.

Within a step the heel or the ball of the foot or both are on the floor. A stretch with both is flat and has
one heading. The heel's and the ball's places of neighbouring stretches fit together, since they are points of
one stiff foot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..smoothing import smooth_values
from .easing import Span, runs

HEEL_ONLY, BALL_ONLY, FLAT = 1, 2, 3
"""What of a foot is on the floor: heel + 2 * ball."""

_LOOK = 0.15
"""Where a long slide is fastest is told after smoothing of this strength; seconds."""

_MOVES_ON = 0.1
"""A foot that slides too far for one place moves on within twice this time; seconds."""

_SHORTEST = 0.1
"""What is left of a slide between such moves is no standing if it is shorter; seconds."""


@dataclass(frozen=True)
class FootPlaces:
    """Where one foot stands.

    Attributes:
        state: (T,) 0 in the air, else `HEEL_ONLY`, `BALL_ONLY` or `FLAT`.
        heel: (T, 2) place of the heel, where the state has it.
        ball: (T, 2) likewise.
        heading: (T, 2) unit vector from heel to ball, where the state is `FLAT`.
    """

    state: np.ndarray
    heel: np.ndarray
    ball: np.ndarray
    heading: np.ndarray

    def steps(self) -> list[Span]:
        """The steps: each a span on the floor without a break."""
        return runs(self.state > 0)


def find_places(
    heel: np.ndarray,
    ball: np.ndarray,
    heading: np.ndarray,
    on_floor: np.ndarray,
    length: float,
    farthest: float,
    fps: float,
) -> FootPlaces:
    """Where a foot stands.

    Args:
        heel: (T, 2) level place of the heel at each frame as the motion has it.
        ball: (T, 2) of the ball.
        heading: (T, 2) level unit vector that the foot points in.
        on_floor: (T, 2) whether heel and ball are on the floor.
        length: level distance from heel to ball of a flat foot.
        farthest: a foot that gets farther from its place than this has slid on: it gets another place from
            there, and is let go in between.
        fps: frames per second.
    """
    state = on_floor[:, 0] + 2 * on_floor[:, 1].astype(int)
    # a foot rolls from heel to ball (or back) over the whole sole
    rolls = (state[:-1] * state[1:] == HEEL_ONLY * BALL_ONLY) & (state[:-1] != state[1:])
    state[1:][rolls] = FLAT
    found = FootPlaces(state, *(np.zeros_like(heel) for _ in range(3)))
    middle = smooth_values((heel + ball) / 2, _LOOK, fps)
    speed = np.linalg.norm(np.gradient(middle, axis=0), axis=1) if len(middle) > 1 else np.zeros(1)
    waiting = runs(state > 0)
    while waiting:
        start, end = waiting.pop()
        span = slice(start, end)
        strayed = _fit(found, heel, ball, heading, length, span)
        if strayed <= farthest:
            continue
        cut = start + int(np.argmax(speed[span]))
        gone = max(round(_MOVES_ON * fps), 1)
        state[max(cut - gone, start) : min(cut + gone + 1, end)] = 0
        for part_start, part_end in runs(state[span] > 0):
            part = (start + part_start, start + part_end)
            if part_end - part_start < max(_SHORTEST * fps, 2):
                state[slice(*part)] = 0
            else:
                waiting.append(part)
    return found


def _fit(
    found: FootPlaces, heel: np.ndarray, ball: np.ndarray, heading: np.ndarray, length: float, span: slice
) -> float:
    """Fill in the places of one step; by how far the motion strays from them."""
    # where heel and ball are if the step began at the origin: each stretch hangs on to the one before
    at_heel = at_ball = None
    for start, end, kind in _stretches(found.state, span):
        part = slice(start, end)
        if kind == FLAT:
            facing = robust_mean(heading[part])
            facing = facing / max(np.linalg.norm(facing), 1e-9)
            found.heading[part] = facing
            if at_ball is not None:
                at_heel = at_ball - length * facing
            else:
                at_heel = np.zeros(2) if at_heel is None else at_heel
                at_ball = at_heel + length * facing
        elif kind == HEEL_ONLY:
            at_heel, at_ball = np.zeros(2) if at_heel is None else at_heel, None
        else:
            at_heel, at_ball = None, np.zeros(2) if at_ball is None else at_ball
        if at_heel is not None:
            found.heel[part] = at_heel
        if at_ball is not None:
            found.ball[part] = at_ball
    with_heel = found.state[span] != BALL_ONLY
    with_ball = found.state[span] != HEEL_ONLY
    offsets = np.concatenate(
        [(heel - found.heel)[span][with_heel], (ball - found.ball)[span][with_ball]], axis=0
    )
    place = robust_mean(offsets)
    found.heel[span] += place
    found.ball[span] += place
    return float(np.linalg.norm(offsets - place, axis=1).max())


def _stretches(state: np.ndarray, span: slice) -> Iterator[tuple[int, int, int]]:
    """The stretches of one state within a span: first frame, frame after the last, state."""
    inside = state[span]
    edges = [0, *(np.flatnonzero(np.diff(inside)) + 1).tolist(), len(inside)]
    for start, end in pairwise(edges):
        yield span.start + start, span.start + end, int(inside[start])


def robust_mean(points: np.ndarray) -> np.ndarray:
    """The place (K,) with the least sum of distances to points (N, K): a few far ones hardly matter."""
    place = points.mean(axis=0)
    for _ in range(15):  # Weiszfeld's steps; within 2 mm all points weigh alike
        away = points - place
        weight = 1 / np.maximum(np.sqrt(np.einsum("nk,nk->n", away, away)), 2e-3)
        step = weight @ away / weight.sum()
        place = place + step
        if step @ step < 1e-12:
            break
    return place
