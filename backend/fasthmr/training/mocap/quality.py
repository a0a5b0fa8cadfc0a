# SPDX-License-Identifier: Apache-2.0
"""Finds what is broken in captured motion, so that only the sound spans are learned from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fasthmr.training.mocap.fit_skeleton import FittedMotion
from fasthmr.training.mocap.floor import spans
from fasthmr.training.mocap.packed import FRAME_RATE
from fasthmr.training.mocap.source_motion import SourceMotion

# Shorter sound spans are not worth a window, frames at 30 a second.
SHORTEST: Final = 20

_BONE_CHANGE: Final = 0.03  # metres from a bone's usual length
_BONE_SHARE: Final = 0.15  # of it; whichever is more
# A joint cannot be elsewhere in the next frame: a step this much faster than one beside it, m/s,
# and at least this far, metres.
_JUMP_SPEED: Final = 12.0
_JUMP: Final = 0.06
_ACCELERATION: Final = 700.0  # m/s², at 30 frames a second, of any joint
_TRUNK_ACCELERATION: Final = 120.0  # of the middle of the body
_FIT_ERROR: Final = 0.05  # metres, mean over the anchors of a frame
_TURN_SPEED: Final = 45.0  # rad/s of a joint in its parent
_MARGIN: Final = 2  # frames around what is broken are thrown out with it

REASONS: Final = {
    "not finite": "numbers that are not finite",
    "bone": "a bone changes its length",
    "jump": "joints jump from one frame to the next (also from a T-pose into the motion)",
    "acceleration": "accelerations that nobody survives",
    "fit": "the body does not fit the joints",
    "turn": "a joint of the fitted body turns faster than any can",
    "short": "what is left between broken spans is too short",
    "copy": "shows what a clip for tests shows",
}


@dataclass(frozen=True)
class Broken:
    """A span that was thrown out.

    Attributes:
        clip: its name.
        start, end: seconds from the beginning of the clip.
        reason: one of :data:`REASONS`.
        detail: how bad, for people.
    """

    clip: str
    start: float
    end: float
    reason: str
    detail: str = ""

    @property
    def seconds(self) -> float:
        """How long."""
        return self.end - self.start

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def check_source(source: SourceMotion) -> tuple[NDArray[np.bool_], list[Broken]]:
    """Look for broken frames in a clip as it was captured.

    Returns:
        (T,) true where a frame is sound, and what was found.
    """
    positions, rate = source.positions, source.frame_rate
    finite = np.asarray(np.isfinite(positions).all((1, 2)))
    found: dict[str, NDArray[np.bool_]] = {"not finite": ~finite}
    positions = np.where(finite[:, None, None], positions, 0)
    child = np.flatnonzero(source.parents >= 0)
    lengths = np.linalg.norm(positions[:, child] - positions[:, source.parents[child]], axis=-1)
    usual = np.median(lengths[finite], axis=0) if finite.any() else np.zeros(len(child))
    changed = np.abs(lengths - usual) > np.maximum(_BONE_CHANGE, _BONE_SHARE * usual)
    found["bone"] = np.asarray(changed.any(1) & finite)
    found["jump"] = _jumps(positions, rate) & finite
    return _collect(source.name, found, rate, margin=0)


def check_fit(name: str, seen: np.ndarray, fit: FittedMotion) -> tuple[NDArray[np.bool_], list[Broken]]:
    """Look for frames that cannot be true, or where the fit went wrong.

    Args:
        name: of the clip.
        seen: (T, P, 3) anchors at 30 frames a second.
        fit: what was made of them.
    """
    found: dict[str, NDArray[np.bool_]] = {}
    acceleration = _accelerations(seen)
    trunk = _accelerations(seen.mean(1, keepdims=True))
    wild = (acceleration > _ACCELERATION).any(1) | (trunk > _TRUNK_ACCELERATION).any(1)
    found["acceleration"] = np.asarray(wild)
    if fit.errors.size:
        found["fit"] = np.asarray(fit.errors.mean(1) > _FIT_ERROR)
    found["turn"] = np.asarray(_turn_speeds(fit.rotations).max(1) > _TURN_SPEED)
    return _collect(name, found, FRAME_RATE, _MARGIN)


def sound_spans(name: str, sound: np.ndarray) -> tuple[list[tuple[int, int]], list[Broken]]:
    """The spans that are long enough to be kept, and what is too short for that."""
    kept, short = [], []
    for start, end in spans(sound):
        if end - start >= SHORTEST:
            kept.append((start, end))
        else:
            short.append(Broken(name, start / FRAME_RATE, end / FRAME_RATE, "short"))
    return kept, short


def as_table(broken: Iterable[Broken]) -> str:
    """What was thrown out, for people: one line a reason, then one a span."""
    broken = list(broken)
    lines = ["reason        spans  seconds  what it means"]
    for reason, meaning in REASONS.items():
        rows = [row for row in broken if row.reason == reason]
        if rows:
            lines.append(f"{reason:12} {len(rows):6d} {sum(r.seconds for r in rows):8.1f}  {meaning}")
    lines += ["", "    from       to  reason        clip"]
    lines += [f"{r.start:8.2f} {r.end:8.2f}  {r.reason:12}  {r.clip}  {r.detail}".rstrip() for r in broken]
    return "\n".join(lines) + "\n"


def _collect(
    name: str, found: dict[str, NDArray[np.bool_]], rate: float, margin: int
) -> tuple[NDArray[np.bool_], list[Broken]]:
    """Frames that nothing is wrong with; each broken frame is listed under the first reason only."""
    count = len(next(iter(found.values())))
    sound = np.ones(count, bool)
    listed: list[Broken] = []
    for reason, wrong in found.items():
        wider = wrong.copy()
        for step in range(1, margin + 1):
            wider[step:] |= wrong[:-step]
            wider[:-step] |= wrong[step:]
        for start, end in spans(wider & sound):
            listed.append(Broken(name, start / rate, end / rate, reason))
        sound &= ~wider
    return sound, listed


def _jumps(positions: np.ndarray, rate: float) -> NDArray[np.bool_]:
    """(T,) frames after which some joint is suddenly elsewhere; the frame itself belongs to the span before.

    A jump is a step much longer than a step beside it. The frame before it is marked, so that the motion
    is cut there.
    """
    count = len(positions)
    marked = np.zeros(count, bool)
    if count < 3:
        return marked
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=-1)  # (T-1, J)
    beside = np.empty_like(steps)
    beside[1:-1] = np.minimum(steps[:-2], steps[2:])
    beside[0], beside[-1] = steps[1], steps[-2]
    limit = max(_JUMP, _JUMP_SPEED / rate)
    jumps = ((steps - beside) > limit).any(1)
    marked[:-1] = jumps
    return marked


def _accelerations(points: np.ndarray) -> NDArray[np.float64]:
    """(T, P) m/s² of points (T, P, 3) at 30 frames a second; 0 at the ends."""
    found = np.zeros(points.shape[:2])
    if len(points) > 2:
        second = np.diff(points.astype(np.float64), n=2, axis=0)
        found[1:-1] = np.linalg.norm(second, axis=-1) * FRAME_RATE**2
    return found


def _turn_speeds(rotations: np.ndarray) -> NDArray[np.float64]:
    """(T, 24) rad/s of each joint in its parent; the last frame's is that of the one before."""
    found = np.zeros(rotations.shape[:2])
    if len(rotations) > 1:
        trace = np.einsum("tjab,tjab->tj", rotations[:-1], rotations[1:])
        found[:-1] = np.arccos(np.clip(0.5 * (trace - 1), -1, 1)) * FRAME_RATE
        found[-1] = found[-2]
    return found


def total_seconds(broken: Sequence[Broken]) -> dict[str, float]:
    """Seconds thrown out by reason."""
    seconds: dict[str, float] = {}
    for row in broken:
        seconds[row.reason] = seconds.get(row.reason, 0.0) + row.seconds
    return seconds
