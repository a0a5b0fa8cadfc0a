# SPDX-License-Identifier: Apache-2.0
"""How many patches real people fill, and how often merging runs out of background.

``python -m fasthmr.evaluation.protected_patches CLIP...`` prints the tables of docs/token_merging.md: which
share and enlargement of the mask to take, which schedule, and what to do where there is no mask.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch

from fasthmr.encoder.config import SMALL_OPEN
from fasthmr.encoder.crop_geometry import HMR2_CROP, square_of
from fasthmr.encoder.crops import crop_people
from fasthmr.encoder.merge_picture import random_model
from fasthmr.encoder.model import HMRModel
from fasthmr.encoder.protection import SHARE, ellipse, enlarged, patch_shares
from fasthmr.encoder.token_merging import TARGET, TOKENS, TokenMerging, schedule_to
from fasthmr.errors import FastHMRError
from fasthmr.footage import open_footage
from fasthmr.people import People, find_people

SHARES: Final = (0.02, 0.05, 0.1, 0.25, 0.5)
AGES: Final = (1, 3, 5, 10, 30)  # frames
SCHEDULES: Final = {
    "half of all tokens (the paper)": schedule_to(per_layer=40, spare=TARGET),
    "half of the background": schedule_to(),
}
_BATCH: Final = 8

Table = list[list[str]]


def shares_of(people: People) -> list[np.ndarray]:
    """How much of each patch the mask covers in each frame: a person's (T, 16, 12), one after the other.

    Frames without a mask are left out.
    """
    return [
        np.stack([patch_shares(mask, square) for mask, square in pairs])
        for track in people.tracks
        if (
            pairs := [
                (mask, square)
                for mask, square in zip(track.masks, square_of(track.boxes, HMR2_CROP), strict=True)
                if mask is not None
            ]
        )
    ]


def protected_table(shares: np.ndarray) -> Table:
    """How many patches are protected, by share of the patch and enlargement of the person.

    Args:
        shares: (T, 16, 12).

    Returns:
        Rows: share, enlarged by, mean, 95th percentile, most, percent of frames above the target, percent of
        the mask's area that lies in patches without protection.
    """
    rows = []
    for dilation in (0, 1):
        for share in SHARES:
            protected = enlarged((shares >= share).astype(np.uint8), dilation) > 0
            count = protected.sum((1, 2))
            lost = (shares * ~protected).sum((1, 2)) / shares.sum((1, 2)).clip(min=1e-9)
            rows.append(
                [
                    f"{share:g}",
                    f"{dilation}",
                    f"{count.mean():.1f}",
                    f"{np.percentile(count, 95):.0f}",
                    f"{count.max()}",
                    f"{100 * (count > TARGET).mean():.1f}",
                    f"{100 * lost.mean():.2f}",
                ]
            )
    return rows


def stand_in_table(tracks: Sequence[np.ndarray]) -> Table:
    """How much of the person a stand-in for a lost mask protects: the ellipse, and masks of earlier frames.

    Args:
        tracks: (T, 16, 12) shares of each person.

    Returns:
        Rows: stand-in, patches that it protects, percent of the protected patches that it protects too.
    """
    person = [track >= SHARE for track in tracks]
    middle = ellipse()
    found = sum((one & middle).sum() for one in person) / sum(one.sum() for one in person)
    rows = [["ellipse", f"{middle.sum()}", f"{100 * found:.0f}"]]
    for age in AGES:
        now = np.concatenate([one[age:] for one in person])
        before = np.concatenate([one[:-age] for one in person])
        if now.any():
            found = (now & before).sum() / now.sum()
            rows.append([f"mask {age} frames ago", f"{before.sum((1, 2)).mean():.0f}", f"{100 * found:.0f}"])
    return rows


def forced_table(
    batches: Sequence[tuple[torch.Tensor, torch.Tensor]],
    model: HMRModel,
    schedules: Mapping[str, tuple[int, ...]],
) -> Table:
    """How often merges touch the person.

    Args:
        batches: crops (B, 3, 256, 192) and levels (B, 192).
        model: whose similarity decides; its first layers are enough.
        schedules: by name.

    Returns:
        Rows: name, schedule, percent of crops with a forced merge, forced merges in a crop (mean, most).
    """
    rows = []
    for name, schedule in schedules.items():
        counts = []
        for crops, levels in batches:
            with torch.inference_mode():
                _, state = model.backbone(crops, TokenMerging(schedule), levels)
            if state is not None:
                counts.append(state.forced.numpy())
        forced = np.concatenate(counts)
        rows.append(
            [
                name,
                ", ".join(map(str, schedule)),
                f"{100 * (forced > 0).mean():.1f}",
                f"{forced.mean():.2f}",
                f"{forced.max()}",
            ]
        )
    return rows


def crops_of(clip: Path, people: People, every: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of crops and of their levels, from every so many frames.

    Args:
        clip: the footage.
        people: who is in it.
        every: frames from one to the next.
    """
    crops: list[torch.Tensor] = []
    levels: list[np.ndarray] = []
    for frame in open_footage(clip):
        if frame.index % every:
            continue
        for track in people.tracks:
            for place in np.flatnonzero(track.frame_indices == frame.index):
                mask = track.masks[place]
                if mask is None:
                    continue
                (square,) = square_of(track.boxes[place : place + 1], HMR2_CROP)
                crops.append(crop_people([frame.image], [square], HMR2_CROP, "cpu"))
                levels.append((patch_shares(mask, square) >= SHARE).reshape(TOKENS).astype(np.uint8))
        while len(crops) >= _BATCH:
            yield torch.cat(crops[:_BATCH]), torch.from_numpy(np.stack(levels[:_BATCH]))
            del crops[:_BATCH], levels[:_BATCH]
    if crops:
        yield torch.cat(crops), torch.from_numpy(np.stack(levels))


def in_markdown(head: Sequence[str], rows: Table) -> str:
    """A table for the documents; all columns but the first to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; see the module.

    Returns:
        The exit code of the command line.
    """
    parser = argparse.ArgumentParser(
        prog="python -m fasthmr.evaluation.protected_patches", description=__doc__
    )
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    parser.add_argument("--every", type=int, default=5, help="frames from one merged crop to the next")
    options = parser.parse_args(arguments)
    tracks: list[np.ndarray] = []
    batches: list[tuple[torch.Tensor, torch.Tensor]] = []
    try:
        for clip in options.clips:
            people = find_people(open_footage(clip))
            tracks += shares_of(people)
            batches += crops_of(clip, people, options.every)
    except FastHMRError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    shares = np.concatenate(tracks)
    sys.stdout.write(f"{len(shares)} frames of {len(tracks)} people\n\n")
    head = ["share", "enlarged by", "mean", "p95", "most", f"% above {TARGET}", "% of the mask left out"]
    sys.stdout.write(in_markdown(head, protected_table(shares)) + "\n")
    model = random_model(max(map(len, SCHEDULES.values())), SMALL_OPEN)
    rows = forced_table(batches, model, SCHEDULES)
    sys.stdout.write(f"{sum(len(crops) for crops, _ in batches)} crops, share {SHARE:g}\n\n")
    sys.stdout.write(in_markdown(["schedule", "counts", "% of crops", "mean", "most"], rows) + "\n")
    sys.stdout.write(in_markdown(["stand-in", "patches", "% of the person"], stand_in_table(tracks)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
