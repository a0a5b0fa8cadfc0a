# SPDX-License-Identifier: Apache-2.0
"""Who is who from frame to frame, through crossings and short gaps.

Two steps, on all the detections of a shot. First, detections of neighbouring frames are joined where there
is no doubt (Hungarian assignment; cost: distance of the landmarks from where they are expected, and
difference of the clothes' colours). Where two people compete for one detection, both pieces end there: a
wrong join cannot be undone later. Then the pieces are linked, where one ends and another begins, so that
the links are the cheapest all in all: by motion across short gaps, and by colours more and more the longer
the gap is.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from fasthmr.people import appearance
from fasthmr.people.detection import Detection
from fasthmr.people.landmarks import LANDMARK_MIRROR
from fasthmr.people.plausibility import LIMB_LANDMARKS, plausibility

# A person must be seen this often and this long; there is no motion to recover in less.
MIN_FRAMES: Final = 5
MIN_SECONDS: Final = 0.3
# What is followed and hardly looks like a person, or only now and then, is a thing. Measured: people 0.63
# and more (upper bodies only: 0.64), a table's foot 0.35-0.45. Short tracks must be surer.
_MIN_PLAUSIBILITY: Final = 0.45
_MIN_PLAUSIBILITY_SHORT: Final = 0.55
_SHORT_SECONDS: Final = 1.0
# Joining frame to frame: the dearest join, and how much dearer the other way round must be to be sure.
_MAX_JOIN: Final = 0.75
_MIN_MARGIN: Final = 0.12
_LONGEST_SILENCE: Final = 0.25
# Linking pieces: the dearest link and the longest gap, seconds.
_MAX_LINK: Final = 1.0
_LONGEST_GAP: Final = 2.0
_MIRROR: Final = np.array(LANDMARK_MIRROR)


@dataclass(frozen=True)
class Sighting:
    """One person in one frame.

    Args:
        frame: position of the frame in the whole clip.
        time: seconds.
        detection: what the detector found.
        colours: (7, 3), see :func:`fasthmr.people.appearance.describe`.
        picture: a thumbnail as JPEG, in some frames.
    """

    frame: int
    time: float
    detection: Detection
    colours: np.ndarray
    picture: bytes | None = None

    @functools.cached_property
    def center(self) -> np.ndarray:
        """(2,) middle of the limbs, pixels."""
        return self.detection.landmarks_image[LIMB_LANDMARKS, :2].mean(0)

    @functools.cached_property
    def size(self) -> float:
        """The larger side of the box, pixels: a figure that bends does not become another one."""
        box = self.detection.box
        return max(1.0, float(box[3] - box[1]), float(box[2] - box[0]))


@dataclass
class _Piece:
    """Sightings that surely are one person; in order of time."""

    sightings: list[Sighting]
    colours: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def first(self) -> Sighting:
        return self.sightings[0]

    @property
    def last(self) -> Sighting:
        return self.sightings[-1]

    def velocity(self, at_end: bool, span: float = 0.3) -> np.ndarray:
        """(2,) pixels a second of the limbs' centre, over the last (or first) third of a second."""
        ordered = self.sightings[::-1] if at_end else self.sightings
        near = [one for one in ordered[:30] if abs(one.time - ordered[0].time) <= span]
        if len(near) < 2 or abs(near[-1].time - near[0].time) < 0.06:
            return np.zeros(2)
        times = np.array([one.time for one in near])
        centers = np.array([one.center for one in near])
        times = times - times.mean()
        return (times @ centers) / float(times @ times)


def track_shot(
    frames: Sequence[Sequence[Sighting]], times: Sequence[float], log: Callable[[str], None] | None = None
) -> list[list[Sighting]]:
    """The people of one shot.

    Args:
        frames: the sightings of each frame, in order of time.
        times: seconds, of the same frames.
        log: is told about what was seen and left out.

    Returns:
        The sightings of each person, in order of time.
    """
    pieces = _link(_split_where_people_meet(_join(frames)))
    kept = []
    for piece in pieces:
        reason = _reason_to_drop(piece.sightings, np.asarray(times))
        if reason is None:
            kept.append(piece.sightings)
        elif log is not None:
            span = f"{piece.first.frame}-{piece.last.frame}"
            log(f"Left out: somebody or something in frames {span} ({reason}).")
    return kept


def _reason_to_drop(sightings: Sequence[Sighting], times: np.ndarray) -> str | None:
    """Why a track is no person's; None if it is one's.

    Args:
        sightings: the track.
        times: (N,) seconds, all frames of the shot in which anybody was looked for.
    """
    first, last = sightings[0].time, sightings[-1].time
    if len(sightings) < MIN_FRAMES or last - first < MIN_SECONDS:
        return f"seen in {len(sightings)} frames only"
    likeness = float(
        np.median(
            [
                plausibility(one.detection.score, one.detection.visibility, one.detection.landmarks_world)
                for one in sightings
            ]
        )
    )
    likeness *= len(sightings) / np.count_nonzero((times >= first) & (times <= last))
    if likeness < (_MIN_PLAUSIBILITY if last - first >= _SHORT_SECONDS else _MIN_PLAUSIBILITY_SHORT):
        return f"does not look like a person, {likeness:.2f}"
    return None


def _join(frames: Sequence[Sequence[Sighting]]) -> list[_Piece]:
    """Join the sightings of neighbouring frames where there is no doubt."""
    done: list[_Piece] = []
    active: list[_Piece] = []
    for sightings in frames:
        if not sightings:
            continue
        now = sightings[0].time
        done += [piece for piece in active if now - piece.last.time > _LONGEST_SILENCE]
        active = [piece for piece in active if now - piece.last.time <= _LONGEST_SILENCE]
        costs = np.array([[_join_cost(piece, one) for one in sightings] for piece in active])
        pairs = sure_pairs(costs.reshape(len(active), len(sightings)))
        going_on = []
        for row, column in pairs:
            active[row].sightings.append(sightings[column])
            going_on.append(active[row])
        joined = {row for row, _ in pairs}
        taken = {column for _, column in pairs}
        # A piece that lost a contested sighting ends too: whoever takes up there later is decided by linking.
        contested: np.ndarray = (
            np.any(costs < _MAX_JOIN, axis=1) if costs.size else np.zeros(len(active), bool)
        )
        for row, piece in enumerate(active):
            if row not in joined:
                (done if contested[row] else going_on).append(piece)
        active = going_on + [_Piece([one]) for column, one in enumerate(sightings) if column not in taken]
    return done + active


def sure_pairs(costs: np.ndarray) -> list[tuple[int, int]]:
    """The pairs of an assignment that no other assignment comes close to.

    Args:
        costs: (pieces, sightings); pairs from :data:`_MAX_JOIN` on are impossible.
    """
    if not costs.size:
        return []
    bounded = np.minimum(costs, _MAX_JOIN)
    rows, columns = linear_sum_assignment(bounded)
    pairs = []
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        cost = costs[row, column]
        if cost >= _MAX_JOIN:
            continue
        margin = np.inf
        for other_row, other_column in zip(rows.tolist(), columns.tolist(), strict=True):
            if other_row != row:  # the two change places
                swapped = bounded[row, other_column] + bounded[other_row, column]
                margin = min(margin, swapped - cost - bounded[other_row, other_column])
        for other_row in set(range(len(costs))) - set(rows.tolist()):  # a piece that came off empty-handed
            margin = min(margin, bounded[other_row, column] - cost)
        if margin >= _MIN_MARGIN:
            pairs.append((row, column))
    return pairs


def _join_cost(piece: _Piece, sighting: Sighting) -> float:
    """0..1, how unlikely a sighting goes on with a piece a moment later."""
    smaller, size = sorted((piece.last.size, sighting.size))
    elapsed = sighting.time - piece.last.time
    step = piece.velocity(at_end=True) * elapsed
    expected = piece.last.detection.landmarks_image[LIMB_LANDMARKS, :2] + step
    # Mixed-up sides are no other person.
    distance = min(
        float(np.linalg.norm(sighting.detection.landmarks_image[order, :2] - expected, axis=1).mean())
        for order in (LIMB_LANDMARKS, _MIRROR[LIMB_LANDMARKS])
    )
    motion = distance / (size * (0.25 + 1.0 * elapsed))
    colours = appearance.difference(piece.last.colours, sighting.colours)
    return 0.7 * min(1.0, motion) + 0.3 * colours + (0.3 if smaller < 0.4 * size else 0.0)


def _split_where_people_meet(pieces: list[_Piece]) -> list[_Piece]:
    """End pieces where another one ends or begins upon them.

    When one of two people who cross disappears behind the other, the one who is left may be either:
    what is read there can slip from one to the other without a jump. Linking decides anew.
    """
    split: list[_Piece] = []
    for piece in pieces:
        cuts: set[int] = set()
        times = np.array([one.time for one in piece.sightings])
        for other in pieces:
            if other is piece:
                continue
            # Where the other one ends, this one goes on behind (+1); where it begins, from there (0).
            for event, offset in ((other.last, 1), (other.first, 0)):
                at = int(np.searchsorted(times, event.time + (1e-9 if offset else 0.0)))
                if 0 < at < len(times) and _touch(event, piece.sightings[at - offset]):
                    cuts.add(at)
        edges = [0, *sorted(cuts), len(times)]
        split += [_Piece(piece.sightings[a:b]) for a, b in itertools.pairwise(edges)]
    return split


def _touch(a: Sighting, b: Sighting) -> bool:
    """Whether a good part of the smaller box, with some room around both, lies in the other one."""
    room = 0.15 * max(a.size, b.size) * np.array([-1, -1, 1, 1])
    box_a, box_b = a.detection.box + room, b.detection.box + room
    low, high = np.maximum(box_a[:2], box_b[:2]), np.minimum(box_a[2:], box_b[2:])
    common = float(np.prod(np.clip(high - low, 0, None)))
    return common > 0.2 * float(min(np.prod(box_a[2:] - box_a[:2]), np.prod(box_b[2:] - box_b[:2])))


def _link(pieces: list[_Piece]) -> list[_Piece]:
    """Link pieces of one person, so that the links are the cheapest all in all (sparse assignment)."""
    for piece in pieces:
        sample = piece.sightings[:: max(1, len(piece.sightings) // 50)]
        piece.colours = appearance.typical(np.stack([one.colours for one in sample]))
    pieces.sort(key=lambda piece: piece.first.time)
    count = len(pieces)
    if count < 2:
        return pieces
    # Column j < count: followed by piece j; column count + i: piece i has no follower.
    rows, columns, costs = list(range(count)), list(range(count, 2 * count)), [_MAX_LINK] * count
    starts = np.array([piece.first.time for piece in pieces])
    for i, earlier in enumerate(pieces):
        begin = int(np.searchsorted(starts, earlier.last.time, side="right"))
        end = int(np.searchsorted(starts, earlier.last.time + _LONGEST_GAP, side="right"))
        for j in range(begin, end):
            cost = _link_cost(earlier, pieces[j], float(starts[j] - earlier.last.time))
            if cost < _MAX_LINK:
                rows.append(i)
                columns.append(j)
                costs.append(max(cost, 1e-6))
    graph = csr_matrix((costs, (rows, columns)), shape=(count, 2 * count))
    matched, partners = min_weight_full_bipartite_matching(graph)
    follower = {int(i): int(j) for i, j in zip(matched, partners, strict=True) if j < count}
    linked = []
    for i in sorted(set(range(count)) - set(follower.values())):
        sightings = list(pieces[i].sightings)
        while i in follower:
            i = follower[i]
            sightings += pieces[i].sightings
        linked.append(_Piece(sightings))
    return linked


def _link_cost(earlier: _Piece, later: _Piece, gap: float) -> float:
    """How unlikely it is that one piece goes on with another; below one is likely enough.

    Motion is carried on from both ends to the middle of the gap, and trusted less the longer it is.
    """
    smaller, size = sorted((earlier.last.size, later.first.size))
    carried = min(gap, 0.6)  # nobody runs straight on for longer without being seen
    forward = earlier.last.center + earlier.velocity(at_end=True) * carried / 2
    backward = later.first.center - later.velocity(at_end=False) * carried / 2
    distance = float(np.hypot(*(forward - backward))) / size
    motion = distance / (0.35 + 0.9 * gap)
    colours = appearance.difference(earlier.colours, later.colours)
    resized = float(np.log(size / smaller))
    return 0.5 * motion + (1.2 + 0.8 * min(1.0, gap)) * colours + 0.3 * resized + 0.15 * gap
