# SPDX-License-Identifier: GPL-3.0-or-later
"""A rig's bones as a tree of points, and the plane in which one half mirrors the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from .mapping import RigBone

_NEAR: Final = 0.03  # mirror images stand this close together, as a share of the figure's size
_OFF_CENTRE: Final = 0.012
_CONNECTED: Final = 0.02
_PREFERRED: Final = 1.3  # a child that begins where its parent ends goes on with the limb


@dataclass(frozen=True)
class Branch:
    """A bone with all that hangs on it.

    Attributes:
        bone: its number.
        path: numbers of the bones along its longest way, itself first.
        joints: (P + 1, 3) the heads along that way, and the last tail.
        centre: (3,) mean of all points of the branch.
        count: number of its bones.
    """

    bone: int
    path: tuple[int, ...]
    joints: np.ndarray
    centre: np.ndarray
    count: int

    @property
    def lengths(self) -> np.ndarray:
        """(P,) from joint to joint."""
        return np.linalg.norm(np.diff(self.joints, axis=0), axis=1)


class Shape:
    """The tree of bones, in units of its own size.

    Attributes:
        names: (N) of the bones.
        parents: (N,) numbers; -1 for roots.
        children: (N) lists of numbers.
        heads: (N, 3)
        tails: (N, 3)
        side: 0, 1 or 2: the axis that points to the figure's side.
        middle: where the plane of symmetry cuts it.
    """

    def __init__(self, bones: Sequence[RigBone]) -> None:
        self.names = [bone.name for bone in bones]
        number = {name: index for index, name in enumerate(self.names)}
        self.parents = [number.get(bone.parent, -1) for bone in bones]
        self.children: list[list[int]] = [[] for _ in bones]
        for index, parent in enumerate(self.parents):
            if parent >= 0:
                self.children[parent].append(index)
        self.heads = np.array([bone.head for bone in bones], dtype=float)
        self.tails = np.array([bone.tail for bone in bones], dtype=float)
        self.size = max(float(np.ptp(self.heads, axis=0).max()), 1e-9)
        self.heads /= self.size
        self.tails /= self.size
        self.side, self.middle = self._mirror()
        self._ways: dict[int, tuple[float, tuple[int, ...]]] = {}
        self._branches: dict[int, Branch] = {}

    def _mirror(self) -> tuple[int, float]:
        """The axis along which one half mirrors the other."""
        best, found = -np.inf, (0, 0.0)
        for axis in range(3):
            places = {float(np.median(self.heads[:, axis])), 0.0}
            for middle in places:
                off = np.abs(self.heads[:, axis] - middle) > _OFF_CENTRE
                images = self.heads[off].copy()
                images[:, axis] = 2 * middle - images[:, axis]
                away = np.linalg.norm(images[:, None] - self.heads[None], axis=-1).min(axis=1, initial=np.inf)
                matched = int((away < _NEAR).sum())
                value = 2 * matched - off.sum()
                if value > best:
                    best, found = value, (axis, middle)
        return found

    def above(self, bone: int) -> list[int]:
        """A bone and all above it, the root last."""
        line = []
        while bone >= 0 and len(line) <= len(self.names):
            line.append(bone)
            bone = self.parents[bone]
        return line

    def offset(self, point: np.ndarray) -> float:
        """How far to the side a point is, signed."""
        return float(point[self.side] - self.middle)

    def branch(self, bone: int) -> Branch:
        """What hangs on a bone."""
        if bone not in self._branches:
            self._branches[bone] = self._grown(bone)
        return self._branches[bone]

    def _grown(self, bone: int) -> Branch:
        points, count = np.zeros(3), 0
        todo = [bone]
        while todo:
            index = todo.pop()
            points += self.heads[index] + self.tails[index]
            count += 1
            todo += self.children[index]
        path = self._longest(bone)[1]
        joints = np.stack([*(self.heads[index] for index in path), self.tails[path[-1]]])
        return Branch(bone, path, joints, points / (2 * count), count)

    def _longest(self, bone: int) -> tuple[float, tuple[int, ...]]:
        """The longest way down from a bone: its length, and its bones."""
        if bone in self._ways:
            return self._ways[bone]
        best: tuple[float, tuple[int, ...]] = (
            float(np.linalg.norm(self.tails[bone] - self.heads[bone])),
            (bone,),
        )
        ways = []
        for child in self.children[bone]:
            length, path = self._longest(child)
            step = float(np.linalg.norm(self.heads[child] - self.heads[bone]))
            connected = np.linalg.norm(self.heads[child] - self.tails[bone]) < _CONNECTED
            ways.append(((step + length) * (_PREFERRED if connected else 1.0), step + length, path))
        if ways:
            _, length, path = max(ways)
            best = (length, (bone, *path))
        self._ways[bone] = best
        return best

    def pairs(self, bone: int) -> list[tuple[Branch, Branch]]:
        """Pairs of branches at a bone of which one mirrors the other; the longest first."""
        branches = [self.branch(child) for child in self.children[bone]]
        pairs = []
        for one in branches:
            if self.offset(one.centre) <= _OFF_CENTRE:
                continue
            image = one.centre.copy()
            image[self.side] = 2 * self.middle - image[self.side]
            others = [
                (float(np.linalg.norm(other.centre - image)) + 0.01 * abs(other.count - one.count), index)
                for index, other in enumerate(branches)
                if self.offset(other.centre) < -_OFF_CENTRE
            ]
            if others and min(others)[0] < 2 * _NEAR:
                pairs.append((one, branches[min(others)[1]]))
        return sorted(pairs, key=lambda pair: -(pair[0].lengths.sum() + pair[1].lengths.sum()))
