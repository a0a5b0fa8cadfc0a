# SPDX-License-Identifier: Apache-2.0
"""A person in the world whose planted feet stand: toes flat, soles still and on the floor.

First the whole body moves (:mod:`.foot_hold`): mostly toward the camera or away from it, where the footage
says least and the picture changes least. What is left, because two feet stand at once or because the body
must not leave its place in the picture, is done by the legs (:mod:`.legs`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from fasthmr.body import BodyModel
from fasthmr.placement.figure import Figure
from fasthmr.placement.foot_hold import bounded, hold_soles
from fasthmr.placement.hands_and_feet import flatten_toes
from fasthmr.placement.legs import move_ankles
from fasthmr.placement.planted import planted_soles, softened

# How far the body may be moved, as deviations: across the view in metres, so that it stays on the person, and
# along it as a share of the distance (which changes the size in the picture by that share).
_ACROSS: Final = 0.006
_ALONG: Final = 0.025
_MOST: Final = 2.5  # deviations that are never exceeded
# Where the person is hardly seen the picture binds less; this much confidence counts at the least.
_LEAST_SEEN: Final = 0.15
# Half the time over which that is averaged, seconds: bounds that jump where somebody is lost would let the
# body jump with them.
_SEEN_SPAN: Final = 0.5
# The same for an ankle, metres, in any direction.
_ANKLE: Final = 0.03
_MOST_ANKLE: Final = 0.06


def stand(
    figure: Figure,
    body: BodyModel,
    contacts: np.ndarray,
    timestamps: np.ndarray,
    camera: np.ndarray,
    confidence: np.ndarray,
) -> Figure:
    """Let planted feet stand.

    Args:
        figure: a person in the world, z up, floor at 0.
        body: the body model.
        contacts: (T, 4) in 0..1: left heel, left toe, right heel, right toe stand.
        timestamps: (T,) seconds.
        camera: (3,) where the camera is in the world, metres.
        confidence: (T, 24) how well each joint was seen, 0..1.

    Returns:
        The person with toes, legs and path corrected.
    """
    planted = planted_soles(contacts)
    firmly = softened(planted, timestamps)
    _, turns = figure.joints(body)
    figure = replace(figure, rotations=flatten_toes(figure.rotations, turns, firmly[:, [1, 3]]))

    joints, _ = figure.joints(body)
    away = joints[:, 0] - camera
    distance = np.maximum(np.linalg.norm(away, axis=1), 0.5)
    toward = away / distance[:, None]
    seen = softened(confidence.mean(axis=1, keepdims=True), timestamps, _SEEN_SPAN)[:, 0]
    freedom = 1 / np.sqrt(seen.clip(_LEAST_SEEN, 1))
    across, along = _ACROSS * freedom, _ALONG * distance * freedom
    outer = toward[:, :, None] * toward[:, None, :]
    information = np.eye(3) / across[:, None, None] ** 2
    information = information + outer * (along**-2 - across**-2)[:, None, None]
    correction = hold_soles(figure.soles(body), firmly, timestamps, information)
    deep = (correction * toward).sum(1, keepdims=True) * toward
    correction = bounded(deep, _MOST * along) + bounded(correction - deep, _MOST * across)
    figure = replace(figure, translation=figure.translation + correction)

    soles = figure.soles(body)
    isotropic = np.broadcast_to(np.eye(3) / _ANKLE**2, (len(soles), 3, 3))
    moves = [
        bounded(hold_soles(soles[:, foot], firmly[:, foot], timestamps, isotropic), _MOST_ANKLE)
        for foot in ([0, 1], [2, 3])
    ]
    joints, turns = figure.joints(body)
    return replace(figure, rotations=move_ankles(figure.rotations, joints, turns, np.stack(moves, axis=1)))
