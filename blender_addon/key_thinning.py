# SPDX-License-Identifier: GPL-3.0-or-later
"""Fewer keys: as few as keep the motion within a stated bound at every frame.

All curves of a bone are keyed at the same frames, so that a pose can be taken hold of. A key's tangent is
taken from the motion around it, not from the neighbouring keys, and its handles reach a third of the way to
them; Blender's Bezier curve is a cubic in time then, which can be written down here. Quaternions are
interpolated number by number and brought to length 1 afterwards, as Blender does when it poses a bone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Interpolation = Literal["BEZIER", "LINEAR"]

_STRETCH = 256
"""Frames that one search goes through: stretches are searched side by side, for speed."""

_MARGIN = 0.99
"""Share of the bound that is searched with; the rest is for the rounding of the numbers in Blender's keys."""


@dataclass(frozen=True)
class BoneCurves:
    """The curves of all bones at consecutive frames.

    Attributes:
        quats: (T, B, 4) unit quaternions without changes of sign from frame to frame.
        locations: (T, 3) of the first bone; the others have none.
        cyclic: the last frame is the first one of the next round.
    """

    quats: np.ndarray
    locations: np.ndarray
    cyclic: bool = False


@dataclass(frozen=True)
class ThinnedKeys:
    """Which frames are keyed, and what that costs.

    Attributes:
        keys: for each bone the indices of its keys, increasing, the first and the last frame among them.
        quat_slopes: (T, B, 4) tangents of the quaternions, per frame; zeros for straight lines.
        location_slopes: (T, 3) tangents of the locations, per frame, likewise.
        degrees: the farthest that any bone's rotation is from the motion at any frame.
        metres: the farthest that the first bone's location is from the motion at any frame.
    """

    keys: tuple[np.ndarray, ...]
    quat_slopes: np.ndarray
    location_slopes: np.ndarray
    degrees: float
    metres: float

    @property
    def count(self) -> int:
        """Keys of all bones together; a bone's key at a frame is one, however many curves it has."""
        return sum(map(len, self.keys))


def thin_keys(curves: BoneCurves, degrees: float, metres: float, interpolation: Interpolation) -> ThinnedKeys:
    """Choose the fewest keys, near enough, from which Blender interpolates the motion within the bounds.

    From each key on, the next one is placed as far away as the bounds allow (found by doubling the distance
    and halving the step). That gives the least number when a part of a span that fits fits too; where it
    does not, and where two stretches meet, some keys more than the least are kept.

    Args:
        curves: the motion.
        degrees: bound for each bone's rotation about its parent, at every frame.
        metres: bound for the first bone's location, at every frame.
        interpolation: what Blender does between keys.
    """
    rows = _Rows(curves, interpolation)
    fits = _Fits(rows, np.radians(degrees) * _MARGIN, metres * _MARGIN)
    is_key = _searched_stretches(fits, rows.frames, rows.bones)
    _join_stretches(fits, is_key)
    keys = tuple(np.flatnonzero(of_bone) for of_bone in is_key)
    reached = [rows.errors(np.full(len(key) - 1, bone), key[:-1], key[1:]) for bone, key in enumerate(keys)]
    return ThinnedKeys(
        keys,
        rows.quat_slopes.reshape(rows.bones, rows.frames, 4).swapaxes(0, 1),
        rows.location_slopes,
        float(np.degrees(max(angles.max(initial=0) for _, angles, _ in reached))),
        float(max(distances.max(initial=0) for _, _, distances in reached)),
    )


def slopes(values: np.ndarray, cyclic: bool = False, side: np.ndarray | float = 1.0) -> np.ndarray:
    """Tangents per frame of values (T, ...): of a parabola through five frames, two on either side.

    Beyond the ends the motion goes on as it was there or, if it is cyclic, with the other end's steps.

    Args:
        values: one row a frame.
        cyclic: the last frame is the first one of the next round.
        side: -1 for quaternions that are on the other side at the last frame, having gone once around; of a
            shape that broadcasts to a frame's.
    """
    if len(values) == 1:
        return np.zeros_like(values)
    steps = np.diff(values, axis=0)
    before, after = (steps[:1], steps[:1]), (steps[-1:], steps[-1:])
    if cyclic and len(steps) > 1:
        before, after = (side * steps[-2:-1], side * steps[-1:]), (side * steps[:1], side * steps[1:2])
    steps = np.concatenate([*before, steps, *after])
    return (2 * steps[:-3] + 3 * steps[1:-2] + 3 * steps[2:-1] + 2 * steps[3:]) / 10


class _Rows:
    """The motion bone by bone, one row a frame, and what interpolation makes of spans of it."""

    def __init__(self, curves: BoneCurves, interpolation: Interpolation):
        self.true_quats = np.ascontiguousarray(np.swapaxes(curves.quats, 0, 1), np.float64).reshape(-1, 4)
        self.true_locations = np.asarray(curves.locations, np.float64)
        # what Blender's keys can hold
        quats = np.asarray(curves.quats).astype(np.float32).astype(np.float64)
        self.locations = self.true_locations.astype(np.float32).astype(np.float64)
        self.frames, self.bones = quats.shape[:2]
        self._bent = interpolation == "BEZIER"
        quat_slopes = np.zeros_like(quats)
        self.location_slopes = np.zeros_like(self.locations)
        if self._bent:
            side = np.where(np.sum(quats[0] * quats[-1], axis=-1, keepdims=True) < 0, -1.0, 1.0)
            quat_slopes = slopes(quats, curves.cyclic, side)
            self.location_slopes = slopes(self.locations, curves.cyclic)
        self.quats = np.ascontiguousarray(quats.swapaxes(0, 1)).reshape(-1, 4)
        self.quat_slopes = np.ascontiguousarray(quat_slopes.swapaxes(0, 1)).reshape(-1, 4)

    def errors(
        self, bone: np.ndarray, start: np.ndarray, end: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How far interpolation is from the motion at the frames between.

        Args:
            bone: (S,) whose span.
            start: (S,) frame of its first key.
            end: (S,) frame of its second key.

        Returns:
            (R,) span of each frame between, (R,) angles in radians, (R,) distances (0 but for bone 0).
        """
        inside = end - start - 1
        span = np.repeat(np.arange(len(inside)), inside)
        step = np.arange(len(span)) - np.repeat(np.cumsum(inside) - inside, inside) + 1
        length = (end - start)[span]
        share = step / length
        offset = bone[span] * self.frames
        first, last, here = start[span] + offset, end[span] + offset, start[span] + step + offset
        weights = self._weights(share, length)
        mixed = self._mixed(self.quats, self.quat_slopes, first, last, weights)
        # from the sine, which is exact for small angles as the cosine is not
        along = np.abs(np.einsum("ri,ri->r", mixed, self.true_quats[here]))
        square = np.einsum("ri,ri->r", mixed, mixed)
        angles = 2 * np.arctan2(np.sqrt(np.maximum(square - along**2, 0)), along)
        distances = np.zeros(len(span))
        (root,) = np.nonzero(bone[span] == 0)
        if len(root):
            place = self._mixed(
                self.locations,
                self.location_slopes,
                first[root],
                last[root],
                [weight[root] for weight in weights],
            )
            distances[root] = np.linalg.norm(place - self.true_locations[here[root]], axis=-1)
        return span, angles, distances

    def _weights(self, share: np.ndarray, length: np.ndarray) -> list[np.ndarray]:
        """Shares of both keys' values, and of their tangents where there are any."""
        if not self._bent:
            return [1 - share, share]
        rest = 1 - share
        return [
            rest**2 * (1 + 2 * share),
            share**2 * (1 + 2 * rest),
            length * share * rest**2,
            -length * share**2 * rest,
        ]

    def _mixed(
        self,
        values: np.ndarray,
        tangents: np.ndarray,
        first: np.ndarray,
        last: np.ndarray,
        weights: list[np.ndarray],
    ) -> np.ndarray:
        mixed = values[first] * weights[0][:, None] + values[last] * weights[1][:, None]
        if self._bent:
            mixed += tangents[first] * weights[2][:, None] + tangents[last] * weights[3][:, None]
        return mixed


@dataclass(frozen=True)
class _Fits:
    """Whether interpolation over a span stays within the bounds."""

    rows: _Rows
    angle: float
    distance: float

    def __call__(self, bone: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        span, angles, distances = self.rows.errors(bone, start, end)
        beyond = (angles > self.angle) | (distances > self.distance)
        return np.bincount(span[beyond], minlength=len(bone)) == 0


def _searched_stretches(fits: _Fits, frames: int, bones: int) -> np.ndarray:
    """Keys (B, T) found in all stretches of all bones side by side; the stretches' borders are keys."""
    is_key = np.zeros((bones, frames), bool)
    borders = np.arange(0, max(frames - 1, 1), _STRETCH)
    is_key[:, borders] = is_key[:, -1] = True
    bone, key = (grid.ravel() for grid in np.meshgrid(np.arange(bones), borders, indexing="ij"))
    limit = np.minimum(key + _STRETCH, frames - 1)
    near = np.minimum(key + 1, limit)  # the farthest that is known to fit
    far = limit + 1  # the nearest that is known not to, or else beyond the limit
    while True:
        going_on = key < limit
        bone, key, limit, near, far = (each[going_on] for each in (bone, key, limit, near, far))
        if not len(key):
            return is_key
        unbounded = far > limit
        next_key = np.where(unbounded, np.minimum(key + 2 * (near - key), limit), (near + far) // 2)
        good = fits(bone, key, next_key)
        near, far = np.where(good, next_key, near), np.where(good, far, next_key)
        found = (near + 1 >= far) | (near == limit)
        is_key[bone[found], near[found]] = True
        key = np.where(found, near, key)
        far = np.where(found, limit + 1, far)
        near = np.where(found, np.minimum(key + 1, limit), near)


def _join_stretches(fits: _Fits, is_key: np.ndarray) -> None:
    """Take out needless borders: among every other one, then among every other one of the rest, and so on."""
    bones, frames = is_key.shape
    distance = _STRETCH
    while distance < frames - 1:
        borders = np.arange(distance, frames - 1, 2 * distance)
        bone, border = (grid.ravel() for grid in np.meshgrid(np.arange(bones), borders, indexing="ij"))
        keys = np.flatnonzero(is_key)  # of one bone after the other, each from its first to its last frame
        place = np.searchsorted(keys, bone * frames + border)
        before, after = keys[place - 1] - bone * frames, keys[place + 1] - bone * frames
        needless = fits(bone, before, after)
        is_key[bone[needless], border[needless]] = False
        distance *= 2
