# SPDX-License-Identifier: Apache-2.0
"""Which feet stand still, told from the image alone.

A foot that does not move in the picture of a camera that stands still does not move at all: motion
straight along the line of sight is the one exception, and rare. A moving camera moves every foot in
the picture, so that this evidence then vanishes by itself.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from fasthmr.decoder.landmark_fit.correspondence import LandmarkModel
from fasthmr.decoder.landmark_fit.objective import Targets
from fasthmr.decoder.landmark_fit.trajectory import smooth_trajectory
from fasthmr.people.landmarks import LANDMARK_NAMES

_FEET: Final = ("heel", "foot_index")

# The detector's jitter on a foot (metres at the person's depth) and what feet do (m/s²): what the
# tracks are smoothed by before their speed is taken.
_JITTER: Final = 0.02
_ACCELERATION: Final = 15.0
# Speed in m/s at which a foot counts as standing by 1/e.
_STILL_SPEED: Final = 0.25


def standing_feet(targets: Targets, depth: Tensor, marks: LandmarkModel) -> Tensor:
    """How far each landmark of the feet stands still.

    Args:
        targets: the evidence, T frames.
        depth: (T,) metres to the person, to turn pixels into metres.
        marks: the landmarks in use.

    Returns:
        (T, K) in 0..1; 0 for landmarks that are not of the feet, and for those hardly seen.
    """
    still = torch.zeros_like(targets.weights)
    times = targets.timestamps.numpy()
    if len(times) < 3:
        return still
    metres_per_pixel = (depth / targets.intrinsics[0, 0]).numpy()
    for place, index in enumerate(marks.indices.tolist()):
        if not LANDMARK_NAMES[index].endswith(_FEET):
            continue
        weights = targets.weights[:, place].numpy()
        track = smooth_trajectory(
            targets.pixels[:, place].numpy(),
            times,
            weights,
            _JITTER / metres_per_pixel,
            _ACCELERATION / float(np.median(metres_per_pixel)),
        )
        speed = np.linalg.norm(np.gradient(track, times, axis=0), axis=1) * metres_per_pixel
        still[:, place] = torch.from_numpy(np.exp(-np.square(speed / _STILL_SPEED)) * weights)
    return still
