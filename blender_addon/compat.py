# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that differs between Blender 4.2 and 5.2; no other module looks at the version.

Animation changed most: an action holds its curves itself until 4.3, in slots since 4.4, and the old
way is gone from 5.0 on.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

import bpy

HAS_SLOTS = bpy.app.version >= (4, 4, 0)
"""Actions have slots, one for each data-block that they animate."""

NODES_ALWAYS = bpy.app.version >= (5, 0, 0)
"""Every material has nodes, and asking for them is deprecated."""

TURNS_FOOTAGE = bpy.app.version >= (4, 5, 0)
"""Movies are shown the way their rotation flag says; before, phones' portrait footage lay on its side."""

RELATIVE_PATH = {"PATH_SUPPORTS_BLEND_RELATIVE"} if bpy.app.version >= (4, 5, 0) else set()
"""Options of a path property that may be relative to the file; 4.5 began to ask for it."""

USD_TEXTURES = {"export_textures_mode": "NEW"} if bpy.app.version >= (4, 5, 0) else {"export_textures": True}
"""Settings of the USD exporter that put textures beside the file; 4.5 renamed them, 5.0 dropped the old
name.
"""

GLTF_INTO_SCENE = {"import_scene_as_collection": False} if bpy.app.version >= (4, 5, 0) else {}
"""Settings of the glTF importer that leave out a collection of its own; 4.5 began to make one."""

NAME_BYTES = 63
"""Bytes of UTF-8 in the longest name of a data-block (4.x; 5.0 allows more)."""


@dataclass(frozen=True)
class Placed:
    """An action as a data-block uses it, in one of its slots.

    Attributes:
        action: the action.
        slot: None where there are no slots, or none is chosen.
    """

    action: bpy.types.Action
    slot: object | None

    @classmethod
    def on(cls, user: bpy.types.AnimData | bpy.types.NlaStrip) -> Placed | None:
        """The action of a data-block's animation data, or of a strip; None when there is none."""
        return user.action and cls(user.action, user.action_slot if HAS_SLOTS else None)

    @classmethod
    def in_slot(cls, action: bpy.types.Action, slot_name: str) -> Placed:
        """An action in its slot of that name, or else its first one; without a slot when it has none."""
        slots = list(action.slots) if HAS_SLOTS else []
        named = [slot for slot in slots if slot.name_display == slot_name]
        return cls(action, [*named, *slots, None][0])

    @classmethod
    def with_identifier(cls, action: bpy.types.Action, identifier: str) -> Placed:
        """An action in its slot of that identifier; without a slot when it has no such slot.

        Unlike the name, the identifier tells the slot of an object from that of its data.
        """
        slots = action.slots if HAS_SLOTS else ()
        return cls(action, next((slot for slot in slots if slot.identifier == identifier), None))

    def curves(self) -> list[bpy.types.FCurve]:
        """The curves that the data-block uses."""
        if not HAS_SLOTS:
            return list(self.action.fcurves)
        if self.slot is None:
            return []
        bags = (strip.channelbag(self.slot) for layer in self.action.layers for strip in layer.strips)
        return [curve for bag in bags if bag is not None for curve in bag.fcurves]

    def assign_to(self, user: bpy.types.AnimData | bpy.types.NlaStrip) -> None:
        """Make it the action of a data-block's animation data, or of a strip."""
        user.action = self.action
        if HAS_SLOTS and self.slot is not None:
            user.action_slot = self.slot


class Channels:
    """The curves of one data-block in a new action, the same to use in every version."""

    def __init__(self, block: bpy.types.ID, name: str, slot_name: str, based_on: Placed | None = None):
        """Make an action and assign it to a data-block.

        Args:
            block: the object, camera, clip… to animate. What action it had until now is no longer assigned.
            name: the action's name.
            slot_name: the slot's name. Blender finds the slot for another data-block by it, so that
                actions with one slot name can be swapped.
            based_on: start from a copy of this action of the data-block instead of an empty one.
        """
        animation = block.animation_data_create()
        if based_on is None:
            self.action = bpy.data.actions.new(name)
        else:
            self.action = based_on.action.copy()
            self.action.name = name
            self.action.use_frame_range = False  # a range that the user chose was the other action's
        self.action.use_fake_user = True  # as Blender does: taking the action off does not lose it
        animation.action = self.action
        if not HAS_SLOTS:
            self._bag = self.action
            return
        if based_on is None:
            slot = self.action.slots.new(id_type=block.id_type, name=slot_name)
            strip = self.action.layers.new("Layer").strips.new(type="KEYFRAME")
        else:
            slot = self.action.slots[based_on.slot.identifier]
            strip = self.action.layers[0].strips[0]
        animation.action_slot = slot
        self._bag = strip.channelbag(slot, ensure=True)

    @classmethod
    def already_in(cls, placed: Placed) -> Channels:
        """The curves of an action that is there already, to change them."""
        channels = cls.__new__(cls)
        channels.action = channels._bag = placed.action
        if HAS_SLOTS:
            channels._bag = placed.action.layers[0].strips[0].channelbag(placed.slot, ensure=True)
        return channels

    def remove(self, data_paths: Container[str]) -> None:
        """Remove all curves of some properties."""
        for curve in [curve for curve in self._bag.fcurves if curve.data_path in data_paths]:
            self._bag.fcurves.remove(curve)

    def new(self, data_path: str, index: int, group: str) -> bpy.types.FCurve:
        """A new, empty curve.

        Args:
            data_path: what it animates, as Blender writes it from the data-block on.
            index: the element of an array property; 0 for a single value.
            group: name of the group that it is listed in; made when missing.
        """
        if not HAS_SLOTS:
            return self._bag.fcurves.new(data_path, index=index, action_group=group)
        curve = self._bag.fcurves.new(data_path, index=index)
        curve.group = self._bag.groups.get(group) or self._bag.groups.new(group)
        return curve


def curves_of(block: bpy.types.ID) -> Iterable[bpy.types.FCurve]:
    """The curves that animate a data-block; none when it has no action."""
    placed = block.animation_data and Placed.on(block.animation_data)
    return placed.curves() if placed else ()


def shader_nodes(material: bpy.types.Material) -> bpy.types.Nodes:
    """The nodes of a new material, the default shader among them."""
    if not NODES_ALWAYS:
        material.use_nodes = True
    return material.node_tree.nodes
