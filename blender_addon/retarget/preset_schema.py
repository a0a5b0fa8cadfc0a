# SPDX-License-Identifier: GPL-3.0-or-later
"""The form of a preset's file: what may be in it, and a preset made of that.

    {
      "schema": 1,
      "id": "my_rig",                          letters, digits, "_"
      "name": "My rig",
      "bones": {                               role: a bone, a chain from the pelvis outwards, or alternatives
        "pelvis": "Hips",
        "neck": ["neck_01", "neck_02"],
        "left_foot": {"any": ["toe_fk.L", "toe.L"]}
      },
      "mirror": {"left": ".L", "right": ".R"}, optional: the right side is the left one with this replaced
      "root": "root",                          optional: a bone, or {"any": [...]}
      "settings": [{"bone": "torso", "property": "head_follow", "value": 1.0}],
      "twists": [{"bone": "lowerarm_twist_01_l", "role": "left_elbow", "share": 0.5}],
      "ik": [{"role": "left_wrist", "target": "hand_ik.L", "base": "upper_arm_ik.L", "pole": ""}],
      "signs": {"present": ["ik_foot_root"], "absent": ["spine_04"]},
      "controls": true,                        an animator's controls; they need not hang on one another
      "prefix": "namespace"                    what may be in front of the names: "any", "namespace" or "none"
    }

All but ``schema``, ``id``, ``name`` and ``bones`` may be left out. A file is data: nothing of it is run.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any, Final

from .mapping import ROLES, IkControl, Setting, Twist
from .preset import Chain, Preset
from .problem import RetargetProblem

SCHEMA: Final = 1

_NEEDED: Final = ("schema", "id", "name", "bones")
_KEYS: Final = (*_NEEDED, "mirror", "root", "settings", "twists", "ik", "signs", "controls", "prefix")
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_]{1,64}")
_LONGEST_NAME: Final = 63  # of a bone, in Blender
_LONGEST_LIST: Final = 256
_BONE_KEYS: Final = ("bone", "target", "base", "pole")
_PREFIXES: Final = ("any", "namespace", "none")
_IK_ROLES: Final = ("left_wrist", "right_wrist", "left_ankle", "right_ankle")
_TWIST_ROLES: Final = tuple(
    f"{side}_{part}" for side in ("left", "right") for part in ("shoulder", "elbow", "hip", "knee")
)


class _Place:
    """A place in a file, to complain about."""

    def __init__(self, file: str, path: str = "") -> None:
        self.file, self.path = file, path

    def at(self, key: str | int) -> _Place:
        text = f"[{key}]" if isinstance(key, int) else f".{key}" if self.path else key
        return _Place(self.file, self.path + text)

    def problem(self, expected: str) -> RetargetProblem:
        where = f' at "{self.path}"' if self.path else ""
        return RetargetProblem(f"The preset {self.file} cannot be used:{where} {expected}.")


def preset_from(data: Any, file: str) -> Preset:
    """The preset that parsed JSON says.

    Args:
        data: what was in the file.
        file: its path, for messages.

    Raises:
        RetargetProblem: it is no preset; says at which key, what was expected and what to do.
    """
    top = _Place(file)
    data = _object(data, _KEYS, _NEEDED, top)
    if data["schema"] != SCHEMA or isinstance(data["schema"], bool):
        raise top.at("schema").problem(
            f"{SCHEMA} was expected, not {_said(data['schema'])}; save the preset again with this version of"
            " the add-on"
        )
    mirror = _mirror(data.get("mirror"), top.at("mirror"))
    identifier = _text(data["id"], top.at("id"))
    if not _IDENTIFIER.fullmatch(identifier):
        raise top.at("id").problem(
            f'letters, digits and "_" were expected, not {_said(identifier)}; rename it'
        )
    signs = _object(data.get("signs", {}), ("present", "absent"), (), top.at("signs"))
    settings, twists, ik = (_list(data.get(key, []), top.at(key)) for key in ("settings", "twists", "ik"))
    preset = Preset(
        id=identifier,
        name=_text(data["name"], top.at("name")),
        bones=_bones(data["bones"], mirror, top.at("bones")),
        root=tuple(_alternative_names(data["root"], top.at("root"))) if "root" in data else (),
        settings=_both_sides([_setting(*one) for one in settings], mirror),
        twists=_both_sides([_twist(*one) for one in twists], mirror),
        ik=_both_sides([_ik(*one) for one in ik], mirror),
        present=tuple(_names(signs.get("present", []), top.at("signs").at("present"))),
        absent=tuple(_names(signs.get("absent", []), top.at("signs").at("absent"))),
        controls=_flag(data.get("controls", False), top.at("controls")),
        prefix=_one_of(data.get("prefix", "any"), _PREFIXES, top.at("prefix")),
    )
    _no_twice(preset, top)
    return preset


def preset_data(preset: Preset) -> dict[str, Any]:
    """What to write to a file for a preset; both sides in full."""
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "id": preset.id,
        "name": preset.name,
        "bones": {role: _alternatives_data(preset.bones[role]) for role in ROLES if role in preset.bones},
    }
    if preset.root:
        data["root"] = preset.root[0] if len(preset.root) == 1 else {"any": list(preset.root)}
    for key in ("settings", "twists", "ik"):
        if entries := getattr(preset, key):
            data[key] = [dict(vars(entry)) for entry in entries]
    signs = {key: list(getattr(preset, key)) for key in ("present", "absent") if getattr(preset, key)}
    if signs:
        data["signs"] = signs
    if preset.controls:
        data["controls"] = True
    if preset.prefix != "any":
        data["prefix"] = preset.prefix
    return data


# --- bones


def _bones(value: Any, mirror: tuple[str, str] | None, at: _Place) -> dict[str, tuple[Chain, ...]]:
    value = _object(value, ROLES, (), at)
    bones: dict[str, tuple[Chain, ...]] = {}
    for role, said in value.items():
        if mirror and role.startswith("right_"):
            raise at.at(role).problem('is given by "mirror" already; take one of the two out')
        bones[role] = tuple(_alternatives(said, at.at(role)))
        if mirror and role.startswith("left_"):
            for chain in bones[role]:
                for bone in chain:
                    if bone.count(mirror[0]) != 1:
                        raise at.at(role).problem(
                            f"{_said(mirror[0])} was expected once in {_said(bone)}, for its mirror image;"
                            ' rename it, or leave out "mirror" and name both sides'
                        )
    if not bones:
        raise at.problem(f'at least one of "{ROLES[0]}", "{ROLES[1]}"… was expected; name some bones')
    both = dict(bones)
    if mirror:
        for role, chains in bones.items():
            if role.startswith("left_"):
                both[role.replace("left_", "right_")] = tuple(
                    tuple(bone.replace(*mirror) for bone in chain) for chain in chains
                )
    return both


def _alternatives(value: Any, at: _Place) -> list[Chain]:
    if isinstance(value, dict):
        choices = _list(_object(value, ("any",), ("any",), at)["any"], at.at("any"))
        if not choices:
            raise at.at("any").problem("at least one bone was expected; name one")
        return [_chain(*choice) for choice in choices]
    return [_chain(value, at)]


def _chain(value: Any, at: _Place) -> Chain:
    if isinstance(value, str):
        return (_bone(value, at),)
    chain = tuple(_names(value, at))
    if not chain:
        raise at.problem("at least one bone was expected; name one, or take the role out")
    return chain


def _alternative_names(value: Any, at: _Place) -> list[str]:
    if isinstance(value, dict):
        return _names(_object(value, ("any",), ("any",), at)["any"], at.at("any"))
    return [_bone(value, at)]


def _alternatives_data(chains: tuple[Chain, ...]) -> Any:
    said = [chain[0] if len(chain) == 1 else list(chain) for chain in chains]
    return said[0] if len(said) == 1 else {"any": said}


def _no_twice(preset: Preset, top: _Place) -> None:
    """Refuse a bone that plays two roles. Two alternatives of one role may share bones."""
    roles: dict[str, str] = {}
    for role, chains in preset.bones.items():
        for chain in chains:
            if len(set(chain)) < len(chain):
                raise top.at("bones").at(role).problem("a bone is named twice; take one out")
            for bone in chain:
                if roles.setdefault(bone, role) != role:
                    raise (
                        top.at("bones")
                        .at(role)
                        .problem(
                            f"{_said(bone)} plays {_said(roles[bone])} already; a bone can play one role only"
                        )
                    )


# --- the rest


def _mirror(value: Any, at: _Place) -> tuple[str, str] | None:
    if value is None:
        return None
    said = _object(value, ("left", "right"), ("left", "right"), at)
    return _text(said["left"], at.at("left")), _text(said["right"], at.at("right"))


def _setting(value: Any, at: _Place) -> Setting:
    said = _object(value, ("bone", "property", "value"), ("bone", "property", "value"), at)
    return Setting(
        _bone(said["bone"], at.at("bone")),
        _text(said["property"], at.at("property")),
        _number(said["value"], at.at("value"), -1e6, 1e6),
    )


def _twist(value: Any, at: _Place) -> Twist:
    said = _object(value, ("bone", "role", "share"), ("bone", "role", "share"), at)
    return Twist(
        _bone(said["bone"], at.at("bone")),
        _one_of(said["role"], _TWIST_ROLES, at.at("role")),
        _number(said["share"], at.at("share"), 0, 1),
    )


def _ik(value: Any, at: _Place) -> IkControl:
    said = _object(value, ("role", "target", "base", "pole"), ("role", "target"), at)
    optional = {
        key: _bone(said[key], at.at(key)) if said.get(key, "") != "" else "" for key in ("base", "pole")
    }
    return IkControl(
        _one_of(said["role"], _IK_ROLES, at.at("role")), _bone(said["target"], at.at("target")), **optional
    )


def _both_sides(entries: list[Any], mirror: tuple[str, str] | None) -> tuple[Any, ...]:
    """Entries, followed by the mirror images of those that name a bone of the left side."""
    images = []
    for entry in entries if mirror else ():
        bones = {key: getattr(entry, key) for key in _BONE_KEYS if hasattr(entry, key)}
        other = {key: bone.replace(*mirror) for key, bone in bones.items()}
        if other != bones:
            if hasattr(entry, "role"):
                other["role"] = entry.role.replace("left_", "right_")
            images.append(replace(entry, **other))
    return (*entries, *images)


# --- values


def _object(value: Any, allowed: tuple[str, ...], needed: tuple[str, ...], at: _Place) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise at.problem(f"{{…}} was expected, not {_said(value)}")
    for key in value:
        if key not in allowed:
            raise at.at(key).problem(f"is no key that is known here; use one of {', '.join(allowed)}")
    for key in needed:
        if key not in value:
            raise at.at(key).problem("is missing; add it")
    return value


def _list(value: Any, at: _Place) -> list[tuple[Any, _Place]]:
    if not isinstance(value, list):
        raise at.problem(f"[…] was expected, not {_said(value)}")
    if len(value) > _LONGEST_LIST:
        raise at.problem(f"at most {_LONGEST_LIST} entries were expected, not {len(value)}")
    return [(one, at.at(index)) for index, one in enumerate(value)]


def _names(value: Any, at: _Place) -> list[str]:
    return [_bone(*one) for one in _list(value, at)]


def _bone(value: Any, at: _Place) -> str:
    name = _text(value, at)
    if len(name.encode()) > _LONGEST_NAME:
        raise at.problem(f"a bone's name has at most {_LONGEST_NAME} bytes; {_said(name)} has more")
    return name


def _text(value: Any, at: _Place) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > 200 or not value.isprintable():
        raise at.problem(f"a short text was expected, not {_said(value)}")
    return value


def _number(value: Any, at: _Place, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise at.problem(f"a number was expected, not {_said(value)}")
    if not least <= value <= most:
        raise at.problem(f"a number from {least:g} to {most:g} was expected, not {value:g}")
    return float(value)


def _flag(value: Any, at: _Place) -> bool:
    if not isinstance(value, bool):
        raise at.problem(f"true or false was expected, not {_said(value)}")
    return value


def _one_of(value: Any, allowed: tuple[str, ...], at: _Place) -> Any:
    if not isinstance(value, str) or value not in allowed:
        raise at.problem(f"one of {', '.join(allowed)} was expected, not {_said(value)}")
    return value


def _said(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"
