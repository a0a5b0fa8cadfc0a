# SPDX-License-Identifier: Apache-2.0
"""Mask-ToMe: background tokens of a vision transformer merge, the person's stay (arXiv 2510.10868).

Between attention and MLP of the first layers a fixed number of tokens merges into their most similar
partners. The count does not depend on the image, so that every shape is static: batches, CUDA graphs and
``torch.compile`` work. What the paper leaves open is decided in docs/token_merging.md. The merge itself is
one operator (:mod:`fasthmr.encoder.merge_operator`); here is what goes on around it: how many tokens merge in
which layer, what is known of each token, and where each patch went.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor

from fasthmr.encoder.merge_operator import merge_tokens
from fasthmr.errors import BadCall

BACKGROUND = 0  # may merge
PERSON = 1  # merges only when background has run out, and is counted then
MUST_STAY = 2  # no patch of the image (a landmark token): merges last of all

TOKENS = 192  # 16 x 12 patches of a crop of 256 x 192 pixels
TARGET = 96  # half of them, and a multiple of 16: the paper's 90 leaves the GPU's tiles unfilled
SPARE = 8  # see schedule_to


@dataclass(frozen=True)
class TokenState:
    """What is known of the tokens of a batch beside their values; N tokens now, N0 at the start.

    Attributes:
        sizes: (B, N) float32, how many of the first tokens each one stands for.
        levels: (B, N) uint8, ``BACKGROUND``, ``PERSON`` or ``MUST_STAY``: the highest of those it stands for.
        origin: (B, N0) int64, the position now of every token of the start; -1 where it was dropped.
        forced: (B,) int32, how many merges (or drops) touched a token that was to be kept.
    """

    sizes: Tensor
    levels: Tensor
    origin: Tensor
    forced: Tensor


class TokenReduction(Protocol):
    """Something that makes the tokens of a vision transformer fewer, layer by layer."""

    @property
    def log_size_bias(self) -> bool:
        """Whether attention adds the logarithm of a key's size to its logits.

        A merged token then weighs as much as the tokens that it stands for: ToMe's proportional attention.
        """
        ...

    def count(self, layer: int) -> int:
        """How many tokens fewer there are after this layer (from 0); the same for every image."""
        ...

    def start(
        self, protection: Tensor | None, batch: int, tokens: int, device: torch.device | str
    ) -> TokenState:
        """The state before the first layer."""
        ...

    def reduce(self, x: Tensor, metric: Tensor, state: TokenState, layer: int) -> tuple[Tensor, TokenState]:
        """Make the tokens fewer by ``count(layer)``."""
        ...


def schedule_to(
    tokens: int = TOKENS, target: int = TARGET, per_layer: int | None = None, spare: int = SPARE
) -> tuple[int, ...]:
    """How many tokens merge in each layer, from the first on, until ``target`` are left.

    Only tokens at even positions merge away, about half of the background. So a layer that asks for more than
    that takes the person's, though background is left: the paper's 40, 40 and the rest does so from a person
    of about 70 patches on. Here a layer takes half of the background that there is when the person fills all
    of the target but ``spare`` tokens: as much as can be, as early as can be.

    Args:
        tokens: at the start.
        target: at the end; multiples of 16 fill the tiles of matrix units.
        per_layer: the most in one layer; None for no limit. The paper's counts are
            ``schedule_to(per_layer=40, spare=96)``.
        spare: tokens of the target that are not the person's; more of them, fewer layers.

    Returns:
        One count a layer: ``(52, 26, 13, 5)`` for the defaults.

    Raises:
        BadCall: the target is not between 1 and ``tokens``, or ``per_layer`` or ``spare`` is not positive.
    """
    if not 1 <= target <= tokens:
        raise BadCall(f"{tokens} tokens cannot become {target}. Choose a target from 1 to {tokens}.")
    if spare < 1 or (per_layer is not None and per_layer < 1):
        raise BadCall(
            f"With {per_layer} merges a layer and {spare} spare tokens, merging never ends. Take 1 or more; "
            f"no limit and {SPARE} are usual."
        )
    person = max(0, target - spare)
    counts: list[int] = []
    while tokens > target:
        most = min(tokens - target, max(1, (tokens - person) // 2))
        counts.append(most if per_layer is None else min(most, per_layer))
        tokens -= counts[-1]
    return tuple(counts)


#: 52, 26, 13, 5.
SCHEDULE: Final = schedule_to()


@dataclass(frozen=True)
class TokenMerging:
    """Merge the most similar background tokens (bipartite soft matching, ToMe, arXiv 2210.09461, section 3).

    Even and odd positions of the current order are the two sides; similarity is the cosine of the keys'
    mean over the heads. Pairs of background merge first, most similar first. When they run out, pairs with a
    token of the person follow, most similar first, and are counted in ``TokenState.forced``.

    Args:
        schedule: merges in each layer, from the first on; later layers merge nothing.
        weighted: a group becomes the mean of the patches in it; otherwise the mean of the tokens that meet.
        log_size_bias: see :class:`TokenReduction`.

    Raises:
        BadCall: a count of the schedule is negative.
    """

    schedule: tuple[int, ...] = SCHEDULE
    weighted: bool = True
    log_size_bias: bool = False

    def __post_init__(self) -> None:
        check_counts(self.schedule)

    def count(self, layer: int) -> int:
        """Merges in a layer, from 0."""
        return count_in(self.schedule, layer)

    def start(
        self, protection: Tensor | None, batch: int, tokens: int, device: torch.device | str
    ) -> TokenState:
        """The state before the first layer; see :func:`first_state`.

        Raises:
            BadCall: the schedule does not fit so many tokens.
        """
        check_schedule(self.schedule, tokens)
        return first_state(protection, batch, tokens, device)

    def reduce(self, x: Tensor, metric: Tensor, state: TokenState, layer: int) -> tuple[Tensor, TokenState]:
        """Merge ``count(layer)`` tokens of each image.

        Args:
            x: (B, N, C) tokens, between attention and MLP.
            metric: (B, N, D), what similarity is measured on.
            state: of these tokens.
            layer: from 0.

        Returns:
            The tokens, (B, N - count, C) in the order that they had, and their state.
        """
        count = self.count(layer)
        if count == 0:
            return x, state
        merged, sizes, levels, assignment, forced = merge_tokens(
            x, metric, state.sizes, state.levels, count, self.weighted
        )
        return merged, TokenState(sizes, levels, moved(state.origin, assignment), state.forced + forced)


def first_state(protection: Tensor | None, batch: int, tokens: int, device: torch.device | str) -> TokenState:
    """The state of tokens that nothing was done to.

    Args:
        protection: (B, P) levels of the first P tokens, the patches; the tokens after them must stay.
            None: every token is background (the paper's comparison "without mask").
        batch: B.
        tokens: N.
        device: where the state lies.

    Raises:
        ValueError: the levels do not fit the tokens.
    """
    if protection is None:
        levels = torch.full((batch, tokens), BACKGROUND, dtype=torch.uint8, device=device)
    else:
        if protection.ndim != 2 or protection.shape[0] != batch or protection.shape[1] > tokens:
            raise ValueError(f"levels of shape {tuple(protection.shape)} for {batch} x {tokens} tokens")
        levels = protection.to(device=device, dtype=torch.uint8)
        if levels.shape[1] < tokens:
            levels = torch.nn.functional.pad(levels, (0, tokens - levels.shape[1]), value=MUST_STAY)
    return TokenState(
        sizes=torch.ones((batch, tokens), dtype=torch.float32, device=device),
        levels=levels,
        origin=torch.arange(tokens, device=device).expand(batch, tokens),
        forced=torch.zeros(batch, dtype=torch.int32, device=device),
    )


def moved(origin: Tensor, assignment: Tensor) -> Tensor:
    """Where the first tokens are after one more step.

    Args:
        origin: (B, N0) int64, their positions before it; -1 for those that are gone.
        assignment: (B, N) int64, the new position of every token before the step; -1 where it drops.
    """
    return torch.where(origin >= 0, assignment.gather(1, origin.clamp(min=0)), origin)


def count_in(schedule: Sequence[int], layer: int) -> int:
    """The schedule's count for a layer; 0 after its end."""
    return schedule[layer] if layer < len(schedule) else 0


def check_counts(schedule: Sequence[int]) -> None:
    """Check that no count is negative.

    Raises:
        BadCall: one is.
    """
    if any(count < 0 for count in schedule):
        raise BadCall(f"Merges a layer cannot be negative: {list(schedule)}. Take 0 for a layer without any.")


def check_schedule(schedule: Sequence[int], tokens: int, most: float = 0.5) -> None:
    """Check a schedule against the number of tokens that it starts from.

    Args:
        schedule: counts a layer.
        tokens: before the first layer.
        most: the largest share of the tokens that one layer can take away (pairs: half).

    Raises:
        BadCall: a layer takes more than that, or nothing would be left.
    """
    left = tokens
    for layer, count in enumerate(schedule):
        if count > left * most or count >= left:
            raise BadCall(
                f"Layer {layer + 1} cannot take {count} of {left} tokens away, at most "
                f"{min(int(left * most), left - 1)}. Spread {sum(schedule)} over more layers, for example "
                f"with schedule_to({tokens}, {max(1, tokens - sum(schedule))})."
            )
        left -= count
