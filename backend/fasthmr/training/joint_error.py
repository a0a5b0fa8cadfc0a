# SPDX-License-Identifier: Apache-2.0
"""The error by which layers are chosen, measured: how far joints are off, in millimetres.

On labelled crops it is the MPJPE (``mpjpe_mm``). On footage that nobody labelled it is the distance from what
the original network says of the same crops (``difference_mm``), which is zero for the original.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from fasthmr.body import BodyModel
from fasthmr.encoder.layer_merging import TrialLayers
from fasthmr.encoder.layer_plan import Groups, Variant, recipe
from fasthmr.encoder.model import HMRModel
from fasthmr.training.calibration import CalibrationSet, mean_distance_mm
from fasthmr.training.repeated_runs import RepeatedRuns

MPJPE: Final = "mpjpe_mm"
DIFFERENCE: Final = "difference_mm"


def metric_of(data: CalibrationSet) -> str:
    """Which of the two is measured on a set."""
    return DIFFERENCE if data.joints is None else MPJPE


class JointError:
    """Measures a network with its layers merged this way and that.

    Args:
        model: the original network; token merging, if any, is on in it as well, so that only what layers do
            is measured.
        trials: exchanges its layers.
        data: the crops.
        body: gives joints for rotations and shapes, on the CPU.
        batch: crops at a time.
        done: called with the number of crops done within a measurement; may raise to stop.
    """

    def __init__(
        self,
        model: HMRModel,
        trials: TrialLayers,
        data: CalibrationSet,
        body: BodyModel,
        batch: int,
        done: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._runs = RepeatedRuns(model, data, batch)
        self._trials, self._body, self._done = trials, body, done
        # Of the network as it came: where the first layers are the same, the rest alone runs again.
        self._original = self._joints(0)
        truth = data.joints
        self._wanted = self._original if truth is None else torch.from_numpy(truth)
        self.baseline = mean_distance_mm(self._original, self._wanted)

    def __call__(self, groups: Groups, variant: Variant) -> float:
        """The error with layers merged, millimetres; not finite if the network gives no numbers."""
        with self._trials.merged(groups, variant):
            return mean_distance_mm(self._joints(same_layers(groups, variant)), self._wanted)

    def _joints(self, same: int) -> Tensor:
        return self._body.joints(*self._runs.run(same, self._done))[0]


def same_layers(groups: Groups, variant: Variant) -> int:
    """How many of a network's first layers are the original ones."""
    same = 0
    for layer, made in enumerate(recipe(groups, variant)):
        if made != str(layer):
            break
        same += 1
    return same
