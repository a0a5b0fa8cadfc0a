# SPDX-License-Identifier: Apache-2.0
"""How much faster the encoder is with merged tokens and layers than without, on this machine, in one run.

Both run on the same weights (the very same tensors), in the same precision, with the same attention kernels
and the same simplified head, turn by turn (:mod:`fasthmr.evaluation.side_by_side`). Beside the speed-up
stands the ratio of multiply-adds (:mod:`fasthmr.evaluation.flops`): what a machine that did nothing but
matrix products, equally well at every size, would reach.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from fasthmr.encoder.config import HMR2, EncoderConfig
from fasthmr.encoder.layer_merging import merge_layers, merged_config
from fasthmr.encoder.layer_plan import uniform_plan
from fasthmr.encoder.merge_operator import operator_state
from fasthmr.encoder.model import HMRModel
from fasthmr.encoder.packed_linear import pack_linears_, packing_helps
from fasthmr.encoder.random_weights import random_state
from fasthmr.encoder.token_baselines import REDUCTIONS
from fasthmr.encoder.token_merging import BACKGROUND, PERSON, schedule_to
from fasthmr.errors import BadCall
from fasthmr.evaluation.flops import MultiplyAdds, encoder_multiply_adds, tokens_by_layer
from fasthmr.evaluation.side_by_side import environment, ratios, spread, time_side_by_side
from fasthmr.progress import Progress

BATCHES: Final = (1, 8, 32)
PERSON_SHARE: Final = 0.4
"""Share of the patches that the benchmark's person covers; the rest is enough background for 192 -> 96."""


@dataclass(frozen=True)
class Variant:
    """One way to run the encoder.

    Attributes:
        fewer_layers: with the merged layers.
        reduction: how tokens become fewer, a name of ``token_baselines.REDUCTIONS``; None: they do not.
    """

    fewer_layers: bool
    reduction: str | None


BASELINE: Final = "unmerged"
VARIANTS: Final[dict[str, Variant]] = {
    BASELINE: Variant(False, None),
    "merged": Variant(True, "merge"),
    "tokens only": Variant(False, "merge"),
    "layers only": Variant(True, None),
    "drop": Variant(True, "drop"),
    "pool": Variant(True, "pool"),
    "plain mean": Variant(True, "merge-plain-mean"),
    "log-size bias": Variant(True, "merge-log-size"),
}
TWO: Final = (BASELINE, "merged")
"""What is measured without ``--compare``."""


def bench_merging(
    config: EncoderConfig = HMR2,
    checkpoint: Path | None = None,
    *,
    batches: Sequence[int] = BATCHES,
    device: torch.device | str = "cpu",
    precision: torch.dtype = torch.float32,
    layers: int | None = None,
    target_tokens: int | None = None,
    schedule: Sequence[int] | None = None,
    repeats: int = 5,
    warm_up: int = 1,
    variants: Sequence[str] = TWO,
    compiled: bool = False,
    graphs: bool | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Time the encoder unmerged and merged.

    Args:
        config: sizes of a network with random weights; those of the checkpoint where one is given.
        checkpoint: weights to take instead; they must be of an unmerged network.
        batches: crops in one call.
        device: where it runs.
        precision: of weights and activations, in all variants.
        layers: layers after merging; 26 of 32, and the same share of another depth, when left out.
        target_tokens: tokens after merging; half of them when left out.
        schedule: merges in each layer; ``schedule_to(tokens, target_tokens)`` when left out.
        repeats: rounds that are timed.
        warm_up: rounds before these.
        variants: names of :data:`VARIANTS`; the unmerged one is always among them.
        compiled: every variant runs through ``torch.compile``.
        graphs: every variant is a CUDA graph; on CUDA when left out.
        progress: told how far it is; can cancel.

    Returns:
        Plain values: ``model``, ``merging`` (schedule, layers, the person's mask), ``multiply_adds`` a crop
        by variant, ``batches`` (per batch and variant: milliseconds of a batch and of a crop, speed-up, ratio
        of multiply-adds and the share of it that was reached), ``settings``, ``environment``.

    Raises:
        BadCall: an unknown variant, or sizes that do not go together.
        BadInput, MissingModel: the checkpoint cannot be used.
        Cancelled: the progress was cancelled.
    """
    device = torch.device(device)
    names = _checked(variants, batches, repeats)
    with torch.inference_mode():
        plain = _plain_model(config, checkpoint, device, precision)
        config = plain.config
        parameters = sum(value.numel() for value in plain.parameters())
        layers = max(1, config.depth * 26 // 32) if layers is None else layers
        if not 1 <= layers <= config.depth:
            raise BadCall(f"{config.depth} layers cannot become {layers}. Choose 1 to {config.depth}.")
        target = config.tokens // 2 if target_tokens is None else target_tokens
        schedule = tuple(schedule_to(config.tokens, target) if schedule is None else schedule)
        if len(schedule) > layers:
            raise BadCall(
                f"Tokens merge in {len(schedule)} layers, and only {layers} are left. Give more layers, or a "
                "schedule of fewer."
            )
        costs = {name: _cost(config, VARIANTS[name], layers, schedule) for name in names}
        models = variant_models(plain, layers, schedule, names)
        levels = person_levels(config.grid).to(device)
        rows = {}
        packed = False
        for batch in sorted(set(batches), reverse=True):  # small ones last: packed layers are for them alone
            if not packed and not compiled and packing_helps(batch * config.tokens, precision, device):
                packed = pack_linears_([model.backbone for model in models.values()], config.tokens) > 0
            runs = _Runs(models, levels, batch, compiled, device.type == "cuda" if graphs is None else graphs)
            seconds = time_side_by_side(runs.calls, repeats, warm_up, device, progress, f"batch of {batch}")
            rows[batch] = _row(batch, seconds, costs) | {
                "packed_linears": packed,
                "forced_merges_a_crop": runs.forced,
            }
    return {
        "model": {
            "kind": config.kind,
            "dim": config.dim,
            "layers": config.depth,
            "tokens": config.tokens,
            "weights": "random" if checkpoint is None else checkpoint.name,
            "parameters": parameters,
        },
        "merging": {
            "layers": layers,
            "schedule": list(schedule),
            "tokens_after_each_layer": tokens_by_layer(config.tokens, schedule, len(schedule))[1:],
            "person": f"an ellipse over {float((levels == PERSON).float().mean()):.0%} of the patches, the "
            "same in every crop; the pictures are noise, which speed does not depend on",
        },
        "multiply_adds": {name: cost.as_dict() for name, cost in costs.items()},
        "batches": [rows[batch] for batch in sorted(rows)],
        "settings": {
            "precision": str(precision).removeprefix("torch."),
            "repeats": repeats,
            "warm_up": warm_up,
            "compiled": compiled,
            "cuda_graphs": bool(device.type == "cuda" if graphs is None else graphs),
            "attention": "scaled_dot_product_attention in every variant",
            "head": "simplified in every variant",
        },
        "environment": environment(device) | {"merge_operator": operator_state()},
    }


def _checked(variants: Sequence[str], batches: Sequence[int], repeats: int) -> list[str]:
    """The variants with the baseline first; raise :class:`BadCall` for what cannot be run."""
    for name in variants:
        if name not in VARIANTS:
            raise BadCall(f"There is no variant '{name}'. Choose among {', '.join(VARIANTS)}.")
    if not batches or min(batches) < 1 or repeats < 1:
        raise BadCall("A benchmark takes batches of 1 or more crops, and 1 or more repeats.")
    return [BASELINE, *(name for name in variants if name != BASELINE)]


def _plain_model(
    config: EncoderConfig, checkpoint: Path | None, device: torch.device, precision: torch.dtype
) -> HMRModel:
    """The unmerged network, its head not yet simplified."""
    if checkpoint is None:
        return HMRModel.from_state(config, random_state(config)).cast_(precision).to(device)
    from fasthmr.encoder.checkpoint import load_checkpoint

    model = load_checkpoint(checkpoint, config.kind, simplify=False, dtype=precision, device=device)
    if model.plan is not None:
        raise BadCall(f"{checkpoint} has merged layers already. Give the checkpoint that it was made from.")
    return model


def variant_models(
    plain: HMRModel, layers: int, schedule: tuple[int, ...], names: Sequence[str]
) -> dict[str, HMRModel]:
    """One network for each variant, all on the same tensors.

    Layers are merged by the uniform plan, in which a group of two becomes the later one: a network of fewer
    layers without a second copy of the weights. Speed does not depend on which layers they are.

    Args:
        plain: the unmerged network; its head is simplified here.
        layers: of the merged ones.
        schedule: merges in each layer.
        names: of :data:`VARIANTS`.
    """
    config = plain.config
    plan = uniform_plan(config.depth, layers)
    state = merge_layers(plain.state_dict(), plan)
    shallow = HMRModel.from_state(merged_config(config, plan), state)
    shallow.smpl_head = plain.simplify_().smpl_head
    models = {}
    for name in names:
        variant = VARIANTS[name]
        model = copy.copy(shallow if variant.fewer_layers else plain)  # the modules stay shared
        model.reduction = None if variant.reduction is None else REDUCTIONS[variant.reduction](schedule)
        models[name] = model
    return models


def person_levels(grid: tuple[int, int], share: float = PERSON_SHARE) -> Tensor:
    """Levels of the patches of a crop with a person in it: an upright ellipse in the middle.

    Args:
        grid: rows and columns of patches.
        share: of the patches, that the ellipse covers; the nearest whole patches are taken.

    Returns:
        (rows * columns,) uint8.
    """
    rows, columns = grid
    y = (torch.arange(rows) + 0.5) / rows - 0.5
    x = (torch.arange(columns) + 0.5) / columns - 0.5
    distance = (y[:, None].square() + 2 * x[None].square()).flatten()  # higher than wide, as people are
    levels = torch.full((rows * columns,), BACKGROUND, dtype=torch.uint8)
    levels[distance.argsort(stable=True)[: round(share * rows * columns)]] = PERSON
    return levels


class _Runs:
    """Calls of all variants for one batch size.

    Attributes:
        calls: by name; each does the whole encoder once.
        forced: merges a crop, of the merged variants, that touched the person for want of background.
    """

    def __init__(
        self, models: Mapping[str, HMRModel], levels: Tensor, batch: int, compiled: bool, graphs: bool
    ) -> None:
        config, dtype = next(iter(models.values())).config, next(iter(models.values())).dtype
        generator = torch.Generator().manual_seed(batch)
        crops = torch.randn((batch, config.in_channels, *config.image_size), generator=generator)
        self._crops = crops.to(levels.device, dtype)
        self._levels = levels.expand(batch, -1).contiguous()
        box = torch.zeros((batch, 3), device=levels.device)
        self._box = box + 1.0 if config.reads_box else None
        self.calls: dict[str, Callable[[], object]] = {}
        self.forced: dict[str, float] = {}
        for name, model in models.items():
            call = self._call(torch.compile(model, dynamic=False) if compiled else model)
            if model.reduction is not None:
                self.forced[name] = round(call().state.forced.float().mean().item(), 2)
            self.calls[name] = _as_graph(call) if graphs else call

    def _call(self, model: Callable[..., Any]) -> Callable[[], Any]:
        def call() -> Any:
            return model(self._crops, box_info=self._box, protection=self._levels)

        return call


def _as_graph(call: Callable[[], object]) -> Callable[[], object]:
    """The call recorded as a CUDA graph: one launch."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # what is made at the first call must exist before recording
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = call()

    def replay() -> object:
        graph.replay()
        return kept

    return replay


def _cost(config: EncoderConfig, variant: Variant, layers: int, schedule: Sequence[int]) -> MultiplyAdds:
    return encoder_multiply_adds(
        config,
        schedule if variant.reduction else (),
        layers if variant.fewer_layers else config.depth,
        matching=variant.reduction is not None and variant.reduction.startswith("merge"),
    )


def _row(
    batch: int, seconds: Mapping[str, Sequence[float]], costs: Mapping[str, MultiplyAdds]
) -> dict[str, Any]:
    """The figures of one batch size."""
    base, all_ = seconds[BASELINE], costs[BASELINE].total
    found: dict[str, Any] = {}
    for name, taken in seconds.items():
        speed_ups = ratios(base, taken)
        flop_ratio = all_ / costs[name].total
        found[name] = {
            "ms": spread([1e3 * one for one in taken], 3),
            "ms_a_crop": round(1e3 * statistics.median(taken) / batch, 3),
            "billion_multiply_adds_a_second": round(
                batch * costs[name].total / statistics.median(taken) / 1e9, 1
            ),
            "speed_up": spread(speed_ups, 3),
            "speed_up_of_fastest": round(min(base) / min(taken), 3),
            "flop_ratio": round(flop_ratio, 3),
            "share_of_flop_ratio": round(statistics.median(speed_ups) / flop_ratio, 3),
        }
    return {"batch": batch, "variants": found}


def as_text(figures: Mapping[str, Any]) -> str:
    """The figures as a table for people."""
    model, merging = figures["model"], figures["merging"]
    settings, machine = figures["settings"], figures["environment"]
    tokens = " -> ".join(map(str, [model["tokens"], *merging["tokens_after_each_layer"]]))
    lines = [
        f"{model['kind']}, {model['layers']} -> {merging['layers']} layers of width {model['dim']}, "
        f"{tokens} tokens, weights: {model['weights']}",
        f"{machine.get('gpu', machine['processor'])}, {machine['threads']} threads, {settings['precision']}, "
        f"PyTorch {machine['torch']}, merge operator: {machine['merge_operator']}; "
        f"median of {settings['repeats']} rounds, turn by turn",
    ]
    for row in figures["batches"]:
        lines.append("")
        lines.append(
            f"batch of {row['batch']:<6}      ms  ms a crop  speed-up (quartiles)  FLOP ratio  reached"
        )
        for name, found in row["variants"].items():
            gain = found["speed_up"]
            quartiles = f"({gain['lower_quartile']:.2f}-{gain['upper_quartile']:.2f})"
            lines.append(
                f"  {name:<14} {found['ms']['median']:8.1f} {found['ms_a_crop']:10.1f} "
                f"{gain['median']:7.2f}x {quartiles:<13} {found['flop_ratio']:9.2f}x "
                f"{found['share_of_flop_ratio']:8.0%}"
            )
    return "\n".join(lines)
