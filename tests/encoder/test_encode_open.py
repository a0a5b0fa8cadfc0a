# SPDX-License-Identifier: Apache-2.0
"""From footage and tracks to encodings with our own network: edges, masks and landmarks of each frame."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from fasthmr.encoder.crop_geometry import HMR2_CROP, square_of
from fasthmr.encoder.crops import cut_bytes
from fasthmr.encoder.landmark_tokens import landmark_numbers
from fasthmr.encoder.protection import patch_levels
from fasthmr.encoder.proxies import mask_in_crop, proxies
from fasthmr.encoder.runner import EncoderRunner
from fasthmr.encoder.token_merging import TokenMerging
from fasthmr.people import Track
from tests.encoder.open_network import TINY_CROPS, network
from tests.encoder.test_encode import Clip, encoded, track_of


def tracks() -> list[Track]:
    rng = np.random.default_rng(2)
    found = []
    for track in (track_of(1, [1, 2, 5, 6]), track_of(2, [2, 3, 6])):
        count = len(track)
        image = np.concatenate(
            [rng.uniform(20, 100, (count, 33, 2)), np.zeros((count, 33, 1))], axis=2
        ).astype(np.float32)
        track = dataclasses.replace(
            track,
            landmarks_image=image,
            landmarks_world=rng.normal(0, 0.4, (count, 33, 3)).astype(np.float32),
            visibility=rng.uniform(0.1, 1, (count, 33)).astype(np.float32),
            masks=(*track.masks[:1], None, *track.masks[2:]),
        )
        found.append(track)
    return found


@pytest.mark.parametrize("overlapped", [True, False])
@pytest.mark.parametrize("merged", [True, False])
def test_encodings_are_those_of_single_frames(overlapped: bool, merged: bool) -> None:
    model = network(TINY_CROPS, torch.float32).simplify_()
    model.reduction = TokenMerging() if merged else None
    runner = EncoderRunner(model, precision="fp32", batch_size=4)
    clip: Any = Clip(8)
    given = tracks()
    for encoding, track in zip(encoded(clip, given, runner, overlapped=overlapped), given, strict=True):
        assert encoding.kind == "open"
        for row, index in enumerate(track.frame_indices.tolist()):
            (square,) = square_of(track.boxes[row][None], HMR2_CROP)
            mask = track.masks[row]
            crop = proxies(cut_bytes(clip.picture(index), square, HMR2_CROP), mask_in_crop(mask, square))
            # A lost mask is borrowed from a neighbour for merging, which the crop is not shown.
            lent = mask if mask is not None else track.masks[row - 1]
            lent_square = square_of(track.boxes[row if mask is not None else row - 1][None], HMR2_CROP)
            marks = landmark_numbers(
                torch.from_numpy(track.landmarks_image[row : row + 1, :, :2]),
                torch.from_numpy(track.landmarks_world[row : row + 1]),
                torch.from_numpy(track.visibility[row : row + 1]),
                torch.tensor([list(square)]),
            )
            with torch.inference_mode():
                output = model(
                    torch.from_numpy(crop)[None],
                    landmarks=marks,
                    protection=torch.from_numpy(patch_levels([lent], lent_square)),
                )
            for name in ("rotmat", "betas", "camera", "token"):
                expected = getattr(output, name)[0].numpy()
                np.testing.assert_allclose(getattr(encoding, name)[row], expected, rtol=0, atol=2e-5)
