# SPDX-License-Identifier: Apache-2.0
"""Token merging once more, for one image, with Python's loops and numbers: what the tests compare with."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Group:
    """One token: its value, and what it stands for."""

    value: np.ndarray
    size: int
    level: int
    patches: list[int] = field(default_factory=list)


def first_groups(values: np.ndarray, levels: np.ndarray) -> list[Group]:
    """(N, C) tokens and (N,) levels, before anything merged."""
    return [
        Group(value.astype(np.float64), 1, int(level), [index])
        for index, (value, level) in enumerate(zip(values, levels, strict=True))
    ]


def on_grid(vector: np.ndarray) -> list[int]:
    """The direction of a vector in whole numbers of at most 2048 (as the operator defines it)."""
    numbers = [float(np.float32(number)) for number in vector]
    largest = max(abs(number) for number in numbers)
    if not all(map(math.isfinite, numbers)) or largest < 2.0**-100:
        return [0] * len(numbers)
    exponent = math.frexp(largest)[1]
    whole = [round(math.ldexp(number, 14 - exponent)) for number in numbers]
    norm = np.sqrt(np.float32(sum(number * number for number in whole)))
    factor = np.float32(2048.0) / norm
    return [round(float(np.float32(number) * factor)) for number in whole]


def merge(
    groups: list[Group], metric: np.ndarray, count: int, weighted: bool = True
) -> tuple[list[Group], int]:
    """Merge ``count`` tokens at even positions into their partners at odd ones.

    Args:
        groups: N tokens in their order.
        metric: (N, D).
        count: how many merge.
        weighted: means by size; otherwise of the tokens that meet.

    Returns:
        The tokens that are left, and how many merges touched a level above 0.
    """
    directions = [on_grid(vector) for vector in metric]
    wishes = []
    for a in range(0, len(groups), 2):
        best = None
        for b in range(1, len(groups), 2):
            rank = max(groups[a].level, groups[b].level)
            score = sum(x * y for x, y in zip(directions[a], directions[b], strict=True))
            if best is None or (rank, -score, b) < best:
                best = (rank, -score, b)
        if best is not None:
            wishes.append((best[0], best[1], a, best[2]))
    chosen = sorted(wishes)[:count]
    forced = sum(rank > 0 for rank, *_ in chosen)
    result = []
    gone = {a for _, _, a, _ in chosen}
    for position, group in enumerate(groups):
        members = [group] + [
            groups[a] for _, _, a, b in sorted(chosen, key=lambda one: one[2]) if b == position
        ]
        if position in gone:
            continue
        if len(members) == 1:
            result.append(group)
            continue
        weights = [one.size if weighted else 1 for one in members]
        total = sum(weight * one.value for weight, one in zip(weights, members, strict=True))
        result.append(
            Group(
                total / sum(weights),
                sum(one.size for one in members),
                max(one.level for one in members),
                [patch for one in members for patch in one.patches],
            )
        )
    return result, forced


def places_of(groups: list[Group], patches: int) -> list[int]:
    """Which group each patch went to; -1: none."""
    places = [-1] * patches
    for position, group in enumerate(groups):
        for patch in group.patches:
            places[patch] = position
    return places
