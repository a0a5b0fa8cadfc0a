# SPDX-License-Identifier: Apache-2.0
"""Several layers of a vision transformer become one (FastHMR, arXiv 2510.10868, section on ECLM).

All parameters of a layer take part: the weights and biases of its four products, and both norms. The paper
does not say what happens to norms and biases; a layer whose products are merged but whose norms are another
layer's would be no variant of anything (docs/layer_merging.md).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor, nn

from fasthmr.encoder.config import EncoderConfig
from fasthmr.encoder.layer_plan import Groups, LayerPlan, Variant, kept_layer, recipe
from fasthmr.encoder.model import HMRModel
from fasthmr.encoder.vit import Block

BLOCKS: Final = "backbone.blocks."


def merge_tensors(tensors: Sequence[Tensor], variant: Variant) -> Tensor:
    """One parameter of a merged layer, from that of each layer of its group.

    - "formula": the paper's, theta_i + sum over k of (theta_{i+k} - theta_i). For two layers that is the
      later one, to the last bit: merging two layers is deleting the lower one.
    - "keep_last", "keep_first": the others are deleted. (The public code of LaCo and of sliding layer
      merging, which the paper cites, adds each difference to a copy that has the ones before in it: the sum
      telescopes to the last layer's weights.)
    - "mean": their mean.

    Sums are taken in double precision and rounded once.

    Args:
        tensors: of equal shape and type, in the order of the layers.
        variant: which of these.

    Returns:
        The same shape and type; for a variant that keeps a layer, that very tensor.
    """
    kept = kept_layer(range(len(tensors)), variant)
    if kept is not None:
        return tensors[kept]
    first, *others = tensors
    total = torch.zeros(first.shape, dtype=torch.float64, device=first.device)
    for other in others:
        total += other
    if variant == "formula":
        return total.sub_(first.double(), alpha=len(others) - 1).to(first.dtype)
    return total.add_(first).div_(len(tensors)).to(first.dtype)


def merge_layers(state: Mapping[str, Tensor], plan: LayerPlan) -> dict[str, Tensor]:
    """The tensors of a network with fewer layers.

    Args:
        state: every tensor of the original network, by its name in the checkpoint.
        plan: what becomes of its layers.

    Returns:
        The tensors of the new network. Those that did not change are shared, not copied.

    Raises:
        ValueError: the network has another number of layers than the plan is for.
    """
    count = layer_count(state)
    if count != plan.layers:
        raise ValueError(f"the plan is for {plan.layers} layers; the network has {count}")
    others = {name: one for name, one in state.items() if not name.startswith(BLOCKS)}
    layers: dict[str, Tensor] = {}
    for new, group in enumerate(plan.groups):
        for name, one in merged_parameters(state, group, plan.variant).items():
            layers[f"{BLOCKS}{new}.{name}"] = one
    before = [name for name in others if name.startswith(("backbone.pos", "backbone.patch"))]
    after = [name for name in others if name not in before]
    return {**{name: others[name] for name in before}, **layers, **{name: others[name] for name in after}}


def merged_parameters(
    state: Mapping[str, Tensor], group: Sequence[int], variant: Variant
) -> dict[str, Tensor]:
    """The parameters of one merged layer, by their names within a layer ("attn.qkv.weight").

    Args:
        state: the tensors of the original network.
        group: the layers that become one.
        variant: how.
    """
    first = f"{BLOCKS}{group[0]}."
    names = [name.removeprefix(first) for name in state if name.startswith(first)]
    return {
        name: merge_tensors([state[f"{BLOCKS}{layer}.{name}"] for layer in group], variant) for name in names
    }


def layer_count(state: Mapping[str, Tensor]) -> int:
    """How many layers of the vision transformer a network's tensors hold."""
    return len({name.split(".")[2] for name in state if name.startswith(BLOCKS)})


def merged_config(config: EncoderConfig, plan: LayerPlan) -> EncoderConfig:
    """The sizes of the new network."""
    return replace(config, depth=plan.depth)


class TrialLayers:
    """Lets a network run with its layers merged this way and that, without copies of the network.

    Only the layers that a trial makes new take memory; those that the next trial wants as well are kept for
    it. They are made from the tensors of the file, in its precision, and cast as the network was: a trial
    measures exactly what would be saved.

    Args:
        model: the original network, in the precision and on the device that trials run with; its layers are
            exchanged within :meth:`merged` only.
        state: the tensors of the file.
    """

    def __init__(self, model: HMRModel, state: Mapping[str, Tensor]) -> None:
        self._model = model
        self._state = state
        self._original = model.backbone.blocks
        self._made: dict[str, Block] = {}

    @contextlib.contextmanager
    def merged(self, groups: Groups, variant: Variant) -> Iterator[HMRModel]:
        """The network with merged layers, while the block lasts."""
        wanted = dict(zip(recipe(groups, variant), groups, strict=True))
        self._made = {name: block for name, block in self._made.items() if name in wanted}
        blocks = [self._block(name, group, variant) for name, group in wanted.items()]
        self._model.backbone.blocks = nn.ModuleList(blocks)
        try:
            yield self._model
        finally:
            self._model.backbone.blocks = self._original

    def _block(self, name: str, group: Sequence[int], variant: Variant) -> nn.Module:
        kept = kept_layer(group, variant)
        if kept is not None:
            return self._original[kept]
        if name not in self._made:
            with torch.device("meta"):
                block = Block(self._model.config)
            example = self._model.backbone.pos_embed
            parameters = {
                key: one.to(example.device, example.dtype)
                for key, one in merged_parameters(self._state, group, variant).items()
            }
            block.load_state_dict(parameters, strict=True, assign=True)
            self._made[name] = block.eval().requires_grad_(False)
        return self._made[name]
