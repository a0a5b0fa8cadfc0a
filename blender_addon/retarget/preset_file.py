# SPDX-License-Identifier: GPL-3.0-or-later
"""Presets as files: those that come with the add-on, and the user's own.

`preset_schema` says what is in a file.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from .mapping import ROLES, BoneMap
from .preset import Preset
from .preset_schema import preset_data, preset_from
from .problem import RetargetProblem

BUILT_IN: Final = Path(__file__).parent / "presets"

_LARGEST: Final = 256 * 1024  # bytes; those that come with the add-on have a few thousand
_MOST_FILES: Final = 500


@dataclass(frozen=True)
class UserPresets:
    """What is in the user's folder.

    Attributes:
        presets: those that can be used, by name.
        problems: a sentence for each file that cannot be.
    """

    presets: tuple[Preset, ...] = ()
    problems: tuple[str, ...] = ()


def load_preset(path: Path) -> Preset:
    """Read and check one file.

    Raises:
        RetargetProblem: it cannot be used; says which file, where in it, and what to do.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except FileNotFoundError as error:
        raise RetargetProblem(f"The preset {path} is not there. Check the path.") from error
    except OSError as error:
        raise RetargetProblem(f"The preset {path} cannot be read: {error.strerror or error}.") from error
    if len(content) > _LARGEST:
        raise RetargetProblem(
            f"{path} has more than {_LARGEST // 1024} kB: that is no preset. Choose another file."
        )
    try:
        data = json.loads(
            content.decode("utf-8-sig"), object_pairs_hook=_without_repetition, parse_constant=_no_constant
        )
    except UnicodeDecodeError as error:
        raise RetargetProblem(
            f"The preset {path} cannot be used: it is not UTF-8 text. Save it as that."
        ) from error
    except (ValueError, RecursionError) as error:
        raise RetargetProblem(
            f"The preset {path} cannot be used: it is not valid JSON ({error}). Correct it, or save it again."
        ) from error
    return preset_from(data, str(path))


@cache
def built_in_presets() -> tuple[Preset, ...]:
    """The presets that come with the add-on, by name."""
    presets = [replace(load_preset(path), built_in=True) for path in sorted(BUILT_IN.glob("*.json"))]
    return tuple(sorted(presets, key=lambda one: one.name.lower()))


def user_presets(folder: Path) -> UserPresets:
    """The presets in a folder; a broken one is reported and keeps nobody from using the others."""
    presets: dict[str, Preset] = {}
    problems: list[str] = []
    taken = {preset.id for preset in built_in_presets()}
    try:
        files = sorted(Path(folder).glob("*.json"))[:_MOST_FILES]
    except OSError as error:
        return UserPresets(problems=(f"The folder of presets {folder} cannot be read: {error}.",))
    for path in files:
        try:
            preset = load_preset(path)
        except RetargetProblem as problem:
            problems.append(str(problem))
            continue
        if preset.id in taken or preset.id in presets:
            problems.append(
                f'The preset {path} cannot be used: another has the id "{preset.id}" already. Change it in'
                " the file."
            )
        else:
            presets[preset.id] = preset
    return UserPresets(tuple(sorted(presets.values(), key=lambda one: one.name.lower())), tuple(problems))


def preset_of(bone_map: BoneMap, name: str) -> Preset:
    """A preset that says exactly what a mapping says."""
    return Preset(
        id=identifier(name),
        name=name.strip(),
        bones={role: (tuple(bone_map.bones[role]),) for role in ROLES if bone_map.bones.get(role)},
        root=(bone_map.root,) if bone_map.root else (),
        settings=bone_map.settings,
        twists=bone_map.twists,
        ik=bone_map.ik,
        controls=bool(bone_map.settings or bone_map.ik),  # only animators' rigs have any
    )


def save_preset(path: Path, bone_map: BoneMap, name: str) -> Preset:
    """Write a mapping as a preset. The file is written beside and then renamed: it is never half there.

    Args:
        path: the file; its folder is made when it is missing. One that is there is replaced.
        bone_map: what to write.
        name: for menus; its id is made of it.

    Raises:
        RetargetProblem: it could not be written; says why and what to do. Nothing has changed then.
    """
    path = Path(path)
    if not name.strip():
        raise RetargetProblem("Give the preset a name.")
    built_in = {one for preset in built_in_presets() for one in (preset.id, spelled_alike(preset.name))}
    if path.resolve().parent == BUILT_IN.resolve():
        raise RetargetProblem(
            f"{path} is a preset that comes with the add-on. Save yours into another folder."
        )
    if identifier(name) in built_in or spelled_alike(name) in built_in:
        raise RetargetProblem(
            f'"{name}" is the name of a preset that comes with the add-on. Choose another name.'
        )
    data = preset_data(preset_of(bone_map, name))
    preset = preset_from(data, str(path))  # what cannot be read again is not written
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(prefix=path.stem, suffix=".part", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            Path(beside).chmod(0o644)
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise RetargetProblem(
            f"The preset could not be written to {path}: {error.strerror or error}. Choose another folder, or"
            " free some space."
        ) from error
    return preset


def identifier(name: str) -> str:
    """An id for a preset, and a name for its file: ``my_rig_2`` for "My rig (2)"."""
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").lower()[:40]
    if plain and name.isascii():
        return plain
    number = sum(ord(letter) * 31**place for place, letter in enumerate(name)) % 10**8
    return f"{plain or 'preset'}_{number:08d}"


def spelled_alike(name: str) -> str:
    """A preset's name as an artist compares it."""
    return " ".join(name.lower().split())


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, as long as it says each key once: of two, one would be lost without a word."""
    keys = [key for key, _ in pairs]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f'the key "{twice[0]}" is there twice')
    return dict(pairs)


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")
