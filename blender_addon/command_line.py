# SPDX-License-Identifier: GPL-3.0-or-later
"""`blender --command recover_motion`: the same job without a window, for scripts and render farms.

    blender -b --command recover_motion recover CLIP --out FOLDER
    blender -b --command recover_motion import FILE...

Exit codes are those of the backend's own command: 0 done, 2 bad call, 3 bad or empty input, 4 nobody found,
5 missing model file, 130 cancelled, 1 anything else. A .blend is the result; it is written to a file of
its own unless `--blend` names one.
"""

import argparse
import sys
import traceback
from pathlib import Path

import bpy

from . import session
from .arrival import Destination
from .backend_client import BackendProblem
from .jobs import Job
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
    _fresh_scene()
    scene = bpy.context.scene
    request: dict[str, object] = {
        "footage": str(options.clip.absolute()),
        "out": str(options.out.absolute()),
        "person": options.person,
    }
    for name in ("start", "end", "camera_fov"):
        if getattr(options, name) is not None:
            request[name] = getattr(options, name)
    destination = Destination(
        scene.session_uid, options.clip.absolute(), not options.no_camera, options.set_render_size
    )
    job = Job("recover", request, imports=True)
    session.run(job, destination, tell=Teller())
    session.stop()
    if job.exit_code:
        return _complain("\n".join((job.message, *job.details)), job.exit_code)
    name = options.clip.name if options.clip.is_dir() else options.clip.stem
    return _save(options.blend or options.out / f"{name}.blend")


def _import(options: argparse.Namespace) -> int:
    from .import_motion import import_motion
    from .motion_file import ImportProblem

    _fresh_scene()
    try:
        import_motion(
            bpy.context,
            [path.absolute() for path in options.motions],
            footage=options.footage.absolute() if options.footage else None,
            start_frame=options.start_frame,
            use_camera=not options.no_camera,
            set_render_size=options.set_render_size,
        )
    except ImportProblem as problem:
        return _complain(str(problem), 3)
    first = options.motions[0]
    return _save(options.blend or first.with_name(f"{first.name.split('.person')[0]}.blend"))


def _fresh_scene() -> None:
    """An empty scene, unless a file was opened on the command line: then the motion goes into that."""
    if not bpy.data.filepath:
        bpy.ops.wm.read_homefile(use_empty=True)


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


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"Recover Motion: {message.rstrip()}\n")
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
