# SPDX-License-Identifier: Apache-2.0
"""The merge of tokens in plain PyTorch: what the compiled operator must equal, and its stand-in.

Which tokens merge is decided on whole numbers: keys are brought onto a grid as fine as half precision, so
that the cosine of two keys becomes a sum of integers below 2**24. Such a sum is exact in float32 in any
order, with or without fused multiply-adds, on every processor; that is why all implementations choose the
same pairs, ties included. Bipartite matching after ToMe (arXiv 2210.09461, section 3), protection of the
person after FastHMR (arXiv 2510.10868, section on Mask-ToMe).
"""

from __future__ import annotations

import torch
from torch import Tensor

GRID = 2048.0  # a key has this length, and whole numbers as its components
_FINE = 14  # bits of the whole numbers that the key's length is computed from
_SMALLEST = 2.0**-100  # a key whose components are all smaller counts as zero
_WITHOUT_FLOAT64 = frozenset({"mps"})

Merged = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def on_grid(metric: Tensor) -> Tensor:
    """Bring keys onto the grid: whole numbers of at most 2048, along the key, of length 2048.

    Args:
        metric: (B, N, D) of any floating type.

    Returns:
        (B, N, D) float32 whole numbers; zeros for keys that are zero or not finite.
    """
    keys = metric.float()
    largest = keys.abs().amax(dim=-1, keepdim=True)
    sound = (largest >= _SMALLEST) & (largest < torch.inf)  # NaN compares as false
    keys = torch.where(sound, keys, 0.0)
    exponent = torch.frexp(torch.where(sound, largest, 1.0)).exponent
    # A power of two from its bits: ldexp goes through a power function that need not be exact.
    scale = ((_FINE + 127 - exponent).int() << 23).view(torch.float32)
    fine = (keys * scale).round()
    # Whole numbers below 2**53 add up exactly in any order.
    return (fine * (16 * GRID / sixteen_lengths(fine.double().square().sum(dim=-1, keepdim=True)))).round()


def sixteen_lengths(squares: Tensor) -> Tensor:
    """Sixteen times the root of whole numbers, rounded down: exact, though PyTorch's root is not.

    (On some CPUs ``torch.sqrt`` is off by a unit in the last place, which would move a key by a grid step.)

    Args:
        squares: float64 whole numbers below 2**40.

    Returns:
        float32 whole numbers; at least 1.
    """
    wide = 256 * squares
    root = wide.sqrt().round()
    root = torch.where(root * root > wide, root - 1, root)
    root = torch.where((root + 1) * (root + 1) <= wide, root + 1, root)
    return root.clamp_min(1.0).float()


def partners(metric: Tensor, levels: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Choose the pairs that merge.

    Even positions look for their most similar odd position: first by rank (the higher level of the two),
    then by score, then by index. The first ``count`` of them in the same order merge.

    Args:
        metric: (B, N, D) what similarity is measured on.
        levels: (B, N) uint8, 0 merges first.
        count: pairs, at most N // 2.

    Returns:
        The tokens that merge, (B, count) int64, ascending; the odd tokens that they merge into, (B, count)
        int64; and the ranks of the pairs, (B, count) int64.
    """
    grid = on_grid(metric).double()  # exact whatever the settings for float32 products are
    score = grid[:, 0::2] @ grid[:, 1::2].mT
    levels = levels.long()
    rank = torch.maximum(levels[:, 0::2, None], levels[:, None, 1::2])
    evens, odds = score.shape[1:]
    # One whole number holds rank, score and index, so that no two candidates are equal: |score| < 2**23.
    worth = score.long() - rank * 2**25
    column = torch.arange(odds - 1, -1, -1, device=metric.device)
    best = (worth * odds + column).amax(dim=-1)
    partner = odds - 1 - best.remainder(odds)
    row = torch.arange(evens - 1, -1, -1, device=metric.device)
    merging = (best.div(odds, rounding_mode="floor") * evens + row).topk(count, dim=-1).indices
    merging = merging.sort(dim=-1).values
    partner = partner.gather(1, merging)
    pair_rank = torch.maximum(levels.gather(1, 2 * merging), levels.gather(1, 2 * partner + 1))
    return 2 * merging, 2 * partner + 1, pair_rank


def merge_tokens_reference(
    tokens: Tensor, metric: Tensor, sizes: Tensor, levels: Tensor, count: int, weighted: bool
) -> Merged:
    """Merge tokens; see :func:`fasthmr.encoder.merge_operator.merge_tokens` for arguments and result."""
    batch, length, width = tokens.shape
    device = tokens.device
    place = torch.arange(length, device=device).expand(batch, length)
    if count == 0:
        none = torch.zeros(batch, dtype=torch.int32, device=device)
        return tokens.clone(), sizes.clone(), levels.clone(), place.contiguous(), none
    # Apple's GPUs have no float64, which keeps the scores exact: the pairs are chosen on the CPU there.
    chooser = torch.device("cpu") if device.type in _WITHOUT_FLOAT64 else device
    chosen = partners(metric.to(chooser), levels.to(chooser), count)
    merging, into, rank = (one.to(device) for one in chosen)

    leader = place.scatter(1, merging, into)
    stays = leader == place
    new_place = stays.cumsum(dim=1) - 1
    assignment = new_place.gather(1, leader)
    left = length - count
    # Where each survivor was; those that merge are written to a place behind the end.
    kept = place.new_zeros(batch, left + 1).scatter(1, torch.where(stays, new_place, left), place)[:, :left]
    goal = assignment.gather(1, merging)

    # Rows of all images in one list: selecting whole rows is far quicker than gathering numbers.
    rows = tokens.reshape(batch * length, width)
    image = torch.arange(batch, device=device)[:, None]
    survivors = rows.index_select(0, (kept + image * length).flatten())
    arriving = rows.index_select(0, (merging + image * length).flatten())
    goal_row = (goal + image * left).flatten()
    weights = sizes if weighted else torch.ones_like(sizes)
    own, added = weights.gather(1, kept), weights.gather(1, merging)
    total = own.scatter_add(1, goal, added)
    wide = torch.promote_types(tokens.dtype, torch.float32)
    summed = (survivors.to(wide) * own.reshape(-1, 1)).index_add(
        0, goal_row, arriving.to(wide) * added.reshape(-1, 1)
    )
    grouped = torch.zeros_like(kept).scatter(1, goal, 1).bool().reshape(-1, 1)
    mean = (summed / total.reshape(-1, 1)).to(tokens.dtype)
    merged = torch.where(grouped, mean, survivors).view(batch, left, width)
    new_sizes = sizes.gather(1, kept).scatter_add(1, goal, sizes.gather(1, merging))
    high = levels.gather(1, kept).int()
    new_levels = high.scatter_reduce(1, goal, levels.gather(1, merging).int(), "amax").to(torch.uint8)
    return merged, new_sizes, new_levels, assignment, (rank > 0).sum(dim=1, dtype=torch.int32)
