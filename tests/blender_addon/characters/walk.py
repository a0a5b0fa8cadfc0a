# SPDX-License-Identifier: GPL-3.0-or-later
"""A walk whose contacts are known exactly: numbers only, no Blender.

Each step is heel strike, roll to flat about the heel, flat, roll about the ball of the foot with the toes
flat, toe-off. While a heel is on the floor its point does not move at all, and neither do the toes. On the
way the path turns by 60 degrees. The legs are solved exactly for where the feet are.

Axes are Blender's: metres, z up, the figure at rest faces -y; its left is +x.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from recover_motion.skeleton import INDEX

PERIOD = 1.1
"""Seconds for two steps."""

SPEED = 0.95
"""Metres a second."""

TURN = np.radians(60)
"""The path turns to the left by this, between these times (seconds):"""
_TURN_FROM, _TURN_TO = 1.3, 2.7

# One step, seconds after heel strike
_FLAT, _UNDER, _HEEL_OFF, _TOE_OFF = 0.14, 0.26, 0.42, 0.68  # the body is over the foot at _UNDER
_STRIKE_PITCH = np.radians(-18)  # toes up
_OFF_PITCH = np.radians(42)  # heel up
_STRIKES_AT = {"left": -0.45, "right": -0.45 + PERIOD / 2}
_LIFT = 0.08
_APART = 0.085


@dataclass(frozen=True)
class Walk:
    """The motion.

    Attributes:
        turns: (T, 24, 3, 3) each joint's turn about its parent, away from rest; the first is the pelvis' in
            the world.
        pelvis: (T, 3) places.
        contacts: (T, 4) left heel, left toe, right heel, right toe are on the floor.
        points: (T, 4, 3) places of these points: under the heel, carried by the ankle's bone; under the tip
            of the toes, carried by the toes' bone.
    """

    turns: np.ndarray
    pelvis: np.ndarray
    contacts: np.ndarray
    points: np.ndarray


@dataclass(frozen=True)
class Foot:
    """One foot over time.

    Attributes:
        ankle: (T, 3).
        turn: (T, 3, 3) of the foot in the world.
        toes: (T, 3, 3) of the toes in the world.
        contacts: (T, 2) heel, toe.
    """

    ankle: np.ndarray
    turn: np.ndarray
    toes: np.ndarray
    contacts: np.ndarray


def make_walk(joints: np.ndarray, toe_tips: np.ndarray, count: int = 120, fps: float = 30.0) -> Walk:
    """Walk a figure.

    Args:
        joints: (24, 3) at rest in SMPL's order, soles at z = 0.
        toe_tips: (2, 3) where the toes' bones end, left and right.
        count: frames.
        fps: frames per second.
    """
    time = np.arange(count) / fps
    heading = _heading(time)
    phase = 2 * np.pi * (time - _STRIKES_AT["left"]) / PERIOD
    feet = {
        side: _foot(time, joints, toe_tips[number], side) for number, side in enumerate(("left", "right"))
    }

    yaw = np.radians(5) * np.cos(phase)  # the hip of the leg in front goes forward
    lean = np.radians(3) * np.sin(phase)
    pelvis_turn = _about("z", heading - yaw) @ _about("y", lean)
    pelvis = _path(time) + 0.015 * np.sin(phase)[:, None] * _left(heading)
    bob = -0.015 * np.cos(2 * phase)
    pelvis[:, 2] = bob + _height(pelvis + bob[:, None] * [0, 0, 1], pelvis_turn, feet, joints)

    turns = np.tile(np.eye(3), (count, 24, 1, 1))
    turns[:, INDEX["pelvis"]] = pelvis_turn
    for name, share in (("spine1", 0.5), ("spine2", 0.6), ("spine3", 0.7)):
        turns[:, INDEX[name]] = _about("z", share * yaw) @ _about("y", -share * lean)
    for side, out in (("left", 1.0), ("right", -1.0)):
        hip, knee, ankle, ball = (INDEX[f"{side}_{part}"] for part in ("hip", "knee", "ankle", "foot"))
        start = pelvis + _times(pelvis_turn, joints[hip] - joints[0])
        thigh, bend = _leg(
            feet[side].ankle - start,
            joints[knee] - joints[hip],
            joints[ankle] - joints[knee],
            pelvis_turn[:, :, 0] + feet[side].turn[:, :, 0],
        )
        turns[:, hip] = _inverse(pelvis_turn) @ thigh
        turns[:, knee] = bend
        turns[:, ankle] = _inverse(thigh @ bend) @ feet[side].turn
        turns[:, ball] = _inverse(feet[side].turn) @ feet[side].toes
        swing = out * np.cos(phase)  # against the leg
        turns[:, INDEX[f"{side}_shoulder"]] = _about("x", np.radians(25) * swing) @ _about(
            "y", np.full(count, out * np.radians(74))
        )
        turns[:, INDEX[f"{side}_elbow"]] = _about("z", -out * np.radians(22 - 10 * swing))
    points = np.concatenate([_points(feet[side], joints, toe_tips, side) for side in feet], axis=1)
    contacts = np.concatenate([feet[side].contacts for side in feet], axis=1)
    return Walk(turns, pelvis, contacts, points)


def _heading(time: np.ndarray) -> np.ndarray:
    """Turn (T,) of the path about z."""
    return TURN * _smooth((time - _TURN_FROM) / (_TURN_TO - _TURN_FROM))


def _path(time: np.ndarray) -> np.ndarray:
    """Points (T, 3) of the way on the floor; at the origin at time 0."""
    fine, way = _way()
    return np.stack([np.interp(time, fine, way[:, axis]) for axis in range(3)], axis=1)


@cache
def _way() -> tuple[np.ndarray, np.ndarray]:
    """Times (N,) and the points (N, 3) of the way then."""
    fine = np.linspace(-2.0, 8.0, 20001)
    speed = SPEED * _times(_about("z", _heading(fine)), np.array([0.0, -1.0, 0.0]))
    way = np.concatenate([np.zeros((1, 3)), np.cumsum((speed[1:] + speed[:-1]) / 2, axis=0)]) * (
        fine[1] - fine[0]
    )
    return fine, way - [np.interp(0.0, fine, way[:, axis]) for axis in range(3)]


def _left(heading: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(heading), np.sin(heading), np.zeros_like(heading)], axis=-1)


def _foot(time: np.ndarray, joints: np.ndarray, tip: np.ndarray, side: str) -> Foot:
    """Where a foot is; every frame is told from its own time alone."""
    ankle, ball = joints[INDEX[f"{side}_ankle"]], joints[INDEX[f"{side}_foot"]]
    step = np.floor((time - _STRIKES_AT[side]) / PERIOD)
    since = time - _STRIKES_AT[side] - step * PERIOD
    places, foot_turns, toe_turns, contacts = [], [], [], []
    for number, seconds in zip(step.tolist(), since.tolist(), strict=True):
        if seconds <= _TOE_OFF:
            place, pitch, heading, toes = _standing(number, seconds, ankle, ball, tip, side)
            contacts.append((seconds <= _HEEL_OFF, seconds >= _FLAT))
        else:
            place, pitch, heading, toes = _swinging(number, seconds, ankle, ball, tip, side)
            contacts.append((False, False))
        places.append(place)
        foot_turns.append(_about("z", heading) @ _about("x", pitch))
        toe_turns.append(_about("z", heading) @ _about("x", toes))
    return Foot(np.array(places), np.array(foot_turns), np.array(toe_turns), np.array(contacts))


def _standing(
    step: float, seconds: float, ankle: np.ndarray, ball: np.ndarray, tip: np.ndarray, side: str
) -> tuple[np.ndarray, float, float, float]:
    """Ankle (3), pitch of the foot, heading, pitch of the toes, for a time after heel strike."""
    middle = _STRIKES_AT[side] + step * PERIOD + _UNDER
    heading = float(_heading(np.array(middle)))
    turn = _about("z", heading)
    out = 1.0 if side == "left" else -1.0
    flat = _path(np.array([middle]))[0] + out * _APART * _left(np.array(heading))
    flat[2] = ankle[2]
    early = float(np.clip(1 - seconds / _FLAT, 0, None))
    late = float(np.clip((seconds - _HEEL_OFF) / (_TOE_OFF - _HEEL_OFF), 0, None))
    pitch = _STRIKE_PITCH * early**2 * (3 - 2 * early) + _OFF_PITCH * late**2 * (1.6 - 0.6 * late)
    about = _under_heel(ankle, tip) if seconds < _HEEL_OFF else ball
    pivot = flat + turn @ (about - ankle)
    place = pivot + turn @ _about("x", pitch) @ (ankle - about)
    return place, pitch, heading, min(pitch, 0.0)


def _swinging(
    step: float, seconds: float, ankle: np.ndarray, ball: np.ndarray, tip: np.ndarray, side: str
) -> tuple[np.ndarray, float, float, float]:
    """The same between toe-off and the next heel strike: smooth to the second derivative at both ends."""
    length = PERIOD - _TOE_OFF
    share = (seconds - _TOE_OFF) / length
    small = 1e-3

    def state(number: float, at: float) -> np.ndarray:
        place, pitch, heading, toes = _standing(number, at, ankle, ball, tip, side)
        return np.array([*place, pitch, heading, toes])

    before = [state(step, _TOE_OFF - k * small) for k in (0, 1, 2)]
    after = [state(step + 1, k * small) for k in (0, 1, 2)]
    begin = (before[0], (before[0] - before[1]) / small, (before[0] - 2 * before[1] + before[2]) / small**2)
    end = (after[0], (after[1] - after[0]) / small, (after[0] - 2 * after[1] + after[2]) / small**2)
    now = _between(share, length, begin, end)
    now[2] += _LIFT * 64 * (share * (1 - share)) ** 3
    return now[:3], float(now[3]), float(now[4]), float(now[5])


def _between(
    share: float, length: float, begin: tuple[np.ndarray, ...], end: tuple[np.ndarray, ...]
) -> np.ndarray:
    """The polynomial of degree five through two places with their velocities and accelerations."""
    p0, v0, a0 = begin[0], begin[1] * length, begin[2] * length**2
    p1, v1, a1 = end[0], end[1] * length, end[2] * length**2
    jump = p1 - p0 - v0 - a0 / 2
    speed = v1 - v0 - a0
    rate = a1 - a0
    s = share
    third = 10 * jump - 4 * speed + rate / 2
    fourth = -15 * jump + 7 * speed - rate
    fifth = 6 * jump - 3 * speed + rate / 2
    return p0 + v0 * s + a0 / 2 * s**2 + third * s**3 + fourth * s**4 + fifth * s**5


def _under_heel(ankle: np.ndarray, tip: np.ndarray) -> np.ndarray:
    """The point on the floor that the add-on calls the heel."""
    heel = ankle + 0.25 * (ankle - tip)
    return np.array([heel[0], heel[1], 0.0])


def _points(foot: Foot, joints: np.ndarray, toe_tips: np.ndarray, side: str) -> np.ndarray:
    """Places (T, 2, 3) of heel and toe."""
    ankle, ball = joints[INDEX[f"{side}_ankle"]], joints[INDEX[f"{side}_foot"]]
    tip = toe_tips[0 if side == "left" else 1]
    heel = foot.ankle + _times(foot.turn, _under_heel(ankle, tip) - ankle)
    at_ball = foot.ankle + _times(foot.turn, ball - ankle)
    toe = at_ball + _times(foot.toes, np.array([tip[0], tip[1], 0.0]) - ball)
    return np.stack([heel, toe], axis=1)


def _height(pelvis: np.ndarray, turn: np.ndarray, feet: dict[str, Foot], joints: np.ndarray) -> float:
    """How high the pelvis can be over the path such that no leg is ever longer than 98.5 % of itself."""
    highest = np.inf
    for side, foot in feet.items():
        hip, knee, ankle = (joints[INDEX[f"{side}_{part}"]] for part in ("hip", "knee", "ankle"))
        reach = 0.985 * (np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee))
        way = foot.ankle - pelvis - _times(turn, hip - joints[0])
        level = np.sum(way[:, :2] ** 2, axis=1)
        highest = min(highest, (np.sqrt(reach**2 - level) + way[:, 2]).min())
    return float(highest)


def _leg(
    way: np.ndarray, thigh: np.ndarray, shin: np.ndarray, left: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Turns (T, 3, 3) of the thigh in the world, and of the knee about it.

    Args:
        way: (T, 3) from hip to ankle.
        thigh: (3,) at rest.
        shin: (3,) at rest.
        left: (T, 3) the axis about which the knee is to bend, roughly.
    """
    far = np.linalg.norm(way, axis=1)
    low, high = np.zeros(len(way)), np.full(len(way), np.radians(150))
    for _ in range(60):  # the farther the knee is bent, the shorter the leg
        middle = (low + high) / 2
        longer = np.linalg.norm(thigh + _times(_about("x", middle), shin), axis=1) > far
        low, high = np.where(longer, middle, low), np.where(longer, high, middle)
    bend = _about("x", (low + high) / 2)
    rest = _frame(thigh + _times(bend, shin), np.tile([1.0, 0.0, 0.0], (len(way), 1)))
    return _frame(way, left) @ _inverse(rest), bend


def _frame(along: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Axes (T, 3, 3), as columns: along, the part of `side` that is square to it, and the third."""
    first = along / np.linalg.norm(along, axis=1, keepdims=True)
    second = side - np.sum(side * first, axis=1, keepdims=True) * first
    second /= np.linalg.norm(second, axis=1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], axis=2)


def _smooth(share: np.ndarray) -> np.ndarray:
    """From 0 to 1 with two derivatives zero at both ends."""
    s = np.clip(share, 0, 1)
    return s**3 * (10 - 15 * s + 6 * s**2)


def _about(axis: str, angle: float | np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) about an axis by angles (...)."""
    angle = np.asarray(angle, float)
    c, s, o, i = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    rows = {
        "x": ((i, o, o), (o, c, -s), (o, s, c)),
        "y": ((c, o, s), (o, i, o), (-s, o, c)),
        "z": ((c, -s, o), (s, c, o), (o, o, i)),
    }[axis]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def _times(turns: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """A vector (3,) turned by rotations (T, 3, 3)."""
    return turns @ vector if vector.ndim == 1 else np.einsum("tij,tj->ti", turns, vector)


def _inverse(turns: np.ndarray) -> np.ndarray:
    return np.swapaxes(turns, -1, -2)
