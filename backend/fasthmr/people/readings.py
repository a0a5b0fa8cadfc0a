# SPDX-License-Identifier: Apache-2.0
"""What a reading says: how much of a person it is, whether two are one person, and its plain form."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from fasthmr.people.detection import Detection
from fasthmr.people.landmarks import LANDMARK_INDEX
from fasthmr.people.masks import PackedMask
from fasthmr.people.plausibility import LIMB_LANDMARKS, plausibility
from fasthmr.people.pose_networks import Reading, Region, box_overlap

# Landmarks that place a head and shoulders.
_UPPER: Final = np.array(
    [LANDMARK_INDEX[name] for name in ("nose", "left_ear", "right_ear", "left_shoulder", "right_shoulder")]
)


def quality(reading: Reading) -> float:
    """0..1, how much a reading looks like a person (see :mod:`fasthmr.people.plausibility`)."""
    return plausibility(reading.score, reading.visibility * reading.presence, reading.landmarks_world)


def same_person(a: Reading, b: Reading) -> bool:
    """Whether two readings of one frame show the same person.

    They do if the limbs lie alike, if head and shoulders lie alike (a region around an upper body is
    sometimes read as a whole crouching figure), or if one mask lies in the other. "Alike" is measured
    as in COCO's object keypoint similarity: the mean over landmarks of exp(-distance² / 2 (scale/10)²),
    with the body's size as scale.
    """
    small, large = sorted((a.following.side, b.following.side))
    distance = np.linalg.norm(a.landmarks_image[:, :2] - b.landmarks_image[:, :2], axis=1)
    limbs = np.exp(-0.5 * (distance[LIMB_LANDMARKS] / (0.1 * small)) ** 2).mean()
    upper = np.exp(-0.5 * (distance[_UPPER] / (0.1 * large)) ** 2).mean()
    return bool(limbs > 0.5 or upper > 0.6) or mask_containment(a, b) > 0.75


def mask_containment(a: Reading, b: Reading, cells: int = 64) -> float:
    """0..1, the share of the smaller mask that lies in the other one."""
    if a.region.side > b.region.side:
        a, b = b, a
    reach = 0.75 * (a.region.side + b.region.side)
    if np.hypot(a.region.x - b.region.x, a.region.y - b.region.y) > reach:
        return 0.0
    side = len(a.mask)
    mask_a = a.mask[:: side // cells, :: side // cells] > 0
    columns, rows = np.meshgrid(np.arange(cells) / cells, np.arange(cells) / cells)
    matrix_a, matrix_b = a.region.image_from_region(), b.region.image_from_region()
    pixels = np.stack([columns[mask_a], rows[mask_a]], -1) @ matrix_a[:, :2].T + matrix_a[:, 2]
    at = np.floor((pixels - matrix_b[:, 2]) @ np.linalg.inv(matrix_b[:, :2]).T * side).astype(int)
    inside = ((at >= 0) & (at < side)).all(1)
    common = np.count_nonzero(b.mask[at[inside, 1], at[inside, 0]] > 0) * (a.region.side / cells) ** 2
    area_a = np.count_nonzero(mask_a) * (a.region.side / cells) ** 2
    area_b = np.count_nonzero(b.mask > 0) * (b.region.side / side) ** 2
    return common / max(1e-6, min(area_a, area_b))


def is_explained(region: Region, reading: Reading) -> bool:
    """Whether a proposal is somebody known, or a part of somebody known."""
    known = reading.following
    distance = np.hypot(region.x - known.x, region.y - known.y)
    if distance < 0.25 * min(region.side, known.side) and 0.6 < region.side / known.side < 1.67:
        return True
    if region.side < 0.7 * known.side:
        points = reading.landmarks_image[LIMB_LANDMARKS, :2]
        low, high = points.min(0), points.max(0)
        return bool(low[0] < region.x < high[0] and low[1] < region.y < high[1])
    return bool(box_overlap(region.bounds(), known.bounds()[None])[0] > 0.6)


def to_detection(reading: Reading, image_size: tuple[int, int]) -> Detection | None:
    """A reading in the plain form; None where too little of the person lies in the image.

    Args:
        reading: what was read.
        image_size: width and height, pixels.
    """
    points = reading.landmarks_image[:, :2]
    inside: np.ndarray = np.all((points >= 0) & (points < image_size), axis=1)
    if inside[LIMB_LANDMARKS].sum() < 3:
        return None
    mask = _upright_mask(reading, image_size)
    visible = points[inside & (reading.visibility > 0.3)] if inside.any() else points
    if len(visible) < 3:
        visible = points
    low, high = visible.min(0), visible.max(0)
    if mask is not None:
        low, high = np.minimum(low, mask.box[:2]), np.maximum(high, mask.box[2:])
    return Detection(
        box=np.concatenate([low, high]).astype(np.float32),
        landmarks_image=reading.landmarks_image,
        landmarks_world=reading.landmarks_world,
        visibility=(reading.visibility * reading.presence).astype(np.float32),
        score=reading.score,
        mask=mask,
    )


def _upright_mask(reading: Reading, image_size: tuple[int, int]) -> PackedMask | None:
    """The mask turned from the region's axes to the image's, without blobs away from the person."""
    region = reading.region
    x0, y0, x1, y1 = region.bounds()
    left, top = max(0, int(np.floor(x0))), max(0, int(np.floor(y0)))
    right, bottom = min(image_size[0], int(np.ceil(x1))), min(image_size[1], int(np.ceil(y1)))
    if right <= left or bottom <= top:
        return None
    cell = max(1, int(np.ceil(region.side / reading.mask.shape[0])))
    columns, rows = -(-(right - left) // cell), -(-(bottom - top) // cell)
    # warpAffine takes cells of the region's mask to cells of the upright grid, by their centres.
    to_image = region.image_from_region()
    turn = to_image[:, :2] / reading.mask.shape[0] / cell
    shift = (to_image[:, 2] - (left, top)) / cell + turn @ (0.5, 0.5) - 0.5
    soft = cv2.warpAffine(
        reading.mask, np.column_stack([turn, shift]), (columns, rows), borderValue=(-1000.0,)
    )
    cells = (soft > 0).astype(np.uint8)
    count, labels = cv2.connectedComponents(cells)
    if count > 2:
        points = ((reading.landmarks_image[:, :2] - (left, top)) / cell).astype(int)
        inside = ((points >= 0) & (points < (columns, rows))).all(1)
        touched = np.unique(labels[points[inside, 1], points[inside, 0]])
        areas = np.bincount(labels.ravel(), minlength=count)
        touched = np.union1d(touched, [np.argmax(areas[1:]) + 1])
        cells &= np.isin(labels, touched[touched > 0]).astype(np.uint8)
    return PackedMask.pack(cells, image_size, (left, top), cell)
