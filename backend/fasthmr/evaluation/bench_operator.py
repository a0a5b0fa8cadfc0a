# SPDX-License-Identifier: Apache-2.0
"""How much faster the compiled merge of tokens is than the same in PyTorch, on this machine, in one run.

Two baselines: the plain PyTorch reference, which chooses the very same pairs, and token merging as it is
usually written (cosines in floating point, a sort, gathers and a scatter, after ToMe, arXiv 2210.09461),
which need not. The speed-up that counts is over the faster of the two.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from fasthmr.encoder.merge_operator import merge_tokens, operator_state
from fasthmr.encoder.merge_reference import merge_tokens_reference
from fasthmr.errors import BadCall
from fasthmr.evaluation.side_by_side import environment, ratios, spread, time_side_by_side
from fasthmr.progress import Progress

BATCHES: Final = (1, 8, 32)
SHAPES: Final = {  # tokens, channels, width of a key, merges: the first merge of each network
    "vit-h": (192, 1280, 80, 40),
    "small": (192, 384, 64, 40),
}
PERSON_SHARE: Final = 0.4

_Call = Callable[[], object]


def usual_merge(
    tokens: Tensor, metric: Tensor, sizes: Tensor, protected: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Token merging as it is usually written, with a size-weighted mean and protected tokens.

    Args:
        tokens: (B, N, C).
        metric: (B, N, D).
        sizes: (B, N) float32.
        protected: (B, N) bool; a pair with one of them comes last.
        count: pairs.

    Returns:
        Tokens (B, N - count, C), even positions that stay before all odd ones, and their sizes.
    """
    with torch.no_grad():
        keys = metric / metric.norm(dim=-1, keepdim=True)
        scores = keys[:, ::2] @ keys[:, 1::2].transpose(-1, -2)
        scores = scores.masked_fill(protected[:, ::2, None] | protected[:, None, 1::2], -math.inf)
        best, partner = scores.max(dim=-1)
        order = best.argsort(dim=-1, descending=True)
        going, staying = order[:, :count], order[:, count:]
        goal = partner.gather(1, going)

    def merged(values: Tensor) -> Tensor:
        even, odd = values[:, ::2], values[:, 1::2]
        wide = values.shape[-1]
        moved = even.gather(1, going[..., None].expand(-1, -1, wide))
        kept = even.gather(1, staying[..., None].expand(-1, -1, wide))
        odd = odd.scatter_add(1, goal[..., None].expand(-1, -1, wide), moved)
        return torch.cat([kept, odd], dim=1)

    weights = sizes[..., None].to(tokens.dtype)
    total = merged(weights)
    return merged(tokens * weights) / total, total[..., 0]


def bench_operator(
    *,
    device: torch.device | str = "cpu",
    precision: torch.dtype = torch.float32,
    batches: Sequence[int] = BATCHES,
    sizes: Sequence[str] = tuple(SHAPES),
    repeats: int = 50,
    warm_up: int = 5,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Time one merge by the operator, by its reference and as it is usually written.

    Args:
        device: where.
        precision: of the tokens; keys are float32, as the encoder gives them.
        batches: images in one call.
        sizes: names of :data:`SHAPES`.
        repeats: rounds that are timed.
        warm_up: rounds before these.
        progress: told how far it is; can cancel.

    Returns:
        Plain values: ``operator`` (what it runs on), ``rows`` (shape, batch, milliseconds of the three, the
        operator's speed-up over each and over the faster one), ``settings``, ``environment``.

    Raises:
        BadCall: an unknown size, or nothing to measure.
        Cancelled: the progress was cancelled.
    """
    device = torch.device(device)
    if unknown := sorted(set(sizes) - set(SHAPES)):
        raise BadCall(f"Unknown size '{unknown[0]}'. There are: {', '.join(SHAPES)}.")
    if repeats < 1 or not batches or min(batches) < 1:
        raise BadCall("Give at least one round and batches of at least one image.")
    rows = []
    with torch.inference_mode():
        for size in sizes:
            for batch in batches:
                calls = _calls(size, batch, device, precision)
                seconds = time_side_by_side(
                    calls, repeats, warm_up, device, progress, f"{size}, batch of {batch}"
                )
                rows.append(_row(size, batch, seconds))
    return {
        "operator": operator_state(),
        "rows": rows,
        "settings": {
            "precision": str(precision).removeprefix("torch."),
            "repeats": repeats,
            "person_share": PERSON_SHARE,
        },
        "environment": environment(device),
    }


def _calls(size: str, batch: int, device: torch.device, precision: torch.dtype) -> dict[str, _Call]:
    length, channels, width, count = SHAPES[size]
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randn(batch, length, channels, generator=generator).to(device, precision)
    metric = torch.randn(batch, length, width, generator=generator).to(device)
    weights = torch.ones(batch, length, device=device)
    protected = (torch.rand(batch, length, generator=generator) < PERSON_SHARE).to(device)
    levels = protected.to(torch.uint8)
    return {
        "operator": lambda: merge_tokens(tokens, metric, weights, levels, count),
        "reference": lambda: merge_tokens_reference(tokens, metric, weights, levels, count, True),
        "usual": lambda: usual_merge(tokens, metric, weights, protected, count),
    }


def _row(size: str, batch: int, seconds: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    length, channels, width, count = SHAPES[size]
    faster = min(("reference", "usual"), key=lambda name: statistics.median(seconds[name]))
    return {
        "size": size,
        "tokens": length,
        "channels": channels,
        "key_width": width,
        "merges": count,
        "batch": batch,
        "milliseconds": {name: spread([1e3 * one for one in took]) for name, took in seconds.items()},
        "speed_up": {
            name: spread(ratios(seconds[name], seconds["operator"]), 2) for name in ("reference", "usual")
        },
        "faster_baseline": faster,
        "speed_up_over_faster": spread(ratios(seconds[faster], seconds["operator"]), 2)["median"],
    }


def as_text(figures: Mapping[str, Any]) -> str:
    """The figures of :func:`bench_operator` as a table."""
    place = figures["environment"]
    lines = [
        f"merge_tokens {figures['operator']}; {place.get('gpu', place['processor'])}, "
        f"{place['threads']} threads, {figures['settings']['precision']}, medians of "
        f"{figures['settings']['repeats']} rounds",
        "size   batch   operator   reference       usual   over reference   over the usual",
    ]
    for row in figures["rows"]:
        took = {name: values["median"] for name, values in row["milliseconds"].items()}
        gain = {name: values["median"] for name, values in row["speed_up"].items()}
        lines.append(
            f"{row['size']:<6} {row['batch']:5}   {took['operator']:5.2f} ms   {took['reference']:6.2f} ms   "
            f"{took['usual']:6.2f} ms   {gain['reference']:13.1f}x   {gain['usual']:13.1f}x"
        )
    return "\n".join(lines)
