# SPDX-License-Identifier: Apache-2.0
"""Samples: crops as they are cut from footage, who is visible, and sets that go on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fasthmr.body import BodyModel
from fasthmr.encoder.crop_geometry import CropSquare
from fasthmr.encoder.crops import cut
from fasthmr.errors import Cancelled
from fasthmr.progress import Progress
from fasthmr.training.evidence.motion_windows import MotionWindows
from fasthmr.training.mocap.packed import MocapSet, Split
from fasthmr.training.synthesis import render_people as module
from fasthmr.training.synthesis.look import Wardrobe
from fasthmr.training.synthesis.people_set import PeopleBatch, PeopleSet
from fasthmr.training.synthesis.render_people import (
    PeoplePainter,
    PeopleRequest,
    inside_picture,
    render_people,
    visible_landmarks,
)
from fasthmr.training.synthesis.scenes import Scenes
from fasthmr.training.synthesis.stage import FAR, SyntheticStage
from tests.training.synthesis.posed_people import even_lights, four_tiles, open_stage, posed, some_scenes
from tests.training.tiny_mocap import tiny_mocap


@pytest.fixture(scope="module")
def mocap(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> MocapSet:
    return tiny_mocap(body, tmp_path_factory.mktemp("render") / "mocap")


@pytest.fixture(scope="module")
def scenes(body: BodyModel, mocap: MocapSet) -> Scenes:
    return some_scenes(body, mocap.folder, 40)


@pytest.fixture
def stage(body: BodyModel) -> Iterator[SyntheticStage]:
    with open_stage(body) as stage:
        yield stage


@pytest.fixture
def painter(mocap: MocapSet, body: BodyModel, stage: SyntheticStage) -> PeoplePainter:
    return PeoplePainter(mocap, body, stage)


@pytest.mark.parametrize(("side", "close", "overlap"), [(256.0, 0.05, 1.0), (190.0, 4.0, 0.985)])
def test_the_crop_is_that_of_the_whole_picture(
    painter: PeoplePainter,
    stage: SyntheticStage,
    scenes: Scenes,
    body: BodyModel,
    side: float,
    close: float,
    overlap: float,
) -> None:
    """With a square of 256 pixels on whole pixels nothing is interpolated, and both are the same."""
    look = Wardrobe(body).random_look(np.random.default_rng(0))
    place = stage.build(four_tiles())
    squares = scenes.squares.copy()
    squares[:, :2] = squares[:, :2].round() + (0 if side == 256 else 0.3)
    squares[:, 2] = side
    scenes = replace(scenes, squares=squares)
    rows = [row for row in range(40) if scenes.image_size[row].max() <= 1280 and not scenes.company[row]][:3]
    for row in rows:
        crop, mask, _ = painter.draw(scenes, row, look, look, place, even_lights())
        size = (int(scenes.image_size[row, 0]), int(scenes.image_size[row, 1]))
        whole, whole_mask = stage.render(
            scenes.turns[row],
            scenes.joints[row],
            scenes.intrinsics[row].astype(np.float64),
            size,
            scenes.world_from_camera[row],
            even_lights(),
        )
        square = CropSquare(*squares[row].astype(float))
        shown = inside_picture(square, scenes.image_size[row])
        expected = cut(whole, square, 0.0).astype(float)
        assert np.abs(expected - crop * shown[..., None])[shown == 1].mean() < close
        np.testing.assert_allclose(expected[shown == 0], 0)
        cut_mask = (
            cut(np.repeat(255 * whole_mask[..., None].astype(np.uint8), 3, 2), square, 0.0)[..., 0] > 127
        )
        mask = mask & (shown >= 0.5)
        assert mask.sum() > 500
        assert (mask & cut_mask).sum() >= overlap * (mask | cut_mask).sum() - 2
    place.release()


def test_inside_picture_is_what_cutting_a_white_picture_gives() -> None:
    for square in (CropSquare(20.3, 31.7, 90.0), CropSquare(50.0, 40.0, 40.0), CropSquare(-300.0, 0.0, 80.0)):
        white = cut(np.full((80, 100, 3), 255, np.uint8), square, 0.0)[..., 0] / 255
        np.testing.assert_allclose(inside_picture(square, np.array([100, 80])), white, atol=0.02)


def test_visible_by_hand(scenes: Scenes) -> None:
    nothing, wall = np.full((256, 192), FAR), np.full((256, 192), 0.1)
    everything = np.ones((256, 192), np.float32)
    for row in range(40):
        crop = scenes.landmarks[row] @ scenes.crop_camera(row).T
        crop = np.floor(crop[:, :2] / crop[:, 2:])
        shown = ((crop >= 0) & (crop < (192, 256))).all(1) & scenes.inside[row]
        np.testing.assert_array_equal(visible_landmarks(scenes, row, nothing, None), scenes.inside[row])
        for hidden in (
            visible_landmarks(scenes, row, wall, None),
            visible_landmarks(scenes, row, nothing, everything),
        ):
            np.testing.assert_array_equal(hidden, scenes.inside[row] & ~shown)


def nearest_hit(triangles: np.ndarray, ray: np.ndarray) -> float:
    """Depth at which a ray from the camera first meets a triangle (Möller and Trumbore, 1997)."""
    a, along, beside = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    across = np.cross(ray, beside)
    scale = (along * across).sum(1)
    safe = np.where(np.abs(scale) < 1e-14, np.inf, scale)
    u = -(a * across).sum(1) / safe
    other = np.cross(-a, along)
    v = (other @ ray) / safe
    t = (beside * other).sum(1) / safe
    hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)
    return float(t[hit].min()) * ray[2] if hit.any() else FAR


def test_visible_is_what_rays_find(
    painter: PeoplePainter, stage: SyntheticStage, scenes: Scenes, body: BodyModel
) -> None:
    look = Wardrobe(body).random_look(np.random.default_rng(0))
    look.offsets[:] = 0
    place = stage.build(four_tiles())
    same = total = hidden = 0
    for row in [row for row in range(40) if not scenes.company[row]][:5]:
        _, _, depth = painter.draw(scenes, row, look, look, place, even_lights())
        found = visible_landmarks(scenes, row, depth, None)
        triangles = posed(body, scenes, row)[body.faces.numpy()]
        allowed = module._depths()
        for landmark in np.flatnonzero(scenes.inside[row]):
            point = scenes.landmarks[row, landmark].astype(np.float64)
            seen = point[2] <= nearest_hit(triangles, point) + allowed[landmark]
            same += seen == found[landmark]
            hidden += not seen
            total += 1
    place.release()
    assert hidden > 10
    assert same > 0.93 * total


def test_things_before_the_person_are_never_in_the_mask(
    painter: PeoplePainter, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, covers = module.random_cover, []

    def remembered(mask: np.ndarray, random: np.random.Generator) -> np.ndarray | None:
        covers.append((mask, real(mask, random)))
        return covers[-1][1]

    monkeypatch.setattr(module, "random_cover", remembered)
    monkeypatch.setattr(module, "_COVERED", 1.0)
    samples = list(painter.samples(0, 10, 3))
    assert len(covers) == 10
    hidden = 0
    for sample, (mask, cover) in zip(samples, covers, strict=True):
        assert set(np.unique(sample["masks"])) <= {0, 255}
        assert not ((sample["masks"] > 0) & ~mask).any()
        if cover is not None:
            hidden += int((mask & (cover >= 0.5)).sum())
            assert not (sample["masks"][cover >= 0.5]).any()
    assert hidden > 1000


def test_outside_of_the_picture_is_black(painter: PeoplePainter) -> None:
    outside = 0
    for sample in painter.samples(0, 6, 1):
        shown = inside_picture(CropSquare(*sample["squares"].astype(float)), sample["image_size"])
        assert not sample["images"][shown == 0].any()
        assert not sample["masks"][shown == 0].any()
        assert sample["images"][shown == 1].std() > 3
        outside += int((shown == 0).sum())
    assert outside > 0


def test_number_and_seed_decide_the_samples(painter: PeoplePainter) -> None:
    first, again = list(painter.samples(2, 2, 0)), list(painter.samples(2, 2, 0))
    assert set(first[0]) == {field.name for field in fields(PeopleBatch)}
    for one, same in zip(first, again, strict=True):
        for name, array in one.items():
            np.testing.assert_array_equal(array, same[name])
    for others in (painter.samples(3, 2, 0), painter.samples(2, 2, 1)):
        assert (next(iter(others))["pelvis"] != first[0]["pelvis"]).any()


def test_held_out_shards_show_held_out_clips(painter: PeoplePainter, monkeypatch: pytest.MonkeyPatch) -> None:
    splits = []

    class Watched(MotionWindows):
        def __init__(self, *rest: Any, split: Split = "train", **options: Any) -> None:
            splits.append(split)
            super().__init__(*rest, split=split, **options)

    monkeypatch.setattr(module, "MotionWindows", Watched)
    for shard in (0, 6, 7, 15):
        next(iter(painter.samples(shard, 1, 0)))
    assert splits == ["train", "train", "validation", "validation"]


def request_of(mocap: MocapSet, out: Path, shards: int) -> PeopleRequest:
    return PeopleRequest(mocap.folder, out, shards, samples=2)


def test_a_set_goes_on_where_it_was_left(mocap: MocapSet, body: BodyModel, tmp_path: Path) -> None:
    open_stage(body).__exit__(None, None, None)  # skips without OpenGL
    assert render_people(request_of(mocap, tmp_path / "set", 1)) == 2
    before = (tmp_path / "set/shard0000/images.npy").stat().st_mtime_ns
    assert render_people(request_of(mocap, tmp_path / "set", 2)) == 2
    assert render_people(request_of(mocap, tmp_path / "set", 2)) == 0
    assert (tmp_path / "set/shard0000/images.npy").stat().st_mtime_ns == before
    render_people(request_of(mocap, tmp_path / "other", 2))
    one, other = (PeopleSet.open(tmp_path / name).take(range(4)) for name in ("set", "other"))
    for field in fields(PeopleBatch):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_whole_shards_stay_when_it_is_cancelled(mocap: MocapSet, body: BodyModel, tmp_path: Path) -> None:
    open_stage(body).__exit__(None, None, None)
    cancelled = threading.Event()

    class Impatient(Progress):
        def show(self, stage: str, done: int, total: int | None) -> None:
            assert stage == "render people"
            assert total == 6
            if done == 3:
                cancelled.set()

    with pytest.raises(Cancelled):
        render_people(request_of(mocap, tmp_path / "set", 3), Impatient(cancelled))
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["shard0000"]
