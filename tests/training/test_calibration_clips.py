# SPDX-License-Identifier: Apache-2.0
"""Crops of clips: which moments are taken, and that they show what the encoder's own crops show."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from fasthmr.encoder.checkpoint import load_checkpoint, save_checkpoint
from fasthmr.encoder.config import CAMERAHMR_INPUT, EncoderConfig
from fasthmr.encoder.crop_camera import box_information
from fasthmr.encoder.crop_geometry import rule_for, square_of
from fasthmr.encoder.crops import crop_people
from fasthmr.encoder.protection import patch_levels
from fasthmr.encoder.random_weights import random_state
from fasthmr.errors import BadInput, Cancelled, MissingModel, NobodyFound
from fasthmr.footage import open_footage
from fasthmr.people import LANDMARK_COUNT, Detection, People, Track, find_people
from fasthmr.people.bundle import find_bundle
from fasthmr.placement import camera_intrinsics
from fasthmr.progress import Progress
from fasthmr.training.calibration_clips import ClipSettings, collect_crops, evenly_spread
from fasthmr.training.eclm import MergeRequest, merge_checkpoint
from tests.conftest import write_clip
from tests.encoder.small_sizes import TINY_HMR2
from tests.real_clip import demo_clip

TINY = dataclasses.replace(TINY_HMR2, image_size=(256, 192), dim=32, depth=4)
TINY_CAMERA = dataclasses.replace(TINY, kind="camerahmr", token_input=CAMERAHMR_INPUT)


class NobodyDetector:
    """Finds nobody."""

    def detect(self, images: Sequence[np.ndarray], times: Sequence[float]) -> list[list[Detection]]:
        return [[] for _ in images]

    def reset(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first fourteen frames of the real footage, as a clip of their own."""
    try:
        find_bundle()
    except MissingModel:
        pytest.skip("the person detector's weights are not prepared: run `python build.py setup`")
    path = tmp_path_factory.mktemp("clip") / "short.mp4"
    with open_footage(demo_clip()) as footage, av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = footage.info.width, footage.info.height, "yuv420p"
        for frame in itertools.islice(footage, 14):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.image)))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("config", [TINY, TINY_CAMERA], ids=["hmr2", "camerahmr"])
def test_crops_are_those_of_the_encoder(clip: Path, config: EncoderConfig) -> None:
    found = collect_crops(ClipSettings((clip,), 5), config)
    with open_footage(clip) as footage:
        people = find_people(footage)
        images = {frame.index: frame.image for frame in footage}
        intrinsics = camera_intrinsics(footage.info)
    moments = evenly_spread(people, 5)
    rule = rule_for(config.kind)
    squares = square_of(np.stack([track.boxes[row] for _, track, row in moments]), rule)
    crops = crop_people([images[frame] for frame, _, _ in moments], squares, rule)
    batch = found.batch(slice(None), torch.device("cpu"))
    assert len(found) == len(moments) == 5
    step = 1 / 255 / 0.224
    torch.testing.assert_close(batch.crops, crops, atol=0.51 * step, rtol=0)  # rounded to bytes
    assert found.protection is not None
    masks = [track.masks[row] for _, track, row in moments]
    np.testing.assert_array_equal(found.protection, patch_levels(masks, squares))
    assert 0 < found.protection.mean() < 1
    if config.reads_box:
        assert found.box_info is not None
        np.testing.assert_array_equal(found.box_info, box_information(squares, intrinsics))
    else:
        assert found.box_info is None


def test_merging_on_footage_from_end_to_end(clip: Path, tmp_path: Path) -> None:
    original = tmp_path / "tiny.safetensors"
    state = random_state(TINY)
    for part in ("attn.proj", "mlp.fc2"):
        for kind in ("weight", "bias"):
            state[f"backbone.blocks.1.{part}.{kind}"].zero_()
    save_checkpoint(original, state, TINY)
    out = tmp_path / "merged.safetensors"
    result = merge_checkpoint(MergeRequest(original, out, clips=(clip,), frames=4, tau=1e-6, device="cpu"))
    assert result.plan.groups == ((0,), (1, 2), (3,))
    assert result.plan.value == 0.0
    assert result.plan.calibration is not None
    assert result.plan.calibration["of"]["clips"][0]["file"] == "short.mp4"
    assert load_checkpoint(out, "hmr2").config.depth == 3


def test_clips_without_people_are_left_out(clip: Path, tmp_path: Path) -> None:
    empty = write_clip(tmp_path / "empty.mp4", size=(320, 240))
    said: list[str] = []

    class Listening(Progress):
        def log(self, message: str) -> None:
            said.append(message)

    found = collect_crops(ClipSettings((empty, clip), 4), TINY, Listening())
    assert len(found) == 4  # what the empty one does not give, the other gives
    assert any("empty.mp4 is left out" in line for line in said)


def test_nobody_at_all_is_said(tmp_path: Path) -> None:
    empty = write_clip(tmp_path / "empty.mp4")
    with pytest.raises(NobodyFound, match="any of the clips"):
        collect_crops(ClipSettings((empty, empty), 4), TINY, detector=NobodyDetector())


def test_network_for_other_crops_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"\(64, 48\)"):
        collect_crops(ClipSettings((tmp_path / "clip.mp4",), 4), TINY_HMR2)


def test_collecting_is_cancelled(clip: Path) -> None:
    class Impatient(Progress):
        def show(self, stage: str, done: int, total: int | None) -> None:
            if done:
                self.cancelled.set()

    with pytest.raises(Cancelled):
        collect_crops(ClipSettings((clip,), 4), TINY, Impatient())


def people(*spans: range) -> People:
    """People who are seen in these frames."""
    tracks = tuple(
        Track(
            person=number + 1,
            shot=0,
            frame_indices=np.array(span, np.int64),
            timestamps=np.array(span, np.float64) / 30,
            boxes=np.tile(np.array([0, 0, 10, 20], np.float32), (len(span), 1)),
            landmarks_image=np.zeros((len(span), LANDMARK_COUNT, 3), np.float32),
            landmarks_world=np.zeros((len(span), LANDMARK_COUNT, 3), np.float32),
            visibility=np.ones((len(span), LANDMARK_COUNT), np.float32),
            masks=(None,) * len(span),
        )
        for number, span in enumerate(spans)
    )
    frames = np.arange(100)
    return People(tracks, (64, 48), 30.0, frames, frames / 30)


def test_moments_are_spread_over_people_and_time() -> None:
    moments = evenly_spread(people(range(100), range(50, 100)), 31)
    assert len(moments) == len({(frame, track.person) for frame, track, _ in moments}) == 31
    frames = [frame for frame, _, _ in moments]
    assert frames == sorted(frames)
    assert (frames[0], frames[-1]) == (0, 99)
    second = sum(track.person == 2 for _, track, _ in moments)
    assert 8 <= second <= 12  # a third of what is seen
    assert all(track.frame_indices[row] == frame for frame, track, row in moments)


def test_fewer_moments_than_asked_for_are_all_taken() -> None:
    assert [frame for frame, _, _ in evenly_spread(people(range(3, 8)), 20)] == [3, 4, 5, 6, 7]
    assert [frame for frame, _, _ in evenly_spread(people(range(3, 8)), 1)] == [3]
