# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that differs between Blender 4.2 and 5.2; no other module looks at the version.

Animation changed most: an action holds its curves itself until 4.3, in slots since 4.4, and the old
way is gone from 5.0 on.
"""

from __future__ import annotations

from collections.abc import Iterable

import bpy

HAS_SLOTS = bpy.app.version >= (4, 4, 0)
"""Actions have slots, one for each data-block that they animate."""

NODES_ALWAYS = bpy.app.version >= (5, 0, 0)
"""Every material has nodes, and asking for them is deprecated."""

TURNS_FOOTAGE = bpy.app.version >= (4, 5, 0)
"""Movies are shown the way their rotation flag says; before, phones' portrait footage lay on its side."""

RELATIVE_PATH = {"PATH_SUPPORTS_BLEND_RELATIVE"} if bpy.app.version >= (4, 5, 0) else set()
"""Options of a path property that may be relative to the file; 4.5 began to ask for it."""

NAME_BYTES = 63
"""Bytes of UTF-8 in the longest name of a data-block (4.x; 5.0 allows more)."""


class Channels:
    """The curves of one data-block in a new action, the same to use in every version."""

    def __init__(self, block: bpy.types.ID, name: str, slot_name: str):
        """Make an action and assign it to a data-block that has none.

        Args:
            block: the object, camera, clip… to animate.
            name: the action's name.
            slot_name: the slot's name. Blender finds the slot for another data-block by it, so that
                actions with one slot name can be swapped.
        """
        self.action = bpy.data.actions.new(name)
        self.action.use_fake_user = True  # as Blender does: taking the action off does not lose it
        animation = block.animation_data_create()
        animation.action = self.action
        if HAS_SLOTS:
            slot = self.action.slots.new(id_type=block.id_type, name=slot_name)
            strip = self.action.layers.new("Layer").strips.new(type="KEYFRAME")
            animation.action_slot = slot
            self._bag = strip.channelbag(slot, ensure=True)
        else:
            self._bag = self.action

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
    animation = block.animation_data
    if animation is None or animation.action is None:
        return ()
    if not HAS_SLOTS:
        return animation.action.fcurves
    if animation.action_slot is None:
        return ()
    bags = (
        strip.channelbag(animation.action_slot) for layer in animation.action.layers for strip in layer.strips
    )
    return [curve for bag in bags if bag is not None for curve in bag.fcurves]


def shader_nodes(material: bpy.types.Material) -> bpy.types.Nodes:
    """The nodes of a new material, the default shader among them."""
    if not NODES_ALWAYS:
        material.use_nodes = True
    return material.node_tree.nodes
