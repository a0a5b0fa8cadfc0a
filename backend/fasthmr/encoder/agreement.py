# SPDX-License-Identifier: Apache-2.0
"""How far an encoder is to be believed: whether its body, as its own camera sees it, lies on the landmarks.

The landmarks come from another network that has seen the same frames. An encoder that agrees with them where
they can be seen is believed also where they cannot: on twists, in depth, on limbs that are hidden. One that
does not (a damaged checkpoint, the wrong kind, a person that it has mistaken for another) is not believed
anywhere in that frame, and then the fit goes on without it.

The encoder's camera is weak perspective: its scale says how many pixels a metre is. The place of the body in
the crop is left free, because it hangs on the pelvis of SMPL's own rest pose; so is a part of the size,
because the body that wears the pose has other proportions than the one that the network has seen.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fasthmr.body.skeleton import INDEX, JOINT_COUNT
from fasthmr.people.landmarks import LANDMARK_INDEX

_SIDES: Final = ("left", "right")

# Joint -> the landmarks whose middle is its place in the image.
_POINTS: Final = {
    f"{side}_{joint}": tuple(f"{side}_{mark}" for mark in marks)
    for side in _SIDES
    for joint, marks in {
        "hip": ("hip",),
        "knee": ("knee",),
        "ankle": ("ankle",),
        "foot": ("foot_index",),
        "shoulder": ("shoulder",),
        "elbow": ("elbow",),
        "wrist": ("wrist",),
        "hand": ("index", "pinky"),
    }.items()
}
_NAMES: Final = tuple(_POINTS)

# Joint -> the bones (from, to) whose directions speak for its rotation.
_TORSO: Final = (
    ("left_hip", "left_shoulder"),
    ("right_hip", "right_shoulder"),
    ("left_shoulder", "right_shoulder"),
)
_BONES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "pelvis": (*_TORSO, ("left_hip", "right_hip")),
    **{f"spine{number}": _TORSO for number in (1, 2, 3)},
    **{
        f"{side}_{joint}": ((f"{side}_{start}", f"{side}_{end}"),)
        for side in _SIDES
        for joint, (start, end) in {
            "hip": ("hip", "knee"),
            "knee": ("knee", "ankle"),
            "ankle": ("ankle", "foot"),
            "foot": ("ankle", "foot"),
            "collar": ("hip", "shoulder"),
            "shoulder": ("shoulder", "elbow"),
            "elbow": ("elbow", "wrist"),
            "wrist": ("wrist", "hand"),
            "hand": ("wrist", "hand"),
        }.items()
    },
}
# From the middle of the ears: the left ear and the nose, in the head's own axes, metres, where BlazePose sees
# them (measured on rendered people).
_EAR: Final = np.array([0.051, 0.0, 0.0])
_NOSE: Final = np.array([0.0, -0.011, 0.078])

# Metres in the image at which belief in a joint is 1/e; the share of it for the head, whose marks lie close.
_DISAGREEMENT: Final = 0.12
_OF_HEAD: Final = 0.35
# Mean agreement below which a frame is not believed at all, and from which it is believed fully.
_STRANGE: Final = 0.35
_AGREED: Final = 0.65
# What is believed of a joint that no landmark speaks for, in a frame that is believed.
_UNSEEN: Final = 0.7
# How far the body may be larger or smaller than the encoder's own.
_PROPORTIONS: Final = 1.35
# So many landmarks' worth of the whole clip stand in for what is hidden in a frame.
_CLIP: Final = 2.0
_ROUNDS: Final = 4


def joint_belief(
    joints: np.ndarray, head: np.ndarray, scale: np.ndarray, landmarks: np.ndarray, visibility: np.ndarray
) -> np.ndarray:
    """How far each of the encoder's rotations is to be believed.

    Args:
        joints: (T, 24, 3) metres, in the axes of a camera that looks straight at the crop.
        head: (T, 3, 3) orientation of the head in the same axes.
        scale: (T,) pixels of the footage that a metre takes, as the encoder's camera says.
        landmarks: (T, 33, 2) in pixels of the footage.
        visibility: (T, 33), 0..1.

    Returns:
        (T, 24) float32, 0..1.
    """
    marks = [[LANDMARK_INDEX[mark] for mark in _POINTS[name]] for name in _NAMES]
    seen = np.stack([visibility[:, mark].min(1) for mark in marks], axis=1).astype(np.float64)
    places = np.stack([landmarks[:, mark].mean(1) for mark in marks], axis=1).astype(np.float64)
    points = joints[:, [INDEX[name] for name in _NAMES], :2].astype(np.float64)
    pixels_per_metre, shift = _place(points, scale.astype(np.float64), places, seen)
    unit = pixels_per_metre[:, None, None]
    errors = points - (places - shift) / unit
    near = np.exp(-np.square(np.linalg.norm(errors, axis=-1) / _DISAGREEMENT))
    trust = _trust(near, seen) * (scale > 0)

    belief = np.full((len(joints), JOINT_COUNT), _UNSEEN)
    for name, bones in _BONES.items():
        starts, ends = ([_NAMES.index(bone[end]) for bone in bones] for end in (0, 1))
        wrong = np.linalg.norm(errors[:, ends] - errors[:, starts], axis=-1).mean(1)
        sure = np.minimum(seen[:, starts], seen[:, ends]).mean(1)
        belief[:, INDEX[name]] = _told(wrong / _DISAGREEMENT, sure)
    wrong, sure = _face(head, landmarks / unit, visibility)
    belief[:, [INDEX["neck"], INDEX["head"]]] = _told(wrong / (_OF_HEAD * _DISAGREEMENT), sure)[:, None]
    return (trust[:, None] * belief).astype(np.float32)


def _place(
    points: np.ndarray, scale: np.ndarray, places: np.ndarray, seen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The size (T,) and the shift (T, 1, 2) in pixels that bring points nearest to their places.

    A limb that is far off loses its weight over a few rounds: it must not drag the others along.
    """
    size, shift = _nearest(points, scale, places, seen)
    for _ in range(_ROUNDS):
        error = points - (places - shift) / size[:, None, None]
        distance = np.linalg.norm(error, axis=-1) / (0.5 * _DISAGREEMENT)
        size, shift = _nearest(points, scale, places, seen / (1 + np.square(distance)))
    return size, shift


def _nearest(
    points: np.ndarray, scale: np.ndarray, places: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`_place` by weighted least squares."""
    share = (weights / np.maximum(weights.sum(1, keepdims=True), 1e-9))[..., None]
    middle, target = (share * points).sum(1, keepdims=True), (share * places).sum(1, keepdims=True)
    about, wanted = points - middle, places - target
    best = (share * about * wanted).sum((1, 2)) / np.maximum((share * about * about).sum((1, 2)), 1e-9)
    own = np.maximum(scale, 1e-3)
    size = np.clip(best, own / _PROPORTIONS, own * _PROPORTIONS)
    return size, target - size[:, None, None] * middle


def _trust(near: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Belief in whole frames (T,): their own agreement, and the clip's where little of them is seen."""
    weight = seen.sum(1)
    clip = (seen * near).sum() / max(seen.sum(), 1e-9)
    agreement = ((seen * near).sum(1) + _CLIP * clip) / (weight + _CLIP)
    return np.clip((agreement - _STRANGE) / (_AGREED - _STRANGE), 0, 1)


def _told(wrong: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Belief from an error in deviations, as far as it was seen; what is usual from there on."""
    return (1 - sure) * _UNSEEN + sure * np.exp(-np.square(wrong))


def _face(head: np.ndarray, places: np.ndarray, visibility: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Error of the face's marks about the middle of the ears (T,), metres, and how well they are seen."""
    left, right, nose = (LANDMARK_INDEX[name] for name in ("left_ear", "right_ear", "nose"))
    middle = 0.5 * (places[:, left] + places[:, right])
    wrong = [
        np.linalg.norm((head @ offset)[:, :2] - (places[:, mark] - middle), axis=-1)
        for mark, offset in ((left, _EAR), (nose, _NOSE))
    ]
    return np.mean(wrong, axis=0), visibility[:, [left, right, nose]].min(1).astype(np.float64)
