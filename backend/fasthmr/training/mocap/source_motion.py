# SPDX-License-Identifier: Apache-2.0
"""What every reader of motion capture gives: where the joints of some skeleton were, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SourceMotion:
    """A clip as it was captured, on the skeleton that it was captured with.

    The twist of bones is not comparable between skeletons (each has rest poses and bone axes of its own);
    joint positions are, so these are what everything after a reader uses.

    Attributes:
        name: of the clip, unique in a set: its path without ending.
        skeleton: which naming of joints it has: "cmu_asf", "cmu_expmap", "acrnn_bvh", "cc_base",
            "deepmimic", or "smpl" for AMASS.
        frame_rate: frames per second, as it is (not as a wrong header says).
        joint_names: J names, the source's own.
        parents: (J,) int, -1 for the root; a parent comes before its children.
        positions: (T, J, 3) float32 joints in metres; right-handed world, z up; the floor is not known.
        subject: number of the captured person, where it is known.
        trial: number of the trial, where it is known.
        label: what is done, in a word, where it is known.
        rotations: (T, 24, 3, 3) float32, SMPL's own rotations (root in the world) for sources that have
            them (AMASS); None elsewhere.
        end_points: names of joints that are ends of bones only (finger tips, top of the head, toe tips).
    """

    name: str
    skeleton: str
    frame_rate: float
    joint_names: tuple[str, ...]
    parents: np.ndarray
    positions: np.ndarray
    subject: int | None = None
    trial: int | None = None
    label: str = ""
    rotations: np.ndarray | None = None
    end_points: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        count = len(self.joint_names)
        if self.positions.ndim != 3 or self.positions.shape[1:] != (count, 3):
            raise ValueError(f"{self.name}: positions {self.positions.shape} for {count} joints")
        if self.parents.shape != (count,) or (self.parents >= np.arange(count)).any():
            raise ValueError(f"{self.name}: a parent must come before its children")

    @property
    def frame_count(self) -> int:
        """Number of frames T."""
        return len(self.positions)

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return self.frame_count / self.frame_rate
