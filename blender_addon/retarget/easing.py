# SPDX-License-Identifier: GPL-3.0-or-later
"""Corrections that begin and end gently: what holds in spans fades around them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Span = tuple[int, int]
"""First frame, and the frame after the last."""


def runs(mask: np.ndarray) -> list[Span]:
    """The spans of frames in which a mask (T,) holds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], np.asarray(mask, bool), [False]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def slopes(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Slopes (N, K) per frame of the straight lines through values (N, n, K) of n consecutive frames each.

    Args:
        values: (N, n, K).
        there: (N, n) which frames count; at least one.
    """
    time = np.arange(values.shape[1]) * 1.0
    time = (time - (time * there).sum(axis=1, keepdims=True) / there.sum(axis=1, keepdims=True)) * there
    return np.einsum("nt,ntk->nk", time, values) / np.maximum((time**2).sum(axis=1), 1e-12)[:, None]


def faded(values: np.ndarray, spans: Sequence[Span], changes: np.ndarray, fade: int) -> np.ndarray:
    """Values that hold within spans, let out to zero and back in between.

    Before and after each span runs a cubic that meets the span in value and slope and zero without slope.
    Where the gap to the next span is shorter than `fade`, the cubics last as long as the gap: together they
    are the one that joins the spans.

    Args:
        values: (T, K), used within the spans only.
        spans: where they hold, in order and apart.
        changes: (spans, 2, K) change per frame with which each begins and ends.
        fade: frames.
    """
    count = len(values)
    out = np.zeros_like(values)
    for number, ((start, end), (first, last)) in enumerate(zip(spans, changes, strict=True)):
        out[start:end] += values[start:end]
        before = spans[number - 1][1] - 1 if number else start - fade
        length = min(fade, start - before)
        step = np.arange(1, min(length, start + 1))
        out[start - step] += _let_out(values[start], -first, step, length)
        after = spans[number + 1][0] if number + 1 < len(spans) else end - 1 + fade
        length = min(fade, after - (end - 1))
        step = np.arange(1, min(length, count - end + 1))
        out[end - 1 + step] += _let_out(values[end - 1], last, step, length)
    return out


def _let_out(value: np.ndarray, change: np.ndarray, step: np.ndarray, length: int) -> np.ndarray:
    """The cubic from `value` and `change` per step to zero, at `step` (n,) of `length` steps: (n, K)."""
    share = (step / length)[:, None]
    return (1 + 2 * share) * (1 - share) ** 2 * value + share * (1 - share) ** 2 * length * change


def kept_above(need: np.ndarray, radius: int, held: np.ndarray | None = None) -> np.ndarray:
    """A curve that is nowhere under `need` and rises and falls gently around it.

    Each frame takes the mean of its neighbours' highest needs. Towards held frames what that has above the
    need fades away.

    Args:
        need: (T,) at least 0.
        radius: frames to either side that a need reaches.
        held: (T,) frames where nothing but `need` is allowed.
    """
    count, half = len(need), radius // 2
    if half < 1 or not need.any():
        return need.copy()
    # the highest within half the radius, and the mean of those within the other half: each of these has seen
    # the frame's own need
    padded = np.pad(need, 2 * half)
    highest = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1).max(axis=1)
    bell = 1 + np.cos(np.pi * np.arange(-half, half + 1) / (half + 1))
    inside = np.pad(np.ones(count), half)
    highest *= inside
    above = np.convolve(highest, bell, "valid") / np.convolve(inside, bell, "valid")
    if held is not None:
        share = np.minimum(frames_to(held) / radius, 1)
        above = need + share**2 * (3 - 2 * share) * (above - need)
    return np.maximum(above, need)


def frames_to(mask: np.ndarray) -> np.ndarray:
    """Frames (T,) from each to the nearest that a mask has; more than any clip has where it has none."""
    frames, places = np.arange(len(mask)), np.flatnonzero(mask)
    if not len(places):
        return np.full(len(mask), np.iinfo(np.int32).max)
    after = np.minimum(np.searchsorted(places, frames), len(places) - 1)
    return np.minimum(np.abs(places[after] - frames), np.abs(frames - places[np.maximum(after - 1, 0)]))
