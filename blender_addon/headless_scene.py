# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenes of a run without a window: which one a clip is imported into, the import, and where it is saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import bpy

from .cleaning_on_arrival import CleaningWishes, clean_imported
from .headless_record import Outcome, Person
from .import_motion import import_motion
from .motion_file import read_motion_file
from .resample import scene_rate
from .takes import Existing


class SaveProblem(Exception):  # noqa: N818 (a problem to tell the user, not a bug)
    """A scene could not be opened or saved; the message is meant for the user."""


@dataclass(frozen=True)
class Choices:
    """How to import, see `import_motion`; and what to do right after it."""

    use_camera: bool = True
    set_render_size: bool = False
    existing: Existing = "NEW"
    use_nla: bool = False
    average_body: bool = False
    cleaning: CleaningWishes = field(default_factory=CleaningWishes)


class Scenes:
    """Gives every clip its scene.

    That is a copy of the file which was opened on the command line, or else a new scene at the clip's frame
    rate; the next clip gets a fresh one, unless all go into one file.

    Args:
        one: the .blend that all clips go into; None for a scene each. It is opened when it is there.
    """

    def __init__(self, one: Path | None = None) -> None:
        self.opened = bpy.data.filepath
        """The file that was opened on the command line; empty when there is none."""
        self._one = one
        self._untouched = True
        self._is_users = bool(self.opened)

    def enter(self, frame_rate: float) -> None:
        """Make the next clip's scene the present one.

        Args:
            frame_rate: of the clip.

        Raises:
            SaveProblem: a file cannot be opened.
        """
        goes_on = self._one is not None and not self._untouched
        was_untouched, self._untouched = self._untouched, False
        if goes_on:
            return
        if self._one is not None and self._one.is_file() and not self._is_opened(self._one):
            _open(str(self._one))
            self._is_users = False
        elif not self.opened:
            _new_scene(frame_rate)
        elif not was_untouched:
            _open(self.opened)

    def fit_range(self, frames: tuple[int, int], *, is_first: bool) -> None:
        """Let a scene of ours end where its motion ends; a user's own keeps its range."""
        if self._is_users:
            return
        scene = bpy.context.scene
        if is_first:
            scene.frame_start, scene.frame_end = frames
        else:
            scene.frame_end = max(scene.frame_end, frames[1])

    def _is_opened(self, path: Path) -> bool:
        return bool(self.opened) and Path(self.opened).absolute() == path.absolute()


def bring_in(
    scenes: Scenes,
    motions: Sequence[Path],
    choices: Choices,
    outcome: Outcome,
    *,
    footage: Path | None = None,
    body: Path | None = None,
    start_frame: int | None = None,
) -> None:
    """Import a clip's motions into its scene, and write into its outcome who came.

    Raises:
        ImportProblem: a file cannot be used.
        SaveProblem: the scene cannot be opened.
    """
    motions = [path.absolute() for path in dict.fromkeys(motions)]
    scenes.enter(read_motion_file(motions[0]).frame_rate)
    scene = bpy.context.scene
    is_first = not any(thing.type == "ARMATURE" for thing in scene.objects)
    imported = import_motion(
        bpy.context,
        motions,
        footage=footage.absolute() if footage else None,
        body_path=body.absolute() if body else None,
        start_frame=start_frame,
        use_camera=choices.use_camera,
        set_render_size=choices.set_render_size,
        existing=choices.existing,
        use_nla=choices.use_nla,
        average_body=choices.average_body,
    )
    cleaned = clean_imported(imported.armatures, choices.cleaning, scene_rate(scene))
    scenes.fit_range(imported.frame_range, is_first=is_first)
    count, (first, last) = len(imported.armatures), imported.frame_range
    outcome.message = f"{'One person' if count == 1 else f'{count} people'}, frames {first} to {last}."
    outcome.notes = [*imported.notes, *imported.changes, *cleaned]
    outcome.people = [
        Person(armature.name, str(path), *(int(frame) for frame in action.frame_range))
        for armature, path, action in zip(imported.armatures, motions, imported.actions, strict=True)
    ]


def save(path: Path) -> Path:
    """Save the scene as a copy; what was there becomes ``<name>.blend1``, as Blender does it.

    Returns:
        The absolute path.

    Raises:
        SaveProblem: it cannot be saved.
    """
    path = path.absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: how Blender's operators say what went wrong
        raise SaveProblem(f"The scene could not be saved to {path}: {error}") from error
    return path


def _open(path: str) -> None:
    try:
        bpy.ops.wm.open_mainfile(filepath=path)
    except RuntimeError as error:
        raise SaveProblem(f"{path} could not be opened: {error}") from error


def _new_scene(frame_rate: float) -> None:
    """An empty scene at the clip's frame rate, so that its frames are the clip's."""
    bpy.ops.wm.read_homefile(use_empty=True)
    render = bpy.context.scene.render
    render.fps = max(round(frame_rate), 1)
    render.fps_base = render.fps / frame_rate
