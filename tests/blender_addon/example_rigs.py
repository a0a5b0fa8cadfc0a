# SPDX-License-Identifier: GPL-3.0-or-later
"""Skeletons of common kinds, as values: names, parents and rest places, read from retarget/rigs/*.json."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from recover_motion.retarget.mapping import RigBone

FOLDER = Path(__file__).parent / "retarget" / "rigs"

OWN_PRESET = {
    "auto_rig_pro": "auto_rig_pro",
    "auto_rig_pro_deform": "auto_rig_pro_deform",
    "auto_rig_pro_split": "auto_rig_pro_split",
    "biped": "biped",
    "cats": "cats",
    "daz_genesis_8": "daz_genesis_8",
    "daz_genesis_9": "daz_genesis_9",
    "mixamo": "mixamo",
    "mpfb_cmu_mb": "mpfb_cmu_mb",
    "mpfb_default": "mpfb_default",
    "mpfb_game_engine": "mpfb_game_engine",
    "mpfb_mixamo": "mixamo",
    "mpfb_mixamo_unity": "mixamo",
    "ready_player_me": "ready_player_me",
    "reallusion_cc": "reallusion_cc",
    "recovered_body": "recovered_body",
    "rigify_basic": "rigify",
    "rigify_deform": "rigify_deform",
    "rigify_human": "rigify",
    "rigify_metarig_basic": "rigify_metarig",
    "rigify_metarig_human": "rigify_metarig",
    "smpl": "smpl",
    "ue4_mannequin": "ue4_mannequin",
    "ue5_mannequin": "ue5_mannequin",
    "vrm_humanoid": "vrm_humanoid",
    "vrm_vroid": "vrm_vroid",
}
"""Rig to the id of the preset that it goes by."""

CONTROL_RIGS = ("auto_rig_pro", "rigify_basic", "rigify_human")


def rig(name: str) -> list[RigBone]:
    """A rig; places in metres, z up, facing -y."""
    return list(_read(name))


@cache
def _read(name: str) -> tuple[RigBone, ...]:
    data = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    names = [row[0] for row in data["bones"]]
    return tuple(
        RigBone(
            name=row[0],
            parent=names[row[1]] if row[1] >= 0 else "",
            head=tuple(value / 1000 for value in row[2:5]),
            tail=tuple(value / 1000 for value in row[5:8]),
            deforms=bool(row[8]),
            properties=frozenset(data["properties"].get(row[0], ())),
        )
        for row in data["bones"]
    )


def renamed(bones: list[RigBone], names: dict[str, str]) -> list[RigBone]:
    """A rig with other names for some bones."""
    return [
        replace(bone, name=names.get(bone.name, bone.name), parent=names.get(bone.parent, bone.parent))
        for bone in bones
    ]


def without(bones: list[RigBone], removed: set[str]) -> list[RigBone]:
    """A rig without some bones; what hung on them hangs on the next one above."""
    parents = {bone.name: bone.parent for bone in bones}

    def above(name: str) -> str:
        while name in removed:
            name = parents[name]
        return name

    return [replace(bone, parent=above(bone.parent)) for bone in bones if bone.name not in removed]


def turned(bones: list[RigBone], matrix: np.ndarray, scale: float = 1.0) -> list[RigBone]:
    """A rig that lies otherwise in its own space."""

    def place(point: tuple[float, float, float]) -> tuple[float, float, float]:
        return tuple((scale * matrix @ np.array(point)).tolist())

    return [replace(bone, head=place(bone.head), tail=place(bone.tail)) for bone in bones]
