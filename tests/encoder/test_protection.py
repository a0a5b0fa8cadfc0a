# SPDX-License-Identifier: Apache-2.0
"""Which patches are the person's, against counting pixels through the affine map of the crop."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fasthmr.encoder.crop_geometry import CropSquare
from fasthmr.encoder.protection import ellipse, patch_levels, patch_shares, track_levels
from fasthmr.people import PackedMask

FINE = 4  # samples a pixel of the network's input, each way


def in_image(square: CropSquare) -> np.ndarray:
    """(2, 3): from a pixel of the crop to one of the image, made from three points as HMR2.0 makes it."""
    to = np.array([[128, 128], [256, 128], [128, 256]], np.float32)
    half = square.size / 2
    points = [[square.x, square.y], [square.x + half, square.y], [square.x, square.y + half]]
    return cv2.getAffineTransform(to, np.array(points, np.float32))


def counted(inside: np.ndarray, square: CropSquare, fine: int = FINE) -> np.ndarray:
    """Shares of the 16 x 12 patches, by sampling a mask of the size of the image.

    Args:
        inside: (H, W) bool.
        square: what the crop is cut from.
        fine: samples a pixel, each way.
    """
    shares = np.zeros((16, 12))
    affine = in_image(square)
    offsets = (np.arange(16 * fine) + 0.5) / fine - 0.5  # around the centres of 16 pixels
    for row in range(16):
        for column in range(12):
            u, v = np.meshgrid(32 + 16 * column - 2 + offsets, 16 * row - 2 + offsets)
            x, y = affine @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
            x, y = np.floor(x + 0.5).astype(int), np.floor(y + 0.5).astype(int)
            seen = (x >= 0) & (x < inside.shape[1]) & (y >= 0) & (y < inside.shape[0])
            shares[row, column] = inside[y[seen], x[seen]].sum() / u.size
    return shares


def blobs(seed: int, rows: int, columns: int) -> np.ndarray:
    """Random cells with smooth outlines."""
    noise = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), min(rows, columns) / 12) > 0


SQUARES = [
    CropSquare(160.0, 120.0, 300.0),
    CropSquare(151.3, 96.7, 97.9),  # a patch is 6 pixels
    CropSquare(20.5, 230.0, 256.0),  # half outside
    CropSquare(-400.0, -50.0, 120.0),  # nothing of it inside
]


@pytest.mark.parametrize("square", SQUARES)
def test_shares_of_pixels_equal_counting(square: CropSquare) -> None:
    inside = blobs(1, 240, 320)
    mask = PackedMask.pack(inside)
    assert mask is not None
    assert (mask.unpack() == inside).all()
    # What sampling may miss: half a sample along the outline, a few outlines through each patch.
    np.testing.assert_allclose(patch_shares(mask, square), counted(inside, square), rtol=0, atol=0.02)


@pytest.mark.parametrize("square", SQUARES)
@pytest.mark.parametrize("cell", [3, 7])
def test_shares_of_cells_equal_counting(square: CropSquare, cell: int) -> None:
    cells = blobs(2, 44, 52)
    # The corner of the cells is outside of the image, as that of a detector's region often is.
    mask = PackedMask.pack(cells, (320, 240), (-9, -14), cell)
    assert mask is not None
    blocks = np.kron(cells, np.ones((cell, cell), bool))[14 : 14 + 240, 9 : 9 + 320]
    blocks = np.pad(blocks, ((0, 240 - len(blocks)), (0, 320 - blocks.shape[1])))
    shares = patch_shares(mask, square)
    np.testing.assert_allclose(shares, counted(blocks, square), rtol=0, atol=0.02)
    # The mask of the size of the image has its corners rounded: the areas hardly differ.
    np.testing.assert_allclose(shares, counted(mask.unpack(), square), rtol=0, atol=0.15)
    assert abs(shares.mean() - counted(mask.unpack(), square).mean()) < 0.01


def test_a_patch_sees_two_pixels_before_its_corner() -> None:
    # One pixel of the image is one of the crop; the image is the crop.
    square = CropSquare(128.0, 128.0, 256.0)
    inside = np.zeros((256, 256), bool)
    inside[16 * 3 - 2 : 16 * 4 - 2, 32 + 16 * 5 - 2 : 32 + 16 * 6 - 2] = True
    mask = PackedMask.pack(inside)
    assert mask is not None
    expected = np.zeros((16, 12))
    expected[3, 5] = 1
    np.testing.assert_allclose(patch_shares(mask, square), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 1.0])
def test_the_share_decides(share: float) -> None:
    mask = PackedMask.pack(blobs(3, 240, 320))
    assert mask is not None
    shares = np.stack([patch_shares(mask, square) for square in SQUARES])
    levels = patch_levels([mask] * len(SQUARES), SQUARES, share, dilation=0)
    assert levels.dtype == np.uint8
    assert levels.shape == (4, 192)
    assert (levels.reshape(4, 16, 12) == (shares >= share - 1e-6)).all()
    assert not levels[3].any()  # outside of the image: background


@pytest.mark.parametrize("dilation", [0, 1, 2, 20])
def test_dilation_reaches_neighbours(dilation: int) -> None:
    mask = PackedMask.pack(blobs(4, 240, 320) & blobs(5, 240, 320))
    assert mask is not None
    before = patch_levels([mask], SQUARES[:1], 0.4, 0).reshape(16, 12)
    after = patch_levels([mask], SQUARES[:1], 0.4, dilation).reshape(16, 12)
    assert 0 < before.sum() < 192
    for row in range(16):
        for column in range(12):
            near = before[
                max(0, row - dilation) : row + dilation + 1, max(0, column - dilation) : column + dilation + 1
            ]
            assert after[row, column] == near.max()


def test_only_the_own_mask_protects() -> None:
    left, right = np.zeros((240, 320), bool), np.zeros((240, 320), bool)
    left[20:220, 60:190], right[20:220, 150:260] = True, True  # they overlap in 150..189
    masks = [PackedMask.pack(left), PackedMask.pack(right)]
    square = CropSquare(160.0, 120.0, 260.0)
    levels = patch_levels(masks, [square, square]).reshape(2, 16, 12)
    own, other = counted(left, square), counted(right, square)
    assert (levels[0][(own < 0.05) & (other > 0.5)] == 0).all()
    assert ((own > 0.9) & (other > 0.9)).any()
    assert (levels[:, (own > 0.9) & (other > 0.9)] == 1).all()  # where they overlap: both


def test_where_there_is_no_mask_an_ellipse_stands_in() -> None:
    middle = ellipse()
    assert (middle == middle[::-1, ::-1]).all()
    assert middle[:, 5:7].all()  # as high as the crop
    levels = patch_levels([None, PackedMask.pack(blobs(6, 240, 320))], SQUARES[:2])
    assert (levels[0] == middle.ravel()).all()
    assert (levels[1] != middle.ravel()).any()
    larger = patch_levels([None], SQUARES[:1], dilation=1)
    assert larger.sum() > levels[0].sum()


def test_a_lost_mask_is_borrowed_from_the_nearest_frame() -> None:
    masks = [
        None if frame in {0, 3, 4, 5, *range(8, 15)} else PackedMask.pack(blobs(frame, 240, 320))
        for frame in range(15)
    ]
    squares = [CropSquare(150.0 + 2 * frame, 120.0, 250.0 + frame) for frame in range(15)]
    own = patch_levels(masks, squares)
    levels = track_levels(masks, squares, reach=4)
    taken = [1, 1, 2, 2, 2, 6, 6, 7, 7, 7, 7, 7]
    assert (levels[:12] == own[taken]).all()
    assert (levels[12:] == ellipse().ravel()).all()
    assert (track_levels(masks, squares, reach=0) == own).all()
    assert (track_levels([None] * 3, squares[:3]) == ellipse().ravel()).all()


def test_impossible_calls_are_refused() -> None:
    for share, dilation in ((0.0, 0), (1.1, 0), (0.1, -1)):
        with pytest.raises(ValueError, match="share"):
            patch_levels([None], SQUARES[:1], share, dilation)
    with pytest.raises(ValueError, match="shorter"):
        patch_levels([None, None], SQUARES[:1])
    assert patch_levels([], []).shape == (0, 192)
