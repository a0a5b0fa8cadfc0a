# SPDX-License-Identifier: GPL-3.0-or-later
"""Timeline markers where a person was lost and found again: there, the motion is a guess.

A person is lost at the samples at which no joint has any confidence. Which markers were set for an armature
is written down on it (markers cannot carry properties in Blender 5.0), so that those of a better run can take
their place. Markers that the user has moved or renamed are the user's and stay.
"""

from __future__ import annotations

import json
from typing import Final

import bpy
import numpy as np

from .motion_file import MotionFile

RECORD: Final = "recover_motion_markers"
"""Custom property of the armature: frames and names of its markers, as JSON."""


def lost_spans(motion: MotionFile) -> list[tuple[float, float | None]]:
    """When a person was lost, in seconds of the clip.

    Returns:
        For each span the time of its first sample and that of the first sample after it; None when the
        person was never found again.
    """
    if motion.confidence is None:
        return []
    lost = (motion.confidence <= 0).all(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], lost, [False]])))
    times = motion.timestamps
    return [
        (float(times[first]), float(times[end]) if end < len(times) else None)
        for first, end in zip(edges[::2], edges[1::2], strict=True)
    ]


def set_markers(
    scene: bpy.types.Scene,
    armature: bpy.types.Object,
    name: str,
    motion: MotionFile,
    fps: float,
    start_frame: int,
) -> None:
    """Mark where a person was lost and found; replaces the markers of the armature's earlier take.

    Args:
        scene: where the markers go.
        armature: the person's rig.
        name: the person's, for the names of the markers.
        motion: the take.
        fps: the scene's frames per second.
        start_frame: scene frame of the clip's first frame.
    """
    markers = scene.timeline_markers
    before = {(frame, label) for frame, label in json.loads(armature.get(RECORD, "[]"))}
    for marker in [marker for marker in markers if (marker.frame, marker.name) in before]:
        markers.remove(marker)

    wanted = []
    for first, end in lost_spans(motion):
        frames = [int(np.floor(start_frame + time * fps + 0.5)) for time in (first, end) if time is not None]
        if len(frames) == 2 and frames[0] == frames[1]:
            continue  # shorter than a frame of the scene
        wanted += [(frame, f"{name} {what}") for frame, what in zip(frames, ("lost", "found"), strict=False)]
    there = {(marker.frame, marker.name) for marker in markers}
    for frame, label in wanted:
        if (frame, label) not in there:
            markers.new(label, frame=frame)
    armature[RECORD] = json.dumps(wanted)
