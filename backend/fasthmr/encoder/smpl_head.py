# SPDX-License-Identifier: Apache-2.0
"""The head of HMR2.0 and CameraHMR: one query reads the tokens of the image and becomes a body.

Modules carry the names of the published checkpoints, which have odd turns (``transformer.transformer``,
``fn.net.3``): the numbers count layers that had a drop-out between them. This is the plain form; see
:mod:`fasthmr.encoder.simplified_head` for the one that computes the same with less.
"""

from __future__ import annotations

from typing import Final

import roma
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

from fasthmr.encoder.config import (
    CAMERA_SIZE,
    LANDMARK_NUMBERS,
    POSE_SIZE,
    SHAPE_SIZE,
    EncoderConfig,
)
from fasthmr.encoder.first_guess import FirstGuess, Guess

Readings = tuple[Tensor, Tensor, Tensor, Tensor]
NEEDS_BOX: Final = "this network reads box_info (B,3): where the box lies, over the focal length"


class SelfAttention(nn.Module):
    """Attention between queries. There is one only, so that each attends to itself."""

    def __init__(self, dim: int, heads: int, width: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(dim, 3 * heads * width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(heads * width, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Queries (B,Q,dim) to the same."""
        q, k, v = (_split(part, self.heads) for part in self.to_qkv(x).chunk(3, dim=-1))
        return self.to_out(_join(F.scaled_dot_product_attention(q, k, v)))


class CrossAttention(nn.Module):
    """Attention of the queries to the tokens of the image; these have no positions here."""

    def __init__(self, dim: int, context_dim: int, heads: int, width: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_kv = nn.Linear(context_dim, 2 * heads * width, bias=False)
        self.to_q = nn.Linear(dim, heads * width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(heads * width, dim))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Queries (B,Q,dim) and tokens (B,M,context_dim) to (B,Q,dim)."""
        k, v = (_split(part, self.heads) for part in self.to_kv(context).chunk(2, dim=-1))
        return self.to_out(_join(F.scaled_dot_product_attention(_split(self.to_q(x), self.heads), k, v)))


class FeedForward(nn.Module):
    """Two layers with a GELU between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        # Identity: the places of the drop-outs of training, which the names count.
        self.net = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Identity(), nn.Linear(hidden, dim), nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Queries (B,Q,dim) to the same."""
        return self.net(x)


class PreNorm(nn.Module):
    """A norm before a layer."""

    def __init__(self, dim: int, fn: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)  # eps 1e-5, unlike the vision transformer
        self.fn = fn

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        """What the layer gives for the normalised queries."""
        return self.fn(self.norm(x), *context)


class DecoderLayers(nn.Module):
    """The layers: self-attention, cross-attention and MLP, each added to its input."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        dim, heads, width = config.head_dim, config.head_heads, config.head_head_dim
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    PreNorm(dim, SelfAttention(dim, heads, width)),
                    PreNorm(dim, CrossAttention(dim, config.dim, heads, width)),
                    PreNorm(dim, FeedForward(dim, config.head_mlp)),
                ]
            )
            for _ in range(config.head_depth)
        )

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Queries (B,Q,dim) and tokens (B,M,context_dim) to (B,Q,dim)."""
        for layer in self.layers:
            assert isinstance(layer, nn.ModuleList)  # noqa: S101 (for the type checker)
            among, across, feed = layer
            x = among(x) + x
            x = across(x, context) + x
            x = feed(x) + x
        return x


class QueryDecoder(nn.Module):
    """What the query reads, embedded, and the layers."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.to_token_embedding = nn.Linear(config.token_input, config.head_dim)
        self.pos_embedding = nn.Parameter(torch.zeros(1, 1, config.head_dim))
        self.transformer = DecoderLayers(config)

    def forward(self, read: Tensor, context: Tensor) -> Tensor:
        """What the query reads (B,1,token_input) and tokens (B,M,context_dim) to (B,1,head_dim)."""
        return self.transformer(self.to_token_embedding(read) + self.pos_embedding, context)


class BodyReadOut(nn.Module):
    """The last layers, which read the body from the query's token as differences from a mean body."""

    init_body_pose: Tensor
    init_betas: Tensor
    init_cam: Tensor
    config: EncoderConfig
    decpose: nn.Linear
    decshape: nn.Linear
    deccam: nn.Linear
    first_guess: FirstGuess | None

    def guess(self, landmarks: Tensor | None) -> Guess | None:
        """What landmarks (B,L,6) alone say, in the precision of the head; None for a network without them.

        Raises:
            ValueError: a network that reads landmarks did not get them.
        """
        if self.first_guess is None:
            return None
        wanted = (self.config.landmarks, LANDMARK_NUMBERS)
        if landmarks is None or landmarks.shape[1:] != wanted:
            raise ValueError(f"this network reads landmarks (B,{wanted[0]},{wanted[1]})")
        return self.first_guess(landmarks.to(self.decpose.weight.dtype))

    def guessed(self, guess: Guess) -> tuple[Tensor, Tensor, Tensor]:
        """Rotations (B,24,3,3), shape (B,10) and camera (B,3) of a guess, without the image."""
        pose, shape, camera = guess.body.split((POSE_SIZE, SHAPE_SIZE, CAMERA_SIZE), dim=1)
        return rotations(pose + self.init_body_pose), shape + self.init_betas, camera + self.init_cam

    def read_out(self, token: Tensor, guess: Guess | None = None) -> Readings:
        """From the query's final token (B,head_dim) to what :meth:`forward` returns.

        These few products are always made in float32 at least: a rotation in bfloat16 is off by a fifth of a
        degree, and it would cost nothing to have it right.
        """
        token = token.to(torch.promote_types(token.dtype, torch.float32))

        def read(layer: nn.Linear, mean: Tensor) -> Tensor:
            kind = token.dtype
            return F.linear(token, layer.weight.to(kind), layer.bias.to(kind)) + mean.to(kind)

        pose = read(self.decpose, self.init_body_pose)
        shape = read(self.decshape, self.init_betas)
        camera = read(self.deccam, self.init_cam)
        if guess is not None:
            sizes = (POSE_SIZE, SHAPE_SIZE, CAMERA_SIZE)
            more = guess.body.to(token.dtype).split(sizes, dim=1)
            pose, shape, camera = (a + b for a, b in zip((pose, shape, camera), more, strict=True))
        return rotations(pose), shape, camera, token


class SMPLHead(BodyReadOut):
    """From the tokens of a crop to SMPL's parameters: the plain form.

    Args:
        config: the sizes.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = QueryDecoder(config)
        self.decpose = nn.Linear(config.head_dim, POSE_SIZE)
        self.decshape = nn.Linear(config.head_dim, SHAPE_SIZE)
        self.deccam = nn.Linear(config.head_dim, CAMERA_SIZE)
        self.first_guess = FirstGuess(config) if config.landmarks else None
        if config.keypoint_output:  # CameraHMR's landmarks in the picture: used in its training only
            self.deckp = nn.Linear(config.head_dim, config.keypoint_output)
        self.register_buffer("init_body_pose", torch.tensor([[1.0, 0, 0, 0, 1, 0]]).repeat(1, POSE_SIZE // 6))
        self.register_buffer("init_betas", torch.zeros(1, SHAPE_SIZE))
        self.register_buffer("init_cam", torch.tensor([[0.9, 0.0, 0.0]]))

    def query_input(self, batch: int, box_info: Tensor | None) -> Tensor:
        """What the query reads, (B,token_input).

        Args:
            batch: B.
            box_info: (B,3), for CameraHMR: centre of the box from the centre of the image, and side of the
                box, all divided by the focal length.

        Raises:
            ValueError: CameraHMR without ``box_info``.
        """
        if not self.config.reads_box:
            return self.init_cam.new_zeros(batch, 1)
        if box_info is None:
            raise ValueError(NEEDS_BOX)
        means = torch.cat((self.init_body_pose, self.init_betas, self.init_cam), dim=1)
        return torch.cat((box_info.to(means.dtype), means.expand(batch, -1)), dim=1)

    def forward(self, tokens: Tensor, box_info: Tensor | None = None, guess: Guess | None = None) -> Readings:
        """Read the body.

        Args:
            tokens: (B,M,dim), of any precision; the head works in that of its weights.
            box_info: (B,3), for CameraHMR (:meth:`query_input`).
            guess: what landmarks say (:meth:`guess`), which the answer is added to.

        Returns:
            Rotations (B,24,3,3), shape (B,10), camera (B,3: s, tx, ty), and the query's final token
            (B,head_dim); float32 at least, whatever the precision of the weights.
        """
        kind = self.transformer.pos_embedding.dtype
        read = self.query_input(tokens.shape[0], box_info).to(kind)
        return self.read_out(self.transformer(read[:, None], tokens.to(kind))[:, 0], guess)


def rotations(pose: Tensor) -> Tensor:
    """Rotation matrices from six numbers each: the first column, then the second, then both made orthonormal.

    HMR2's order (the numbers of a column lie together), not SPIN's (those of a row do). Zhou et al., "On the
    Continuity of Rotation Representations in Neural Networks", CVPR 2019.

    Args:
        pose: (B,6*J).

    Returns:
        (B,J,3,3).
    """
    columns = pose.unflatten(-1, (-1, 2, 3)).transpose(-1, -2)
    return roma.special_gramschmidt(columns)


def _split(x: Tensor, heads: int) -> Tensor:
    """(B,N,heads*d) to (B,heads,N,d)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _join(x: Tensor) -> Tensor:
    """(B,heads,N,d) to (B,N,heads*d)."""
    return x.transpose(1, 2).flatten(2)
