# SPDX-License-Identifier: Apache-2.0
"""BlazePose's two networks: one finds people in a picture, one reads the landmarks and mask of one person.

The networks are MediaPipe's TensorFlow Lite files; LiteRT, the runtime that MediaPipe is built on, runs
them. MediaPipe itself is not used: from version 1.0 on its Tasks report usage metrics to a server, which
a tool that promises to keep footage on the machine cannot do, and its graph decides by itself where to look.

What happens before and after the networks follows MediaPipe's graphs (Apache-2.0): ``pose_detection_cpu``,
``pose_landmark_by_roi_cpu``, ``pose_detection_to_roi`` and ``pose_landmarks_to_roi``; paper: Bazarevsky et
al., "BlazePose: On-device Real-time Body Pose Tracking" (2020).
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import cv2
import numpy as np

from fasthmr.errors import MissingModel
from fasthmr.people.landmarks import LANDMARK_COUNT
from fasthmr.setup_advice import install_again

_SEARCH_SIDE: Final = 224
_READ_SIDE: Final = 256
# A region is this much larger than the circle around hips and outstretched body.
_REGION_SCALE: Final = 1.25
# The landmark network gives two points more than the body has: the region's centre and its rim.
_AUXILIARY: Final = slice(LANDMARK_COUNT, LANDMARK_COUNT + 2)
_POINTS: Final = 39


@dataclass(frozen=True, slots=True)
class Region:
    """A turned square in the image that holds one person, upright in the square's own axes.

    Args:
        x: centre, pixels.
        y: centre, pixels.
        side: pixels.
        angle: radians, clockwise in the image; 0 for a person whose head points up.
    """

    x: float
    y: float
    side: float
    angle: float

    @classmethod
    def around(cls, center: np.ndarray, rim: np.ndarray) -> Region:
        """The region of a person from the middle of the hips and a point above on the circle around."""
        dx, dy = rim - center
        turn = np.pi / 2 - np.arctan2(-dy, dx)
        turn -= 2 * np.pi * np.floor((turn + np.pi) / (2 * np.pi))
        side = 2.0 * float(np.hypot(dx, dy)) * _REGION_SCALE
        return cls(float(center[0]), float(center[1]), side, float(turn))

    def image_from_region(self) -> np.ndarray:
        """(2, 3): takes (u, v, 1), 0..1 over the square, to pixels."""
        cos, sin = np.cos(self.angle) * self.side, np.sin(self.angle) * self.side
        return np.array(
            [
                [cos, -sin, self.x - 0.5 * cos + 0.5 * sin],
                [sin, cos, self.y - 0.5 * sin - 0.5 * cos],
            ]
        )

    def bounds(self) -> np.ndarray:
        """(4,) x0, y0, x1, y1 of the turned square, pixels."""
        reach = 0.5 * self.side * (abs(np.cos(self.angle)) + abs(np.sin(self.angle)))
        return np.array([self.x - reach, self.y - reach, self.x + reach, self.y + reach])


@dataclass(frozen=True, slots=True)
class Reading:
    """What the landmark network reads in a region.

    Args:
        region: where it was read.
        following: the region for the next frame.
        landmarks_image: (33, 3) pixels; depth relative to the middle of the hips, negative is nearer.
        landmarks_world: (33, 3) metres, camera axes, origin at the middle of the hips.
        visibility: (33,) 0..1.
        presence: (33,) 0..1, whether each landmark lies inside the region.
        score: 0..1, how likely there is a person in the region at all.
        mask: (256, 256) float32, logits, in the region's axes.
    """

    region: Region
    following: Region
    landmarks_image: np.ndarray
    landmarks_world: np.ndarray
    visibility: np.ndarray
    presence: np.ndarray
    score: float
    mask: np.ndarray


class _Interpreter(Protocol):
    """The part of LiteRT's interpreter that is used here."""

    def allocate_tensors(self) -> None: ...
    def get_input_details(self) -> list[dict[str, Any]]: ...
    def get_output_details(self) -> list[dict[str, Any]]: ...
    def set_tensor(self, index: int, value: np.ndarray, /) -> None: ...
    def invoke(self) -> None: ...
    def get_tensor(self, index: int, /) -> np.ndarray: ...


def _open_network(model: bytes, side: int, threads: int | None) -> _Interpreter:
    """Load a network that takes one RGB image.

    Raises:
        MissingModel: LiteRT cannot be loaded, or the model is not such a network.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter  # here: it is slow to load and may be missing
    except ImportError as error:
        raise MissingModel(
            f"The runtime of the person detector cannot be loaded ({error}). "
            f"{install_again()} On Windows the Visual C++ runtime is needed too."
        ) from error
    try:
        with _without_notices():
            network = Interpreter(model_content=model, num_threads=threads or min(4, os.cpu_count() or 1))
            network.allocate_tensors()
        shape = tuple(network.get_input_details()[0]["shape"])
    except (ValueError, RuntimeError) as error:
        raise MissingModel(f"The person detector's weights are damaged ({error}).") from error
    if shape != (1, side, side, 3):
        raise MissingModel(f"The person detector's weights take images of {shape}, not {(1, side, side, 3)}.")
    return network


@contextlib.contextmanager
def _without_notices() -> Iterator[None]:
    """Keep LiteRT's notices ("INFO: ...") off standard error; it has no setting for them.

    What else is written to the file descriptor meanwhile comes out afterwards.
    """
    try:
        saved = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            written.seek(0)
            rest = b"".join(line for line in written if not line.startswith(b"INFO: "))
            if rest:
                os.write(2, rest)


def _outputs_by_size(network: _Interpreter) -> dict[int, int]:
    """Tensor indices by number of values: names and order differ between releases of the weights."""
    return {int(np.prod(detail["shape"])): int(detail["index"]) for detail in network.get_output_details()}


class PersonSearch:
    """Finds people in a picture, as regions to read.

    Args:
        model: ``pose_detector.tflite``.
        threads: threads of the network; the machine's cores, at most 4, when left out.

    Raises:
        MissingModel: the network cannot be loaded.
    """

    def __init__(self, model: bytes, threads: int | None = None) -> None:
        self._network = _open_network(model, _SEARCH_SIDE, threads)
        self._input = self._network.get_input_details()[0]["index"]
        self._anchors = anchor_centers()
        outputs = _outputs_by_size(self._network)
        try:
            self._boxes = outputs[len(self._anchors) * 12]
            self._scores = outputs[len(self._anchors)]
        except KeyError as error:
            raise MissingModel("The person detector's weights have other outputs than BlazePose.") from error

    def find(self, image: np.ndarray, min_score: float = 0.5) -> list[tuple[float, Region]]:
        """People in an image of any shape, best first.

        Args:
            image: (height, width, 3) uint8 RGB.
            min_score: 0..1; less likely ones are left out.

        Returns:
            Scores and regions, in pixels of the image.
        """
        height, width = image.shape[:2]
        whole = Region(width / 2, height / 2, float(max(height, width)), 0.0)
        square = _cut_out(image, whole, _SEARCH_SIDE, cv2.BORDER_CONSTANT)
        self._network.set_tensor(self._input, (square.astype(np.float32) / 127.5 - 1.0)[None])
        self._network.invoke()
        scores = _sigmoid(self._network.get_tensor(self._scores).reshape(-1))
        likely = np.flatnonzero(scores >= min_score)
        raw = self._network.get_tensor(self._boxes).reshape(-1, 12)[likely]
        points = raw.reshape(-1, 6, 2) / _SEARCH_SIDE
        points[:, [0, 2, 3, 4, 5]] += self._anchors[likely][:, None]  # the second pair is the box's size
        found = []
        matrix = whole.image_from_region()
        for score, point in suppress(scores[likely], points):
            center, rim = point[2:4] @ matrix[:, :2].T + matrix[:, 2]
            region = Region.around(center, rim)
            if region.side > 1.0:
                found.append((score, region))
        return found


class LandmarkReader:
    """Reads the landmarks and the mask of the person in a region.

    Args:
        model: ``pose_landmarks_detector.tflite``.
        threads: threads of the network; the machine's cores, at most 4, when left out.

    Raises:
        MissingModel: the network cannot be loaded.
    """

    def __init__(self, model: bytes, threads: int | None = None) -> None:
        self._network = _open_network(model, _READ_SIDE, threads)
        self._input = self._network.get_input_details()[0]["index"]
        outputs = _outputs_by_size(self._network)
        try:
            self._landmarks = outputs[_POINTS * 5]
            self._world = outputs[_POINTS * 3]
            self._score = outputs[1]
            self._mask = outputs[_READ_SIDE * _READ_SIDE]
            self._heat = outputs[64 * 64 * _POINTS]
        except KeyError as error:
            raise MissingModel("The landmark network's weights have other outputs than BlazePose.") from error

    def read(self, image: np.ndarray, region: Region) -> Reading:
        """Read one region.

        Args:
            image: (height, width, 3) uint8 RGB.
            region: pixels of that image; outside of the image, its edge is repeated.
        """
        crop = _cut_out(image, region, _READ_SIDE, cv2.BORDER_REPLICATE)
        self._network.set_tensor(self._input, (crop.astype(np.float32) / 255.0)[None])
        self._network.invoke()
        raw = self._network.get_tensor(self._landmarks).reshape(_POINTS, 5)
        points = raw[:, :3].astype(np.float64) / _READ_SIDE
        heat = self._network.get_tensor(self._heat).reshape(64, 64, _POINTS)
        points[:, :2] = refine_from_heat(points[:, :2], heat)

        matrix = region.image_from_region()
        landmarks = np.empty((_POINTS, 3))
        landmarks[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        landmarks[:, 2] = points[:, 2] * region.side
        world = self._network.get_tensor(self._world).reshape(_POINTS, 3).astype(np.float64)
        world[:, :2] = world[:, :2] @ (matrix[:, :2] / region.side).T
        center, rim = landmarks[_AUXILIARY, :2]
        return Reading(
            region=region,
            following=Region.around(center, rim),
            landmarks_image=landmarks[:LANDMARK_COUNT].astype(np.float32),
            landmarks_world=world[:LANDMARK_COUNT].astype(np.float32),
            visibility=_sigmoid(raw[:LANDMARK_COUNT, 3]),
            presence=_sigmoid(raw[:LANDMARK_COUNT, 4]),
            score=float(self._network.get_tensor(self._score).reshape(-1)[0]),
            mask=self._network.get_tensor(self._mask).reshape(_READ_SIDE, _READ_SIDE).copy(),
        )


def _cut_out(image: np.ndarray, region: Region, side: int, border: int) -> np.ndarray:
    """The upright (side, side, 3) picture of a region.

    Like MediaPipe's, it maps pixel indices and not pixel centres: the networks' outputs count that way too.
    """
    return cv2.warpAffine(
        image,
        region.image_from_region() / (side, side, 1),
        (side, side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=border,
    )


def refine_from_heat(
    points: np.ndarray, heat: np.ndarray, window: int = 7, min_peak: float = 0.5
) -> np.ndarray:
    """Move points to the centre of mass of their heat maps nearby (MediaPipe's landmark refinement).

    Args:
        points: (P, 2) 0..1 over the map.
        heat: (rows, columns, P) logits.
        window: side of the window of cells around each point.
        min_peak: points whose window nowhere reaches this stay where they are.

    Returns:
        (P, 2), the moved points.
    """
    rows, columns, count = heat.shape
    half = window // 2
    offsets = np.arange(-half, half + 1)
    at = np.floor(points * (columns, rows)).astype(int)
    column, row = at[:, 0, None] + offsets, at[:, 1, None] + offsets  # (P, window)
    inside = ((row >= 0) & (row < rows))[:, :, None] & ((column >= 0) & (column < columns))[:, None, :]
    cells = heat[
        row.clip(0, rows - 1)[:, :, None],
        column.clip(0, columns - 1)[:, None, :],
        np.arange(count)[:, None, None],
    ]
    weight = np.where(inside, _sigmoid(cells), 0.0)
    total = weight.sum((1, 2))
    center_on_map = (at >= 0).all(1) & (at < (columns, rows)).all(1)
    sharp = (weight.max((1, 2)) >= min_peak) & center_on_map
    refined = points.copy()
    refined[sharp, 0] = ((weight * column[:, None, :]).sum((1, 2))[sharp] / total[sharp]) / columns
    refined[sharp, 1] = ((weight * row[:, :, None]).sum((1, 2))[sharp] / total[sharp]) / rows
    return refined


def anchor_centers() -> np.ndarray:
    """(2254, 2) centres of the search network's anchors, 0..1: two a cell at strides 8, 16, 32, 32, 32."""
    layers = []
    for stride, copies in ((8, 2), (16, 2), (32, 6)):
        cells = (np.arange(_SEARCH_SIDE // stride) + 0.5) * stride / _SEARCH_SIDE
        y, x = np.meshgrid(cells, cells, indexing="ij")
        layers.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), copies, axis=0))
    return np.concatenate(layers)


def suppress(
    scores: np.ndarray, points: np.ndarray, min_overlap: float = 0.3
) -> list[tuple[float, np.ndarray]]:
    """Weighted non-maximum suppression: each group of overlapping finds becomes their mean.

    Args:
        scores: (N,).
        points: (N, 6, 2): centre and size of the box, then four points.
        min_overlap: intersection over union from which two finds are one.
    """
    corners = np.concatenate([points[:, 0] - points[:, 1] / 2, points[:, 0] + points[:, 1] / 2], axis=1)
    left = np.argsort(-scores, kind="stable")
    merged = []
    while left.size:
        overlap = box_overlap(corners[left[0]], corners[left])
        overlap[0] = 1.0
        group = left[overlap > min_overlap]
        weight = scores[group] / scores[group].sum()
        merged.append((float(scores[left[0]]), np.tensordot(weight, points[group], axes=1)))
        left = left[overlap <= min_overlap]
    return merged


def box_overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(N,) intersection over union of one box (4,) with others (N, 4), x0, y0, x1, y1."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    union = np.prod(box[2:] - box[:2]) + areas - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(x, -80, 80)))
