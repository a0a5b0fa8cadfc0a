# SPDX-License-Identifier: Apache-2.0
"""What `merge_tokens` must do, told once more in loops, and random batches to try it on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """The arguments of one merge."""

    tokens: Tensor
    metric: Tensor
    sizes: Tensor
    levels: Tensor
    count: int
    weighted: bool = True

    @property
    def arguments(self) -> tuple[Tensor, Tensor, Tensor, Tensor, int, bool]:
        return self.tokens, self.metric, self.sizes, self.levels, self.count, self.weighted


def random_case(
    seed: int,
    shape: tuple[int, int, int, int],
    count: int,
    *,
    ties: bool = False,
    levels: int = 2,
    dtype: torch.dtype = torch.float32,
    weighted: bool = True,
) -> Case:
    """A batch (B, N, C, D); with ``ties`` keys have few values, so that many scores are equal."""
    batch, length, channels, width = shape
    generator = torch.Generator().manual_seed(seed)
    metric = torch.randn(batch, length, width, generator=generator)
    if ties:
        metric = torch.randint(-1, 2, (batch, length, width), generator=generator).float()
    return Case(
        torch.randn(batch, length, channels, generator=generator).to(dtype),
        metric,
        torch.randint(1, 6, (batch, length), generator=generator).float(),
        torch.randint(0, levels, (batch, length), generator=generator).to(torch.uint8),
        count,
        weighted,
    )


def grid_key(key: list[float]) -> list[int]:
    """A key on the grid of 2048 steps, with Python's integers and NumPy's float32."""
    largest = max(abs(value) for value in key) if all(map(math.isfinite, key)) else math.inf
    if not 2.0**-100 <= largest < math.inf:
        return [0] * len(key)
    exponent = math.frexp(largest)[1]
    fine = [round(value * 2.0 ** (14 - exponent)) for value in key]  # Python rounds halves to even
    root = math.isqrt(256 * sum(value * value for value in fine))
    factor = np.float32(2.0**15) / np.float32(root)
    return [int(np.rint(np.float32(value) * factor)) for value in fine]


def naive_pairs(metric: Tensor, levels: Tensor, count: int) -> list[tuple[int, int, int]]:
    """The pairs (even position, odd position, rank) of one image, metric (N, D) and levels (N,)."""
    keys = [grid_key(key) for key in metric.float().tolist()]
    level = levels.tolist()
    candidates = []
    for even in range(0, len(keys), 2):
        best = None
        for odd in range(1, len(keys), 2):
            score = sum(a * b for a, b in zip(keys[even], keys[odd], strict=True))
            order = (max(level[even], level[odd]), -score, odd)
            best = order if best is None else min(best, order)
        if best is not None:
            rank, score, odd = best
            candidates.append((rank, score, even, odd))
    return [(even, odd, rank) for rank, _, even, odd in sorted(candidates)[:count]]


def naive_merge(case: Case) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The whole merge, token by token, in float64."""
    results = []
    for image in range(len(case.tokens)):
        tokens, sizes = case.tokens[image].double(), case.sizes[image].double()
        pairs = naive_pairs(case.metric[image], case.levels[image], case.count)
        into = {even: odd for even, odd, _ in pairs}
        groups = {place: [place] for place in range(len(tokens)) if place not in into}
        for even in sorted(into):
            groups[into[even]].append(even)
        weights = sizes if case.weighted else torch.ones_like(sizes)
        rows = []
        for members in groups.values():
            total = sum(weights[m] for m in members)
            mean = sum(weights[m] * tokens[m] for m in members) / total
            rows.append(mean if len(members) > 1 else tokens[members[0]])
        new = {place: number for number, place in enumerate(groups)}
        results.append(
            (
                torch.stack(rows).to(case.tokens.dtype),
                torch.stack([sizes[members].sum() for members in groups.values()]).float(),
                torch.stack([case.levels[image][members].amax() for members in groups.values()]),
                torch.tensor([new[into.get(place, place)] for place in range(len(tokens))]),
                torch.tensor(sum(rank > 0 for _, _, rank in pairs), dtype=torch.int32),
            )
        )
    first, *others = (torch.stack(column) for column in zip(*results, strict=True))
    return first, *others  # type: ignore[return-value]


# How far two ways to add up a group may lie apart.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


def assert_same_merge(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    """The same pairs, sizes, levels and counts exactly; the same means but for rounding."""
    for number, name in ((3, "assignment"), (4, "forced"), (2, "levels"), (1, "sizes")):
        assert torch.equal(found[number].cpu(), expected[number].cpu()), name
    tolerance = TOLERANCE[expected[0].dtype]
    torch.testing.assert_close(
        found[0].cpu(), expected[0].cpu(), rtol=tolerance, atol=tolerance, equal_nan=True
    )
