# SPDX-License-Identifier: Apache-2.0
"""Renders the set of synthetic people that our own encoder learns from.

Only what the crop shows is drawn, with a camera whose picture is the crop (:meth:`Scenes.crop_camera`); it
is the crop that would be cut from the whole picture, but for the resampling. The truth is exact: mask,
landmarks and who hides what come from the same mesh.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch

from fasthmr.body import BodyModel, load_body
from fasthmr.encoder.crop_geometry import (
    CROP_SIDE,
    FIRST_COLUMN,
    SEEN_COLUMNS,
    CropSquare,
    crop_from_image,
    image_from_crop,
)
from fasthmr.people.landmarks import LANDMARK_INDEX
from fasthmr.preview.figures import vertex_normals
from fasthmr.progress import Progress
from fasthmr.training.evidence.motion_windows import MotionWindows
from fasthmr.training.mocap.packed import MocapSet
from fasthmr.training.synthesis.camera_faults import CameraFaults
from fasthmr.training.synthesis.look import Look, Wardrobe
from fasthmr.training.synthesis.occluders import lay_over, random_cover, random_material
from fasthmr.training.synthesis.people_set import SHARD, is_held_out, shard_folder, write_shard
from fasthmr.training.synthesis.scenes import Scenes, draw_scenes
from fasthmr.training.synthesis.stage import Lights, Place, SyntheticStage
from fasthmr.training.synthesis.surroundings import Surroundings, random_surroundings

_SIZE: Final = (SEEN_COLUMNS, CROP_SIDE)
# Looks and places take longer to make than a picture; a shard shares some, each time in another light.
_LOOKS: Final = 40
_PLACES: Final = 24
_COVERED: Final = 0.26  # of the people have something before them
_GREY: Final = 115.0  # what a camera makes the mean of a picture

# How deep under the surface a landmark lies at most, metres; what lies deeper is behind something.
_DEPTH: Final = {"shoulder": 0.13, "hip": 0.18, "knee": 0.11, "elbow": 0.09, "ankle": 0.1}
_DEPTH_ELSEWHERE: Final = 0.07


@dataclass(frozen=True)
class PeopleRequest:
    """What to render.

    Attributes:
        mocap: folder of a set of captured motion; its training clips are used, and for the shards that
            are held out its validation clips if there are any.
        out: folder of the set; shards that are there stay, so that it can go on.
        shards: how many there shall be.
        seed: of everything drawn.
        samples: in a shard.
    """

    mocap: Path
    out: Path
    shards: int
    seed: int = 0
    samples: int = SHARD


def render_people(request: PeopleRequest, progress: Progress | None = None) -> int:
    """Render the shards that are missing.

    Returns:
        How many samples are new.

    Raises:
        BadInput: the mocap set is missing or damaged, or the folder cannot be written to.
        Cancelled: the user cancelled; whole shards stay.
        FastHMRError: OpenGL cannot be started.
    """
    progress = progress or Progress()
    body = load_body("open")
    mocap = MocapSet.open(request.mocap)
    total, done, new = request.shards * request.samples, 0, 0
    with SyntheticStage(body) as stage:
        painter = PeoplePainter(mocap, body, stage)
        for shard in range(request.shards):
            if not shard_folder(request.out, shard).exists():
                samples = []
                for sample in painter.samples(shard, request.samples, request.seed):
                    samples.append(sample)
                    progress.report("render people", done + len(samples), total)
                write_shard(
                    request.out,
                    shard,
                    {name: np.stack([sample[name] for sample in samples]) for name in samples[0]},
                )
                new += len(samples)
            done += request.samples
            progress.report("render people", done, total)
    return new


class PeoplePainter:
    """Draws samples of people.

    Args:
        mocap: where poses come from.
        body: of all people.
        stage: made for the same body.
    """

    def __init__(self, mocap: MocapSet, body: BodyModel, stage: SyntheticStage) -> None:
        self._mocap, self._body, self._stage = mocap, body, stage
        self._wardrobe = Wardrobe(body)
        self._normals = vertex_normals(body.v_template[None], body.faces)[0].numpy()

    def samples(self, shard: int, count: int, seed: int) -> Iterator[dict[str, np.ndarray]]:
        """The samples of a shard; number, count and seed decide them.

        Yields:
            The fields of :class:`~fasthmr.training.synthesis.people_set.PeopleBatch`, one row of each.
        """
        random = np.random.default_rng([seed, shard])
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        held_out = is_held_out(shard) and bool(self._mocap.of_split("validation"))
        windows = MotionWindows(
            self._mocap, self._body, generator, window=1, split="validation" if held_out else "train"
        )
        scenes = draw_scenes(windows, self._body, count, generator)
        looks = [self._wardrobe.random_look(random) for _ in range(min(_LOOKS, count + 1))]
        with self._places(min(_PLACES, count), random) as places:
            for row in range(count):
                yield self._sample(scenes, row, looks, places, random)

    @contextmanager
    def _places(self, count: int, random: np.random.Generator) -> Iterator[list[tuple[Surroundings, Place]]]:
        places: list[tuple[Surroundings, Place]] = []
        try:
            for _ in range(count):
                surroundings = random_surroundings(random)
                places.append((surroundings, self._stage.build(surroundings)))
            yield places
        finally:
            for _, place in places:
                place.release()

    def _sample(
        self,
        scenes: Scenes,
        row: int,
        looks: list[Look],
        places: list[tuple[Surroundings, Place]],
        random: np.random.Generator,
    ) -> dict[str, np.ndarray]:
        image, mask, depth = self.draw(
            scenes, row, looks[random.integers(len(looks))], looks[random.integers(len(looks))],
            places[random.integers(len(places))][1], Lights(random),
        )  # fmt: skip
        image = _exposed(image, random)
        cover = random_cover(mask, random) if random.random() < _COVERED else None
        if cover is not None:
            pictures = [
                getattr(surroundings, name) for surroundings, _ in places for name in ("floor", "around")
            ]
            image = lay_over(image, cover, random_material(_SIZE, pictures, random))
            mask = mask & (cover < 0.5)
        square = CropSquare(*map(float, scenes.squares[row]))
        image = _seen_by(CameraFaults(random), image, square.size, random)
        shown = inside_picture(square, scenes.image_size[row])
        image = (image * shown[..., None] + 0.5).astype(np.uint8)
        return {
            "images": image,
            "masks": np.where(mask & (shown >= 0.5), 255, 0).astype(np.uint8),
            "squares": scenes.squares[row],
            "boxes": scenes.boxes[row],
            "intrinsics": scenes.intrinsics[row],
            "image_size": scenes.image_size[row],
            "true_landmarks": scenes.landmarks[row],
            "visible": visible_landmarks(scenes, row, depth, cover),
            "rotations": scenes.rotations[row],
            "pelvis": scenes.pelvis[row],
            "betas": scenes.betas[row],
        }

    def draw(
        self, scenes: Scenes, row: int, look: Look, company: Look, place: Place, lights: Lights
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw the crop of a scene as an ideal camera sees it; beyond the picture's edge it goes on.

        Returns:
            (256, 192, 3) uint8 RGB, the person's mask (256, 192) bool, and how far away people are
            (256, 192), metres.
        """
        self._stage.go_to(place)
        self._stage.wear(scenes.betas[row], look, normals=self._normals)
        other = None
        if scenes.company[row]:
            self._stage.wear(scenes.company_betas[row], company, companion=True, normals=self._normals)
            other = scenes.company_turns[row], scenes.company_joints[row]
        image, mask = self._stage.render(
            scenes.turns[row],
            scenes.joints[row],
            scenes.crop_camera(row),
            _SIZE,
            scenes.world_from_camera[row],
            lights,
            other,
        )
        return image, mask, self._stage.depth(_SIZE)


def visible_landmarks(scenes: Scenes, row: int, depth: np.ndarray, cover: np.ndarray | None) -> np.ndarray:
    """Which landmarks can be seen.

    Args:
        scenes: of which it is one.
        row: which.
        depth: (256, 192) how far away people are, metres.
        cover: (256, 192) how much of the pixels something else covers, or None.

    Returns:
        (33,) bool: in the picture, and neither far behind the nearest surface nor covered. What lies beside
        the crop counts as seen.
    """
    square = CropSquare(*map(float, scenes.squares[row]))
    pixels = scenes.pixels[row].astype(np.float64) - 0.5
    column = np.round(crop_from_image(square, pixels[:, 0], 0)).astype(int) - FIRST_COLUMN
    line = np.round(crop_from_image(square, pixels[:, 1], 1)).astype(int)
    shown = (column >= 0) & (column < SEEN_COLUMNS) & (line >= 0) & (line < CROP_SIDE) & scenes.inside[row]
    visible = scenes.inside[row].copy()
    at = line[shown], column[shown]
    # the farthest of the neighbours: at a silhouette the joint itself may be a pixel beside its limb
    surface = cv2.dilate(depth, np.ones((3, 3), np.uint8))[at]
    visible[shown] = scenes.landmarks[row, shown, 2] <= surface + _depths()[shown]
    if cover is not None:
        visible[shown] &= cover[at] < 0.5
    return visible


def inside_picture(square: CropSquare, image_size: np.ndarray) -> np.ndarray:
    """How much of a crop's pixels the picture covers, as linear interpolation with black outside has it.

    Args:
        square: of the crop.
        image_size: (2,) width and height, pixels.

    Returns:
        (256, 192) float32 in 0..1.
    """
    columns = image_from_crop(square, np.arange(SEEN_COLUMNS) + FIRST_COLUMN, 0)
    lines = image_from_crop(square, np.arange(CROP_SIDE), 1)
    across, down = (
        np.minimum(places + 1, length - places).clip(0, 1)
        for places, length in ((columns, image_size[0]), (lines, image_size[1]))
    )
    return (down[:, None] * across).astype(np.float32)


def _exposed(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """What a camera does that chooses its own exposure, more or less well."""
    gain = (_GREY / max(float(image.mean()), 1.0)) ** random.uniform(0.3, 0.9)
    levels = np.arange(256) * float(np.clip(gain, 0.6, 2.2))
    return cv2.LUT(image, levels.clip(0, 255).astype(np.uint8))


def _seen_by(faults: CameraFaults, image: np.ndarray, side: float, random: np.random.Generator) -> np.ndarray:
    """The crop with a camera's faults, which are those of the picture's pixels and not of the crop's.

    A person who is small in the picture is enlarged, with noise and blocks; one who is large is reduced,
    which mostly removes them.
    """
    scale = side / CROP_SIDE
    if scale >= 1:
        return faults.apply(image, random) if random.random() < scale**-0.5 else image
    size = max(8, round(scale * SEEN_COLUMNS)), max(8, round(scale * CROP_SIDE))
    small = faults.apply(cv2.resize(image, size, interpolation=cv2.INTER_AREA), random)
    return cv2.resize(small, _SIZE, interpolation=cv2.INTER_LINEAR)


def _depths() -> np.ndarray:
    """(33,) metres that landmarks may lie under the surface."""
    depths = np.full(len(LANDMARK_INDEX), _DEPTH_ELSEWHERE)
    for name, index in LANDMARK_INDEX.items():
        depths[index] = next((d for part, d in _DEPTH.items() if part in name), _DEPTH_ELSEWHERE)
    return depths
