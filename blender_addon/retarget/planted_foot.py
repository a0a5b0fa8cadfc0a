# SPDX-License-Identifier: GPL-3.0-or-later
"""How one foot of a character has to turn and where its ankle has to be, so that it stands where it should.

All in the world: metres, z up.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..leg_pose import turned
from ..rotations import quat_from_rotvec, quat_inverse, quat_multiply, rotvec_from_quat
from .easing import faded, frames_to, kept_above, runs, slopes
from .foot_places import BALL_ONLY, FLAT, HEEL_ONLY, find_places
from .leg_ik import arc
from .legs import UP, LegMotion, Soles

_FADE = 0.2
"""How long feet take to get from as the motion has them to as planted, and back; seconds."""

_FARTHEST = 0.12
"""A foot that slides farther than this share of the leg from its place has gone on to another one."""

_LONG = (0.3, 0.6)
"""Feet (heel to ball, as shares of the leg) count as long gradually from the first to the second.

People's feet are at 0.2. Rolling over the ball of a foot that is as long as the leg would lift the ankle to
the hip: such feet roll less."""

_SOFT = 0.99
"""Legs are stretched to this share of their length at most: any farther, the knee snaps straight and back."""

_AS_IT_WAS = 0.01
"""A leg whose ankle is moved by less than about this share of its length may be as straight as it was."""

_QUICKEST = 1.0
"""A correction of a place begins or ends with this speed at most; metres a second for a leg of 0.85 m."""

_RISE = np.radians(30)
"""A heel that is up already goes up by this much more at most where the leg is too short."""

_TIPPED = np.radians(30)
"""A foot in the air is turned by this much at most to keep its ends out of the floor."""

AROUND = 0.25
"""Lifts and the pelvis' lowering begin this long before they are needed, and end as long after; seconds."""


class PlantedFoot:
    """One foot: `turn` (T, 4), `toe` (T, 4) and `ankle` (T, 3) begin as the motion has them."""

    def __init__(
        self,
        motion: LegMotion,
        soles: Soles,
        side: int,
        on_floor: np.ndarray,
        floor: float,
        fps: float,
        leg: float,
    ) -> None:
        self.hip = motion.hip[:, side]
        self.turn, self.toe, self.ankle = motion.foot[:, side], motion.toe[:, side], motion.ankle[:, side]
        self.has_toes, self.floor, self.leg = motion.has_toes, floor, leg
        self.heel, self.ball = soles.heel[side], soles.ball[side]
        self.tip, self.joint = soles.toe[side], soles.ball_joint[side]
        # a foot rolls over the joint of its toes, which lie flat; a stiff one over its tip
        self.pivot = self.joint if motion.has_toes else self.ball
        self.fade, self.around = max(round(_FADE * fps), 1), max(round(AROUND * fps), 1)
        self.fps = fps

        sole = self.ball - self.heel
        self.length = float(np.linalg.norm(sole))
        self.ahead = _level(sole)
        # takes the line from heel to ball to the level: soles are not quite flat at rest on every rig
        self.long = float(np.clip((self.length / leg - _LONG[0]) / (_LONG[1] - _LONG[0]), 0, 1))
        self.levelled = arc(sole / self.length, self.ahead)
        self.places = find_places(
            self._heel_at()[:, :2],
            self._under_pivot()[:, :2],
            self._facing(self.turn)[:, :2],
            on_floor,
            self.length,
            max(_FARTHEST * leg, 0.45 * self.length),
            fps,
        )

    def plant(self) -> None:
        """Set `turn`, `ankle` and `toe` to where they should be."""
        state = self.places.state
        before = self.turn
        self._lie_flat()
        self._tip_in_contact()
        if self.long > 0:
            self._roll_less()
        self._rise_to_reach()
        self._stay()
        self._keep_out_of_floor(state > 0)
        # what the foot turned, its toes turn too
        self.toe = quat_multiply(quat_multiply(self.turn, quat_inverse(before)), self.toe)
        if self.has_toes:
            self._bend_toes((state & BALL_ONLY) > 0)
        else:
            self.toe = self.turn

    def _lie_flat(self) -> None:
        """Turn the foot flat where heel and ball are on the floor."""

        def off(frames: np.ndarray, at: np.ndarray) -> np.ndarray:
            facing = np.append(self.places.heading[at], np.zeros((len(at), 1)), axis=1)
            return rotvec_from_quat(quat_multiply(self._flat(facing), quat_inverse(self.turn[frames])))

        correction = self._eased(off, self.places.state == FLAT, np.inf)
        self.turn = quat_multiply(quat_from_rotvec(correction), self.turn)

    def _tip_in_contact(self) -> None:
        """Tip the foot about the point that is on the floor where its other end is under the floor."""
        state = self.places.state
        low = -self._pitch()  # how far the ball is under the heel, as an angle
        up = np.where(state == HEEL_ONLY, np.maximum(low, 0), 0)
        down = np.where(state == BALL_ONLY, np.maximum(-low, 0), 0)
        with_heel, with_ball = (state & HEEL_ONLY) > 0, (state & BALL_ONLY) > 0
        self._tip(kept_above(up, self.around, with_ball) - kept_above(down, self.around, with_heel))

    def _roll_less(self) -> None:
        """Let a long foot roll over its ball only as far as the ankle rises in the motion."""
        state = self.places.state
        pivot = turned(self.levelled, self.pivot)
        reach, flat = float(np.linalg.norm(pivot)), -float(pivot[2])
        at = self.floor + float(turned(self.levelled, self.pivot - self.ball)[2])
        height = np.clip((self.ankle[:, 2] - at) / reach, -1, 1)
        wanted = np.maximum(np.arcsin(height) - np.arcsin(np.clip(flat / reach, -1, 1)), 0)
        less = np.maximum(np.maximum(-self._pitch(), 0) - wanted, 0)[:, None] * UP
        less = self._eased(lambda frames, _: less[frames], state == BALL_ONLY, np.inf)[:, 2]
        self._tip(self.long * np.where((state & HEEL_ONLY) > 0, 0, np.maximum(less, 0)))

    def _rise_to_reach(self) -> None:
        """Raise the heel more, where it is up, where the leg is too short for the ball of the foot's place.

        That is what people do. It comes gradually after the foot was flat; the pelvis is lowered by the rest.
        """
        state = self.places.state
        up = np.flatnonzero(state == BALL_ONLY)
        if not len(up):
            return
        place = self._pivot_over(self.places.ball[up], self.turn[up])
        from_pivot = -turned(self.turn[up], self.pivot)
        far = farthest_from_hip(self.hip[up], self.ankle[up], place + from_pivot, self.leg)
        # of some angles the one that leaves least to do; the axis is the one about which the heel rises
        axis = np.cross(UP, self._facing(self.turn[up]))
        angles = np.linspace(0, _RISE, 46)
        turn = quat_from_rotvec(axis[:, None] * angles[:, None])
        away = place[:, None] + turned(turn, from_pivot[:, None]) - self.hip[up][:, None]
        left = np.maximum(np.linalg.norm(away, axis=-1) - far[:, None], 0) + 0.1 * self.length * angles
        need = np.zeros(len(state))
        need[up] = angles[left.argmin(axis=1)]
        eased = np.minimum(frames_to((state & HEEL_ONLY) > 0) / self.fade, 1)
        self._tip(-kept_above(need, self.around) * eased**2 * (3 - 2 * eased))

    def _stay(self) -> None:
        """Move the ankle such that the points on the floor stay in place."""
        places = self.places

        def off(frames: np.ndarray, at: np.ndarray) -> np.ndarray:
            on_heel = (places.state[at] != BALL_ONLY)[:, None]
            heel = np.append(places.heel[at], np.full((len(at), 1), self.floor), axis=1)
            place = np.where(on_heel, heel, self._pivot_over(places.ball[at], self.turn[frames]))
            point = np.where(on_heel, self.heel, self.pivot)
            return place - turned(self.turn[frames], point) - self.ankle[frames]

        quickest = _QUICKEST * self.leg / 0.85 / self.fps
        self.ankle = self.ankle + self._eased(off, places.state > 0, quickest)

    def _eased(
        self, off: Callable[[np.ndarray, np.ndarray], np.ndarray], holds: np.ndarray, quickest: float
    ) -> np.ndarray:
        """A correction (T, 3) that is `off` where it holds and fades around that.

        Args:
            off: correction (n, 3) of frames (n,), as if what holds at the frames `at` (n,) held for them.
            holds: (T,) where it holds.
            quickest: greatest change per frame with which it begins and ends.
        """
        count, spans = len(holds), runs(holds)
        values = np.zeros((count, 3))
        if not spans:
            return values
        inside = np.flatnonzero(holds)
        values[inside] = off(inside, inside)
        edges = np.array([(start, end - 1) for start, end in spans]).ravel()
        # told within the span alone: a foot that comes down hard stops at once, and is not to stop before
        near = edges[:, None] + np.tile([[0, 1, 2], [-2, -1, 0]], (len(spans), 1))
        ends = np.repeat(spans, 2, axis=0)
        there = (near >= ends[:, :1]) & (near < ends[:, 1:])
        around = off(np.clip(near, 0, count - 1).ravel(), np.repeat(edges, 3)).reshape(-1, 3, 3)
        change = slopes(around, there)
        size = np.linalg.norm(change, axis=-1, keepdims=True)
        change *= np.minimum(1, quickest / np.maximum(size, 1e-12))
        return faded(values, spans, change.reshape(-1, 2, 3), self.fade)

    def _keep_out_of_floor(self, stands: np.ndarray) -> None:
        """Tip and lift the foot in the air by what it is under the floor."""
        heel, ball = self._heights()
        # half by raising the ball of the foot, as far as the heel is higher (long feet: all of it); the rest
        # by lifting the foot
        reach = max(float(np.linalg.norm(self.ball[:2])), 0.1 * self.length)
        up = np.minimum(np.maximum(-ball, 0) / reach, np.maximum(heel - ball, 0) / self.length)
        up = np.where(stands, 0, np.minimum(up * (1 + self.long) / 2, _TIPPED * (1 + self.long)))
        self._tip(kept_above(up, self.around, stands))
        need = np.where(stands, 0, np.maximum(-np.minimum(*self._heights()), 0))
        self.ankle = self.ankle + kept_above(need, self.around, stands)[:, None] * UP

    def _bend_toes(self, stands: np.ndarray) -> None:
        """Lay the toes flat where the ball stands, and bend them up where they are under the floor."""
        # the height that the tip is to be at, from the joint
        under = self.floor - (self.ankle + turned(self.turn, self.joint))[:, 2]
        length = float(np.linalg.norm(self.tip))
        pitch = np.arcsin(np.clip(under / length, -1, 1))

        level = self._yaw(self._facing(self.turn))
        flat = quat_multiply(_pitched(turned(level, self.tip), pitch, self._facing(self.turn)), level)
        off = rotvec_from_quat(quat_multiply(flat, quat_inverse(self.toe)))
        correction = self._eased(lambda frames, _: off[frames], stands, np.inf)
        self.toe = quat_multiply(quat_from_rotvec(correction), self.toe)

        tip = turned(self.toe, self.tip)
        need = np.where(stands, 0, np.maximum(pitch - np.arcsin(np.clip(tip[:, 2] / length, -1, 1)), 0))
        risen = np.arcsin(np.clip(tip[:, 2] / length, -1, 1)) + kept_above(need, self.around, stands)
        bent = _pitched(tip, np.minimum(risen, np.pi / 2), self._facing(self.turn))
        self.toe = quat_multiply(bent, self.toe)

    def _heel_at(self) -> np.ndarray:
        return self.ankle + turned(self.turn, self.heel)

    def _under_pivot(self) -> np.ndarray:
        """Where (T, 3) the ball of the foot would be on the floor if the foot was let down there."""
        pivot = self.ankle + turned(self.turn, self.pivot)
        return pivot - self._over_ball(self.turn)

    def _pivot_over(self, ball: np.ndarray, turn: np.ndarray) -> np.ndarray:
        """Where (n, 3) the pivot is with the ball of the foot at (n, 2) on the floor, the foot turned so."""
        return np.append(ball, np.full((len(ball), 1), self.floor), axis=1) + self._over_ball(turn)

    def _over_ball(self, turn: np.ndarray) -> np.ndarray:
        """From the ball of the foot to the pivot (n, 3), the toes lying flat."""
        return turned(self._flat(self._facing(turn)), self.pivot - self.ball)

    def _heights(self) -> tuple[np.ndarray, np.ndarray]:
        """Heights (T,) over the floor of the heel and of the ball of the foot, as foot or toes carry it."""
        of_toes = self._under_pivot()[:, 2]
        of_foot = (self.ankle + turned(self.turn, self.ball))[:, 2]
        return self._heel_at()[:, 2] - self.floor, np.minimum(of_toes, of_foot) - self.floor

    def _facing(self, turn: np.ndarray) -> np.ndarray:
        """Level unit vectors (T, 3) that the foot points in, across the line from inner to outer side.

        That line stays level while the foot rolls from heel to toe, however steep it gets.
        """
        across = turned(turn, np.cross(UP, self.ahead))
        return _level(np.cross(across, UP))

    def _yaw(self, facing: np.ndarray) -> np.ndarray:
        """Turns (..., 4) about z that take the foot from rest to where it faces."""
        cosine = facing @ self.ahead
        sine = self.ahead[0] * facing[..., 1] - self.ahead[1] * facing[..., 0]
        half = np.arctan2(sine, cosine) / 2
        zero = np.zeros_like(half)
        return np.stack([np.cos(half), zero, zero, np.sin(half)], axis=-1)

    def _flat(self, facing: np.ndarray) -> np.ndarray:
        return quat_multiply(self._yaw(facing), self.levelled)

    def _pitch(self) -> np.ndarray:
        """How steep the line from heel to ball rises, radians (T,)."""
        sole = turned(self.turn, self.ball - self.heel)
        return np.arcsin(np.clip(sole[:, 2] / self.length, -1, 1))

    def _tip(self, angle: np.ndarray) -> None:
        """Turn the foot about the ankle such that its line from heel to ball rises by angles (T,)."""
        if not angle.any():
            return
        sole = turned(self.turn, self.ball - self.heel)
        pitch = np.clip(self._pitch() + angle, -np.pi / 2, np.pi / 2)
        self.turn = quat_multiply(_pitched(sole, pitch, self._facing(self.turn)), self.turn)


def farthest_from_hip(
    hip: np.ndarray, before: np.ndarray, goal: np.ndarray, leg: np.ndarray | float
) -> np.ndarray:
    """How far (...) hips (..., 3) may be from goals (..., 3) of ankles that were at `before`."""
    was = np.linalg.norm(before - hip, axis=-1)
    moved = np.linalg.norm(goal - before, axis=-1)
    return _SOFT * leg + np.maximum(was - _SOFT * leg, 0) * np.exp(-((moved / (_AS_IT_WAS * leg)) ** 2))


def _pitched(vector: np.ndarray, pitch: np.ndarray, facing: np.ndarray) -> np.ndarray:
    """Turns (T, 4) that bring vectors (T, 3) to a pitch (T,), each within its upright plane.

    Where a vector is upright it has no such plane; it goes towards `facing` (T, 3).
    """
    level = vector * [1.0, 1.0, 0.0]
    far = np.linalg.norm(level, axis=-1, keepdims=True)
    size = np.linalg.norm(vector, axis=-1, keepdims=True)
    weight = np.clip(far / (0.02 * size), 0, 1)
    ahead = _level(weight * level / np.maximum(far, 1e-12) + (1 - weight) * facing)
    now = np.arcsin(np.clip(vector[..., 2] / size[..., 0], -1, 1))
    return quat_from_rotvec(np.cross(ahead, UP) * (pitch - now)[..., None])


def _level(vector: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) without their height, at length 1."""
    level = vector * [1.0, 1.0, 0.0]
    return level / np.maximum(np.linalg.norm(level, axis=-1, keepdims=True), 1e-12)
