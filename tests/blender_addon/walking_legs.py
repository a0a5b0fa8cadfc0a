# SPDX-License-Identifier: GPL-3.0-or-later
"""Legs that walk and run with contacts that are known exactly; worse ones. Metres, z up, facing -y."""

from dataclasses import dataclass, replace

import numpy as np
from recover_motion.leg_pose import turned
from recover_motion.retarget.leg_ik import bent_to
from recover_motion.retarget.legs import LegMotion, Soles
from recover_motion.rotations import quat_from_rotvec, quat_inverse, quat_multiply


@dataclass(frozen=True)
class Figure:
    """Rest sizes of a figure's legs."""

    thigh: float = 0.42
    shin: float = 0.43
    apart: float = 0.1
    ankle: float = 0.08  # height of the ankle
    heel: float = 0.05  # behind the ankle
    ball: float = 0.13  # before it
    toe: float = 0.07  # from the ball joint to the tip
    joint: float = 0.02  # height of the ball joint
    raised: float = 0.0  # of the heel's point over the ball's at rest
    has_toes: bool = True

    @property
    def leg(self):
        return self.thigh + self.shin

    @property
    def soles(self):
        """Feet that point a little outwards."""
        heel, ball, toe, joint = [], [], [], []
        for sign in (1, -1):
            out = quat_from_rotvec(np.array([0, 0, 0.1 * sign]))
            heel.append(turned(out, np.array([0, self.heel, self.raised - self.ankle])))
            ball.append(turned(out, np.array([0, -self.ball, -self.ankle])))
            joint.append(turned(out, np.array([0, -self.ball, self.joint - self.ankle])))
            if self.has_toes:
                toe.append(turned(out, np.array([0, -self.toe, -self.joint])))
            else:
                toe.append(turned(out, np.array([0, -self.ball - self.toe, -self.ankle])))
        return Soles(*(np.array(each) for each in (heel, ball, toe, joint)))


def posed(figure, hips, foot, toe, ankle):
    """Legs (T, 2) with hips (T, 2, 3), turns of feet and toes (T, 2, 4), ankles (T, 2, 3); knees forward."""
    none = np.zeros_like(foot)
    none[..., 0] = 1
    knee = hips + np.array([0, 0, -figure.thigh])
    down = knee + np.array([0, 0, -figure.shin])
    hinge = np.broadcast_to([1.0, 0, 0], hips.shape)
    thigh, shin, knee, reached = bent_to(hips, knee, down, none, none, ankle, hinge)
    assert np.abs(reached - ankle).max() < 1e-9, "the figure cannot reach that"
    return LegMotion(hips, knee, reached, thigh, shin, foot, toe, figure.has_toes)


def _smooth(share):
    share = np.clip(share, 0, 1)
    return share**3 * (10 - 15 * share + 6 * share**2)


def _joined(share, first, first_speed, last, last_speed):
    """Quintic from one value and speed to another without acceleration at its ends; speeds per share."""
    s = share[:, None] if np.ndim(first) else share
    return (
        first * (1 - 10 * s**3 + 15 * s**4 - 6 * s**5)
        + first_speed * (s - 6 * s**3 + 8 * s**4 - 3 * s**5)
        + last * (10 * s**3 - 15 * s**4 + 6 * s**5)
        + last_speed * (-4 * s**3 + 7 * s**4 - 3 * s**5)
    )


@dataclass(frozen=True)
class Gait:
    """How a figure goes; shares of a cycle count from heel strike."""

    cycle: float = 1.1  # seconds
    stride: float = 1.05  # metres a cycle
    flat: float = 0.1  # the ball comes down
    rise: float = 0.4  # the heel goes up
    off: float = 0.62  # the toes leave the floor
    strike_pitch: float = 0.35
    off_pitch: float = 0.9
    clearance: float = 0.06
    low: float = 0.9  # height of the hips, as a share of the leg and the ankle's height
    bob: float = 0.015


WALK = Gait()
RUN = Gait(0.7, 1.6, 0.06, 0.14, 0.34, 0.1, 0.9, 0.15, 0.82, 0.02)


def gait(figure=None, how=WALK, count=150, fps=30.0):
    """A figure that goes straight on: its legs (T, 2), and whether heels and balls (T, 2, 2) are down."""
    figure = figure or Figure()
    size = figure.leg / 0.85
    time = np.arange(count) / fps / how.cycle
    stride = how.stride * size
    ankle, pitch = np.zeros((count, 2, 3)), np.zeros((count, 2))
    down = np.zeros((count, 2, 2), bool)
    toe_pitch = np.zeros((count, 2))
    hips = np.zeros((count, 2, 3))
    for side, sign in enumerate((1, -1)):
        cycle, phase = np.divmod(time + 0.5 * side, 1)
        heel0 = np.array([0, figure.heel, -figure.ankle])
        # feet roll over the joint of their toes, stiff ones over the tip
        over = figure.joint if figure.has_toes else 0.0
        ball0 = np.array([0, -figure.ball - figure.toe * (not figure.has_toes), over - figure.ankle])

        def pitch_at(phase):
            strike = how.strike_pitch * (1 - _smooth(phase / how.flat))
            rise = -how.off_pitch * np.clip((phase - how.rise) / (how.off - how.rise), 0, 1) ** 2
            return strike + rise

        def ankle_at(phase, heel0=heel0, ball0=ball0, over=over, pitch_at=pitch_at):
            turn = quat_from_rotvec(np.asarray(pitch_at(phase))[..., None] * [-1.0, 0, 0])
            by_heel = heel0 * [1, 1, 0] - turned(turn, heel0)
            by_ball = ball0 * [1, 1, 0] + [0, 0, over] - turned(turn, ball0)
            return np.where((np.asarray(phase) < how.flat)[..., None], by_heel, by_ball)

        pitch[:, side] = pitch_at(phase)
        ankle[:, side] = ankle_at(phase)
        swing = phase >= how.off
        share = (phase[swing] - how.off) / (1 - how.off)
        tiny, whole = 1e-4, 1 - how.off
        first, last = ankle_at(np.array(how.off)), ankle_at(np.array(0.0)) + np.array([0, -stride, 0])
        first_speed = (first - ankle_at(np.array(how.off - tiny))) / tiny * whole
        last_speed = (ankle_at(np.array(tiny)) - ankle_at(np.array(0.0))) / tiny * whole
        ankle[swing, side] = _joined(share, first, first_speed, last, last_speed)
        ankle[swing, side, 2] += how.clearance * size * (np.sin(np.pi * share) ** 2)
        turning = (pitch_at(np.array(how.off)) - pitch_at(np.array(how.off - tiny))) / tiny * whole
        pitch[swing, side] = _joined(share, -how.off_pitch, turning, how.strike_pitch, 0.0)
        ankle[:, side, 1] += -stride * (cycle - 0.5 * side)
        down[:, side, 0] = phase < how.rise
        down[:, side, 1] = (phase >= how.flat) & (phase < how.off)
        hips[:, side] = np.stack(
            [
                np.full(count, sign * figure.apart),
                -stride * (time - how.off / 2),
                how.low * figure.leg + figure.ankle + how.bob * size * np.cos(4 * np.pi * (time + 0.1)),
            ],
            axis=1,
        )
        ankle[:, side, 0] += sign * figure.apart
        toe_pitch[:, side] = np.where(down[:, side, 1] & figure.has_toes, 0.0, pitch[:, side])
        if figure.has_toes:  # the toes lie on the floor until they are lifted, then come to the foot's line
            late = swing & (phase < how.off + 0.15)
            toe_pitch[late, side] *= _smooth((phase[late] - how.off) / 0.15)
    foot = quat_from_rotvec(pitch[..., None] * [-1.0, 0, 0])
    toe = quat_from_rotvec(toe_pitch[..., None] * [-1.0, 0, 0])
    # the figure's feet point outwards at rest: so they do here
    for side, sign in enumerate((1, -1)):
        out = quat_from_rotvec(np.array([0, 0, 0.1 * sign]))
        foot[:, side] = quat_multiply(foot[:, side], quat_inverse(out))
        toe[:, side] = quat_multiply(toe[:, side], quat_inverse(out))
    return posed(figure, hips, foot, toe, ankle), down


def noisy(motion, size=1.0, seed=0, fps=30.0):
    """The motion as if recovered from video: it slides and floats, feet tip, joints shake.

    The whole figure drifts by up to 3 cm along x and y and 2 cm along z in waves of 1 to 3 s, feet tip by up
    to 4 degrees in such waves; joints shake by 0.2 degrees and feet by 0.5, as recovered ones do.
    """
    random = np.random.default_rng(seed)
    count = len(motion.hip)
    time = np.arange(count)[:, None] / fps

    def waves(*most):
        phases = random.uniform(size=(3, len(most)))
        return sum(
            np.array(most) / 3 * np.sin(2 * np.pi * (time / period + phase))
            for period, phase in zip((1.1, 1.9, 3.1), phases, strict=True)
        )

    hip = motion.hip + size * waves(0.03, 0.03, 0.02)[:, None]
    tipped = np.zeros((count, 2, 3))
    tipped[..., 0] = size * waves(*np.radians([4, 4]))
    shake = quat_from_rotvec(size * random.normal(0, np.radians(0.2), (3, count, 2, 3)))
    shaken = quat_from_rotvec(size * random.normal(0, np.radians(0.5), (count, 2, 3)) + tipped)
    thigh, shin = quat_multiply(shake[0], motion.thigh), quat_multiply(shake[1], motion.shin)
    foot, toe = quat_multiply(motion.foot, shaken), quat_multiply(motion.toe, quat_multiply(shaken, shake[2]))
    knee = hip + turned(quat_multiply(thigh, quat_inverse(motion.thigh)), motion.knee - motion.hip)
    ankle = knee + turned(quat_multiply(shin, quat_inverse(motion.shin)), motion.ankle - motion.knee)
    return replace(motion, hip=hip, knee=knee, ankle=ankle, thigh=thigh, shin=shin, foot=foot, toe=toe)
