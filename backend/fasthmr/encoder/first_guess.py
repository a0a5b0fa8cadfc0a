# SPDX-License-Identifier: Apache-2.0
"""A body from landmarks alone: what the image then corrects.

A vision transformer that begins with nothing takes long to learn what poses people take. A plain network from
landmarks to a body learns it in minutes, from captured motion without any picture, and costs nothing beside
the transformer. The transformer is told of the guess, and the head's answer is added to it.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

from fasthmr.encoder.config import BODY_SIZE, GUESS_LAYERS, LANDMARK_NUMBERS, EncoderConfig


class Guess(NamedTuple):
    """What landmarks say.

    Attributes:
        hidden: (B,guess) what the transformer is told.
        body: (B,157) what is added to the pose (6 numbers a joint), shape and camera of the mean body.
    """

    hidden: Tensor
    body: Tensor


class GuessLayer(nn.Module):
    """Two layers after a norm, added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, width)
        self.fc2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B,width) to the same."""
        return x + self.fc2(F.gelu(self.fc1(self.norm(x))))


class FirstGuess(nn.Module):
    """From landmarks to a body.

    Args:
        config: the sizes.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width = config.guess
        self.read = nn.Linear(config.landmarks * LANDMARK_NUMBERS, width)
        self.layers = nn.ModuleList(GuessLayer(width) for _ in range(GUESS_LAYERS))
        self.norm = nn.LayerNorm(width)
        self.body = nn.Linear(width, BODY_SIZE)

    def forward(self, landmarks: Tensor) -> Guess:
        """Landmarks (B,L,6), in the precision of the weights."""
        x = self.read(landmarks.flatten(1))
        for layer in self.layers:
            x = layer(x)
        hidden = self.norm(x)
        return Guess(hidden, self.body(hidden))
