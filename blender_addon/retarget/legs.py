# SPDX-License-Identifier: GPL-3.0-or-later
"""A character's legs in motion and the points under its soles, in the world (metres, z up).

A turn is a bone's rotation away from its rest about the world's axes. At rest the figure stands upright with
its soles flat, so that a turn about z alone leaves a foot flat. Sides are 0 left, 1 right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ..leg_pose import turned

HEEL, FRONT, TIP = range(3)
"""Points under a sole: the heel; the ball of the foot; the toe's tip."""

UP: Final = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Soles:
    """Where the points under both soles are, in the world's axes at rest.

    Attributes:
        heel: (2, 3) from the ankle to the point under the heel.
        ball: (2, 3) from the ankle to the point under the ball of the foot.
        toe: (2, 3) from the ball joint to the point under the toe's tip; from the ankle where there is no toe
            bone.
        ball_joint: (2, 3) from the ankle to the joint that the toes bend at.
    """

    heel: np.ndarray
    ball: np.ndarray
    toe: np.ndarray
    ball_joint: np.ndarray


@dataclass(frozen=True)
class LegMotion:
    """Both legs over time.

    Attributes:
        hip: (T, 2, 3) places of the hip joints.
        knee: (T, 2, 3) of the knees.
        ankle: (T, 2, 3) of the ankles.
        thigh: (T, 2, 4) turns of the thighs, w x y z.
        shin: (T, 2, 4) of the shins.
        foot: (T, 2, 4) of the feet.
        toe: (T, 2, 4) of the toes; without toe bones as good as the feet's.
        has_toes: whether the toes have bones of their own.
    """

    hip: np.ndarray
    knee: np.ndarray
    ankle: np.ndarray
    thigh: np.ndarray
    shin: np.ndarray
    foot: np.ndarray
    toe: np.ndarray
    has_toes: bool = True

    def moved(self, shift: np.ndarray) -> LegMotion:
        """The same legs somewhere else: moved by `shift` (T, 3)."""
        by = shift[:, None]
        return replace(self, hip=self.hip + by, knee=self.knee + by, ankle=self.ankle + by)


def rolling_soles(soles: Soles, has_toes: bool) -> Soles:
    """The soles as feet roll over them.

    A foot without toe bones is one stiff piece: it rolls over the tip, and what would be the ball of the foot
    is any point between. Its `ball` becomes the tip.
    """
    return soles if has_toes else replace(soles, ball=soles.toe, ball_joint=np.zeros_like(soles.toe))


def sole_points(motion: LegMotion, soles: Soles) -> np.ndarray:
    """Places (T, 2, 3, 3) of heel, ball and toe tip under the soles of both feet.

    The toes carry the ball of the foot: they lie on the floor while the foot rolls over their joint.
    """
    heel = motion.ankle + turned(motion.foot, soles.heel)
    if motion.has_toes:
        joint = motion.ankle + turned(motion.foot, soles.ball_joint)
        ball = joint + turned(motion.toe, soles.ball - soles.ball_joint)
        tip = joint + turned(motion.toe, soles.toe)
    else:
        ball = motion.ankle + turned(motion.foot, soles.ball)
        tip = motion.ankle + turned(motion.foot, soles.toe)
    return np.stack([heel, ball, tip], axis=2)
