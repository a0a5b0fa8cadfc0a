# SPDX-License-Identifier: Apache-2.0
"""Three ways to film a person: from a tripod, from above, and by somebody who walks along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

SetUp = Literal["still", "high", "moving"]
SET_UPS: Final[tuple[SetUp, ...]] = ("still", "high", "moving")

_MARGIN: Final = 0.01  # of the picture's width, around the whole body
_HEIGHTS: Final = (0.35, 0.85)  # of the standing person in the picture
_TRIES: Final = 80
_GOOD: Final = 0.985


@dataclass(frozen=True)
class Shot:
    """A camera over time (OpenCV: along +z, x right, y down).

    Attributes:
        set_up: how it is held.
        intrinsics: (3, 3), pixels; the picture's left edge is 0.
        camera_from_world: (T, 4, 4) rigid.
        image_size: width and height.
        whole: share of frames that show the whole body at a usual size.
    """

    set_up: SetUp
    intrinsics: NDArray[np.float64]
    camera_from_world: NDArray[np.float64]
    image_size: tuple[int, int]
    whole: float

    @property
    def world_from_camera(self) -> NDArray[np.float64]:
        """(T, 4, 4) the inverse."""
        return np.linalg.inv(self.camera_from_world).astype(np.float64)


def film(
    set_up: SetUp,
    points: np.ndarray,
    pelvis: np.ndarray,
    stature: float,
    image_size: tuple[int, int],
    frame_rate: float,
    random: np.random.Generator,
) -> Shot:
    """Try cameras at random and take the first that keeps the person well in the picture, or the best.

    Args:
        set_up: how the camera is held.
        points: (T, N, 3) points all over the body, world, z up.
        pelvis: (T, 3).
        stature: metres.
        image_size: width and height.
        frame_rate: frames per second.
        random: of everything drawn.
    """
    best: Shot | None = None
    for _ in range(_TRIES):
        intrinsics, camera_from_world = _candidate(set_up, pelvis, stature, image_size, frame_rate, random)
        whole = _framed(points, pelvis, stature, intrinsics, camera_from_world, image_size)
        if best is None or whole > best.whole:
            best = Shot(set_up, intrinsics, camera_from_world, image_size, whole)
        if best.whole >= _GOOD:
            break
    assert best is not None  # noqa: S101 - for the type checker
    return best


def look_at(eye: np.ndarray, target: np.ndarray) -> NDArray[np.float64]:
    """(..., 4, 4) camera_from_world of cameras that look from one place (..., 3) at another, held upright."""
    forward = target - eye
    forward = forward / np.linalg.norm(forward, axis=-1, keepdims=True)
    right = np.cross(forward, np.array([0.0, 0.0, 1.0]))
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    down = np.cross(forward, right)
    matrix = np.zeros((*eye.shape[:-1], 4, 4))
    matrix[..., :3, :3] = np.stack([right, down, forward], axis=-2)
    matrix[..., :3, 3] = -np.einsum("...ab,...b->...a", matrix[..., :3, :3], eye)
    matrix[..., 3, 3] = 1
    return matrix


def project(
    points: np.ndarray, intrinsics: np.ndarray, camera_from_world: np.ndarray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """World points in the picture.

    Args:
        points: (T, N, 3).
        intrinsics: (3, 3).
        camera_from_world: (T, 4, 4).

    Returns:
        (T, N, 2) pixels and (T, N) depths in metres; a pixel means nothing where the depth is not positive.
    """
    seen = np.einsum("tab,tnb->tna", camera_from_world[:, :3, :3], points) + camera_from_world[:, None, :3, 3]
    depth = seen[..., 2]
    flat = seen / np.where(np.abs(depth) < 1e-6, 1e-6, depth)[..., None]
    return np.einsum("ab,tnb->tna", intrinsics, flat)[..., :2], depth


def smoothed(values: np.ndarray, frames: float) -> NDArray[np.float64]:
    """(T, D) blurred over time by a Gaussian whose standard deviation is a number of frames."""
    reach = int(3 * frames) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / frames) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(np.asarray(values, np.float64), ((reach, reach), (0, 0)), mode="edge")
    return np.stack([np.convolve(column, kernel, mode="valid") for column in padded.T], axis=-1)


def _candidate(
    set_up: SetUp,
    pelvis: np.ndarray,
    stature: float,
    image_size: tuple[int, int],
    frame_rate: float,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    width, height = image_size
    count = len(pelvis)
    fields = {"still": (42, 62), "high": (62, 78), "moving": (50, 64)}[set_up]
    focal = width / 2 / np.tan(np.radians(random.uniform(*fields)) / 2)
    distance = focal * stature / (height * random.uniform(0.4, 0.75))
    eye_height = random.uniform(2.7, 3.8) if set_up == "high" else random.uniform(1.35, 1.7)
    angle = random.uniform(0, 2 * np.pi)
    middle = (pelvis[:, :2].min(0) + pelvis[:, :2].max(0)) / 2
    aim_height = stature * random.uniform(0.42, 0.55)
    if set_up == "moving":
        followed = smoothed(pelvis[:, :2], 0.5 * frame_rate)
        travel = smoothed(pelvis[:, :2], 0.8 * frame_rate) * random.uniform(0.8, 1.0)
        travel += middle - travel.mean(0)
        angles = angle + np.radians(random.uniform(-25, 25)) * np.linspace(-1, 1, count)
        away = distance * (1 + random.uniform(-0.1, 0.1) * np.linspace(-1, 1, count))
    else:
        followed = travel = np.tile(middle, (count, 1))
        angles, away = np.full(count, angle), np.full(count, distance)
    ground = np.sqrt(np.maximum(away**2 - (eye_height - aim_height) ** 2, 0.5))
    eye = np.empty((count, 3))
    eye[:, :2] = travel + ground[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    eye[:, 2] = eye_height
    target = np.concatenate([followed, np.full((count, 1), aim_height)], axis=1)
    if set_up == "moving":
        eye += _shake(count, frame_rate, 0.012, random)
        target += _shake(count, frame_rate, 0.025, random)
    intrinsics = np.array([(focal, 0, width / 2), (0, focal, height / 2), (0, 0, 1)])
    return intrinsics, look_at(eye, target)


def _shake(count: int, frame_rate: float, size: float, random: np.random.Generator) -> np.ndarray:
    """(T, 3) metres: what a hand does, mostly below two hertz."""
    slow = smoothed(random.normal(size=(count, 3)), 0.25 * frame_rate)
    quick = smoothed(random.normal(size=(count, 3)), 0.07 * frame_rate)
    return size * (slow / max(slow.std(), 1e-9) + 0.15 * quick / max(quick.std(), 1e-9))


def _framed(
    points: np.ndarray,
    pelvis: np.ndarray,
    stature: float,
    intrinsics: np.ndarray,
    camera_from_world: np.ndarray,
    image_size: tuple[int, int],
) -> float:
    pixels, depth = project(points, intrinsics, camera_from_world)
    size, margin = np.array(image_size), _MARGIN * image_size[0]
    inside = ((pixels > margin) & (pixels < size - margin)).all(-1) & (depth > 0.5)
    _, away = project(pelvis[:, None], intrinsics, camera_from_world)
    height = intrinsics[1, 1] * stature / np.maximum(away[:, 0], 1e-6) / image_size[1]
    return float((inside.all(1) & (height > _HEIGHTS[0]) & (height < _HEIGHTS[1])).mean())
