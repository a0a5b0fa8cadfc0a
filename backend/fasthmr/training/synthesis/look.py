# SPDX-License-Identifier: Apache-2.0
"""How a synthetic person looks: skin, hair, face and clothes, as colours and offsets of vertices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from fasthmr.body import BodyModel
from fasthmr.body.skeleton import INDEX
from fasthmr.people.landmarks import LANDMARK_INDEX

# Skin from light to dark, RGB; tones in between are mixed.
_SKIN: Final = np.array([(244, 208, 177), (224, 172, 138), (198, 134, 94), (141, 85, 53), (82, 50, 34)]) / 255
_HAIR: Final = np.array([(20, 16, 14), (60, 40, 26), (120, 84, 50), (190, 150, 95), (150, 150, 150)]) / 255


@dataclass(frozen=True)
class Look:
    """One person's look.

    Attributes:
        colours: (V, 3) float32 in 0..1.
        offsets: (V,) float32, metres that clothes and hair lie over the skin.
    """

    colours: np.ndarray
    offsets: np.ndarray


class Wardrobe:
    """Dresses a body at random.

    Args:
        body: the body to dress; regions follow its skinning weights and rest pose.
    """

    def __init__(self, body: BodyModel) -> None:
        self._rest = body.v_template.numpy().astype(np.float64)
        carrier = body.weights.argmax(1).numpy()
        self._on = {name: carrier == index for name, index in INDEX.items()}
        joints = body.rest_joints(torch.zeros(10)).numpy()
        self._joints = {name: joints[index] for name, index in INDEX.items()}
        landmarks = body.landmark_vertices
        self._face = {}
        if landmarks is not None:
            for name in ("nose", "left_eye", "right_eye", "left_ear"):
                vertex = int(landmarks[LANDMARK_INDEX[name]])
                if vertex >= 0:
                    self._face[name] = self._rest[vertex]

    def random_look(self, random: np.random.Generator) -> Look:
        """Draw a look; the same generator state gives the same one."""
        count = len(self._rest)
        tone = random.uniform(0, len(_SKIN) - 1)
        skin = np.stack([np.interp(tone, range(len(_SKIN)), channel) for channel in _SKIN.T])
        colours = np.tile(skin, (count, 1)) * (1 + 0.04 * self._noise(random, 0.03))[:, None]
        offsets = np.zeros(count)
        self._draw_face(colours, skin, random)
        self._put(colours, offsets, self._trousers(random), random)
        self._put(colours, offsets, self._shirt(random), random)
        if random.random() < 0.9:
            self._put(colours, offsets, self._region("ankle", "foot"), random, thick=0.008)
        self._hair(colours, offsets, random)
        return Look(colours.clip(0, 1).astype(np.float32), offsets.astype(np.float32))

    def _put(
        self,
        colours: np.ndarray,
        offsets: np.ndarray,
        region: np.ndarray,
        random: np.random.Generator,
        thick: float | None = None,
    ) -> None:
        """Lay cloth of a random colour, pattern and width over a region."""
        cloth = _colour(random)
        pattern = np.ones((len(region), 3)) * cloth
        kind = random.integers(5)
        if kind == 0:  # stripes across or along
            axis, width = random.integers(2), random.uniform(0.02, 0.08)
            where = np.floor(self._rest[:, axis] / width) % 2 == 0
            pattern[where] = _colour(random)
        elif kind == 1:  # checks
            width = random.uniform(0.03, 0.1)
            cells = np.floor(self._rest[:, :2] / width).sum(1)
            pattern[cells % 2 == 0] = _colour(random)
        elif kind == 2:  # a print
            pattern[self._noise(random, random.uniform(0.03, 0.12)) > 0.7] = _colour(random)
        pattern *= (1 + 0.08 * self._noise(random, 0.05) + 0.05 * self._noise(random, 0.012))[:, None]
        colours[region] = pattern[region]
        width = random.uniform(0.003, 0.02) if thick is None else thick
        folds = 1 + 0.5 * self._noise(random, 0.07)
        offsets[region] = (width * folds.clip(0.3, 2.0))[region]

    def _shirt(self, random: np.random.Generator) -> np.ndarray:
        region = self._region("pelvis", "spine1", "spine2", "spine3", "collar")
        hem = self._joints["pelvis"][1] + random.uniform(-0.12, 0.08)
        region &= self._rest[:, 1] > hem + 0.01 * self._noise(random, 0.05)
        thighs = self._region("hip") & (self._rest[:, 1] > hem)
        sleeves = random.random()
        arms = np.abs(self._rest[:, 0])
        shoulder, elbow, wrist = (
            abs(self._joints[f"left_{name}"][0]) for name in ("shoulder", "elbow", "wrist")
        )
        ends = (
            shoulder + 0.02 if sleeves < 0.15 else (shoulder + elbow) / 2 if sleeves < 0.55 else wrist - 0.02
        )
        ends = ends + 0.01 * self._noise(random, 0.04)
        return region | thighs | (self._region("shoulder", "elbow", "wrist") & (arms < ends))

    def _trousers(self, random: np.random.Generator) -> np.ndarray:
        waist = self._joints["pelvis"][1] + random.uniform(0.0, 0.1)
        knee, ankle = self._joints["left_knee"][1], self._joints["left_ankle"][1]
        ends = (
            knee + random.uniform(-0.05, 0.2) if random.random() < 0.3 else ankle + random.uniform(-0.02, 0.1)
        )
        region = self._region("pelvis", "hip", "knee", "ankle") & (self._rest[:, 1] < waist)
        return region & (self._rest[:, 1] > ends + 0.01 * self._noise(random, 0.05))

    def _hair(self, colours: np.ndarray, offsets: np.ndarray, random: np.random.Generator) -> None:
        if random.random() < 0.12 or "left_ear" not in self._face:
            return  # bald, or the face is not known
        head = self._region("head", "neck")
        ear, eye = self._face["left_ear"], self._face.get("left_eye", self._face["left_ear"])
        line = eye[1] + random.uniform(0.035, 0.06)
        low = ear[1] - random.choice([0.02, 0.05, 0.12, 0.2])
        behind = self._rest[:, 2] < ear[2] + random.uniform(-0.015, 0.02)
        region = head & ((self._rest[:, 1] > line) | (behind & (self._rest[:, 1] > low)))
        tone = random.uniform(0, len(_HAIR) - 1)
        hair = np.stack([np.interp(tone, range(len(_HAIR)), channel) for channel in _HAIR.T])
        if random.random() < 0.15:
            hair = _colour(random)  # a hat, or dyed
        colours[region] = (hair * (1 + 0.25 * self._noise(random, 0.01))[:, None])[region]
        waves = 1 + 0.4 * self._noise(random, 0.04)
        offsets[region] = (random.uniform(0.005, 0.03) * waves.clip(0.2, 2.0))[region]

    def _draw_face(self, colours: np.ndarray, skin: np.ndarray, random: np.random.Generator) -> None:
        """Eyes, brows, mouth and sometimes a beard: dark spots that make a face one."""
        if not {"nose", "left_eye", "right_eye"} <= set(self._face):
            return
        nose = self._face["nose"]
        front = self._rest[:, 2] > nose[2] - 0.07
        dark, lips = 0.15 * skin, skin * (0.75, 0.45, 0.45)
        for name in ("left_eye", "right_eye"):
            eye = self._face[name]
            away = np.abs(self._rest - eye)
            colours[front & (away[:, 0] < 0.016) & (away[:, 1] < 0.008)] = dark
            brow = np.abs(self._rest - eye - (0, 0.02, 0))
            colours[front & (brow[:, 0] < 0.02) & (brow[:, 1] < 0.005)] = 0.4 * skin
        mouth = np.abs(self._rest - nose + (0, 0.035, 0))
        colours[front & (mouth[:, 0] < 0.024) & (mouth[:, 1] < 0.008)] = lips
        if random.random() < 0.2:
            chin = front & (self._rest[:, 1] < nose[1] - 0.02) & self._on["head"]
            colours[chin] = 0.35 * skin

    def _region(self, *names: str) -> np.ndarray:
        """Vertices of joints, both sides."""
        found = np.zeros(len(self._rest), bool)
        for name, where in self._on.items():
            if name.removeprefix("left_").removeprefix("right_") in names:
                found |= where
        return found

    def _noise(self, random: np.random.Generator, scale: float) -> np.ndarray:
        """Smooth noise of about unit size over the surface, with waves of a length in metres."""
        waves = random.normal(size=(6, 3)) / scale
        return np.cos(self._rest @ waves.T + random.uniform(0, 2 * np.pi, 6)).sum(1) / np.sqrt(3)


def _colour(random: np.random.Generator) -> np.ndarray:
    """Colours as clothes have them: many greys and blues, some bright."""
    value, grey = random.uniform(0.05, 0.95), random.uniform(0.1, 1.0)
    colour = random.uniform(0, 1, 3)
    return value * ((1 - grey) + grey * colour)
