# SPDX-License-Identifier: Apache-2.0
"""BlazePose as a detector of several people, that follows each of them from frame to frame.

Searching whole pictures is slow and misses small or bent figures; reading a region in which a person is
known to be is quick and sure. So the whole picture is searched only in the last frame of each run of
frames (and in a shot's first). Who is found there is followed: onwards into the next run, and back to the
beginning of this one. In between, a person's region comes from the person's landmarks in the frame before,
moved on by the speed so far.

Identities are not decided here: a region that follows one person can slip to another when they cross.
:mod:`fasthmr.people.tracking` decides on all the detections of a shot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from fasthmr.people.detection import Detection
from fasthmr.people.pose_networks import LandmarkReader, PersonSearch, Reading, Region
from fasthmr.people.readings import is_explained, quality, same_person, to_detection

# The network's own score from which a person is followed (MediaPipe's default), and how much of a person
# it must look like: more to be taken up, less to be kept.
_MIN_SCORE: Final = 0.5
_MIN_PLAUSIBILITY_NEW: Final = 0.5
_MIN_PLAUSIBILITY_KNOWN: Final = 0.15
# Finds of the search are only proposals to read.
_MIN_PROPOSAL: Final = 0.3
# Smaller figures carry no pose that could be recovered: 24 pixels are three cells of the landmark maps.
_MIN_SIDE: Final = 24.0
# Smaller windows only enlarge pixels: nothing more is found in them.
_MIN_WINDOW: Final = 240
# Fine windows are many: every this many runs, all of a level have been searched.
_TURNS: Final = 4
# Frames for which a person who was lost is looked for in the last region.
_PATIENCE: Final = 8


@dataclass
class _Figure:
    """Somebody who is being followed."""

    reading: Reading
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    lost: int = 0

    def expected(self) -> Region:
        """Where to look in the next frame: further on for somebody lost, though ever more slowly."""
        region = self.reading.following
        step = self.velocity * sum(0.85**frame for frame in range(self.lost + 1))
        longest = 0.2 * region.side * (self.lost + 1)
        step = step * min(1.0, longest / max(longest, float(np.hypot(*step))))
        return replace(region, x=region.x + step[0], y=region.y + step[1])

    def seen(self, reading: Reading) -> None:
        """Take over what was read in the next frame."""
        before, now = self.reading.following, reading.following
        step = np.array([now.x - before.x, now.y - before.y]) / (self.lost + 1)
        self.velocity = 0.5 * (self.velocity + step)
        self.reading = reading
        self.lost = 0


class BlazePoseDetector:
    """Finds people, their landmarks and masks with BlazePose; a :class:`PersonDetector`.

    Args:
        bundle: the perception bundle; found by :func:`fasthmr.people.bundle.find_bundle` when left out.
        max_people: the largest are kept where there are more.
        threads: threads of the networks; the machine's cores, at most 4, when left out.

    Raises:
        MissingModel: the bundle or its runtime is missing or damaged.
    """

    def __init__(self, bundle: Path | None = None, max_people: int = 8, threads: int | None = None) -> None:
        from fasthmr.people.bundle import read_bundle  # here: the module is run as a program too

        search, landmarks = read_bundle(bundle)
        self._search = PersonSearch(search, threads)
        self._reader = LandmarkReader(landmarks, threads)
        self._max_people = max_people
        self._figures: list[_Figure] = []
        self._turn = 0

    def reset(self) -> None:
        """Forget everybody: the next frames belong to another shot."""
        self._figures = []
        self._turn = 0

    def close(self) -> None:
        """Forget everybody; nothing else is held."""
        self.reset()

    def detect(self, images: Sequence[np.ndarray], timestamps: Sequence[float]) -> list[list[Detection]]:
        """The people in the next frames of a shot (see :class:`PersonDetector`)."""
        del timestamps  # speeds are per frame here
        readings: list[list[Reading]] = []
        for position, image in enumerate(images):
            self._follow(image)
            if self._turn == 0 and position == 0 and len(images) > 1:
                self._figures = self._largest(self._newcomers(image, []))
            readings.append([figure.reading for figure in self._figures if not figure.lost])
        if images:
            newcomers = self._newcomers(images[-1], readings[-1])
            for newcomer in newcomers:
                readings[-1].append(newcomer.reading)
                for position, reading in self._backwards(newcomer, images, readings):
                    readings[position].append(reading)
            self._figures = self._largest(self._figures + newcomers)
            self._turn += 1
        return [
            [
                detection
                for reading in frame
                if (detection := to_detection(reading, (image.shape[1], image.shape[0]))) is not None
            ]
            for frame, image in zip(readings, images, strict=True)
        ]

    def _largest(self, figures: list[_Figure]) -> list[_Figure]:
        return sorted(figures, key=lambda figure: -figure.reading.following.side)[: self._max_people]

    def _follow(self, image: np.ndarray) -> None:
        """Read everybody who is being followed in the next frame."""
        found: list[tuple[float, _Figure, Reading]] = []
        for figure in self._figures:
            region = figure.expected()
            reading = self._read(image, region)
            if reading is not None:
                moved = (reading.following.x - region.x, reading.following.y - region.y)
                found.append((float(np.hypot(*moved)) / region.side, figure, reading))
        # Two regions that slipped onto one person: the better reading that had to jump less keeps it.
        found.sort(key=lambda entry: entry[0] - quality(entry[2]))
        kept: list[Reading] = []
        seen: list[_Figure] = []
        for _, figure, reading in found:
            if not any(same_person(reading, other) for other in kept):
                figure.seen(reading)
                kept.append(reading)
                seen.append(figure)
        for figure in self._figures:
            if figure not in seen:
                reading = self._look_around(image, figure, kept)
                if reading is None:
                    figure.lost += 1
                else:
                    figure.seen(reading)
                    kept.append(reading)
        height, width = image.shape[:2]
        self._figures = [
            figure
            for figure in self._figures
            if figure.lost <= _PATIENCE and _is_inside(figure.expected(), width, height)
        ]

    def _look_around(self, image: np.ndarray, figure: _Figure, known: Sequence[Reading]) -> Reading | None:
        """Search for somebody lost in two windows about as large as the person; every other frame only."""
        if figure.lost % 2:
            return None
        region = figure.expected()
        side = int(min(max(region.side, 64), *image.shape[:2]))
        for shift in (-0.3, 0.3):
            left = int(np.clip(region.x + shift * side - side / 2, 0, image.shape[1] - side))
            top = int(np.clip(region.y - side / 2, 0, image.shape[0] - side))
            for reading in self._find(image, (left, top, side), known):
                alike = 0.6 < reading.following.side / region.side < 1.67
                if alike and not any(same_person(reading, other) for other in known):
                    return reading
        return None

    def _backwards(
        self, newcomer: _Figure, images: Sequence[np.ndarray], readings: list[list[Reading]]
    ) -> list[tuple[int, Reading]]:
        """Follow somebody found in the last frame back to where the person was known or cannot be seen."""
        figure = _Figure(newcomer.reading)
        found: list[tuple[int, Reading]] = []
        for position in range(len(images) - 2, -1, -1):
            reading = self._read(images[position], figure.expected())
            if reading is None:
                figure.lost += 1
                if figure.lost > _PATIENCE:
                    break
                continue
            if any(same_person(reading, other) for other in readings[position]):
                break
            figure.seen(reading)
            found.append((position, reading))
            if position == len(images) - 2:
                newcomer.velocity = -figure.velocity
        return found

    def _read(self, image: np.ndarray, region: Region) -> Reading | None:
        """Read a region, twice if the person lies badly in it; None if there is nobody."""
        reading = self._reader.read(image, region)
        if not _fits(reading) and reading.score > 0.1:
            reading = self._reader.read(image, reading.following)
        return reading if _is_person(reading, _MIN_PLAUSIBILITY_KNOWN) else None

    def _newcomers(self, image: np.ndarray, known: Sequence[Reading]) -> list[_Figure]:
        """Search the picture for people who are not known yet.

        Figures that are small in the picture are too small for the search in all of it, so that it is
        searched in windows too. While somebody is known, the fine ones take turns; while nobody is, all of
        them are searched, and still finer ones take turns.
        """
        height, width = image.shape[:2]
        found: list[Reading] = []
        for level, windows in enumerate(search_windows(width, height)):
            if level == 3 and (known or found):
                break
            in_turns = level == 3 or (level == 2 and known)
            for window in windows[self._turn % _TURNS :: _TURNS] if in_turns else windows:
                found += self._find(image, window, (*known, *found))
        newcomers: list[Reading] = []
        for reading in sorted(found, key=quality, reverse=True):
            if not any(same_person(reading, other) for other in (*known, *newcomers)):
                newcomers.append(reading)
        return [_Figure(reading) for reading in newcomers]

    def _find(
        self, image: np.ndarray, window: tuple[int, int, int], known: Sequence[Reading]
    ) -> list[Reading]:
        """Search one window for people who are not explained by known ones."""
        left, top, side = window
        found: list[Reading] = []
        for _, proposal in self._search.find(image[top : top + side, left : left + side], _MIN_PROPOSAL):
            region = replace(proposal, x=proposal.x + left, y=proposal.y + top)
            if region.side < _MIN_SIDE or any(is_explained(region, one) for one in (*known, *found)):
                continue
            reading = self._settle(image, region)
            if reading is not None:
                found.append(reading)
        return found

    def _settle(self, image: np.ndarray, region: Region) -> Reading | None:
        """Read a proposal until the region lies well around the person."""
        for _ in range(4):
            reading = self._reader.read(image, region)
            if _fits(reading):
                return reading if _is_person(reading, _MIN_PLAUSIBILITY_NEW) else None
            region = reading.following
        return None


def search_windows(width: int, height: int) -> tuple[list[tuple[int, int, int]], ...]:
    """Windows to search an image in, coarse to fine: left, top and side of squares, pixels.

    The first level is the whole image; the others cover it with squares of its short side, of half and of
    a quarter of that. Neighbours overlap by half, so that nobody lies across an edge in all of them.
    """
    short, long = min(width, height), max(width, height)
    levels = [[(0, 0, long)]]
    for side in (short, short // 2, short // 4):
        lefts, tops = _starts(width, side), _starts(height, side)
        windows = [(left, top, side) for top in tops for left in lefts]
        levels.append(windows if len(windows) > 1 and side >= _MIN_WINDOW else [])
    return tuple(levels)


def _starts(length: int, side: int) -> list[int]:
    count = int(np.ceil((length - side) / (side / 2))) + 1 if length > side > 0 else 1
    return [round(at) for at in np.linspace(0, length - side, count)]


def _fits(reading: Reading) -> bool:
    """Whether the person lies in the region about as the network was trained to see people."""
    region, following = reading.region, reading.following
    moved = np.hypot(following.x - region.x, following.y - region.y) / region.side
    return bool(moved < 0.15 and 0.75 < following.side / region.side < 1.33)


def _is_person(reading: Reading, min_plausibility: float) -> bool:
    return (
        reading.score >= _MIN_SCORE
        and reading.following.side >= _MIN_SIDE
        and quality(reading) >= min_plausibility
    )


def _is_inside(region: Region, width: int, height: int) -> bool:
    """Whether the middle of a region lies in the image, or not far out of it."""
    slack = 0.3 * region.side
    return -slack < region.x < width + slack and -slack < region.y < height + slack
