# SPDX-License-Identifier: Apache-2.0
"""A tiny folder of motion capture: two formats, a folder and an archive, and clips that cannot be read."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from .written_formats import (
    amc_text,
    asf_motion,
    asf_text,
    character_text,
    deepmimic_frames,
    deepmimic_text,
    expmap_rows,
    expmap_text,
)

HEADER = "path,source,format,fps,frames,seconds,cmu_trial,label"

#: Clips that become part of the set: name, subject, label.
SOUND = (
    ("maps/train/walk_2", None, "walking"),
    ("jumps/02/02_01", 2, "jump"),
    ("jumps/139/139_16", 139, "get up"),
)
#: Clips that cannot be read, each with a word of the reason.
BROKEN = {
    "maps/train/cut": "columns",
    "maps/train/gone": "not there",
    "jumps/02/02_02": "no motion of DeepMimic",
    "jumps/02/02_03": "not known",
    "bones/01_01": "has no joints for",
    "none": "neither a folder",
}


def write_data(folder: Path) -> Path:
    """Write the folder: "maps" unpacked, "jumps" and "bones" as archives, "none" listed and not there."""
    rows = [
        "maps/train/walk_2.txt,maps,expmap,120,,,,walking",
        "maps/train/cut.txt,maps,expmap,120,,,,walking",
        "maps/train/gone.txt,maps,expmap,120,,,,walking",
        "jumps/02/02_01.txt,jumps,deepmimic,30,,,02_01,jump",
        "jumps/02/02_02.txt,jumps,deepmimic,30,,,02_02,jump",
        "jumps/02/02_03.c3d,jumps,c3d,120,,,02_03,jump",
        "jumps/139/139_16.txt,jumps,deepmimic,30,,,139_16,get up",
        "jumps/135/135_03.txt,jumps,deepmimic,30,,,135_03,Empi",
        "bones/01_01.amc,bones,amc,120,,,01_01,walk",
        "none/04.bvh,none,bvh,120,,,,salsa",
    ]
    folder.mkdir(parents=True)
    (folder / "manifest.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    maps = folder / "maps/train"
    maps.mkdir(parents=True)
    walk = expmap_text(expmap_rows(280))
    (maps / "walk_2.txt").write_text(walk)
    (maps / "cut.txt").write_text(walk[: len(walk) // 2])
    write_archive(
        folder / "jumps.tar.xz",
        {
            "jumps/02/02_01.txt": deepmimic_text(deepmimic_frames(60, 1)),
            "jumps/02/02_02.txt": deepmimic_text(deepmimic_frames(60, 2))[:-400],
            "jumps/02/02_03.c3d": "C3D",
            "jumps/139/139_16.txt": deepmimic_text(deepmimic_frames(50, 3)),
            "jumps/135/135_03.txt": deepmimic_text(deepmimic_frames(45, 4)),
            "jumps/characters/humanoid3d.txt": character_text(),
        },
    )
    # A skeleton with one leg: it can be read, and nobody could be fitted to it.
    write_archive(
        folder / "bones.tar.xz", {"bones/01_01.amc": amc_text(asf_motion(120)), "bones/01.asf": asf_text()}
    )
    return folder


def write_archive(path: Path, texts: dict[str, str]) -> None:
    """An archive of small files."""
    with tarfile.open(path, "w:xz") as packed:
        for name, text in texts.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            packed.addfile(member, io.BytesIO(text.encode()))
