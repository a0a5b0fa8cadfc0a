# SPDX-License-Identifier: Apache-2.0
"""The sizes of an encoder: those of the published networks, and those of our own smaller one.

HMR2.0 and CameraHMR share one network (a ViT-H as in ViTPose, and a transformer decoder with one query for
SMPL's parameters); CameraHMR's query also reads where the box lies and how long the lens is.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

#: SMPL's parameters as the head gives them: 24 rotations of 6 numbers, shape, and the camera (s, tx, ty).
POSE_SIZE: Final = 144
SHAPE_SIZE: Final = 10
CAMERA_SIZE: Final = 3
#: What CameraHMR's query reads: the box (3) and the mean parameters.
CAMERAHMR_INPUT: Final = 3 + POSE_SIZE + SHAPE_SIZE + CAMERA_SIZE

#: What the head reads out of a token, or a guess.
BODY_SIZE: Final = POSE_SIZE + SHAPE_SIZE + CAMERA_SIZE

KINDS: Final = ("hmr2", "camerahmr", "open")

#: Channels of a crop in colour, and of its proxies (edges and mask).
COLOURS: Final = 3
PROXIES: Final = 2
#: Numbers of a landmark: x and y in the crop, visibility, and x, y, z in metres.
LANDMARK_NUMBERS: Final = 6
#: Layers of the guess.
GUESS_LAYERS: Final = 3
# Names that files of earlier versions lack; they mean the default.
_NEWER: Final = frozenset({"landmarks", "guess"})


@dataclass(frozen=True)
class EncoderConfig:
    """The sizes of one encoder; with the default values, those of HMR2.0.

    Args:
        image_size: height and width of the network's input, pixels.
        in_channels: channels of the input. 3: RGB; 2: edges and mask (:mod:`fasthmr.encoder.proxies`); 5:
            these and RGB.
        patch: side of a patch, pixels.
        patch_padding: black pixels around the image that the patches see as well; patch (row i, column j)
            covers the rows ``patch*i - patch_padding`` and on, and the columns alike.
        dim: width of the vision transformer's tokens.
        depth: its layers.
        heads: attention heads of each layer; ``dim`` is a multiple of it.
        mlp_ratio: hidden width of its MLP over ``dim``.
        head_dim: width of the decoder's token.
        head_depth: layers of the decoder.
        head_heads: attention heads of the decoder.
        head_head_dim: width of each of these heads.
        head_mlp: hidden width of the decoder's MLP.
        token_input: width of what the decoder's query reads: 1 (a zero, HMR2.0) or 160 (CameraHMR).
        keypoint_output: width of the layer ``smpl_head.deckp``, which no output depends on; 0: there is none.
        landmarks: how many tokens of landmarks follow those of the patches
            (:mod:`fasthmr.encoder.landmark_tokens`); 0: none.
        guess: width of the network that guesses the body from the landmarks alone, before the image corrects
            it (:mod:`fasthmr.encoder.first_guess`); 0 where there are no landmarks, and only there.
        kind: which family of checkpoints this is: "hmr2", "camerahmr" or "open".

    Raises:
        ValueError: the sizes do not go together.
    """

    image_size: tuple[int, int] = (256, 192)
    in_channels: int = 3
    patch: int = 16
    patch_padding: int = 2
    dim: int = 1280
    depth: int = 32
    heads: int = 16
    mlp_ratio: int = 4
    head_dim: int = 1024
    head_depth: int = 6
    head_heads: int = 8
    head_head_dim: int = 64
    head_mlp: int = 1024
    token_input: int = 1
    keypoint_output: int = 0
    landmarks: int = 0
    guess: int = 0
    kind: str = "hmr2"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            numbers = value if isinstance(value, tuple) else (value,)
            least = 0 if field.name in {"patch_padding", "keypoint_output", "landmarks", "guess"} else 1
            if field.name != "kind" and not all(type(one) is int and one >= least for one in numbers):
                raise ValueError(f"{field.name} is {value!r}; it must be a whole number of at least {least}")
        if len(self.image_size) != 2:
            raise ValueError(f"image_size is {self.image_size!r}, not height and width")
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}, not one of {', '.join(KINDS)}")
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is no multiple of heads {self.heads}")
        if self.token_input not in (1, CAMERAHMR_INPUT):
            raise ValueError(f"token_input is {self.token_input}, neither 1 nor {CAMERAHMR_INPUT}")
        if bool(self.guess) != bool(self.landmarks):
            raise ValueError(f"landmarks {self.landmarks} with a guess {self.guess} wide: both or none")
        if min(self.grid) < 1:
            raise ValueError(f"image_size {self.image_size} is smaller than a patch")

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches: (16, 12) for the published networks."""
        height, width = (
            (side + 2 * self.patch_padding - self.patch) // self.patch + 1 for side in self.image_size
        )
        return height, width

    @property
    def tokens(self) -> int:
        """Tokens of an image's patches: 192 for the published networks."""
        return self.grid[0] * self.grid[1]

    @property
    def all_tokens(self) -> int:
        """Tokens before the first layer: those of the patches, and the landmarks' after them."""
        return self.tokens + self.landmarks

    @property
    def reads_proxies(self) -> bool:
        """Whether the crop is edges and mask instead of RGB, or beside it."""
        return self.in_channels != COLOURS

    @property
    def reads_box(self) -> bool:
        """Whether the network wants ``box_info`` beside the crop (CameraHMR does)."""
        return self.token_input != 1

    def to_json(self) -> dict[str, Any]:
        """The sizes as plain values for a JSON file."""
        return {**dataclasses.asdict(self), "image_size": list(self.image_size)}

    @classmethod
    def from_json(cls, content: Any) -> EncoderConfig:
        """The sizes that :meth:`to_json` wrote.

        Args:
            content: its result, or that as JSON text.

        Raises:
            ValueError: unknown or missing names, or sizes that do not go together.
        """
        values = json.loads(content) if isinstance(content, str) else content
        if not isinstance(values, dict):
            raise ValueError(f"the sizes of an encoder are a table, not {type(values).__name__}")
        names = {field.name for field in dataclasses.fields(cls)}
        odd_names = (names ^ set(values)) - (_NEWER - set(values))
        if odd_names:
            odd = ", ".join(sorted(map(str, odd_names)))
            raise ValueError(f"the sizes of an encoder have other names than expected: {odd}")
        size = values["image_size"]
        if not isinstance(size, (list, tuple)):
            raise ValueError(f"image_size is {size!r}, not height and width")
        return cls(**{**values, "image_size": tuple(size)})


#: HMR2.0a and HMR2.0b (4D-Humans, ICCV 2023).
HMR2: Final = EncoderConfig()
#: CameraHMR (3DV 2025), the SMPL variant.
CAMERAHMR: Final = EncoderConfig(token_input=CAMERAHMR_INPUT, keypoint_output=88, kind="camerahmr")
#: The network out of the box: edges, mask and the landmarks of the body, sized for two cores.
OPEN: Final = EncoderConfig(
    in_channels=PROXIES,
    dim=192,
    depth=8,
    heads=3,
    head_dim=256,
    head_depth=2,
    head_heads=4,
    head_mlp=512,
    landmarks=25,
    guess=512,
    kind="open",
)
#: Its weights, where they come along.
WEIGHTS: Final = Path(__file__).parent.parent / "weights" / "encoder.safetensors"
#: A ViT-S and a shallow decoder, for colour: what benchmarks take for a small network.
SMALL_OPEN: Final = EncoderConfig(
    dim=384,
    depth=12,
    heads=6,
    head_dim=256,
    head_depth=3,
    head_heads=4,
    head_mlp=512,
    kind="open",
)
#: The sizes that a plain checkpoint of each kind has.
PUBLISHED: Final = {"hmr2": HMR2, "camerahmr": CAMERAHMR}
