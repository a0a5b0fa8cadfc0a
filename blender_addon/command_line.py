# SPDX-License-Identifier: GPL-3.0-or-later
"""`blender --command recover_motion`: the same job without a window, for scripts and render farms.

    blender -b --command recover_motion recover CLIP --out FOLDER
    blender -b --command recover_motion batch FOLDER --out FOLDER
    blender -b --command recover_motion import FILE...
    blender -b SCENE.blend --command recover_motion retarget --target NAME
    blender -b FILE.blend --command recover_motion export --format fbx --out FOLDER

Exit codes are those of the backend's own command: 0 done, 2 bad call, 3 bad or empty input, 4 nobody found,
5 missing model file, 130 cancelled, 1 anything else. A batch ends with the worst of its clips', in the order
130, 1, 5, 2, 3, 4. The result is a .blend: a copy of the file that was opened (`blender -b FILE.blend
--command ...`), or else a new scene with the clip's frame rate and length. docs/headless.md tells the rest.
"""

import argparse
import signal
import sys
import time
import traceback
from pathlib import Path

import bpy

from .backend_location import BackendProblem
from .backend_setup import addon_version
from .export import command as export_command
from .headless_record import Outcome, Report, worst
from .headless_recover import BatchProblem, choices_of, clips_of, recover_clips, summary
from .headless_scene import SaveProblem, Scenes, bring_in, save
from .import_motion import ImportProblem
from .retarget import command as retarget_command

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
    asked = {name: _plain(value) for name, value in vars(options).items() if name not in _NOT_ASKED}
    about = {"command": options.command, "version": addon_version(), "blender": bpy.app.version_string}
    report = Report(options.json, {**about, "asked": asked})
    started = time.monotonic()
    try:
        report.write()  # now, as nobody wants to hear after hours that it cannot be written
    except OSError as error:
        return _not_written(options.json, error)
    before = _let_ctrl_c_interrupt()
    try:
        options.action(options, report)
        code = worst([outcome.exit_code for outcome in report.clips])
    except (BackendProblem, BatchProblem) as problem:
        code = getattr(problem, "exit_code", 1)
        report.problem = str(problem)
    except KeyboardInterrupt:
        code, report.problem = 130, "Cancelled."
    except Exception:  # noqa: BLE001 (an exit code must come out of here whatever happens)
        code, report.problem = 1, traceback.format_exc()
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
    if report.problem:
        _say(report.problem)
    try:
        report.write(code, time.monotonic() - started)
    except OSError as error:
        code = worst([code, _not_written(options.json, error)])
    return code


def _not_written(report: Path, error: OSError) -> int:
    _say(f"The report {report} could not be written: {error.strerror or error}.")
    return 3


# --- the commands


def _recover(options: argparse.Namespace, report: Report) -> None:
    recover_clips(options, [options.clip], report, _say)


def _batch(options: argparse.Namespace, report: Report) -> None:
    clips = clips_of(options)
    try:
        recover_clips(options, clips, report, _say)
    finally:
        _say(summary(report.clips))


def _import(options: argparse.Namespace, report: Report) -> None:
    first = options.motions[0]
    blend = options.blend or first.with_name(f"{first.name.split('.person')[0]}.blend")
    outcome = Outcome(str(options.footage.absolute()) if options.footage else "")
    report.clips = [outcome]
    started = time.monotonic()
    try:
        bring_in(
            Scenes(),
            options.motions,
            choices_of(options),
            outcome,
            footage=options.footage,
            body=options.body,
            start_frame=options.start_frame,
        )
        for note in outcome.notes:
            _say(note)
        outcome.blend = str(save(blend))
        outcome.status = "done"
        sys.stdout.write(f"{outcome.blend}\n")
        sys.stdout.flush()
    except (ImportProblem, SaveProblem) as problem:
        outcome.status, outcome.exit_code, outcome.message = "failed", 3, str(problem)
        _say(outcome.message)
    outcome.seconds = round(time.monotonic() - started, 2)


def _retarget(options: argparse.Namespace, report: Report) -> None:
    retarget_command.run(options, report, _say)


def _export(options: argparse.Namespace, report: Report) -> None:
    export_command.run(options, report, _say)


# --- the parser

_NOT_ASKED = ("action", "command", "is_batch", "json")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="blender -b [FILE.blend] --command recover_motion",
        description="Recover the motion of people in footage, or import recovered motion.",
        epilog="Exit codes: 0 done, 2 bad call, 3 bad or empty input, 4 nobody found, 5 missing model file, "
        "130 cancelled, 1 anything else. A batch ends with the worst of its clips', in the order 130, 1, 5, "
        "2, 3, 4.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")

    recover = commands.add_parser("recover", help="recover the motion in a clip and import it")
    recover.add_argument("clip", type=Path, help="video file, or folder of images")
    recover.add_argument("--out", type=Path, required=True, help="folder for the motion files and the .blend")
    recover.set_defaults(action=_recover, is_batch=False)

    batch = commands.add_parser("batch", help="recover and import every clip of a folder")
    batch.add_argument("folder", type=Path, help="its videos and its folders of images are the clips")
    batch.add_argument(
        "--out", type=Path, required=True, help="folder for the motion files and a .blend a clip"
    )
    batch.set_defaults(action=_batch, is_batch=True)

    bring = commands.add_parser("import", help="import recovered motion")
    bring.add_argument("motions", type=Path, nargs="+", metavar="FILE", help="motion files (.npz)")
    bring.add_argument("--footage", type=Path, help="the footage, for the camera's background")
    bring.add_argument("--body", type=Path, help="body file, when it is not beside the motion")
    bring.add_argument("--start-frame", type=int, help="scene frame of the clip's first frame")
    bring.set_defaults(action=_import)

    retarget = commands.add_parser("retarget", help="give a character the motion of a recovered body")
    retarget_command.add_arguments(retarget)
    retarget.set_defaults(action=_retarget)

    export = commands.add_parser("export", help="export characters to files for other programs")
    export_command.add_arguments(export)
    export.set_defaults(action=_export)

    for command in (recover, batch):
        _add_recovery(command)
    for command in (recover, batch, bring):
        where = "one file for all clips" if command is batch else "where to save the scene"
        usual = "a file a clip, in --out" if command is batch else "beside the motion"
        command.add_argument("--blend", type=Path, metavar="FILE", help=f"{where} (default: {usual})")
        command.add_argument("--json", type=Path, metavar="FILE", help="write a report for machines")
        _add_import(command)
    return parser


def _add_recovery(command: argparse.ArgumentParser) -> None:
    """The options that go to the backend; it checks their values."""
    command.add_argument("--again", action="store_true", help="do it even if the result is there already")
    command.add_argument("--person", default="all", help='"all", "largest" or numbers: 1,3')
    command.add_argument("--start", type=float, help="seconds of the clip")
    command.add_argument("--end", type=float, help="seconds of the clip")
    command.add_argument("--frame-rate", type=float, help="frames per second of an image sequence (24)")
    command.add_argument("--camera-fov", type=float, help="the camera's horizontal field of view, degrees")
    command.add_argument("--body", help='"open", or an SMPL file of yours')
    command.add_argument("--model", help='"open", "landmarks", "hmr2" or "camerahmr"')
    command.add_argument("--checkpoint", type=Path, metavar="FILE", help="the weights of hmr2 or camerahmr")
    command.add_argument("--device", help='"auto", "cpu", "cuda" or "mps" (default: as in the preferences)')
    command.add_argument("--precision", help='of an encoder: "auto", "fp32", "bf16" or "fp16"')
    command.add_argument("--tokens", type=int, help="how many of its 192 tokens an encoder keeps")
    command.add_argument("--decoder", help='"auto", "diffusion", "regressor" or "landmark_fit"')
    command.add_argument("--steps", type=int, help="denoising steps of the decoder diffusion")
    command.add_argument("--decoder-weights", type=Path, metavar="FILE", help="a motion decoder of your own")
    command.add_argument(
        "--no-refine", action="store_true", help="do not fit the decoded motion to the picture"
    )


def _add_import(command: argparse.ArgumentParser) -> None:
    """The options of the import, which are those of the panel."""
    command.add_argument("--no-camera", action="store_true", help="do not make the matching camera")
    command.add_argument("--set-render-size", action="store_true", help="use the footage's resolution")
    command.add_argument(
        "--existing",
        type=str.upper,
        choices=("NEW", "REPLACE", "STACK"),
        help="people who are in the scene already: import beside them, replace their motion, or stack it"
        " in the NLA (default: NEW; with batch --blend: REPLACE)",
    )
    command.add_argument("--use-nla", action="store_true", help="put the motion into an NLA strip")
    command.add_argument(
        "--body-shape", choices=("own", "average"), default="own", help="whose body the motion comes on (own)"
    )
    command.add_argument(
        "--smooth", type=_seconds, default=0.0, help="smooth what shakes within this many seconds (0: not)"
    )
    command.add_argument(
        "--feet",
        choices=("planted", "free"),
        default="planted",
        help="what smoothing does to standing feet (planted)",
    )
    command.add_argument(
        "--floor",
        choices=("recovered", "soles"),
        default="recovered",
        help="leave heights as recovered, or set the soles on the floor (recovered)",
    )


def _seconds(text: str) -> float:
    """The strength of smoothing, as the panel allows it."""
    value = float(text)
    if not 0.0 <= value <= 10.0:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 10")
    return value


def _plain(value: object) -> object:
    """An option as JSON can hold it."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def _let_ctrl_c_interrupt() -> object:
    """Let Ctrl-C raise KeyboardInterrupt: in the background Blender keeps it to itself, and then exits.

    Returns:
        The handler that was there; None when nothing was changed.
    """
    try:
        return signal.signal(signal.SIGINT, signal.default_int_handler)
    except ValueError:  # not on the main thread
        return None


def _say(message: str) -> None:
    sys.stderr.write(f"Recover Motion: {message.rstrip()}\n")
    sys.stderr.flush()


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
