# SPDX-License-Identifier: Apache-2.0
"""What token merging must beat: fewer tokens by the person's mask alone, without any matching.

The paper (arXiv 2510.10868) compares its merging with nothing simpler. Here are the two obvious ways, with
the same schedule, the same static shapes and the same account of what was forced, so that they stand in for
:class:`~fasthmr.encoder.token_merging.TokenMerging` anywhere:

* drop: the background patches farthest from the person go;
* pool: background patches become means of 2 x 2 patches (4 x 4 and more where these are not enough).

Both are plain PyTorch: they need no similarity, and no operator of their own. They know the grid of
16 x 12 patches only, which the published networks have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from fasthmr.encoder.token_merging import (
    BACKGROUND,
    SCHEDULE,
    TARGET,
    TOKENS,
    TokenMerging,
    TokenReduction,
    TokenState,
    check_counts,
    check_schedule,
    count_in,
    first_state,
    moved,
    schedule_to,
)
from fasthmr.errors import BadCall

GRID: Final = (16, 12)  # rows and columns of patches
_SQUARES: Final = (2, 4, 8, 16)  # patches a side; the last one holds the whole grid
_FAR: Final = 512  # more than any squared distance in the grid: 15^2 + 11^2 = 346
_CLASSES: Final = 3  # background, person, must stay: pooled each among themselves


@dataclass(frozen=True)
class DropBackground:
    """Remove the background patches that are farthest from the person.

    Order: background first, the farthest from the nearest patch of the person first (the centre of the crop
    stands in where no patch is the person's); then the person's patches, the farthest from the centre first;
    then tokens that must stay; equals by position. What is not background is counted as forced.

    Args:
        schedule: removals in each layer, from the first on.

    Raises:
        BadCall: a count of the schedule is negative.
    """

    schedule: tuple[int, ...] = SCHEDULE

    def __post_init__(self) -> None:
        check_counts(self.schedule)

    @property
    def log_size_bias(self) -> bool:
        """Never: no token stands for another one."""
        return False

    def count(self, layer: int) -> int:
        """Removals in a layer, from 0."""
        return count_in(self.schedule, layer)

    def start(
        self, protection: Tensor | None, batch: int, tokens: int, device: torch.device | str
    ) -> TokenState:
        """The state before the first layer; see :func:`~fasthmr.encoder.token_merging.first_state`.

        Raises:
            BadCall: nothing would be left.
        """
        check_schedule(self.schedule, tokens, most=1.0)
        return first_state(protection, batch, tokens, device)

    def reduce(self, x: Tensor, metric: Tensor, state: TokenState, layer: int) -> tuple[Tensor, TokenState]:
        """Remove ``count(layer)`` tokens of each image; ``metric`` is not looked at.

        Args:
            x: (B, N, C) tokens.
            metric: (B, N, D).
            state: of these tokens.
            layer: from 0.

        Returns:
            The tokens that are left, bit for bit and in their order, and their state.
        """
        count = self.count(layer)
        if count == 0:
            return x, state
        batch, tokens = state.levels.shape
        outwards = torch.where(
            state.levels == BACKGROUND, *_distances(state)
        )  # the person from outside inwards, background from afar
        key = (state.levels.long() * _FAR + (_FAR - 1 - outwards)) * tokens + _positions(state)
        order = key.argsort(dim=1)
        kept = order[:, count:].sort(dim=1).values
        assignment = torch.full_like(key, -1).scatter_(1, kept, _positions(state)[:, : tokens - count])
        forced = (state.levels.gather(1, order[:, :count]) > BACKGROUND).sum(1, dtype=torch.int32)
        rest = x.gather(1, kept[..., None].expand(batch, tokens - count, x.shape[2]))
        return rest, TokenState(
            sizes=state.sizes.gather(1, kept),
            levels=state.levels.gather(1, kept),
            origin=moved(state.origin, assignment),
            forced=state.forced + forced,
        )


@dataclass(frozen=True)
class PoolBackground:
    """Replace squares of background patches by their means.

    The background patches of each square of 2 x 2 (aligned to the grid; the square may hold patches of the
    person, which stay) join the first of them, squares far from the person first, until the count is
    reached. When every such square has become one token, these join in squares of 4 x 4, then 8 x 8, then
    all. When background is one token, the person's patches go the same way, and tokens that must stay
    last; these are counted as forced.

    Args:
        schedule: how many tokens fewer in each layer, from the first on.
        weighted: a group becomes the mean of the patches in it; otherwise the mean of the tokens that meet.
        log_size_bias: see :class:`~fasthmr.encoder.token_merging.TokenReduction`.

    Raises:
        BadCall: a count of the schedule is negative.
    """

    schedule: tuple[int, ...] = SCHEDULE
    weighted: bool = True
    log_size_bias: bool = False

    def __post_init__(self) -> None:
        check_counts(self.schedule)

    def count(self, layer: int) -> int:
        """How many tokens fewer in a layer, from 0."""
        return count_in(self.schedule, layer)

    def start(
        self, protection: Tensor | None, batch: int, tokens: int, device: torch.device | str
    ) -> TokenState:
        """The state before the first layer; see :func:`~fasthmr.encoder.token_merging.first_state`.

        Raises:
            BadCall: fewer than 3 tokens would be left (background, person and others never mix).
        """
        check_schedule(self.schedule, tokens, most=1.0)
        if self.schedule and tokens - sum(self.schedule) < _CLASSES:
            raise BadCall(
                f"Pooling leaves at least {_CLASSES} tokens, not {tokens - sum(self.schedule)}. "
                "Choose a larger target."
            )
        return first_state(protection, batch, tokens, device)

    def reduce(self, x: Tensor, metric: Tensor, state: TokenState, layer: int) -> tuple[Tensor, TokenState]:
        """Pool ``count(layer)`` tokens of each image away; ``metric`` is not looked at.

        Args:
            x: (B, N, C) tokens.
            metric: (B, N, D).
            state: of these tokens.
            layer: from 0.

        Returns:
            The tokens, (B, N - count, C) in the order of the first patch of each, and their state.
        """
        count = self.count(layer)
        if count == 0:
            return x, state
        positions = _positions(state)
        parent, step = _parents(state)
        tokens = positions.shape[1]
        near_last = _FAR - 1 - _distances(state)[0]
        last = len(_SQUARES)
        rank = torch.where(step == last, _CLASSES, state.levels.long()) * (last + 1) + step
        gone = ((rank * _FAR + near_last) * tokens + positions).argsort(dim=1)[:, :count]
        goes = torch.zeros_like(positions, dtype=torch.bool).scatter_(1, gone, True)
        host = torch.where(goes, parent, positions)
        for _ in range(2):  # 2^2 steps upwards: one a size of square
            host = host.gather(1, host)
        assignment = ((~goes).cumsum(1) - 1).gather(1, host)
        forced = (goes & (state.levels > BACKGROUND)).sum(1, dtype=torch.int32)
        return self._mean(x, assignment, state, count, forced)

    def _mean(
        self, x: Tensor, assignment: Tensor, state: TokenState, count: int, forced: Tensor
    ) -> tuple[Tensor, TokenState]:
        """The groups' means, as one product with a matrix of weights; a weight of 1 copies bit for bit."""
        batch, tokens = assignment.shape
        left = tokens - count
        kind = torch.promote_types(x.dtype, torch.float32)
        weights = (state.sizes if self.weighted else torch.ones_like(state.sizes)).to(kind)
        matrix = torch.zeros((batch, left, tokens), dtype=kind, device=x.device)
        matrix = matrix.scatter(1, assignment[:, None], weights[:, None])
        matrix = matrix / matrix.sum(2, keepdim=True)
        sizes = torch.zeros_like(state.sizes[:, :left]).scatter_add(1, assignment, state.sizes)
        levels = torch.zeros_like(state.levels[:, :left], dtype=torch.int64)
        levels = levels.scatter_reduce(1, assignment, state.levels.long(), "amax")
        return (matrix @ x.to(kind)).to(x.dtype), TokenState(
            sizes=sizes,
            levels=levels.to(torch.uint8),
            origin=moved(state.origin, assignment),
            forced=state.forced + forced,
        )


REDUCTIONS: Final[dict[str, Callable[[tuple[int, ...]], TokenReduction]]] = {
    "merge": lambda schedule: TokenMerging(schedule),
    "merge-plain-mean": lambda schedule: TokenMerging(schedule, weighted=False),
    "merge-log-size": lambda schedule: TokenMerging(schedule, log_size_bias=True),
    "drop": lambda schedule: DropBackground(schedule),
    "pool": lambda schedule: PoolBackground(schedule),
    "none": lambda _: TokenMerging(()),
}


def reduction_named(name: str, tokens: int = TOKENS, target: int = TARGET) -> TokenReduction:
    """One of the ways to make tokens fewer, all with the same schedule.

    Args:
        name: "merge", "merge-plain-mean", "merge-log-size", "drop", "pool", or "none" (nothing is done).
        tokens: at the start.
        target: at the end.

    Raises:
        BadCall: there is no such way, or no such schedule.
    """
    if name not in REDUCTIONS:
        raise BadCall(f"There is no token reduction '{name}'. Choose one of {', '.join(REDUCTIONS)}.")
    return REDUCTIONS[name](schedule_to(tokens, target))


def _positions(state: TokenState) -> Tensor:
    """(B, N) int64: 0, 1, 2, ..."""
    batch, tokens = state.levels.shape
    return torch.arange(tokens, device=state.levels.device).expand(batch, tokens)


def _places(state: TokenState) -> Tensor:
    """(B, N) int64: the first patch that each token stands for."""
    batch, tokens = state.levels.shape
    first = state.origin.shape[1]
    patches = torch.arange(first, device=state.origin.device).expand(batch, first)
    # Patches that are gone write into one more column, which is cut off.
    target = torch.where(state.origin >= 0, state.origin, tokens)
    places = torch.full((batch, tokens + 1), first, dtype=torch.int64, device=state.origin.device)
    return places.scatter_reduce(1, target, patches, "amin")[:, :tokens]


def _distances(state: TokenState) -> tuple[Tensor, Tensor]:
    """Squared distances in patches of every token: to the nearest patch of the person, and to the centre.

    Where no patch is the person's, the centre stands in. Tokens that are no patches are at the centre.
    """
    places = _places(state)
    rows, columns = places // GRID[1], places % GRID[1]
    in_grid = places < GRID[0] * GRID[1]
    centre = (rows - GRID[0] // 2).square() + (columns - GRID[1] // 2).square()
    centre = torch.where(in_grid, centre, 0)
    apart = (rows[:, :, None] - rows[:, None]).square() + (columns[:, :, None] - columns[:, None]).square()
    person = (state.levels > BACKGROUND) & in_grid
    nearest = torch.where(person[:, None], apart, _FAR - 1).amin(2)
    nearest = torch.where(in_grid & person.any(1, keepdim=True), nearest, centre)
    return nearest, centre


def _parents(state: TokenState) -> tuple[Tensor, Tensor]:
    """Whom each token joins, and at which size of square (its number in ``_SQUARES``).

    The first token of a class in a square leads it. A token joins the leader of the smallest square that it
    does not lead itself; a token that leads the whole grid joins nobody (its own position, and one number
    more).
    """
    places, positions = _places(state), _positions(state)
    rows, columns = places // GRID[1], places % GRID[1]
    in_grid = places < GRID[0] * GRID[1]
    parent = positions
    step = torch.full_like(positions, len(_SQUARES))
    for number in range(len(_SQUARES) - 1, -1, -1):  # smaller squares overwrite larger ones
        side = _SQUARES[number]
        across = -(-GRID[1] // side)
        squares = across * -(-GRID[0] // side)
        # Tokens that are no patches lie in a square of their own.
        square = torch.where(in_grid, rows // side * across + columns // side, squares)
        group = state.levels.long() * (squares + 1) + square
        leaders = torch.full(
            (len(positions), _CLASSES * (squares + 1)), positions.shape[1], device=positions.device
        )
        leader = leaders.scatter_reduce(1, group, positions, "amin").gather(1, group)
        joins = leader != positions
        parent, step = torch.where(joins, leader, parent), torch.where(joins, number, step)
    return parent, step
