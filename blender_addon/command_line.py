# SPDX-License-Identifier: GPL-3.0-or-later
"""`blender --command recover_motion`: the same job without a window, for scripts and render farms.

    blender -b --command recover_motion recover CLIP --out FOLDER
    blender -b --command recover_motion import FILE...

Exit codes are those of the backend's own command: 0 done, 2 bad call, 3 bad or empty input, 4 nobody found,
5 missing model file, 130 cancelled, 1 anything else. The result is a .blend: a copy of the file that was
opened (`blender -b FILE.blend --command ...`), or else a new scene with the clip's frame rate and length.
"""

import argparse
import sys
import traceback
from pathlib import Path

import bpy

from . import session
from .backend_location import BackendProblem
from .import_motion import ImportProblem, import_motion
from .job_form import clip_name
from .jobs import Job
from .motion_file import read_motion_file
from .operators import Teller

_command = None


def run(arguments: list[str]) -> int:
    """Run the command.

    Args:
        arguments: what follows `--command recover_motion`.

    Returns:
        The exit code.
    """
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as end:  # argparse has said what is wrong, or has shown its help
        return end.code if isinstance(end.code, int) else 2
    try:
        return options.action(options)
    except BackendProblem as problem:
        return _complain(str(problem), 1)
    except KeyboardInterrupt:
        return _complain("Cancelled.", 130)
    except Exception:  # noqa: BLE001 (an exit code must come out of here whatever happens)
        return _complain(traceback.format_exc(), 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="blender -b [FILE.blend] --command recover_motion",
        description="Recover the motion of people in footage, or import recovered motion.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    recover = commands.add_parser("recover", help="recover the motion in a clip and import it")
    recover.add_argument("clip", type=Path, help="video file, or folder of images")
    recover.add_argument("--out", type=Path, required=True, help="folder for the motion files and the .blend")
    recover.add_argument("--person", default="all", help='"all", "largest" or numbers: 1,3')
    recover.add_argument("--start", type=float, help="seconds of the clip")
    recover.add_argument("--end", type=float, help="seconds of the clip")
    recover.add_argument("--camera-fov", type=float, help="the camera's horizontal field of view, degrees")
    recover.set_defaults(action=_recover)

    bring = commands.add_parser("import", help="import recovered motion")
    bring.add_argument("motions", type=Path, nargs="+", metavar="FILE", help="motion files (.npz)")
    bring.add_argument("--footage", type=Path, help="the footage, for the camera's background")
    bring.add_argument("--body", type=Path, help="body file, when it is not beside the motion")
    bring.add_argument("--start-frame", type=int, help="scene frame of the clip's first frame")
    bring.set_defaults(action=_import)

    for command in (recover, bring):
        command.add_argument(
            "--blend", type=Path, help="where to save the scene (default: beside the motion)"
        )
        command.add_argument("--no-camera", action="store_true", help="do not make the matching camera")
        command.add_argument("--set-render-size", action="store_true", help="use the footage's resolution")
    return parser


def _recover(options: argparse.Namespace) -> int:
    request: dict[str, object] = {
        "footage": str(options.clip.absolute()),
        "out": str(options.out.absolute()),
        "person": options.person,
    }
    for name in ("start", "end", "camera_fov"):
        if getattr(options, name) is not None:
            request[name] = getattr(options, name)
    job = Job("recover", request)
    session.run(job, tell=Teller())
    session.stop()
    if job.exit_code:
        return _complain("\n".join((job.message, *job.details)), job.exit_code)
    motions = [Path(path) for path in job.result["motions"]]
    body = job.result["body"]
    blend = options.blend or options.out / f"{clip_name(options.clip)}.blend"
    return _bring_in(motions, options.clip, Path(body) if body else None, None, blend, options)


def _import(options: argparse.Namespace) -> int:
    first = options.motions[0]
    blend = options.blend or first.with_name(f"{first.name.split('.person')[0]}.blend")
    return _bring_in(options.motions, options.footage, options.body, options.start_frame, blend, options)


def _bring_in(
    motions: list[Path],
    footage: Path | None,
    body: Path | None,
    start_frame: int | None,
    blend: Path,
    options: argparse.Namespace,
) -> int:
    """Import motions into the file that was opened on the command line, or else a new one, and save it."""
    is_new = not bpy.data.filepath
    try:
        if is_new:
            _new_scene(read_motion_file(motions[0].absolute()).frame_rate)
        imported = import_motion(
            bpy.context,
            [path.absolute() for path in motions],
            footage=footage.absolute() if footage else None,
            body_path=body.absolute() if body else None,
            start_frame=start_frame,
            use_camera=not options.no_camera,
            set_render_size=options.set_render_size,
        )
    except ImportProblem as problem:
        return _complain(str(problem), 3)
    if is_new:
        bpy.context.scene.frame_start, bpy.context.scene.frame_end = imported.frame_range
    for note in imported.notes:
        _say(note)
    return _save(blend)


def _new_scene(frame_rate: float) -> None:
    """An empty scene at the clip's frame rate, so that its frames are the clip's."""
    bpy.ops.wm.read_homefile(use_empty=True)
    render = bpy.context.scene.render
    render.fps = max(round(frame_rate), 1)
    render.fps_base = render.fps / frame_rate


def _save(path: Path) -> int:
    path = path.absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: how Blender's operators say what went wrong
        return _complain(f"The scene could not be saved to {path}: {error}", 3)
    sys.stdout.write(f"{path}\n")
    sys.stdout.flush()
    return 0


def _say(message: str) -> None:
    sys.stderr.write(f"Recover Motion: {message.rstrip()}\n")
    sys.stderr.flush()


def _complain(message: str, code: int) -> int:
    _say(message)
    return code


def register() -> None:
    """Make the command known."""
    global _command
    _command = bpy.utils.register_cli_command("recover_motion", run)


def unregister() -> None:
    """Take it back."""
    global _command
    if _command is not None:
        bpy.utils.unregister_cli_command(_command)
        _command = None
