# SPDX-License-Identifier: Apache-2.0
"""Evidence with a detector's errors for windows of motion capture, as many as training asks for."""

from __future__ import annotations

from typing import Final

import roma
import torch
from torch import Tensor

from fasthmr.body import BodyModel
from fasthmr.decoder.batches import EvidenceBatch, MotionBatch
from fasthmr.decoder.view_frame import box_rays, camera_from_view, steady_boxes
from fasthmr.people.landmarks import LANDMARK_INDEX
from fasthmr.training.evidence.body_landmarks import BodyLandmarks
from fasthmr.training.evidence.cameras import Cameras, random_cameras
from fasthmr.training.evidence.errors import (
    PARAMETERS,
    ErrorParameters,
    exchange_sides,
    hidden_landmarks,
    stretches,
    usual,
    wandering,
)
from fasthmr.training.evidence.motion_windows import MotionWindows, WorldMotion
from fasthmr.training.mocap.packed import MocapSet, Split

_HIPS: Final = [LANDMARK_INDEX["left_hip"], LANDMARK_INDEX["right_hip"]]
_ARMS: Final = [
    LANDMARK_INDEX[f"{side}_{name}"]
    for side in ("left", "right")
    for name in ("elbow", "wrist", "pinky", "index", "thumb")
]
_LEGS: Final = [
    LANDMARK_INDEX[f"{side}_{name}"]
    for side in ("left", "right")
    for name in ("knee", "ankle", "heel", "foot_index")
]
# The box reaches beyond the landmarks: over the hair, and around hands and soles.
_BOX_MARGIN: Final = (0.04, 0.10, 0.04, 0.03)  # left, top, right, bottom, over the larger side
_LEAST_SEEN: Final = 3  # landmarks inside the picture

# An encoder's errors, radians, until ours is measured.
_ENCODER_CLIP: Final = 0.12
_ENCODER_SLOW: Final = 0.15
_ENCODER_MEMORY: Final = 0.85


class EvidenceSynthesis:
    """Draws batches; the same seed gives the same ones.

    Args:
        mocap: the set.
        body: the open body.
        errors: of the detector; None for the estimated ones, or hand-set ones where nothing was estimated.
        seed: of everything drawn.
        window: frames.
        split: which clips.
        gaps: whether frames are lost and frame rates differ.
        encoder: share of the windows in which an encoder speaks too.
        severity: least and greatest share of the errors that a window has; None for all of them in all
            windows. Estimated from every kind of synthetic footage, they are larger than what a clear view of
            a real person has.
        varied: vary the motion itself (:mod:`~fasthmr.training.evidence.varied_motion`).

    Raises:
        BadInput: the split has no clips.
    """

    def __init__(
        self,
        mocap: MocapSet,
        body: BodyModel,
        errors: ErrorParameters | None = None,
        seed: int = 0,
        window: int = 64,
        split: Split = "train",
        gaps: bool = True,
        encoder: float = 0.5,
        severity: tuple[float, float] | None = None,
        varied: bool = False,
    ) -> None:
        if errors is None:
            errors = ErrorParameters.load() if PARAMETERS.is_file() else usual()
        self._errors, self._gaps, self._encoder, self._severity = errors, gaps, encoder, severity
        self._generator = torch.Generator().manual_seed(seed)
        self._windows = MotionWindows(mocap, body, self._generator, window, split, varied=varied)
        self._landmarks = BodyLandmarks(body)

    def batch(self, count: int) -> tuple[EvidenceBatch, MotionBatch]:
        """Draw B = ``count`` windows: what is seen, and what is true."""
        with torch.no_grad():
            motion = self._windows.draw(count)
            cameras = random_cameras(motion, self._generator)
            return self.seen(motion, cameras)

    def seen(self, motion: WorldMotion, cameras: Cameras) -> tuple[EvidenceBatch, MotionBatch]:
        """What a detector makes of motion before cameras."""
        truth = motion_in_camera(motion, cameras)
        marks = self._landmarks.place(motion.joints, motion.turns, motion.betas)
        points = cameras.points(marks)
        image, world, visibility, boxes = self._detected(points, cameras, motion.step)
        rotations, belief = self._encoded(truth, motion.step, visibility)
        evidence = EvidenceBatch(
            landmarks_image=image,
            landmarks_world=world,
            visibility=visibility * motion.valid[..., None],
            boxes=steady_boxes(boxes),
            intrinsics=cameras.intrinsics,
            step=motion.step,
            rotations=rotations,
            joint_confidence=belief * motion.valid[..., None],
        )
        return evidence, truth

    def _detected(
        self, points: Tensor, cameras: Cameras, step: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Landmarks in the image, in the world, their visibility, and boxes, with errors."""
        errors, generator = self._errors, self._generator
        count, frames = points.shape[:2]
        pixels = cameras.project(points)
        size = cameras.image_size[:, None, None]
        inside = ((pixels >= 0) & (pixels < size)).all(-1) & (points[..., 2] > 0.2)
        true_boxes = boxes_around(pixels, inside, cameras.image_size)
        side = (true_boxes[..., 2:] - true_boxes[..., :2]).amax(-1).clamp_min(1.0)

        view = camera_from_view(box_rays(true_boxes, cameras.intrinsics)[0])
        about = points - points[:, :, _HIPS].mean(2, keepdim=True)
        true_world = about @ view  # rows: v' = viewᵀ v

        hidden = ~inside
        if self._gaps:
            hidden = hidden | hidden_landmarks(count, frames, step, generator)
        like = torch.empty(count, frames, points.shape[2], 5)
        noise = errors.noise(count, frames, step, generator) + errors.mean(true_world)
        guess = errors.hidden * wandering(like[:, :, :12], errors.memory, generator, step)
        noise += hidden[..., None] * guess[:, :, torch.arange(points.shape[2]) % 12]
        share = torch.ones(count)
        if self._severity is not None:
            low, high = self._severity
            share = low + (high - low) * torch.rand(count, generator=generator)
        noise *= share[:, None, None, None]

        size_error = errors.size * torch.randn(count, 1, 1, 1, generator=generator)
        world = (1 + share[:, None, None, None] * size_error) * true_world
        lean = errors.lean[0] * torch.randn(count, 1, 1, generator=generator)
        lean = lean + errors.lean[1] * wandering(
            torch.empty(count, frames, 1), torch.tensor([0.97]), generator, step
        )
        lean = share[:, None, None] * lean
        world = world + noise[..., :3]
        world = torch.cat([world[..., :2], world[..., 2:] + (lean * world[..., 1])[..., None]], dim=-1)
        image = pixels + side[..., None, None] * noise[..., 3:]

        logit = errors.visibility[:, 0] + errors.visibility[:, 1] * wandering(
            torch.empty(count, frames, points.shape[2]), torch.tensor(0.9), generator, step
        )
        visibility = torch.sigmoid(logit - errors.hidden_visibility * hidden)
        for rate, which in zip(errors.swaps, (None, _LEGS, _ARMS), strict=True):
            swapped = stretches(count, frames, rate, 0.7, step, generator)
            image, world, visibility = (
                exchange_sides(one, swapped, which) for one in (image, world, visibility)
            )
        seen = inside.sum(-1) >= _LEAST_SEEN
        if self._gaps:
            seen = seen & ~self._lost(count, frames, step)
        edges = errors.box[0] * wandering(torch.empty(count, frames, 4), torch.tensor(0.9), generator, step)
        edges = edges + errors.box[1] * torch.randn(count, frames, 4, generator=generator)
        boxes = true_boxes + side[..., None] * edges
        # World landmarks are told from the middle of the detected hips.
        world = world - world[:, :, _HIPS].mean(2, keepdim=True)
        return image, world, visibility.clamp(1e-3, 1) * seen[..., None], boxes

    def _lost(self, count: int, frames: int, step: Tensor) -> Tensor:
        """(B, T) frames without a detection: stretches, slow footage, and before or after the clip."""
        generator, errors = self._generator, self._errors

        def random() -> Tensor:
            return torch.rand(count, generator=generator)

        lost = stretches(count, frames, errors.lost[0], float(errors.lost[1]), step, generator)
        lost |= stretches(count, frames, 0.03, 1.0, step, generator)
        every = torch.where(random() < 0.12, torch.randint(2, 7, (count,), generator=generator), 1)
        shift = (random() * every).long()
        lost |= ((torch.arange(frames) + shift[:, None]) % every[:, None]) != 0
        # A clip that is shorter than a window: nothing is seen after its end.
        ends = torch.where(random() < 0.12, (1 + random() * (frames - 1)).long(), frames)
        return lost | (torch.arange(frames) >= ends[:, None])

    def _encoded(self, truth: MotionBatch, step: Tensor, visibility: Tensor) -> tuple[Tensor, Tensor]:
        """Rotations of an image encoder, off for a clip and wandering, and the belief in them."""
        generator = self._generator
        count, frames = truth.rotations.shape[:2]
        size = torch.exp(0.5 * torch.randn(count, 1, 24, 1, generator=generator))
        off = _ENCODER_CLIP * torch.randn(count, 1, 24, 3, generator=generator)
        off = off + _ENCODER_SLOW * wandering(
            torch.empty(count, frames, 24, 3), torch.tensor(_ENCODER_MEMORY), generator, step
        )
        rotations = truth.rotations @ roma.rotvec_to_rotmat(size * off)
        # A belief that says roughly how large the error is.
        told = size[..., 0] * torch.exp(0.3 * torch.randn(count, frames, 24, generator=generator))
        belief = torch.exp(-0.7 * told)
        speaks = (torch.rand(count, generator=generator) < self._encoder)[:, None]
        speaks = speaks & (visibility.amax(-1) > 0)
        return rotations, belief * speaks[..., None]


def motion_in_camera(motion: WorldMotion, cameras: Cameras) -> MotionBatch:
    """Motion as the decoder tells it: in the camera's frame."""
    turn = cameras.camera_from_world
    root = (turn @ motion.rotations[:, :, 0])[:, :, None]
    up = torch.tensor([0.0, 0.0, 1.0]).expand_as(motion.pelvis)
    return MotionBatch(
        rotations=torch.cat([root, motion.rotations[:, :, 1:]], dim=2),
        pelvis=cameras.points(motion.pelvis[:, :, None])[:, :, 0],
        betas=motion.betas,
        up=cameras.directions(up),
        contacts=motion.contacts,
        valid=motion.valid,
    )


def boxes_around(pixels: Tensor, inside: Tensor, image_size: Tensor) -> Tensor:
    """Boxes as the detector makes them: around what is in the picture, with room for hair, hands and soles.

    Args:
        pixels: (B, T, 33, 2).
        inside: (B, T, 33) which are in the picture; all count where fewer than three are.
        image_size: (B, 2).

    Returns:
        (B, T, 4) x0 y0 x1 y1.
    """
    counted = torch.where((inside.sum(-1, keepdim=True) < _LEAST_SEEN), True, inside)[..., None]
    low = torch.where(counted, pixels, torch.inf).amin(2)
    high = torch.where(counted, pixels, -torch.inf).amax(2)
    side = (high - low).amax(-1, keepdim=True)
    margin = low.new_tensor(_BOX_MARGIN)
    low, high = low - side * margin[:2], high + side * margin[2:]
    limit = image_size[:, None]
    clipped_low, clipped_high = low.clamp_min(0).minimum(limit - 1), high.minimum(limit).clamp_min(1)
    return torch.cat([clipped_low, torch.maximum(clipped_high, clipped_low + 1)], dim=-1)
