# SPDX-License-Identifier: Apache-2.0
"""Held-out synthetic people as a calibration set, on which layers of our own network are merged."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from fasthmr.body import load_body
from fasthmr.encoder.config import EncoderConfig
from fasthmr.errors import BadCall
from fasthmr.training.calibration import CalibrationSet
from fasthmr.training.encoder_batches import PictureBatches

_SEED: Final = 54321  # other errors of the detector than the training's measurements


def people_calibration(folder: Path, config: EncoderConfig, count: int) -> CalibrationSet:
    """Crops, masks and landmarks with a detector's errors, and the true joints.

    Args:
        folder: of a set of synthetic people; those that are held out are taken.
        config: of the network.
        count: how many at most, evenly spread over the set.

    Raises:
        BadInput: there is no such set, or it has nobody who is held out.
        BadCall: the network does not read what such a set gives.
    """
    if not config.reads_proxies or not config.landmarks:
        raise BadCall("People (--people) are for networks that `fasthmr train encoder` made.")
    people = PictureBatches(folder, _SEED, held_out=True, channels=config.in_channels)
    rows = np.unique(np.linspace(0, len(people) - 1, count).round().astype(np.int64))
    batch = people.all_in_order(rows)
    joints, _ = load_body("open").joints(batch.rotations, batch.betas)
    assert batch.crops is not None  # noqa: S101 (for the type checker)
    assert batch.levels is not None  # noqa: S101
    return CalibrationSet(
        crops=batch.crops.float().numpy(),
        joints=joints.numpy(),
        protection=batch.levels.numpy(),
        landmarks=batch.landmarks.numpy(),
        description={"people": folder.name, "held_out": len(people), "taken": len(rows)},
    )
