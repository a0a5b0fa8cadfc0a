# SPDX-License-Identifier: Apache-2.0
"""The whole network: a crop of a person to rotations, shape, camera and a token that describes the frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fasthmr.encoder.config import EncoderConfig
from fasthmr.encoder.simplified_head import KeysValues, SimplifiedHead
from fasthmr.encoder.smpl_head import SMPLHead
from fasthmr.encoder.vit import VisionTransformer

if TYPE_CHECKING:
    from fasthmr.encoder.token_merging import TokenReduction, TokenState


@dataclass(frozen=True)
class HMROutput:
    """What the network says about a batch of crops; float32 at least.

    Attributes:
        rotmat: (B,24,3,3): the pelvis in the camera's frame (OpenCV), the other joints in their parents'.
        betas: (B,10) shape.
        camera: (B,3): s, tx, ty of the crop's weak perspective.
        token: (B,head_dim): the query's final token.
        state: what became of the patches; None if no tokens were merged.
    """

    rotmat: Tensor
    betas: Tensor
    camera: Tensor
    token: Tensor
    state: TokenState | None = None

    def finite(self) -> Tensor:
        """Which crops have finite numbers only, (B,) bool.

        For whoever takes the results to the CPU: half precision may overflow. The network itself does not
        look, for that would make the GPU wait.
        """
        parts = (self.rotmat.flatten(1), self.betas, self.camera, self.token)
        return torch.stack([torch.isfinite(part).all(dim=1) for part in parts]).all(dim=0)


class HMRModel(nn.Module):
    """Vision transformer and SMPL head under the names of the published checkpoints.

    Attributes:
        config: the sizes.
        reduction: how tokens are merged; None (at first): not at all.
        plan: how layers were merged, as its JSON table; None: none were.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = VisionTransformer(config)
        self.smpl_head: SMPLHead | SimplifiedHead = SMPLHead(config)
        self.reduction: TokenReduction | None = None
        self.plan: dict[str, Any] | None = None

    @classmethod
    def from_state(
        cls, config: EncoderConfig, state: Mapping[str, Tensor], plan: dict[str, Any] | None = None
    ) -> HMRModel:
        """A network with given weights, ready to run (``eval``, no gradients).

        The tensors are taken as they are, not copied: two networks may share them, and a file that is mapped
        into memory is read when it is needed.

        Args:
            config: the sizes.
            state: every tensor of :func:`fasthmr.encoder.layout.tensor_shapes`, and no other.
            plan: how layers were merged.

        Raises:
            RuntimeError: names or shapes that do not fit (files are looked at in
                :func:`fasthmr.encoder.checkpoint.load_checkpoint`, with messages for people).
        """
        with torch.device("meta"):  # nothing is drawn that would be thrown away
            model = cls(config)
        model.load_state_dict(state, strict=True, assign=True)
        model.plan = plan
        return model.eval().requires_grad_(False)

    def forward(
        self,
        crops: Tensor,
        *,
        box_info: Tensor | None = None,
        protection: Tensor | None = None,
        landmarks: Tensor | None = None,
    ) -> HMROutput:
        """Estimate bodies.

        Args:
            crops: (B,C,256,192), normalised as the checkpoint wants it; any floating-point type.
            box_info: (B,3), for CameraHMR: (cx - W/2, cy - H/2, side of the box) over the focal length, all
                in pixels of the whole image.
            protection: level of every patch, (B,tokens) uint8, for :attr:`reduction`.
            landmarks: (B,L,6), for a network that reads them (:mod:`fasthmr.encoder.landmark_tokens`).

        Raises:
            ValueError: CameraHMR without ``box_info``, a network that reads landmarks without them, or crops
                of another size.
        """
        size = (self.config.in_channels, *self.config.image_size)
        if crops.shape[1:] != size:
            raise ValueError(
                f"crops are {tuple(crops.shape)}; this network takes (B,{','.join(map(str, size))})"
            )
        guess = self.smpl_head.guess(landmarks)
        tokens, state = self.backbone(
            crops.to(self.dtype),
            self.reduction,
            protection,
            landmarks,
            None if guess is None else guess.hidden,
        )
        rotmat, betas, camera, token = self.smpl_head(tokens, box_info, guess)
        return HMROutput(rotmat, betas, camera, token, state)

    def simplify_(self, keys_values: KeysValues = "absorbed") -> HMRModel:
        """Replace the head by one that computes the same with less (:mod:`fasthmr.encoder.simplified_head`).

        Exact but for rounding. A simplified network runs; it is no longer trained or saved. Calling this
        again changes nothing.

        Args:
            keys_values: how the query reads the image's tokens: "absorbed" (no keys and values are made), or
                "product" (those of all layers as one matrix product).

        Returns:
            The network itself.
        """
        if isinstance(self.smpl_head, SMPLHead):
            self.smpl_head = SimplifiedHead(self.smpl_head, keys_values)
        return self

    def cast_(self, dtype: torch.dtype) -> HMRModel:
        """Change the precision of the vision transformer's weights; the head stays in float32 at least.

        The head is little work, and a pose would lose by it (:func:`fasthmr.encoder.layout.stays_exact`).
        ``model.to(dtype)`` works as well, and rounds it too.

        Returns:
            The network itself.
        """
        self.backbone.to(dtype)
        self.smpl_head.to(torch.promote_types(dtype, torch.float32))
        return self

    @property
    def simplified(self) -> bool:
        """Whether :meth:`simplify_` was called."""
        return isinstance(self.smpl_head, SimplifiedHead)

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights."""
        return self.backbone.pos_embed.dtype
