# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints and body files that the user has put into a folder, recognised by their names.

What is in a file is for the backend to find out, which refuses a wrong one in clear words; the names of the
published files (docs/checkpoints.md) are enough to offer them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_DEPTH = 9  # HMR2.0's archive hides its file eight folders deep
_MOST_ENTRIES = 5000  # a home folder chosen by mistake must not stop Blender
_CHECKPOINTS = (".ckpt", ".pt", ".pth", ".safetensors")
_BODIES = (".pkl", ".npz")
_NO_CHECKPOINTS = ("vitpose", "cam_model", "bedlam")  # parts of the downloads that are no estimators for SMPL
_NO_BODIES = ("mean_param", "smplx", "smplh", "smpl+h", "mano", "flame")

TITLES = {"hmr2": "HMR2.0", "camerahmr": "CameraHMR", "body": "Body"}


@dataclass(frozen=True)
class ModelFile:
    """A file that can be offered.

    Attributes:
        kind: "hmr2" or "camerahmr", as the worker's `model`; or "body".
        path: relative to the folder, with slashes.
    """

    kind: str
    path: str

    @property
    def name(self) -> str:
        """What identifies it in a form that is saved with a scene, on other machines too."""
        return f"{self.kind}: {self.path}"

    @property
    def label(self) -> str:
        """What it is called in a menu."""
        file = PurePosixPath(self.path).name
        return file if self.kind == "body" else f"{TITLES[self.kind]}, {file}"


def find_model_files(folder: Path) -> list[ModelFile]:
    """The checkpoints and body files in a folder, sorted; links to folders are not followed."""
    found: set[ModelFile] = set()
    looked_at = 0
    for place, folders, files in os.walk(folder):
        inside = Path(place).relative_to(folder)
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        if len(inside.parts) >= _DEPTH:
            folders.clear()
        looked_at += len(files) + len(folders)
        if looked_at > _MOST_ENTRIES:
            break
        for file in files:
            path = (inside / file).as_posix()
            found.update(ModelFile(kind, path) for kind in kinds_of(path))
    return sorted(found, key=lambda one: (one.kind, one.path.lower()))


def kinds_of(path: str) -> Iterable[str]:
    """What a file may be, by its path in the folder; both networks when the name does not tell which."""
    lower = path.lower()
    name = PurePosixPath(lower).name
    ending = PurePosixPath(lower).suffix
    if ending in _CHECKPOINTS and not any(word in name for word in _NO_CHECKPOINTS):
        if "camerahmr" in lower:
            return ("camerahmr",)
        if "hmr2" in lower or "4d-humans" in lower or name.startswith("epoch="):
            return ("hmr2",)
        return ("hmr2", "camerahmr")
    is_body = ending in _BODIES and ("smpl" in name or "basicmodel" in name)
    return ("body",) if is_body and not any(word in name for word in _NO_BODIES) else ()
