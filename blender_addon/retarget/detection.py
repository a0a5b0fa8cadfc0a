# SPDX-License-Identifier: GPL-3.0-or-later
"""Which preset a rig goes by.

A preset's score is the share of its roles whose bones are there *and hang together as in a body*: the nearest
mapped bone above a knee's has to play the hip. Names alone do not tell rigs apart: a generated Rigify rig has
the metarig's names three times over. What is left between families with the same names is settled by further
bones that only one of them has. Where no preset fits, the bones are told apart by their places (`structure`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from ..skeleton import JOINT_NAMES, PARENTS
from .bone_names import RigNames
from .mapping import REQUIRED, ROLES, BoneMap, RigBone
from .preset import Preset, Resolved
from .structure import Structure, find_structure

GOOD: Final = 0.75
"""Presets with this score or more are believed; below it, the structure is looked at too."""

_WORTH_NAMING: Final = 0.3
"""Presets with a lower score are not offered at all."""

_CONTROLS: Final = 0.5
"""A preset of controls with this score or more is what the rig is, whatever is missing."""

_AGREES: Final = 0.8
"""A preset and the structure mean the same body when this share of their common roles has common bones."""

_FEWEST_COMMON: Final = 4

_PARENT: Final[dict[str, str]] = {
    name: JOINT_NAMES[parent] for name, parent in zip(JOINT_NAMES, PARENTS, strict=True) if parent >= 0
}
_WEIGHTS: Final[dict[str, float]] = {
    role: 2.0 if role in REQUIRED else 0.5 if role.endswith(("_collar", "_foot")) else 1.0 for role in ROLES
}
_BIPED: Final = {"collar": "neck", "hip": "spine1"}
"""Where 3ds Max's Biped hangs its limbs, other than SMPL does."""

_SIGNS: Final = 0.1  # of a score: further names by which families with the same bones are told apart
_WHOLE: Final = 0.2  # of a role: all bones of its chain are there
_SPELLING: Final = 0.1  # of a score: names that are spelled as the preset has them

_PARTS: Final = {
    "hip": "thigh",
    "knee": "shin",
    "ankle": "foot",
    "foot": "toes",
    "collar": "shoulder",
    "shoulder": "upper arm",
    "elbow": "forearm",
    "wrist": "hand",
    "spine1": "lower spine",
    "spine2": "middle spine",
    "spine3": "chest",
}
_BOTH: Final = {"foot": "feet", "toes": "toes"}
STRUCTURE_NAME: Final = "Shape of the skeleton"


@dataclass(frozen=True)
class Detection:
    """What a rig may be.

    Attributes:
        id: of the preset; empty when the bones were told apart by their places alone.
        name: of the preset, or what stands for it.
        bone_map: which bones play which roles.
        score: 0..1; `GOOD` or more can be used without a look.
        missing: roles without a bone.
        says: a sentence for the artist.
    """

    id: str
    name: str
    bone_map: BoneMap
    score: float
    missing: tuple[str, ...]
    says: str

    @property
    def is_good(self) -> bool:
        """Whether it can be used without a look: it fits, and nobody's leg is missing."""
        return self.score >= GOOD and not self.bone_map.missing()


def detect(bones: Sequence[RigBone], presets: Sequence[Preset]) -> list[Detection]:
    """What a rig may be, the best first; empty when it is nothing that walks on two legs.

    Args:
        bones: all bones of the rig, at rest.
        presets: those to try. Of equals, one of the user's goes before one that came with the add-on.
    """
    names = RigNames([bone.name for bone in bones])
    rig = {bone.name: bone for bone in bones}
    ranked = []
    for preset in presets:
        resolved = _of_this_rig(preset.resolve(names), rig)
        score = score_of(preset, resolved, rig)
        if score >= _WORTH_NAMING:
            size = sum(map(len, resolved.bone_map.bones.values())) + len(resolved.bone_map.twists)
            ranked.append(
                (-round(score, 6), preset.built_in, -size, preset.id, _detection(preset, resolved, score))
            )
    found = [entry[-1] for entry in sorted(ranked, key=lambda entry: entry[:-1])]
    best = found[0] if found else None
    if best and (best.is_good and not best.missing):
        return found
    if best and best.score >= _CONTROLS and any(one.controls for one in presets if one.id == best.id):
        return found  # which bone is a control, no shape can tell
    structure = find_structure(bones)
    if structure is None:
        return found
    found[:1] = [_completed(best, structure)] if best else []
    if best is None or not found[0].is_good:
        found.append(_shape(structure))
    return sorted(found, key=lambda one: (bool(one.bone_map.missing()), -one.score))


def score_of(preset: Preset, resolved: Resolved, rig: Mapping[str, RigBone]) -> float:
    """How well a preset fits a rig, 0..1."""
    bones = resolved.bone_map.bones
    player = {bone: role for role, chain in bones.items() for bone in chain}
    total = sum(_WEIGHTS[role] for role in preset.bones)
    fits = sum(
        _WEIGHTS[role]
        * _credit(role, bones, player, rig, preset.controls)
        * (1 - _WHOLE * (1 - resolved.shares[role]))
        for role in bones
    )
    signs = [*resolved.signs]
    if any(bone.properties for bone in rig.values()):
        there = {(s.bone, s.property) for s in resolved.bone_map.settings}
        signs += [(s.bone, s.property) in there for s in preset.settings]
    like = sum(signs) / len(signs) if signs else 1.0
    spelled = len(resolved.spelled & bones.keys()) / max(1, len(bones))
    return fits / total * (1 - _SIGNS * (1 - like)) * (1 - _SPELLING * (1 - spelled))


def _credit(
    role: str,
    bones: Mapping[str, tuple[str, ...]],
    player: Mapping[str, str],
    rig: Mapping[str, RigBone],
    controls: bool,
) -> float:
    """Whether a role's bones hang where they should, 0..1."""
    chain = bones[role]
    steps = [_hangs_on(lower, upper, rig) for upper, lower in pairwise(chain)]
    in_order = 1.0
    if steps and not role.endswith("_foot"):  # toes lie side by side
        in_order = (1 + sum(steps)) / (1 + len(steps))
    above = _nearest(chain[0], player, rig)
    line = [one for one in _line(role) if one in bones]
    if role == "pelvis":
        return in_order * (0.5 if above else 1.0)
    if not above:  # nothing speaks against it when nobody who should be above it is known
        return in_order * (0.9 if controls else 0.3 if line else 0.7)
    if line and above == line[0]:
        return in_order
    if above in line:
        return in_order * (1.0 if controls else 0.6)
    if _BIPED.get(role.partition("_")[2]) == above:
        return in_order * 0.9
    return in_order * 0.2


def _line(role: str) -> list[str]:
    """The roles between one and the pelvis, the nearest first."""
    line = []
    while role in _PARENT:
        role = _PARENT[role]
        line.append(role)
    return line


def _nearest(bone: str, player: Mapping[str, str], rig: Mapping[str, RigBone]) -> str:
    """The role of the nearest mapped bone above one; empty when there is none."""
    above, left = rig[bone].parent, len(rig)
    while above in rig and left:
        if above in player:
            return player[above]
        above, left = rig[above].parent, left - 1
    return ""


def _hangs_on(bone: str, upper: str, rig: Mapping[str, RigBone]) -> bool:
    above, left = rig[bone].parent, len(rig)
    while above in rig and left:
        if above == upper:
            return True
        above, left = rig[above].parent, left - 1
    return False


def _of_this_rig(resolved: Resolved, rig: Mapping[str, RigBone]) -> Resolved:
    """A resolved preset without properties that the rig lacks, or twist bones that hang elsewhere."""
    bone_map = resolved.bone_map
    settings = bone_map.settings
    if any(bone.properties for bone in rig.values()):
        settings = tuple(one for one in settings if one.property in rig[one.bone].properties)
    twists = tuple(
        one
        for one in bone_map.twists
        if any(_hangs_on(one.bone, limb, rig) for limb in bone_map.bones.get(one.role, ()))
        and all(one.bone not in chain for chain in bone_map.bones.values())
    )
    return replace(resolved, bone_map=replace(bone_map, settings=settings, twists=twists))


def _detection(preset: Preset, resolved: Resolved, score: float) -> Detection:
    missing = _missing(resolved.bone_map)
    count = len(ROLES) - len(missing)
    says = (
        f"{preset.name}: bones for all {len(ROLES)} parts of the body were found."
        if not missing
        else f"{preset.name}: bones for {count} of {len(ROLES)} parts of the body were found."
    )
    if score < GOOD:
        says += " It fits badly: check the list."
    return Detection(preset.id, preset.name, resolved.bone_map, score, missing, _with_missing(says, missing))


def _shape(structure: Structure) -> Detection:
    """What the structure alone says."""
    bone_map = BoneMap(bones=structure.bones, name=STRUCTURE_NAME)
    missing = _missing(bone_map)
    says = "No preset fits this rig: its bones were told apart by their places. Check the list."
    return Detection("", STRUCTURE_NAME, bone_map, structure.score, missing, _with_missing(says, missing))


def _completed(best: Detection, structure: Structure) -> Detection:
    """A preset whose holes are filled by the structure, if the two mean the same body."""
    bones, seen = best.bone_map.bones, structure.bones
    common = [role for role in seen if role in bones and _WEIGHTS[role] >= 1]
    agree = sum(bool(set(seen[role]) & set(bones[role])) for role in common)
    if len(common) < _FEWEST_COMMON or agree < _AGREES * len(common):
        return best
    used = {bone for chain in bones.values() for bone in chain}
    holes = [role for role in ROLES if role not in bones and role in seen and not used & set(seen[role])]
    # what follows a foot may be its end only: it counts as toes when the other foot has some
    filled = {role: seen[role] for role in holes if not role.endswith("_foot") or _other(role) in bones}
    if not filled:
        return best
    bone_map = replace(best.bone_map, bones={**bones, **filled})
    missing = _missing(bone_map)
    says = f"{best.name}; {_listed(list(filled))} found by their places, not by their names. Check the list."
    score = max(best.score, structure.score)
    return replace(best, bone_map=bone_map, score=score, missing=missing, says=_with_missing(says, missing))


def _other(role: str) -> str:
    """The same role on the other side."""
    side, _, part = role.partition("_")
    return f"{'right' if side == 'left' else 'left'}_{part}"


def _missing(bone_map: BoneMap) -> tuple[str, ...]:
    return tuple(role for role in ROLES if not bone_map.bones.get(role))


def _with_missing(says: str, missing: Sequence[str]) -> str:
    needed = [role for role in missing if role in REQUIRED]
    if needed:
        return f"{says} Choose bones for {_listed(needed)}."
    return f"{says} Without {_listed(missing)}." if missing else says


def _listed(roles: Sequence[str]) -> str:
    """Roles in an artist's words, such as "neck, left foot and both thighs"."""
    words, done = [], set()
    for role in roles:
        side, _, part = role.partition("_")
        if not part:
            words.append(_PARTS.get(role, role))
        elif part not in done:
            name, both = _PARTS[part], _other(role) in roles
            words.append(f"both {_BOTH.get(name, name + 's')}" if both else f"{side} {name}")
            done.update({part} if both else ())
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
