# SPDX-License-Identifier: Apache-2.0
"""Figures of merit of a recovered motion, as the evaluations of WHAM and GVHMR define them.

(WHAM: Shin et al., CVPR 2024; GVHMR: Shen et al., SIGGRAPH Asia 2024.) Points come in metres, errors go
out in millimetres. Wherever a definition counts frames, those are frames of 30 a second, and other frame
rates are converted, so that figures can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fasthmr.body.skeleton import INDEX, JOINT_COUNT
from fasthmr.evaluation.alignment import align_by_start, align_each_frame, align_path, align_whole

ALL_JOINTS: Final = tuple(range(JOINT_COUNT))
# Shoulders, elbows, wrists, hips, knees and ankles, left and right: what landmarks show.
LIMB_JOINTS: Final = tuple(
    INDEX[f"{side}_{name}"]
    for name in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
    for side in ("left", "right")
)
# The nearest that the skeleton has to the fourteen joints usual in benchmarks: the limbs, neck and head.
FOURTEEN_JOINTS: Final = (*LIMB_JOINTS, INDEX["neck"], INDEX["head"])

# The definitions count frames of this rate.
_USUAL_RATE: Final = 30.0
# A foot that moves less than this in a usual frame stands, metres.
_STANDS: Final = 0.01
# Length of a stretch of W-MPJPE100, usual frames.
_STRETCH: Final = 100
# A path shorter than this is none: an error relative to it says nothing, metres.
_SHORTEST_PATH: Final = 0.1
_HIPS: Final = [INDEX["left_hip"], INDEX["right_hip"]]
_MM: Final = 1e3


def hips_of(joints: np.ndarray) -> np.ndarray:
    """(T, 1, 3) the point at which bodies are laid onto one another: the middle of the hips."""
    return joints[:, _HIPS].mean(1, keepdims=True)


def mpjpe(joints: np.ndarray, truth: np.ndarray, selection: Sequence[int] = ALL_JOINTS) -> float:
    """Mean distance of the joints when the hips are laid onto one another, mm.

    Args:
        joints: (T, 24, 3) metres, in any frame that the truth is in too.
        truth: (T, 24, 3).
        selection: the joints that count.
    """
    moved, wanted = joints - hips_of(joints), truth - hips_of(truth)
    return _mean_distance(moved[:, list(selection)], wanted[:, list(selection)])


def pa_mpjpe(joints: np.ndarray, truth: np.ndarray, selection: Sequence[int] = ALL_JOINTS) -> float:
    """Mean distance of the joints when each frame is laid onto the truth by a similarity, mm."""
    chosen, wanted = joints[:, list(selection)], truth[:, list(selection)]
    return _mean_distance(align_each_frame(chosen, wanted), wanted)


def pve(vertices: np.ndarray, truth: np.ndarray, hips: np.ndarray, true_hips: np.ndarray) -> float:
    """Mean distance of the vertices when the hips are laid onto one another, mm.

    Args:
        vertices: (T, V, 3) metres.
        truth: (T, V, 3).
        hips: (T, 1, 3) of :func:`hips_of`.
        true_hips: (T, 1, 3).
    """
    return _mean_distance(vertices - hips, truth - true_hips)


def acceleration_error(
    joints: np.ndarray, truth: np.ndarray, frame_rate: float, frames: np.ndarray | None = None
) -> float:
    """Mean length of the difference of accelerations, hips laid onto one another, m/s².

    (Older papers say mm/frame²; at 30 frames a second one of those is 0.9 m/s².)

    Args:
        joints: (T, 24, 3) metres.
        truth: (T, 24, 3).
        frame_rate: frames a second.
        frames: (T,) numbers of the frames where some are missing: only unbroken ones count.
    """
    difference = (joints - hips_of(joints)) - (truth - hips_of(truth))
    return _mean_derivative(difference, frame_rate, 2, frames)


def jitter(joints: np.ndarray, frame_rate: float, frames: np.ndarray | None = None) -> float:
    """Mean length of the third derivative of the joints, 10 m/s³; it knows no truth.

    Args:
        joints: (T, 24, 3) metres in the world.
        frame_rate: frames a second.
        frames: (T,) numbers of the frames where some are missing.
    """
    return _mean_derivative(joints, frame_rate, 3, frames) / 10


def foot_sliding(
    soles: np.ndarray, truth: np.ndarray, frame_rate: float, frames: np.ndarray | None = None
) -> float:
    """Mean way of a point of the sole while the true one stands, mm in a thirtieth of a second.

    WHAM takes four vertices of SMPL's feet; here they are the four points of a motion's contacts.

    Args:
        soles: (T, 4, 3) metres in the world.
        truth: (T, 4, 3); given as ``soles`` too, it says how much the truth itself slides.
        frame_rate: frames a second.
        frames: (T,) numbers of the frames where some are missing.

    Returns:
        nan where nothing stands.
    """
    rate = frame_rate / _USUAL_RATE
    steps = _unbroken(len(soles), 1, frames)
    stands = np.linalg.norm(np.diff(truth, axis=0), axis=-1)[steps] * rate < _STANDS
    ways = np.linalg.norm(np.diff(soles, axis=0), axis=-1)[steps] * rate
    return _MM * float(ways[stands].mean()) if stands.any() else float("nan")


def w_mpjpe100(
    joints: np.ndarray,
    truth: np.ndarray,
    frame_rate: float = _USUAL_RATE,
    selection: Sequence[int] = ALL_JOINTS,
) -> float:
    """Mean distance of joints in the world, each 100 frames laid on by the first two, mm.

    Args:
        joints: (T, 24, 3) metres in the world.
        truth: (T, 24, 3) in its own world.
        frame_rate: frames a second: a stretch takes 100 thirtieths of a second.
        selection: the joints that count.
    """
    chosen, wanted = joints[:, list(selection)], truth[:, list(selection)]
    return _over_stretches(chosen, wanted, frame_rate, whole=False)


def wa_mpjpe100(
    joints: np.ndarray,
    truth: np.ndarray,
    frame_rate: float = _USUAL_RATE,
    selection: Sequence[int] = ALL_JOINTS,
) -> float:
    """As :func:`w_mpjpe100`, each 100 frames laid on by all of them, mm."""
    chosen, wanted = joints[:, list(selection)], truth[:, list(selection)]
    return _over_stretches(chosen, wanted, frame_rate, whole=True)


def rte(path: np.ndarray, truth: np.ndarray) -> float:
    """Mean error of the root's path, rigidly laid onto the true one, in percent of its length.

    Args:
        path: (T, 3) metres in the world.
        truth: (T, 3).

    Returns:
        nan where the true path is shorter than 0.1 m.
    """
    length = float(np.linalg.norm(np.diff(truth, axis=0), axis=-1).sum())
    if length < _SHORTEST_PATH:
        return float("nan")
    return 100 * float(np.linalg.norm(align_path(path, truth) - truth, axis=-1).mean()) / length


def coverage(visible: np.ndarray, recovered: np.ndarray) -> float:
    """Share of the frames with a visible person in which a motion was recovered; nan without any.

    Args:
        visible: (T,) bool.
        recovered: (T,) bool.
    """
    return float(recovered[visible].mean()) if visible.any() else float("nan")


def stretches(count: int, frame_rate: float) -> Iterator[slice]:
    """Cut frames into stretches of 100 thirtieths of a second; what is left over joins the last."""
    length = max(2, round(_STRETCH * frame_rate / _USUAL_RATE))
    starts = range(0, max(count - length, 0) + 1, length)
    for start in starts:
        yield slice(start, count if start == starts[-1] else start + length)


def _over_stretches(joints: np.ndarray, truth: np.ndarray, frame_rate: float, *, whole: bool) -> float:
    if not len(joints):
        return float("nan")
    align = align_whole if whole else align_by_start
    parts = list(stretches(len(joints), frame_rate))
    aligned = np.concatenate([align(joints[part], truth[part]) for part in parts])
    return _mean_distance(aligned, truth)


def _mean_distance(points: np.ndarray, truth: np.ndarray) -> float:
    return _MM * float(np.linalg.norm(points - truth, axis=-1).mean()) if points.size else float("nan")


def _mean_derivative(values: np.ndarray, frame_rate: float, order: int, frames: np.ndarray | None) -> float:
    """Mean length of a finite difference, per second to the ``order``; nan for too few frames."""
    unbroken = _unbroken(len(values), order, frames)
    if not unbroken.any():
        return float("nan")
    lengths = np.linalg.norm(np.diff(values.astype(np.float64), n=order, axis=0)[unbroken], axis=-1)
    return float(lengths.mean()) * frame_rate**order


def _unbroken(count: int, order: int, frames: np.ndarray | None) -> NDArray[np.bool_]:
    """(count - order,) whether the frames from there to ``order`` later follow one another."""
    if count <= order:
        return np.zeros(0, np.bool_)
    if frames is None:
        return np.ones(count - order, np.bool_)
    return frames[order:] - frames[:-order] == order
