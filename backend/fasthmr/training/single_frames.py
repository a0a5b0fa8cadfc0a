# SPDX-License-Identifier: Apache-2.0
"""People in single frames, what a detector makes of them, and batches of both: the training of our encoder.

The errors are those of :mod:`fasthmr.training.evidence.errors`, drawn anew for every frame; what lasts for a
clip and what wanders counts in full, for one frame does not know what the others have in common.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from torch import Tensor

from fasthmr.body.skeleton import MIRROR
from fasthmr.decoder.view_frame import camera_from_view
from fasthmr.encoder.landmark_tokens import landmark_numbers
from fasthmr.people.landmarks import LANDMARK_COUNT, LANDMARK_INDEX, LANDMARK_MIRROR
from fasthmr.training.evidence.errors import ErrorParameters

_HIPS: Final = [LANDMARK_INDEX["left_hip"], LANDMARK_INDEX["right_hip"]]
_LIMBS: Final = tuple(
    [LANDMARK_INDEX[f"{side}_{name}"] for name in names]
    for side in ("left", "right")
    for names in (
        ("elbow", "wrist", "pinky", "index", "thumb"),
        ("wrist", "pinky", "index", "thumb"),
        ("knee", "ankle", "heel", "foot_index"),
        ("ankle", "heel", "foot_index"),
    )
)
_ARMS: Final = sorted(_LIMBS[0] + _LIMBS[4])
_LEGS: Final = sorted(_LIMBS[2] + _LIMBS[6])
# How often a limb that can be seen is taken for hidden, and how long a stretch of exchanged sides lasts (s).
_HIDDEN: Final = 0.03
_SWAP_SECONDS: Final = 0.7
# How often a detection has no landmarks at all.
_LOST: Final = 0.02
# Errors are between these multiples of the estimated ones: the network must not take good landmarks for bad.
_WEAKEST, _STRONGEST = 0.3, 1.1


class Frames(NamedTuple):
    """The truth of B people, each in a frame of its own.

    Attributes:
        points: (B, 33, 3) landmarks in the camera's frame, metres.
        visible: (B, 33) bool.
        rotations: (B, 24, 3, 3), the root's in the camera.
        pelvis: (B, 3) in the camera's frame.
        betas: (B, 10).
        intrinsics: (B, 3, 3) pixels.
        image_size: (B, 2) width and height.
        squares: (B, 3) centre x, y and side of the crops' squares, pixels.
    """

    points: Tensor
    visible: Tensor
    rotations: Tensor
    pelvis: Tensor
    betas: Tensor
    intrinsics: Tensor
    image_size: Tensor
    squares: Tensor


class EncoderBatch(NamedTuple):
    """What the network reads, and what it should say.

    Attributes:
        landmarks: (B, L, 6) as :func:`fasthmr.encoder.landmark_tokens.landmark_numbers` gives them.
        rotations: (B, 24, 3, 3), the root's in the axes of a camera that looks at the crop's middle.
        pelvis: (B, 3) metres, in these axes.
        betas: (B, 10).
        scale: (B,) the crop's scale s times the distance, metres: twice the focal length over its side.
        world: (B, 33, 3) the detector's landmarks in metres, to compare with.
        marks: (B, L, 5) where the landmarks really are: what ``landmarks`` says of their places.
        crops: (B, C, 256, 192) bfloat16; None: landmarks alone.
        keep: (B, K) int64, the patches that are shown; None: none, or all.
        levels: (B, 192) uint8 for token merging, or None.
    """

    landmarks: Tensor
    rotations: Tensor
    pelvis: Tensor
    betas: Tensor
    scale: Tensor
    world: Tensor
    marks: Tensor
    crops: Tensor | None = None
    keep: Tensor | None = None
    levels: Tensor | None = None

    def to(self, device: torch.device | str) -> EncoderBatch:
        """The same on another device."""
        return self._each(lambda one: one.to(device))

    def rows(self, which: slice) -> EncoderBatch:
        """Some of the people."""
        return self._each(lambda one: one[which])

    def _each(self, change: Callable[[Tensor], Tensor]) -> EncoderBatch:
        there = {name: change(one) for name, one in self._asdict().items() if one is not None}
        return self._replace(**there)


def mirrored(frames: Frames, which: Tensor) -> Frames:
    """Some of the frames (B,) bool as a mirror shows them, left and right exchanged."""
    turn = frames.points.new_tensor([-1.0, 1.0, 1.0])
    flip = turn[:, None] * turn
    matrices = frames.rotations[:, list(MIRROR)] * flip
    width = frames.image_size[:, 0].to(frames.squares.dtype)
    intrinsics, squares = frames.intrinsics.clone(), frames.squares.clone()
    intrinsics[:, 0, 2] = width - 1 - intrinsics[:, 0, 2]
    squares[:, 0] = width - 1 - squares[:, 0]
    order = list(LANDMARK_MIRROR)
    other = Frames(
        points=frames.points[:, order] * turn,
        visible=frames.visible[:, order],
        rotations=matrices,
        pelvis=frames.pelvis * turn,
        betas=frames.betas,
        intrinsics=intrinsics,
        image_size=frames.image_size,
        squares=squares,
    )
    return Frames(
        *(
            torch.where(which.reshape(-1, *[1] * (one.ndim - 1)), new, one)
            for new, one in zip(other, frames, strict=True)
        )
    )


def observed(frames: Frames, errors: ErrorParameters, generator: torch.Generator) -> EncoderBatch:
    """What a detector makes of people, beside the truth; without pictures."""
    view = _view(frames)
    image, world, visibility = detected(frames, errors, generator)
    return EncoderBatch(
        landmarks=landmark_numbers(image, world, visibility, frames.squares),
        rotations=torch.cat([(view.mT @ frames.rotations[:, 0])[:, None], frames.rotations[:, 1:]], dim=1),
        pelvis=(view.mT @ frames.pelvis[..., None])[..., 0],
        betas=frames.betas,
        scale=2 * frames.intrinsics[:, 0, 0] / frames.squares[:, 2],
        world=world,
        marks=_true_marks(frames),
    )


def detected(
    frames: Frames, errors: ErrorParameters, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Landmarks as a detector gives them.

    Returns:
        Image (B, 33, 2) pixels, world (B, 33, 3) metres about the detected hips in the axes of the crop's
        camera, visibility (B, 33), 0 where the detector found nothing.
    """
    count = len(frames.points)

    def normal(*size: int) -> Tensor:
        return torch.randn(count, *size, generator=generator)

    def chance(share: Tensor | float) -> Tensor:
        return torch.rand(count, generator=generator) < share

    pixels, true_world = _truly_seen(frames)
    hidden = ~frames.visible.clone()
    for limb in _LIMBS:
        hidden[:, limb] |= chance(_HIDDEN)[:, None]
    strength = _WEAKEST + (_STRONGEST - _WEAKEST) * torch.rand(count, 1, 1, generator=generator)
    lasting = (errors.clip.square() + errors.slow.square() + errors.fast.square()).sqrt()
    noise = lasting * normal(LANDMARK_COUNT, 5) + errors.mean(true_world)
    # What is guessed of a limb moves as a whole, more or less.
    guess = normal(1, 5) + 0.5 * normal(LANDMARK_COUNT, 5)
    noise = strength * (noise + hidden[..., None] * errors.hidden * guess)

    size = 1 + strength * errors.size * normal(1, 1)
    lean = strength[..., 0] * errors.lean.square().sum().sqrt() * normal(1)
    world = size * true_world + noise[..., :3]
    world = torch.cat([world[..., :2], world[..., 2:] + (lean * world[..., 1])[..., None]], dim=-1)
    image = pixels + frames.squares[:, None, 2:] * noise[..., 3:]
    logit = errors.visibility[:, 0] + errors.visibility[:, 1] * normal(LANDMARK_COUNT)
    visibility = torch.sigmoid(logit - errors.hidden_visibility * hidden).clamp(1e-3, 1)
    for rate, which in zip(errors.swaps.tolist(), (None, _LEGS, _ARMS), strict=True):
        swapped = chance(rate * _SWAP_SECONDS)
        image, world, visibility = (_exchanged(one, swapped, which) for one in (image, world, visibility))
    world = world - world[:, _HIPS].mean(1, keepdim=True)
    return image, world, visibility * ~chance(_LOST)[:, None]


def _truly_seen(frames: Frames) -> tuple[Tensor, Tensor]:
    """Where landmarks lie in the picture, and in metres about the hips in the axes of the crop's camera."""
    depth = frames.points[..., 2:].clamp_min(0.05)
    focal = torch.stack([frames.intrinsics[:, 0, 0], frames.intrinsics[:, 1, 1]], dim=-1)[:, None]
    pixels = frames.points[..., :2] / depth * focal + frames.intrinsics[:, None, :2, 2]
    about = frames.points - frames.points[:, _HIPS].mean(1, keepdim=True)
    return pixels, about @ _view(frames)  # rows: v' = viewT v


def _true_marks(frames: Frames) -> Tensor:
    """(B, L, 5) what an infallible detector would say of the places of landmarks."""
    pixels, world = _truly_seen(frames)
    numbers = landmark_numbers(pixels, world, torch.ones_like(pixels[..., 0]), frames.squares)
    return numbers[..., [0, 1, 3, 4, 5]]


def _exchanged(values: Tensor, swapped: Tensor, which: list[int] | None) -> Tensor:
    """Left taken for right in some frames: (B, 33, ...), (B,) bool, and which landmarks (all)."""
    mirror = torch.tensor(LANDMARK_MIRROR)
    order = mirror
    if which is not None:
        order = torch.arange(LANDMARK_COUNT)
        order[which] = mirror[which]
    return torch.where(swapped.reshape(-1, *[1] * (values.ndim - 1)), values[:, order], values)


def _view(frames: Frames) -> Tensor:
    """(B, 3, 3) from a camera that looks at the crop's middle to the picture's."""
    focal = torch.stack([frames.intrinsics[:, 0, 0], frames.intrinsics[:, 1, 1]], dim=-1)
    return camera_from_view((frames.squares[:, :2] - frames.intrinsics[:, :2, 2]) / focal)
