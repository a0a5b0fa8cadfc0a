# SPDX-License-Identifier: GPL-3.0-or-later
"""One bone's skin shared out among several bones along it."""

from __future__ import annotations

import numpy as np

from .rig_from_arrays import RigArrays


def shared_along(rig: RigArrays, bone: str, nodes: dict[str, float]) -> dict[str, np.ndarray]:
    """Shares (V,) of new bones in what one bone holds.

    Args:
        rig: the figure with its own bones.
        bone: one of them.
        nodes: new bones, and where along the old one (0 head, 1 tail) they hold the skin alone.
    """
    number = rig.index(bone)
    head, along = rig.heads[number], rig.tails[number] - rig.heads[number]
    at = (rig.vertices - head) @ along / (along @ along)
    held = rig.weights[:, number]
    order = sorted(nodes, key=nodes.__getitem__)
    shares = hats(at, np.array([nodes[name] for name in order]))
    return {name: held * share for name, share in zip(order, shares.T, strict=True)}


def hats(at: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Shares (V, N) of nodes along a line: one at a node, none at its neighbours; rows sum to one."""
    return np.stack([np.interp(at, nodes, row) for row in np.eye(len(nodes))], axis=1)
