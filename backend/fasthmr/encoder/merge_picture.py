# SPDX-License-Identifier: Apache-2.0
"""A picture of what token merging does to a real frame.

``python -m fasthmr.encoder.merge_picture CLIP --out F`` (docs/token_merging.md).

One person's crop three times: as the network gets it, with the person's patches outlined; merged with the
person's mask; merged without. Patches that became one token have one colour. Below, each patch shows
the mean of the patches of its token: how much of the picture is left.

Without a checkpoint the network has random weights. What counts as similar is then colour and place, not
meaning; which patches may merge at all does not depend on the weights.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from torch import Tensor

from fasthmr.encoder.config import HMR2, EncoderConfig
from fasthmr.encoder.crop_geometry import FIRST_COLUMN, HMR2_CROP, CropSquare, image_from_crop, square_of
from fasthmr.encoder.crops import crop_people
from fasthmr.encoder.model import HMRModel
from fasthmr.encoder.protection import patch_levels
from fasthmr.encoder.random_weights import random_state
from fasthmr.encoder.token_merging import TokenMerging, TokenState
from fasthmr.errors import BadCall, BadInput, FastHMRError
from fasthmr.files import written_whole
from fasthmr.footage import open_footage
from fasthmr.people import People, find_people

_ROWS, _COLUMNS, _PATCH = 16, 12, 16
_ZOOM: Final = 2  # pixels of the picture for one of the network's input
_GAP: Final = 12
_TEXT: Final = 46  # height of the captions, two lines
_OUTLINE: Final = (255, 255, 255)
_LOST: Final = (255, 40, 40)
_TINT: Final = 0.55
_QUALITY: Final = 72


@dataclass(frozen=True)
class Look:
    """One crop, merged twice.

    Attributes:
        view: (16 * 16 * zoom, 12 * 16 * zoom, 3) uint8 RGB: what the patches see of the image.
        levels: (192,) uint8, which patches are protected.
        with_mask: what became of the tokens with this protection, a batch of one.
        without_mask: the same without.
    """

    view: np.ndarray
    levels: np.ndarray
    with_mask: TokenState
    without_mask: TokenState


def look_at(
    image: np.ndarray, square: CropSquare, levels: np.ndarray, model: HMRModel, merging: TokenMerging
) -> Look:
    """Merge the tokens of one crop, with and without the mask.

    Args:
        image: (H, W, 3) uint8 RGB.
        square: the crop.
        levels: (192,) uint8 from :func:`~fasthmr.encoder.protection.patch_levels`.
        model: whose similarity decides.
        merging: how many tokens merge.
    """
    crop = crop_people([image], [square], HMR2_CROP, "cpu").to(model.dtype)
    with torch.inference_mode():
        _, with_mask = model.backbone(crop, merging, torch.from_numpy(levels)[None])
        _, without_mask = model.backbone(crop, merging, None)
    if with_mask is None or without_mask is None:
        raise AssertionError("a reduction was given, and its state did not come back")
    return Look(_view(image, square), levels, with_mask, without_mask)


def random_model(layers: int, config: EncoderConfig = HMR2) -> HMRModel:
    """The first layers of a network with random weights, the same on every machine."""
    config = replace(config, depth=layers, head_depth=1)
    return HMRModel.from_state(config, random_state(config))


def mixed_groups(levels: np.ndarray, state: TokenState) -> int:
    """How many protected patches share their token with another patch, of a batch of one."""
    origin, sizes = state.origin[0].numpy(), state.sizes[0].numpy()
    return int(((levels > 0) & (sizes[origin] > 1)).sum())


def draw(look: Look, note: str) -> np.ndarray:
    """The picture.

    Args:
        look: what to show.
        note: a line about the weights, for the corner.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    person = look.levels.reshape(_ROWS, _COLUMNS) > 0
    count = len(look.levels)
    explanation = [
        "White outline: patches that the person's mask protects.",
        "Above: patches of one colour became one token; those without colour are a token each. Red cross: a "
        "patch of the person that merged.",
        "Below: every patch shows the mean of the patches in its token.",
    ]
    left = look.with_mask.sizes.shape[1]
    columns: list[tuple[str, str, np.ndarray, np.ndarray | None]] = [
        (f"{count} patches", f"the person's: {int(person.sum())}", _grid(look.view, person), None),
    ]
    for name, state in (("with the mask", look.with_mask), ("without it", look.without_mask)):
        lost = mixed_groups(look.levels, state)
        columns.append(
            (
                f"{name}: {left} tokens",
                f"of the person's merged: {lost}",
                _tinted(look.view, person, state.origin[0]),
                _means(look.view, person, state.origin[0]),
            )
        )
    height, width = look.view.shape[:2]
    canvas = np.full(
        (2 * (height + _GAP) + _TEXT + _GAP, len(columns) * (width + _GAP) + _GAP, 3), 24, np.uint8
    )
    for number, (first, second, upper, lower) in enumerate(columns):
        x = _GAP + number * (width + _GAP)
        _write(canvas, first, x, 18, (240, 240, 240))
        _write(canvas, second, x, 38, _LOST if number == 2 else (190, 190, 190))
        canvas[_TEXT : _TEXT + height, x : x + width] = upper
        top = _TEXT + height + _GAP
        if lower is not None:
            canvas[top : top + height, x : x + width] = lower
            continue
        _explain(canvas, x, top + 24, [*explanation, note])
    return canvas


def _view(image: np.ndarray, square: CropSquare) -> np.ndarray:
    """What the 16 x 12 patches see: from two pixels before the network's input on."""
    # Pixel p of the view is at (p + 0.5) / zoom - 0.5 of the network's input, from the first patch's corner.
    origin = np.array([FIRST_COLUMN - 2, -2]) + 0.5 / _ZOOM - 0.5
    x0, y0 = (float(image_from_crop(square, origin[axis], axis)) for axis in (0, 1))
    step = float(image_from_crop(square, 1.0, 0) - image_from_crop(square, 0.0, 0)) / _ZOOM
    size = (_COLUMNS * _PATCH * _ZOOM, _ROWS * _PATCH * _ZOOM)
    soft = cv2.GaussianBlur(image, (0, 0), step / 2) if step > 1 else image
    return cv2.warpAffine(
        soft,
        np.array([[step, 0, x0], [0, step, y0]]),
        size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
    )


def _grid(view: np.ndarray, person: np.ndarray) -> np.ndarray:
    shown = view.copy()
    side = _PATCH * _ZOOM
    shown[::side] = shown[::side] // 2 + 64
    shown[:, ::side] = shown[:, ::side] // 2 + 64
    return _outlined(shown, person, 3)


def _tinted(view: np.ndarray, person: np.ndarray, origin: Tensor) -> np.ndarray:
    """Patches of one token in one colour, with a line around them; a cross on the person's that merged."""
    shown = view.astype(np.float32)
    token = origin.numpy().reshape(_ROWS, _COLUMNS)
    sizes = np.bincount(token.ravel())
    colours = _colours(int((sizes > 1).sum()))
    shared = {int(one): colours[number] for number, one in enumerate(np.flatnonzero(sizes > 1))}
    side = _PATCH * _ZOOM
    for row, column in np.ndindex(_ROWS, _COLUMNS):
        colour = shared.get(int(token[row, column]))
        if colour is not None:
            part = shown[side * row : side * (row + 1), side * column : side * (column + 1)]
            part[:] = (1 - _TINT) * part + _TINT * colour
    result = shown.astype(np.uint8)
    for row, column in np.ndindex(_ROWS, _COLUMNS):
        x, y = side * column, side * row
        if column and token[row, column] != token[row, column - 1]:
            cv2.line(result, (x, y), (x, y + side), (20, 20, 20), 1)
        if row and token[row, column] != token[row - 1, column]:
            cv2.line(result, (x, y), (x + side, y), (20, 20, 20), 1)
        if person[row, column] and sizes[token[row, column]] > 1:
            inner, outer = side // 4, side - side // 4
            cv2.line(result, (x + inner, y + inner), (x + outer, y + outer), _LOST, 2, cv2.LINE_AA)
            cv2.line(result, (x + inner, y + outer), (x + outer, y + inner), _LOST, 2, cv2.LINE_AA)
    return _outlined(result, person, 3)


def _means(view: np.ndarray, person: np.ndarray, origin: Tensor) -> np.ndarray:
    """Every patch replaced by the mean of the patches of its token."""
    side = _PATCH * _ZOOM
    patches = view.reshape(_ROWS, side, _COLUMNS, side, 3).transpose(0, 2, 1, 3, 4)
    patches = patches.reshape(_ROWS * _COLUMNS, side, side, 3)
    token = origin.numpy()
    sums = np.zeros((token.max() + 1, side, side, 3))
    np.add.at(sums, token, patches)
    means = (sums / np.bincount(token)[:, None, None, None])[token]
    back = means.reshape(_ROWS, _COLUMNS, side, side, 3).transpose(0, 2, 1, 3, 4)
    return _outlined(np.ascontiguousarray(back.reshape(view.shape)).astype(np.uint8), person, 1)


def _outlined(shown: np.ndarray, person: np.ndarray, width: int) -> np.ndarray:
    """A line between protected patches and others, in place."""
    side = _PATCH * _ZOOM
    padded = np.pad(person, 1)
    for row, column in np.argwhere(person):
        x, y = side * int(column), side * int(row)
        for neighbour, line in (
            ((row, column + 1), ((x, y), (x + side, y))),
            ((row + 2, column + 1), ((x, y + side), (x + side, y + side))),
            ((row + 1, column), ((x, y), (x, y + side))),
            ((row + 1, column + 2), ((x + side, y), (x + side, y + side))),
        ):
            if not padded[neighbour]:
                cv2.line(shown, *line, _OUTLINE, width)
    return shown


def _colours(count: int) -> np.ndarray:
    """(count, 3) colours, RGB, neighbours in the list far apart on the wheel."""
    hues = (np.arange(count) * 0.618034 % 1 * 179).astype(np.uint8)
    bright = np.where(np.arange(count) % 2, 255, 190).astype(np.uint8)
    wheel = np.stack([hues, np.full_like(hues, 230), bright], axis=1)[None]
    return cv2.cvtColor(wheel, cv2.COLOR_HSV2RGB)[0].astype(np.float32).reshape(count, 3)


def _explain(canvas: np.ndarray, x: int, y: int, paragraphs: Sequence[str]) -> None:
    for paragraph in paragraphs:
        for line in textwrap.wrap(paragraph, 44):
            _write(canvas, line, x, y, (200, 200, 200))
            y += 22
        y += 12


def _write(canvas: np.ndarray, text: str, x: int, y: int, colour: tuple[int, int, int]) -> None:
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.52, colour, 1, cv2.LINE_AA)


def find_frame(people: People, person: int, frame: int | None) -> tuple[int, int]:
    """The frame to show, and where it is in the person's track.

    Args:
        people: of the clip.
        person: whose crop.
        frame: number in the clip; the middle of the track when left out.

    Raises:
        BadCall: there is no such person, or not in that frame.
    """
    numbers = [track.person for track in people.tracks]
    if person not in numbers:
        raise BadCall(f"There is no person {person} in the clip; there are {numbers}.")
    frames = people.track(person).frame_indices
    if frame is None:
        return int(frames[len(frames) // 2]), len(frames) // 2
    if frame not in frames:
        raise BadCall(f"Person {person} is not seen in frame {frame}, but in {frames[0]} to {frames[-1]}.")
    return frame, int(np.flatnonzero(frames == frame)[0])


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the picture; see the module.

    Returns:
        The exit code of the command line.
    """
    parser = argparse.ArgumentParser(prog="python -m fasthmr.encoder.merge_picture", description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="the picture, .jpg or .png")
    parser.add_argument("--person", type=int, default=1)
    parser.add_argument("--frame", type=int, help="number in the clip; the middle of the person's frames")
    parser.add_argument("--start", type=float, help="seconds; only this part of the clip is looked at")
    parser.add_argument("--end", type=float)
    parser.add_argument("--checkpoint", type=Path, help="weights of HMR2.0; random ones when left out")
    options = parser.parse_args(arguments)
    try:
        look = _look(options)
        weights = options.checkpoint.name if options.checkpoint else "random: similar is what looks alike"
        layers = len(TokenMerging().schedule)
        _save(options.out, draw(look, f"Merged in {layers} layers. Weights: {weights}."))
    except FastHMRError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(
        f"{options.out}: {int((look.levels > 0).sum())} of {len(look.levels)} patches protected, "
        f"{int(look.with_mask.forced[0])} merges forced; of the person's patches merged: "
        f"{mixed_groups(look.levels, look.with_mask)} with the mask, "
        f"{mixed_groups(look.levels, look.without_mask)} without\n"
    )
    return 0


def _look(options: argparse.Namespace) -> Look:
    footage = open_footage(options.clip, options.start, options.end)
    people = find_people(footage)
    frame, place = find_frame(people, options.person, options.frame)
    image = next((one.image for one in footage if one.index == frame), None)
    if image is None:
        raise BadInput(f"{options.clip}: frame {frame} could not be read the second time. Try another frame.")
    track = people.track(options.person)
    (square,) = square_of(track.boxes[place : place + 1], HMR2_CROP)
    merging = TokenMerging()
    if options.checkpoint:
        from fasthmr.encoder.checkpoint import load_checkpoint

        model = load_checkpoint(options.checkpoint, "hmr2")
    else:
        model = random_model(len(merging.schedule))
    (levels,) = patch_levels([track.masks[place]], [square])
    return look_at(image, square, levels, model, merging)


def _save(path: Path, picture: np.ndarray) -> None:
    suffix = path.suffix.lower()
    if suffix not in {".jpg", ".jpeg", ".png"}:
        raise BadCall(f"{path}: name a .jpg or a .png.")
    done, data = cv2.imencode(
        suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    if not done:
        raise BadInput(f"{path}: the picture could not be packed.")
    with written_whole(path) as stream:
        stream.write(data.tobytes())


if __name__ == "__main__":
    sys.exit(main())
