# SPDX-License-Identifier: GPL-3.0-or-later
"""A preset: what a family of rigs calls its bones; and how it is read for one rig of the family."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from .bone_names import Prefix, RigNames
from .mapping import BoneMap, IkControl, Setting, Twist

Chain = tuple[str, ...]
"""Bones that play a role together, from the pelvis outwards."""


@dataclass(frozen=True)
class Preset:
    """What a family of rigs calls its bones.

    Attributes:
        id: stays the same for ever; scenes and scripts name the preset by it.
        name: for menus.
        bones: role to one or several alternatives, the newest version of the rig first.
        root: alternatives for the bone that carries the character across the floor.
        settings: properties that the rig must have while it is driven; those of missing bones fall away.
        twists: helpers; likewise.
        ik: IK controls; likewise.
        present: further names by which the family is known among others with the same bones.
        absent: names that the family does not have, though a similar one does.
        controls: the bones are an animator's controls, which do not have to hang on one another.
        prefix: what rigs may put in front of all names.
        built_in: came with the add-on.
    """

    id: str
    name: str
    bones: Mapping[str, tuple[Chain, ...]]
    root: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()
    twists: tuple[Twist, ...] = ()
    ik: tuple[IkControl, ...] = ()
    present: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    controls: bool = False
    prefix: Prefix = "any"
    built_in: bool = False

    def bone_map(self, names: Collection[str]) -> BoneMap:
        """The bones of one rig that play the preset's roles; roles may be missing."""
        return self.resolve(RigNames(names)).bone_map

    def resolve(self, names: RigNames) -> Resolved:
        """As `bone_map`, with what detection needs to know besides."""
        wanted = [bone for chains in self.bones.values() for chain in chains for bone in chain]
        prefix = names.prefix(wanted, self.prefix)

        def one(name: str) -> str:
            return names.spelled(name, prefix) or names.spelled(name)

        found = {role: _best(chains, one) for role, chains in self.bones.items()}
        spelled = frozenset(role for role, there in found.items() if there.chain)
        used = {bone for there in found.values() for bone in there.chain}

        def free(name: str) -> str:
            bone = names.alike(name)
            return bone if bone not in used else ""

        for role in (role for role in self.bones if role not in spelled):
            found[role] = _best(self.bones[role], free)
            used.update(found[role].chain)

        bone_map = BoneMap(
            bones={role: there.chain for role, there in found.items() if there.chain},
            root=next(filter(None, (root for root in map(one, self.root) if root not in used)), ""),
            settings=tuple(Setting(one(s.bone), s.property, s.value) for s in self.settings if one(s.bone)),
            twists=tuple(Twist(one(t.bone), t.role, t.share) for t in self.twists if one(t.bone)),
            ik=tuple(
                IkControl(i.role, one(i.target), one(i.base), one(i.pole)) for i in self.ik if one(i.target)
            ),
            name=self.name,
        )
        signs = [bool(one(name)) for name in self.present] + [not one(name) for name in self.absent]
        shares = {role: there.share for role, there in found.items()}
        return Resolved(bone_map, shares, spelled, tuple(signs))


@dataclass(frozen=True)
class Resolved:
    """A preset read for one rig.

    Attributes:
        bone_map: what to use.
        shares: role to the share of its bones that are there.
        spelled: roles whose bones are spelled as in the preset; others only have the same words.
        signs: for each name by which the family is told from others, whether the rig is like it.
    """

    bone_map: BoneMap
    shares: Mapping[str, float]
    spelled: frozenset[str]
    signs: tuple[bool, ...]


@dataclass(frozen=True)
class _Found:
    """Bones of an alternative that are there, and which share of it that is."""

    chain: Chain
    share: float


def _best(chains: tuple[Chain, ...], find: Callable[[str], str]) -> _Found:
    """The alternative of which the largest share is there, the first of equals."""
    found = [tuple(filter(None, map(find, chain))) for chain in chains]
    shares = [len(there) / len(chain) for there, chain in zip(found, chains, strict=True)]
    best = shares.index(max(shares))
    return _Found(found[best], shares[best])
