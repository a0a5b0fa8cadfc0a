# SPDX-License-Identifier: GPL-3.0-or-later
"""All of the cleaning but the thinning of keys, in its order, from one motion of the bones to another."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .leg_pose import RestSkeleton, pose_legs, sole_heights
from .loop_closing import close_rotations, close_values
from .planted_feet import keep_feet_planted
from .root_path import InPlace, in_place, lift_to_floor
from .rotations import without_sign_jumps
from .smoothing import smooth_rotations, smooth_values


@dataclass(frozen=True)
class BoneMotion:
    """The motion of an armature's bones, each about its own axes.

    Attributes:
        frames: (T,) consecutive scene frames.
        quats: (T, 24, 4) unit quaternions in SMPL's joint order, without changes of sign.
        locations: (T, 3) of the pelvis.
    """

    frames: np.ndarray
    quats: np.ndarray
    locations: np.ndarray


@dataclass(frozen=True)
class CleaningSteps:
    """What to do. The defaults do nothing.

    Attributes:
        trim_start: frames to leave out at the start.
        trim_end: frames to leave out at the end; one frame always stays.
        smooth: strength in seconds, see `smoothing`.
        keep_feet: keep planted feet planted under the smoothing.
        in_place: what to take out of the horizontal motion, see `root_path`.
        loop_span: frames in which the end is led to the beginning; 0 leaves the end as it is.
        loop_travels: a closed loop goes on from where it has arrived across the floor, unless it is in place.
        floor: height that the soles are put at, metres; None leaves heights alone.
        share_below: share of frames, 0..1, in which the lowest sole may be below that.
    """

    trim_start: int = 0
    trim_end: int = 0
    smooth: float = 0.0
    keep_feet: bool = True
    in_place: InPlace = "OFF"
    loop_span: int = 0
    loop_travels: bool = True
    floor: float | None = None
    share_below: float = 0.05


def clean_motion(motion: BoneMotion, rest: RestSkeleton, steps: CleaningSteps, fps: float) -> BoneMotion:
    """Take a motion through the steps: trim, smooth, hold in place, close the loop, set on the floor.

    Smoothing sees the trimmed range only, so that nothing that was cut off shows in it. The floor comes last
    and is one lift for all frames.
    """
    motion = trimmed(motion, steps.trim_start, steps.trim_end)
    turns = without_sign_jumps(rest.turns(motion.quats))
    pelvis = rest.pelvis(motion.locations)
    if steps.smooth > 0:
        smooth_turns = smooth_rotations(turns, steps.smooth, fps)
        smooth_pelvis = smooth_values(pelvis, steps.smooth, fps)
        if steps.keep_feet:
            smooth_turns = keep_feet_planted(
                rest, turns, pelvis, smooth_turns, smooth_pelvis, steps.smooth, fps
            )
        turns, pelvis = smooth_turns, smooth_pelvis
    pelvis = in_place(pelvis, steps.in_place)
    if steps.loop_span > 0:
        turns = close_rotations(turns, steps.loop_span)
        across = steps.loop_travels and steps.in_place == "OFF"
        travels = np.array([across, across, False])
        pelvis = close_values(pelvis, steps.loop_span, travels)
    if steps.floor is not None:
        heights = sole_heights(rest, pose_legs(rest, turns, pelvis))
        pelvis[:, 2] += lift_to_floor(heights, steps.share_below, steps.floor)
    return replace(motion, quats=without_sign_jumps(rest.bone_quats(turns)), locations=rest.locations(pelvis))


def trimmed(motion: BoneMotion, start: int, end: int) -> BoneMotion:
    """A motion without some frames at its start and end; at least one stays. Frames keep their numbers."""
    first = min(max(start, 0), len(motion.frames) - 1)
    last = max(len(motion.frames) - max(end, 0), first + 1)
    return BoneMotion(
        motion.frames[first:last], motion.quats[first:last], np.array(motion.locations[first:last])
    )
