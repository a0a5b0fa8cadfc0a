# SPDX-License-Identifier: Apache-2.0
"""The SMPL head again, with the same result from less work. For running only, made from a loaded head.

With one query and a fixed input much of the published head is superfluous. Nothing here is an approximation:

- *Self-attention of one query*: its softmax is over one score, hence 1, and what it adds to x is
  W_o W_v LN(x) + b_o. Queries and keys are dropped and the two matrices become one.
- *The query's input*: HMR2.0's is a zero, so everything before the first cross-attention is a constant, and
  the first layer's query is another. CameraHMR's is three numbers and constants: 3 inputs in place of 160.
- *Keys and values* ("absorbed"): a head's scores are (W_q x)ᵀ (W_k c) = (W_kᵀ W_q x)ᵀ c for each token c, and
  what it reads is Σ a W_v c = W_v Σ a c. So the heads read the tokens themselves, and the projections act on
  8 vectors in place of 192 tokens. What remains is attention with 8 queries and the width of the tokens.
- *Keys and values* ("product"), the alternative: those of all layers as one matrix product.

Products a crop, ViT-H with N tokens, in millions of multiplications (the whole network: about 123,000 with
N = 192):

    ==========================  =============  ========================  ======================
    part, all six layers        published      absorbed                  product
    ==========================  =============  ========================  ======================
    self-attention              12.6           5.2 (CameraHMR: 6.3)      the same as absorbed
    keys and values             7.86 N         7.9                       7.86 N
    scores and weighted sums    0.006 N        0.12 N                    0.006 N
    first query                 0.5            0 (CameraHMR: 0.5)        the same as absorbed
    ==========================  =============  ========================  ======================

With N = 192 the head of HMR2.0 goes from 1,543 to 55 million, with N = 96 from 787 to 43.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

from fasthmr.encoder.first_guess import Guess
from fasthmr.encoder.smpl_head import (
    NEEDS_BOX,
    BodyReadOut,
    CrossAttention,
    PreNorm,
    Readings,
    SelfAttention,
    SMPLHead,
)

KeysValues = Literal["absorbed", "product"]


_Reader = Callable[
    [int, Tensor], Tensor
]  # layer and queries (B,heads,width) to what was read, (B,heads*width)


class FoldedSelfAttention(nn.Module):
    """What the self-attention of a single query adds to it: a norm and one matrix.

    Args:
        part: the norm and the attention of the plain head.
    """

    @torch.no_grad()
    def __init__(self, part: PreNorm) -> None:
        super().__init__()
        attention = part.fn
        assert isinstance(attention, SelfAttention)  # noqa: S101 (for the type checker)
        out = attention.to_out[0]
        assert isinstance(out, nn.Linear)  # noqa: S101
        kind = out.weight.dtype
        values = attention.to_qkv.weight.double().chunk(3)[2]
        self.norm = part.norm
        self.product = nn.Parameter((out.weight.double() @ values).to(kind), requires_grad=False)
        self.bias = nn.Parameter(out.bias.detach(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Queries (B,dim) to what is added to them, the same shape."""
        return F.linear(self.norm(x), self.product, self.bias)


class SimplifiedHead(BodyReadOut):
    """From the tokens of a crop to SMPL's parameters, like :class:`fasthmr.encoder.smpl_head.SMPLHead`.

    Args:
        head: the head with its weights; it is left as it is, and what does not change is shared with it.
        keys_values: see the module.
    """

    first: Tensor
    first_query: Tensor | None

    def __init__(self, head: SMPLHead, keys_values: KeysValues = "absorbed") -> None:
        super().__init__()
        config = self.config = head.config
        self.heads, self.width = config.head_heads, config.head_head_dim
        self.keys_values = keys_values
        layers = [_parts(layer) for layer in head.transformer.transformer.layers]
        self.among = nn.ModuleList(FoldedSelfAttention(among) for among, _, _, _ in layers)
        self.queries = nn.ModuleList(nn.Sequential(norm, across.to_q) for _, norm, across, _ in layers)
        self.outputs = nn.ModuleList(across.to_out for _, _, across, _ in layers)
        self.feeds = nn.ModuleList(feed for _, _, _, feed in layers)
        weights = torch.cat([across.to_kv.weight.detach() for _, _, across, _ in layers])
        self.to_kv = nn.Parameter(weights, requires_grad=False)  # (layers*2*heads*width, dim)
        self.decpose, self.decshape, self.deccam = head.decpose, head.decshape, head.deccam
        self.first_guess = head.first_guess
        for name in ("init_body_pose", "init_betas", "init_cam"):
            self.register_buffer(name, getattr(head, name))
        self.box_weight: nn.Parameter | None = None
        self.register_buffer("first_query", None)
        self._fold_input(head)

    @torch.no_grad()
    def _fold_input(self, head: SMPLHead) -> None:
        """Compute what does not depend on the image, in float64."""
        embedding = head.transformer.to_token_embedding
        kind = embedding.weight.dtype
        read = head.query_input(1, embedding.weight.new_zeros(1, 3)).double()
        x = F.linear(read, embedding.weight.double(), embedding.bias.double())
        x = x + head.transformer.pos_embedding[0].double()
        if head.config.reads_box:
            self.box_weight = nn.Parameter(embedding.weight[:, :3].clone(), requires_grad=False)
            self.register_buffer("first", x.to(kind))
            return
        among, norm, across, _ = _parts(copy.deepcopy(head.transformer.transformer.layers[0]).double())
        x = x + among(x[:, None])[:, 0]
        self.register_buffer("first", x.to(kind))
        self.register_buffer("first_query", across.to_q(norm(x)).to(kind))

    def forward(self, tokens: Tensor, box_info: Tensor | None = None, guess: Guess | None = None) -> Readings:
        """Read the body.

        Args:
            tokens: (B,M,dim), of any precision; the head works in that of its weights.
            box_info: (B,3), for CameraHMR.
            guess: what landmarks say.

        Returns:
            As :meth:`fasthmr.encoder.smpl_head.SMPLHead.forward`.

        Raises:
            ValueError: CameraHMR without ``box_info``.
        """
        read = self._absorbed(tokens) if self.keys_values == "absorbed" else self._product(tokens)
        x = self.first.expand(tokens.shape[0], -1)
        if self.box_weight is not None:
            if box_info is None:
                raise ValueError(NEEDS_BOX)
            x = x + F.linear(box_info.to(x.dtype), self.box_weight)
        for layer, (among, query, output, feed) in enumerate(
            zip(self.among, self.queries, self.outputs, self.feeds, strict=True)
        ):
            if layer == 0 and self.first_query is not None:
                q = self.first_query.expand(tokens.shape[0], -1)
            else:
                x = x + among(x)
                q = query(x)
            x = x + output(read(layer, q.unflatten(1, (self.heads, self.width))))
            x = x + feed(x)
        return self.read_out(x, guess)

    def _absorbed(self, tokens: Tensor) -> _Reader:
        """Reading of the tokens by heads that see them as they are."""
        weights = self.to_kv.view(self.config.head_depth, 2, self.heads, self.width, self.config.dim)
        context = tokens[:, None]

        def read(layer: int, q: Tensor) -> Tensor:
            sought = torch.bmm(q.transpose(0, 1), weights[layer, 0]).transpose(0, 1)  # (B,heads,dim)
            # The heads stand where queries do: all of them look at the same tokens, in the tokens' precision.
            seen = F.scaled_dot_product_attention(
                sought[:, None].to(tokens.dtype), context, context, scale=1 / math.sqrt(self.width)
            )
            values = torch.bmm(seen[:, 0].to(q.dtype).transpose(0, 1), weights[layer, 1].transpose(1, 2))
            return values.transpose(0, 1).flatten(1)

        return read

    def _product(self, tokens: Tensor) -> _Reader:
        """Reading of keys and values that are made for all layers at once."""
        shape = (self.config.head_depth, 2, self.heads, self.width)
        made = (
            F.linear(tokens.to(self.to_kv.dtype), self.to_kv).unflatten(-1, shape).permute(2, 3, 0, 4, 1, 5)
        )

        def read(layer: int, q: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(q[:, :, None], made[layer, 0], made[layer, 1]).flatten(1)

        return read


def _parts(layer: nn.Module) -> tuple[PreNorm, nn.LayerNorm, CrossAttention, PreNorm]:
    """Of a layer of the plain head: self-attention, the norm and the layer of cross-attention, MLP."""
    assert isinstance(layer, nn.ModuleList)  # noqa: S101 (for the type checker)
    among, across, feed = layer
    assert isinstance(among, PreNorm)  # noqa: S101
    assert isinstance(across, PreNorm)  # noqa: S101
    assert isinstance(feed, PreNorm)  # noqa: S101
    assert isinstance(across.fn, CrossAttention)  # noqa: S101
    return among, across.norm, across.fn, feed
