# SPDX-License-Identifier: GPL-3.0-or-later
"""From the clip's clock to the scene's frames.

A sample taken t seconds into the clip belongs to scene frame ``start + t * scene_fps``. That is a
whole number only when the rates agree, so the motion is sampled again at the scene's whole frames:
rotations by slerp, everything else linearly. The scene's own rate is never changed, and clips of
variable rate need nothing special, because only time stamps are used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .rotations import slerp

# A sample this close to a whole frame (in frames) is taken as it is: no blur from rounding errors.
_SAME_FRAME = 1e-4


def scene_rate(scene) -> float:
    """Frames per second of a scene; 29.97 is stored as 30 over 1.001."""
    return scene.render.fps / scene.render.fps_base


@dataclass(frozen=True)
class SceneSampling:
    """Which samples make which scene frames.

    Attributes:
        frames: (F,) int64, consecutive scene frames.
        before: (F,) int64, index of the last sample that is not later than the frame.
        after: (F,) int64, index of the sample after that.
        weight: (F,) float64 in 0..1, how far the frame lies between the two.
    """

    frames: np.ndarray
    before: np.ndarray
    after: np.ndarray
    weight: np.ndarray

    def rotations(self, quats: np.ndarray) -> np.ndarray:
        """Unit quaternions (T, ..., 4) at the scene frames: (F, ..., 4)."""
        weight = self.weight.reshape(-1, *(1,) * (quats.ndim - 2))
        return slerp(quats[self.before], quats[self.after], weight)

    def values(self, values: np.ndarray) -> np.ndarray:
        """Numbers (T, ...) at the scene frames: (F, ...)."""
        weight = self.weight.reshape(-1, *(1,) * (values.ndim - 1))
        return values[self.before] * (1 - weight) + values[self.after] * weight


def sample_at_scene_frames(timestamps: np.ndarray, fps: float, start_frame: int) -> SceneSampling:
    """Lay samples over the scene's frames.

    The first and the last sample go to the nearest whole frame, so that even a single sample gets one.

    Args:
        timestamps: (T,) seconds since the clip's first frame, increasing.
        fps: the scene's frames per second.
        start_frame: the scene frame at which the clip's first frame (t = 0) stands.
    """
    positions = start_frame + np.asarray(timestamps, np.float64) * fps
    first = int(np.floor(positions[0] + 0.5))
    last = max(int(np.ceil(positions[-1] - 0.5)), first)
    frames = np.arange(first, last + 1, dtype=np.int64)

    before = np.searchsorted(positions, frames + _SAME_FRAME, side="right") - 1
    before = np.clip(before, 0, len(positions) - 1)
    after = np.minimum(before + 1, len(positions) - 1)
    gap = np.where(after > before, positions[after] - positions[before], 1.0)
    weight = np.clip((frames - positions[before]) / gap, 0, 1)
    weight[np.abs(frames - positions[before]) < _SAME_FRAME] = 0
    return SceneSampling(frames, before, after, weight)
