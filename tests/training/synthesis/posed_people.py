# SPDX-License-Identifier: Apache-2.0
"""People, places and a stage for the tests of rendered people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fasthmr.body import BodyModel
from fasthmr.errors import FastHMRError
from fasthmr.training.evidence.motion_windows import MotionWindows
from fasthmr.training.mocap.packed import MocapSet
from fasthmr.training.synthesis.look import Look
from fasthmr.training.synthesis.scenes import Scenes, draw_scenes
from fasthmr.training.synthesis.stage import Lights, SyntheticStage
from fasthmr.training.synthesis.surroundings import Surroundings
from tests.training.tiny_mocap import tiny_mocap


def open_stage(body: BodyModel) -> SyntheticStage:
    """A stage; the test is skipped where there is no OpenGL."""
    try:
        return SyntheticStage(body)
    except FastHMRError as error:
        pytest.skip(f"no OpenGL here: {error}")


def some_scenes(body: BodyModel, folder: Path, count: int, seed: int = 0) -> Scenes:
    """Scenes from the tiny set of motion, which is made in the folder unless it is there."""
    mocap = MocapSet.open(folder) if (folder / "clips.json").exists() else tiny_mocap(body, folder)
    windows = MotionWindows(mocap, body, torch.Generator().manual_seed(seed), window=1)
    return draw_scenes(windows, body, count, torch.Generator().manual_seed(seed + 1))


def bare_look(body: BodyModel, colour: tuple[float, float, float] = (0.6, 0.5, 0.4)) -> Look:
    """Nothing on, and one colour all over."""
    count = len(body.v_template)
    return Look(np.tile(np.array(colour, np.float32), (count, 1)), np.zeros(count, np.float32))


def four_tiles(size: float = 4.0) -> Surroundings:
    """A floor of four colours and grey around it."""
    floor = np.zeros((64, 64, 3), np.uint8)
    floor[:32, :32], floor[:32, 32:] = (200, 40, 40), (40, 200, 40)
    floor[32:, :32], floor[32:, 32:] = (40, 40, 200), (200, 200, 40)
    return Surroundings(floor, np.full((64, 128, 3), 128, np.uint8), size)


def even_lights() -> Lights:
    """Lights that leave the place's colours as they are."""
    lights = Lights(np.random.default_rng(0))
    lights.brightness = 1.0
    return lights


def posed(body: BodyModel, scenes: Scenes, row: int) -> np.ndarray:
    """(V, 3) vertices of a scene's person in the camera's frame, skinned with all of the weights."""
    vertices, joints = body.vertices(
        torch.from_numpy(scenes.rotations[row])[None], torch.from_numpy(scenes.betas[row])
    )
    return (vertices[0] - joints[0, 0]).numpy().astype(np.float64) + scenes.pelvis[row]
