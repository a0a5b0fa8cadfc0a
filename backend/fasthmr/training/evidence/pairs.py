# SPDX-License-Identifier: Apache-2.0
"""Record what the real perception says of synthetic footage, beside what is true.

Windows of captured motion, varied in every second file, are rendered as people in places, with light, noise,
blur and compression, and read by the very steps that read a user's footage
(:func:`fasthmr.people.find_people`). The pairs are what the model of errors is estimated from, and training
material themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from fasthmr.body import BodyModel, load_body
from fasthmr.errors import NobodyFound
from fasthmr.evidence import Evidence
from fasthmr.files import save_arrays
from fasthmr.footage import Frame
from fasthmr.footage.info import FootageInfo
from fasthmr.people import People, Track
from fasthmr.people.find import find_people
from fasthmr.progress import Progress
from fasthmr.training.evidence.body_landmarks import BodyLandmarks
from fasthmr.training.evidence.cameras import Cameras, random_cameras
from fasthmr.training.evidence.motion_windows import MotionWindows, WorldMotion
from fasthmr.training.evidence.synthesis import boxes_around, motion_in_camera
from fasthmr.training.mocap.packed import MocapSet
from fasthmr.training.synthesis.camera_faults import CameraFaults
from fasthmr.training.synthesis.look import Wardrobe
from fasthmr.training.synthesis.stage import Lights, SyntheticStage
from fasthmr.training.synthesis.surroundings import random_surroundings

#: Frames of a recorded sequence.
SEQUENCE: Final = 96
_SEQUENCES_A_SHARD: Final = 8
_LONGEST_SIDE: Final = 640  # pixels; the detector itself looks at 256 x 256
_LEAST_OVERLAP: Final = 0.3  # of boxes, for a track to be of the person


@dataclass(frozen=True)
class PairsRequest:
    """What to record.

    Attributes:
        mocap: folder of a set of captured motion; its training clips are used.
        out: folder of the pairs; what is there already stays, so that a recording can go on.
        shards: how many files of eight sequences there shall be.
        seed: of everything drawn.
    """

    mocap: Path
    out: Path
    shards: int
    seed: int = 0


def record_pairs(request: PairsRequest, progress: Progress | None = None) -> int:
    """Render, detect and keep pairs, a shard after the other.

    Returns:
        How many frames with a detection the new shards hold.

    Raises:
        BadInput: the mocap set is missing or damaged.
        MissingModel: the detector's files are not there.
        FastHMRError: OpenGL cannot be started.
    """
    from fasthmr.people.blazepose import BlazePoseDetector

    progress = progress or Progress()
    body = load_body("open")
    mocap = MocapSet.open(request.mocap)
    detector = BlazePoseDetector(threads=torch.get_num_threads())
    seen = 0
    with SyntheticStage(body) as stage:
        for shard in range(request.shards):
            progress.report("record pairs", shard, request.shards)
            path = request.out / f"pairs{shard:04d}.npz"
            if path.is_file():
                continue
            # So that not all of it is motion that training knows anyway; of the files that are held out, one
            # in eight, every second one too.
            varied = bool((shard + shard // 8) % 2)
            arrays = _shard(mocap, body, stage, detector, 1000 * request.seed + shard, varied)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_arrays(path, arrays)
            seen += int((arrays["visibility"].max(-1) > 0).sum())
    progress.report("record pairs", request.shards, request.shards)
    return seen


def _shard(
    mocap: MocapSet, body: BodyModel, stage: SyntheticStage, detector, seed: int, varied: bool
) -> dict:  # type: ignore[no-untyped-def, type-arg]
    """A few sequences as arrays; the seed alone decides them."""
    generator, random = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    windows = MotionWindows(mocap, body, generator, SEQUENCE, varied=varied)
    motion = windows.draw(_SEQUENCES_A_SHARD)
    cameras = random_cameras(motion, generator)
    truth = motion_in_camera(motion, cameras)
    marks = cameras.points(BodyLandmarks(body).place(motion.joints, motion.turns, motion.betas))
    pixels = cameras.project(marks)
    size = cameras.image_size[:, None, None]
    inside = ((pixels >= 0) & (pixels < size)).all(-1) & (marks[..., 2] > 0.2)
    true_boxes = boxes_around(pixels, inside, cameras.image_size)
    wardrobe = Wardrobe(body)
    rows = []
    for index in range(_SEQUENCES_A_SHARD):
        look = wardrobe.random_look(random)
        stage.dress(motion.betas[index].numpy(), look, random_surroundings(random))
        footage = _Rendered(stage, motion, cameras, index, random)
        rows.append(_evidence(footage, detector, true_boxes[index].numpy()))
    arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return {
        **arrays,
        "intrinsics": cameras.intrinsics.numpy(),
        "image_size": cameras.image_size.numpy(),
        "step": motion.step.numpy(),
        "rotations": truth.rotations.numpy(),
        "pelvis": truth.pelvis.numpy(),
        "betas": truth.betas.numpy(),
        "up": truth.up.numpy(),
        "contacts": truth.contacts.numpy(),
        "valid": truth.valid.numpy(),
        "true_landmarks": marks.numpy(),
        "inside": inside.numpy(),
    }


class _Rendered:
    """Footage that is drawn while it is read: what :func:`find_people` needs of a clip."""

    def __init__(
        self,
        stage: SyntheticStage,
        motion: WorldMotion,
        cameras: Cameras,
        index: int,
        random: np.random.Generator,
    ) -> None:
        self._stage, self._random = stage, random
        width, height = (int(side) for side in cameras.image_size[index])
        shrink = min(1.0, _LONGEST_SIDE / max(width, height))
        self._size = (round(width * shrink), round(height * shrink))
        #: Pixels of the real camera in one that is rendered.
        self.scale = width / self._size[0]
        self._intrinsics = cameras.intrinsics[index].numpy().astype(np.float64)
        self._intrinsics[:2] /= self.scale
        turn = cameras.camera_from_world[index]
        self._turns = (turn[:, None] @ motion.turns[index]).numpy().astype(np.float64)
        self._joints = cameras.points(motion.joints)[index].numpy().astype(np.float64)
        self._world_from_camera = np.tile(np.eye(4), (SEQUENCE, 1, 1))
        self._world_from_camera[:, :3, :3] = turn.mT.numpy()
        self._world_from_camera[:, :3, 3] = cameras.place[index].numpy()
        self._lights, self._faults = Lights(random), CameraFaults(random)
        step = float(motion.step[index])
        self.info = FootageInfo(
            Path("synthetic"), "video", *self._size, 0, 1 / step, False, SEQUENCE, SEQUENCE * step, None
        )
        self.expected_frames = SEQUENCE
        self.warnings: list[str] = []

    def __iter__(self) -> Iterator[Frame]:
        for frame in range(SEQUENCE):
            image, _ = self._stage.render(
                self._turns[frame],
                self._joints[frame],
                self._intrinsics,
                self._size,
                self._world_from_camera[frame],
                self._lights,
            )
            yield Frame(frame, frame / self.info.frame_rate, self._faults.apply(image, self._random))


def _evidence(footage: _Rendered, detector, true_boxes: np.ndarray) -> dict[str, np.ndarray]:  # type: ignore[no-untyped-def]
    """What perception says of every frame of the sequence; visibility 0 where it says nothing."""
    found: dict[str, np.ndarray] = {
        "landmarks_image": np.zeros((SEQUENCE, 33, 2), np.float32),
        "landmarks_world": np.zeros((SEQUENCE, 33, 3), np.float32),
        "visibility": np.zeros((SEQUENCE, 33), np.float32),
        "boxes": true_boxes.astype(np.float32),
    }
    try:
        people = find_people(footage, detector)  # type: ignore[arg-type]
    except NobodyFound:
        return found
    track = _best(people, true_boxes / footage.scale)
    if track is None:
        return found
    evidence = Evidence.from_track(track, people, footage._intrinsics)
    rows = evidence.frame_indices
    found["landmarks_image"][rows] = footage.scale * evidence.landmarks_image[..., :2]
    found["landmarks_world"][rows] = evidence.landmarks_world
    found["visibility"][rows] = evidence.visibility
    found["boxes"][rows] = footage.scale * evidence.boxes
    return found


def _best(people: People, true_boxes: np.ndarray) -> Track | None:
    """The track that lies longest on the true person."""

    def covered(track: Track) -> float:
        true = true_boxes[track.frame_indices]
        low = np.maximum(true[:, :2], track.boxes[:, :2])
        high = np.minimum(true[:, 2:], track.boxes[:, 2:])
        common = (high - low).clip(0).prod(1)
        areas = (true[:, 2:] - true[:, :2]).prod(1) + (track.boxes[:, 2:] - track.boxes[:, :2]).prod(1)
        return float((common / (areas - common) > _LEAST_OVERLAP).sum())

    best = max(people.tracks, key=covered)
    return best if covered(best) > 0.5 * len(best.frame_indices) else None
