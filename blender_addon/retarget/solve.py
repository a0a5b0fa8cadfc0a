# SPDX-License-Identifier: GPL-3.0-or-later
"""From the goals of a rig's bones to its pose at every frame: hips to their place, feet to the floor.

Goals are in the world, poses in armature space; an armature that carries the motion itself moves between
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..leg_pose import turned
from ..rotations import quat_from_matrix, quat_inverse, quat_multiply
from .contacts import find_contacts
from .following import Following
from .legs import LegMotion, Soles
from .mapping import BoneMap
from .options import Options
from .planting import plant_feet
from .rig_pose import RigPose, pose_rig
from .source_motion import SourceMotion
from .target_rig import TargetRig
from .transfer import Goals
from .way import Way, carried

_SIDES = ("left", "right")
_LEG = ("hip", "knee", "ankle", "foot")

_TELLS = 0.03
"""A knee or elbow this far from the straight line, in lengths of the lower limb, tells the plane of its
bend.
"""

_POLE = 1.0
"""How far in front of a knee its pole goes, in lengths of the shin."""


@dataclass(frozen=True)
class ObjectMotion:
    """The armature object over time; one frame if it stands still.

    Attributes:
        turns: (T or 1, 4).
        places: (T or 1, 3).
        scale: uniform.
    """

    turns: np.ndarray
    places: np.ndarray
    scale: float

    def turns_inside(self, turns: np.ndarray) -> np.ndarray:
        """Rotations (T, 4) of the world in armature space."""
        return quat_multiply(quat_inverse(self.turns), turns)

    def places_inside(self, places: np.ndarray) -> np.ndarray:
        """Places (T, 3) of the world in armature space."""
        return turned(quat_inverse(self.turns), places - self.places) / self.scale

    def places_outside(self, places: np.ndarray) -> np.ndarray:
        """Places (T, 3) of armature space in the world."""
        return turned(self.turns, self.scale * places) + self.places


@dataclass(frozen=True)
class Solved:
    """A rig's motion.

    Attributes:
        pose: its controls.
        object: its armature object.
        unreached: the farthest that a foot is from its place on the floor, metres.
        planted: whether the feet could be seen to at all.
    """

    pose: RigPose
    object: ObjectMotion
    unreached: float
    planted: bool


class Solver:
    """One rig and one motion."""

    def __init__(
        self,
        rig: TargetRig,
        bone_map: BoneMap,
        following: Following,
        goals: Goals,
        soles: Soles,
        way: Way,
        options: Options,
    ):
        """Prepare.

        Args:
            rig: the rig at rest.
            bone_map: its bones.
            following: how they hang together.
            goals: what the bones should do.
            soles: where its soles are, facing as the source does.
            way: where it goes.
            options: how.
        """
        self._rig, self._map, self._following, self._way, self._options = (
            rig,
            bone_map,
            following,
            way,
            options,
        )
        self._goals, self._soles = goals, soles
        self._count = len(way.hips)
        self._number = {name: number for number, name in enumerate(rig.controls)}
        self._upright_heads = rig.heads @ goals.facing.T
        self._object = self._object_motion()

    def solve(self, source: SourceMotion, fps: float) -> Solved:
        """Pose the rig at every frame of the source."""
        turns = dict(self._goals.turns)
        root = self._root_goal()
        if root is not None:
            turns[self._map.root] = root[1]
        hips = self._way.hips
        pose = self._pose(turns, hips, root)
        legs = self._legs(pose)
        unreached, planted = 0.0, legs is not None
        if legs is not None and self._options.feet != "OFF":
            feet = self._options.feet
            contacts = None if feet == "FLOOR" else find_contacts(source.soles, fps, feet)
            legs = legs.moved(self._way.taken)
            result = plant_feet(legs, self._soles, contacts, feet, self._options.floor, fps)
            hips = hips + result.root_shift
            unreached = result.missed
            self._turn_legs(turns, result.motion)
            pose = self._pose(turns, hips, root)
        if self._map.ik:
            pose = self._pose(turns, hips, root, self._ik_goals(pose, turns))
        return Solved(pose, self._object, unreached, planted)

    # --- what carries the motion

    def _under_hips(self) -> np.ndarray:
        """Point on the floor under the hips at rest, the rig facing as the source does."""
        hips = self._upright_heads[[self._first(f"{side}_hip") for side in _SIDES]].mean(axis=0)
        ankles = self._upright_heads[[self._first(f"{side}_ankle") for side in _SIDES]]
        return np.array([*hips[:2], np.mean(ankles[:, 2] + self._soles.heel[:, 2])])

    def _object_motion(self) -> ObjectMotion:
        turn, place = quat_from_matrix(self._rig.object_turn), self._rig.object_place
        if self._options.root != "OBJECT":
            return ObjectMotion(turn[None], place[None], self._rig.object_scale)
        facing = self._goals.facing
        offset = facing @ place - self._under_hips()
        places, turns = carried(self._way, offset, quat_multiply(quat_from_matrix(facing), turn))
        return ObjectMotion(turns, places, self._rig.object_scale)

    def _root_goal(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Places (T, 3) and rotations (T, 4) of the root bone in the world, if it carries the motion."""
        if not self._map.root:
            return None
        root = self._number[self._map.root]
        return carried(self._way, self._upright_heads[root] - self._under_hips(), self._goals.upright[root])

    # --- poses

    def _pose(
        self,
        turns: Mapping[str, np.ndarray],
        hips: np.ndarray,
        root: tuple[np.ndarray, np.ndarray] | None,
        ik: Mapping[str, tuple[np.ndarray, np.ndarray | None]] | None = None,
    ) -> RigPose:
        """The controls, the middle of the hip joints being at `hips` (T, 3) in the world."""
        goals = {self._number[name]: self._object.turns_inside(turn) for name, turn in turns.items()}
        places = {}
        if root is not None:
            places[self._number[self._map.root]] = self._object.places_inside(root[0])
        for name, (place, turn) in (ik or {}).items():
            places[self._number[name]] = self._object.places_inside(place)
            if turn is not None:
                goals[self._number[name]] = self._object.turns_inside(turn)
        pelvis = self._first("pelvis")
        wanted = self._object.places_inside(hips)
        thighs = [self._first(f"{side}_hip") for side in _SIDES]
        # where the hips come to depends on how the spine bends in some rigs: see, then shift
        places[pelvis] = wanted
        channels = self._rig.channels
        trial = pose_rig(self._following, channels, goals, places, self._count)
        middle = trial.places[:, thighs].mean(axis=1)
        if np.isfinite(middle).all():
            places[pelvis] = wanted + trial.places[:, pelvis] - middle
        else:  # rigid with the pelvis, as bodies are
            rest = self._upright_heads[pelvis] - self._upright_heads[thighs].mean(axis=0)
            arm = turned(self._goals.limb_turns["pelvis"], rest)
            places[pelvis] = self._object.places_inside(hips + arm)
        return pose_rig(self._following, channels, goals, places, self._count)

    def _legs(self, pose: RigPose) -> LegMotion | None:
        """The legs in the world; None where the rig's hang on something that cannot be told beforehand."""
        points = []
        for part in ("hip", "knee", "ankle"):
            controls = [self._first(f"{side}_{part}") for side in _SIDES]
            sides = [self._object.places_outside(pose.places[:, control]) for control in controls]
            points.append(np.stack(sides, axis=1))
        if not all(np.isfinite(point).all() for point in points):
            return None
        turns = [
            np.stack([self._leg_turn(pose, f"{side}_{part}") for side in _SIDES], axis=1) for part in _LEG
        ]
        return LegMotion(*points, *turns, has_toes=self._has_toes())

    def _has_toes(self) -> bool:
        return all(self._map.bones.get(f"{side}_foot") for side in _SIDES)

    def _leg_turn(self, pose: RigPose, role: str) -> np.ndarray:
        """Turn (T, 4) of a leg's bone away from its upright rest."""
        if role.endswith("foot") and not self._has_toes():
            role = role.replace("foot", "ankle")
        control = self._first(role)
        world = quat_multiply(self._object.turns, pose.turns[:, control])
        return quat_multiply(world, quat_inverse(self._goals.upright[control]))

    def _turn_legs(self, turns: dict[str, np.ndarray], legs: LegMotion) -> None:
        """Put the planted legs' rotations among the goals."""
        for part, planted in zip(_LEG, (legs.thigh, legs.shin, legs.foot, legs.toe), strict=True):
            for side, name in enumerate(_SIDES):
                for bone in self._map.bones.get(f"{name}_{part}", ()):
                    turns[bone] = quat_multiply(planted[:, side], self._goals.upright[self._number[bone]])

    def _ik_goals(
        self, pose: RigPose, turns: Mapping[str, np.ndarray]
    ) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
        """Places and rotations of IK controls, such that the limb is posed as by its FK controls."""
        goals: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}
        for ik in self._map.ik:
            side, _ = ik.role.split("_")
            bend, start = ("elbow", "shoulder") if ik.role.endswith("wrist") else ("knee", "hip")
            end, target = self._first(ik.role), self._number[ik.target]
            middle, top = self._first(f"{side}_{bend}"), self._first(f"{side}_{start}")
            ends, middles, tops = (
                self._object.places_outside(pose.places[:, control]) for control in (end, middle, top)
            )
            if not np.isfinite([ends, middles, tops]).all():
                continue
            bone = self._map.bones[ik.role][0]
            turn = quat_multiply(turns[bone], quat_inverse(self._goals.upright[end]))
            offset = self._upright_heads[target] - self._upright_heads[end]
            goals[ik.target] = (
                ends + turned(turn, offset),
                quat_multiply(turn, self._goals.upright[target]),
            )
            if ik.pole:
                goals[ik.pole] = (_pole(tops, middles, ends, self._bends_towards(side, bend, pose)), None)
        return goals

    def _bends_towards(self, side: str, bend: str, pose: RigPose) -> np.ndarray:
        """The way (T, 3) that a knee or an elbow points by its bone, for when the limb is straight."""
        control = self._first(f"{side}_{bend}")
        world = quat_multiply(self._object.turns, pose.turns[:, control])
        turn = quat_multiply(world, quat_inverse(self._goals.upright[control]))
        back = self._goals.axes[:, 1]
        return turned(turn, -back if bend == "knee" else back)

    def _first(self, role: str) -> int:
        return self._number[self._map.bones[role][0]]


def _pole(top: np.ndarray, middle: np.ndarray, end: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    """Place (T, 3) of a pole: away from the line between the limb's ends, in the plane of its bend."""
    line = end - top
    line = line / np.linalg.norm(line, axis=1, keepdims=True)
    out = middle - top
    out = out - np.sum(out * line, axis=1, keepdims=True) * line
    ahead = ahead - np.sum(ahead * line, axis=1, keepdims=True) * line
    length = np.linalg.norm(middle - end, axis=1, keepdims=True)
    bent = np.linalg.norm(out, axis=1, keepdims=True) / length
    # nearly straight limbs do not tell their plane: fade to where the bone points
    share = np.clip(bent / _TELLS, 0, 1)
    direction = share * out / np.maximum(bent * length, 1e-9) + (1 - share) * ahead
    direction = direction / np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)
    return middle + _POLE * length * direction
