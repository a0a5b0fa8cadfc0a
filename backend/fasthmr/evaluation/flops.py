# SPDX-License-Identifier: Apache-2.0
"""How many multiply-adds the encoder needs for one crop: exact, by arithmetic, part by part.

Only matrix products (and the patch convolution) count, as in the tables of the literature; norms, GELU,
softmax and rotations do not. One multiply-add is two floating-point operations. Papers often leave the
products inside attention out as well: :attr:`MultiplyAdds.linear_only` is the number to compare with theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from fasthmr.encoder.config import CAMERA_SIZE, POSE_SIZE, SHAPE_SIZE, EncoderConfig

MERGE_SIDES: Final = 2  # bipartite matching compares the tokens at even positions with those at odd ones
BOX_SIZE: Final = 3  # what CameraHMR's head reads beside the tokens


@dataclass(frozen=True)
class MultiplyAdds:
    """Multiply-adds for one crop.

    Attributes:
        patches: the convolution that makes tokens of patches.
        projections: query, key, value and output projections of all layers, on the tokens before merging.
        mlps: both products of each layer's MLP, on the tokens after merging.
        attention: scores and weighted values of all layers.
        matching: scores of the tokens that may merge.
        head: everything after the last layer's norm.
        head_attention: the share of ``head`` that is scores and weighted values.
    """

    patches: int
    projections: int
    mlps: int
    attention: int
    matching: int
    head: int
    head_attention: int

    @property
    def total(self) -> int:
        """Everything."""
        return self.patches + self.projections + self.mlps + self.attention + self.matching + self.head

    @property
    def linear_only(self) -> int:
        """Without scores, weighted values and matching: what the paper's Table 12 counts."""
        return self.total - self.attention - self.matching - self.head_attention

    def as_dict(self) -> dict[str, int]:
        """Every part and both sums, for JSON."""
        return asdict(self) | {"total": self.total, "linear_only": self.linear_only}


def tokens_by_layer(tokens: int, schedule: Sequence[int], layers: int) -> list[int]:
    """How many tokens there are before the first layer and after each: ``layers + 1`` numbers.

    Args:
        tokens: at the start.
        schedule: how many fewer after each layer, from the first on; nothing after its end.
        layers: number of layers.

    Raises:
        ValueError: the schedule is longer than the network, or leaves no token.
    """
    if len(schedule) > layers:
        raise ValueError(f"a schedule of {len(schedule)} layers for a network of {layers}")
    counts = [tokens]
    for layer in range(layers):
        counts.append(counts[-1] - (schedule[layer] if layer < len(schedule) else 0))
    if min(counts) < 1:
        raise ValueError(f"{tokens} tokens cannot lose {sum(schedule)}")
    return counts


def encoder_multiply_adds(
    config: EncoderConfig,
    schedule: Sequence[int] = (),
    layers: int | None = None,
    *,
    simplified: bool = True,
    matching: bool = True,
) -> MultiplyAdds:
    """Count the multiply-adds of one crop.

    Merging lies between attention and MLP: attention sees the tokens before it, the MLP those after it.

    Args:
        config: the network.
        schedule: how many tokens fewer after each layer's attention, from the first layer on.
        layers: layers of the vision transformer; ``config.depth`` when left out.
        simplified: the head as it runs after ``simplify_()``; else as it was published.
        matching: the tokens are chosen by comparing them (dropping and pooling compare nothing).

    Returns:
        The counts.

    Raises:
        ValueError: the schedule does not fit the network.
    """
    layers = config.depth if layers is None else layers
    counts = tokens_by_layer(config.tokens, schedule, layers)
    before, after = counts[:-1], counts[1:]
    dim = config.dim
    head_linear, head_attention = (_simplified_head if simplified else _published_head)(config, counts[-1])
    return MultiplyAdds(
        patches=config.tokens * dim * config.in_channels * config.patch**2,
        projections=4 * dim * dim * sum(before),
        mlps=2 * config.mlp_ratio * dim * dim * sum(after),
        attention=2 * dim * sum(count * count for count in before),
        matching=sum(
            _pairs(count) * (dim // config.heads)
            for count, left in zip(before, after, strict=True)
            if matching and left < count
        ),
        head=head_linear + head_attention,
        head_attention=head_attention,
    )


def _pairs(tokens: int) -> int:
    """Pairs that a layer of merging compares."""
    return (tokens // MERGE_SIDES) * (tokens - tokens // MERGE_SIDES)


def _published_head(config: EncoderConfig, tokens: int) -> tuple[int, int]:
    """Multiply-adds of the head's linear layers, and of its attention, with one query and so many tokens."""
    width, inner = config.head_dim, config.head_heads * config.head_head_dim
    itself = 4 * width * inner
    across = 2 * width * inner + 2 * tokens * config.dim * inner
    layer = itself + across + 2 * width * config.head_mlp
    outputs = width * (POSE_SIZE + SHAPE_SIZE + CAMERA_SIZE)
    attention = 2 * inner * (1 + tokens)  # of the query to itself, and to the tokens
    return config.token_input * width + config.head_depth * layer + outputs, config.head_depth * attention


def _simplified_head(config: EncoderConfig, tokens: int) -> tuple[int, int]:
    """The same for the head that runs: see :mod:`fasthmr.encoder.simplified_head`.

    Its heads read the tokens themselves, with their width, and nothing is projected but what they have read.
    What does not depend on the image (of HMR2.0 the first layer's query) was computed before.
    """
    width, inner = config.head_dim, config.head_heads * config.head_head_dim
    layer = width * width + 2 * width * inner + 2 * inner * config.dim + 2 * width * config.head_mlp
    known = 0 if config.reads_box else width * width + width * inner
    box = BOX_SIZE * width if config.reads_box else 0
    outputs = width * (POSE_SIZE + SHAPE_SIZE + CAMERA_SIZE)
    attention = 2 * config.head_heads * config.dim * tokens
    return box + config.head_depth * layer - known + outputs, config.head_depth * attention
