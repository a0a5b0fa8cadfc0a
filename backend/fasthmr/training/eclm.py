# SPDX-License-Identifier: Apache-2.0
"""Merging the layers of a checkpoint: the search, its measurements, the plan and the new checkpoint.

What takes long are the measurements; each is kept in a file beside the plan as soon as it is made, and so are
the crops. The same call again goes on from there, and a call with another tau or variant measures only what
was not measured before.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from fasthmr.body import BodyModel, load_body
from fasthmr.device import choose_device
from fasthmr.encoder.checkpoint import load_checkpoint, read_weights, save_checkpoint
from fasthmr.encoder.checkpoint_check import check_fit, config_for, kind_of_weights
from fasthmr.encoder.config import EncoderConfig
from fasthmr.encoder.layer_merging import TrialLayers, merge_layers, merged_config
from fasthmr.encoder.layer_plan import VARIANTS, LayerPlan, PlanSource, Variant
from fasthmr.encoder.layer_search import LayerDrop, LayerSearch, drop_layers
from fasthmr.encoder.token_merging import TokenMerging, schedule_to
from fasthmr.errors import BadCall, BadInput, MissingModel
from fasthmr.jobs import code_digest, sha256_of_file
from fasthmr.progress import Progress
from fasthmr.training.calibration import CalibrationSet, load_calibration
from fasthmr.training.calibration_clips import ClipSettings, collect_crops
from fasthmr.training.evaluation_log import EvaluationLog
from fasthmr.training.joint_error import JointError, metric_of
from fasthmr.training.measurements import Measurements, TimeIsUp
from fasthmr.training.people_calibration import people_calibration

_BATCH_ON_GPU: Final = 32
_BATCH_ON_CPU: Final = 4
PRECISIONS: Final[Mapping[str, torch.dtype]] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


@dataclass(frozen=True)
class MergeRequest:
    """What to merge, and by which measure.

    Args:
        checkpoint: the original network.
        out: the new checkpoint, ``.safetensors``.
        kind: "hmr2", "camerahmr" or "open".
        clips: footage to measure on; or
        labelled: a labelled set (:mod:`fasthmr.training.calibration`); or
        people: a set of synthetic people, for our own network.
        tau: the error may grow by less than this, millimetres.
        variant: what a group of layers becomes.
        frames: crops at most.
        plan: where the plan goes; None: beside ``out``.
        tokens: how many tokens the network keeps while it is measured; all of them if None.
        precision: "fp32", "bf16" or "fp16". What half precision rounds away may be more than ``tau``.
        device: "auto", "cpu", "cuda" or "mps".
        body: "open", or a body file; it turns rotations and shapes into joints.
        camera_fov: of the clips, degrees, for CameraHMR; None: from the footage.
        drop_baseline: whether leaving out as many layers is measured too.
        minutes: stop after so long, with what was found by then; None: no limit.
        batch: crops at a time; None: as the device likes it.
    """

    checkpoint: Path
    out: Path
    kind: str = "hmr2"
    clips: tuple[Path, ...] = ()
    labelled: Path | None = None
    people: Path | None = None
    tau: float = 0.1
    variant: Variant = "formula"
    frames: int = 64
    plan: Path | None = None
    tokens: int | None = None
    precision: str = "fp32"
    device: str = "auto"
    body: str = "open"
    camera_fov: float | None = None
    drop_baseline: bool = False
    minutes: float | None = None
    batch: int | None = None

    @property
    def plan_path(self) -> Path:
        """Where the plan goes."""
        return self.plan or self.out.with_suffix(".plan.json")

    @property
    def log_path(self) -> Path:
        """Where the measurements are kept."""
        return self.plan_path.with_suffix(".tests.jsonl")

    @property
    def crops_path(self) -> Path:
        """Where the crops of clips are kept."""
        return self.plan_path.with_suffix(".crops.npz")


@dataclass(frozen=True)
class MergeResult:
    """What came out.

    Args:
        plan: which layers became one, and every test.
        drop: the same number of layers left out instead; None: not asked for, or no time for it.
        measured: measurements that were made in this run; the others were there already.
        seconds: how long one of these took in the mean; None: none was made.
    """

    plan: LayerPlan
    drop: LayerDrop | None
    measured: int
    seconds: float | None


def merge_checkpoint(request: MergeRequest, progress: Progress | None = None) -> MergeResult:
    """Find out which layers may become one, and write the plan and the new checkpoint.

    Args:
        request: what to do.
        progress: told how far it is (stages "people" and "testing layers"); may cancel. Measurements that
            were made are kept.

    Raises:
        BadCall: the request makes no sense.
        MissingModel: the checkpoint, the body or the detector is not there, or is another's.
        BadInput: a file is damaged, no such set, or cannot be written; or the checkpoint was merged already.
        NobodyFound: there is nobody in the clips.
        Cancelled: the user cancelled.
    """
    _check(request)
    progress = progress or Progress()
    device = choose_device(request.device)
    state, config, source = _read_original(request.checkpoint, request.kind)
    body = load_body(request.body)
    _warn_of_body(request, progress)
    data = _calibration(request, config, progress)
    settings = _settings(request, device, body, data, source)
    log = EvaluationLog(request.log_path, _digest(settings))

    def load(done: Callable[[int], None]) -> JointError:
        model = load_checkpoint(
            request.checkpoint, request.kind, dtype=PRECISIONS[request.precision], device=device
        )
        if request.tokens is not None and request.tokens < config.tokens:
            model.reduction = TokenMerging(schedule_to(config.tokens, request.tokens))
        return JointError(model, TrialLayers(model, state), data, body, settings["batch"], done)

    tests = config.depth + (config.depth + 1 if request.drop_baseline else 0)
    measure = Measurements(log, load, config.depth, tests, len(data), request.minutes, progress)
    search = LayerSearch(config.depth, measure.original(), request.tau)
    baseline = search.value
    drop = None
    with contextlib.suppress(TimeIsUp):
        while search.window is not None:
            search.answer(measure(search.question, request.variant))
        if request.drop_baseline and (fewer := config.depth - len(search.groups)):
            drop = drop_layers(config.depth, fewer, measure)
    measure.finish()
    plan = LayerPlan(
        layers=config.depth,
        groups=search.groups,
        variant=request.variant,
        metric=metric_of(data),
        baseline=baseline,
        value=search.value,
        tau=request.tau,
        tests=tuple(search.tests),
        finished=search.window is None,
        source=source,
        calibration={**settings, "of": dict(data.description)},
    )
    _write_merged(request.out, state, config, plan)
    plan.save(request.plan_path)
    return MergeResult(plan, drop, measure.made, measure.mean_seconds)


def apply_plan(plan_path: Path, checkpoint: Path, out: Path, kind: str | None = None) -> LayerPlan:
    """Merge the layers of a checkpoint as a plan says, without measuring anything.

    Args:
        plan_path: the plan.
        checkpoint: the original network that the plan was made for, or a conversion of it.
        out: the new checkpoint, ``.safetensors``.
        kind: "hmr2", "camerahmr" or "open"; None: whatever the checkpoint is.

    Raises:
        BadCall: ``out`` is no place for the result.
        MissingModel: the checkpoint is not there, or is another's.
        BadInput: the plan belongs to another checkpoint, or a file is damaged or cannot be written.
    """
    _check_places(checkpoint, out)
    plan = LayerPlan.load(plan_path)
    state, config, source = _read_original(checkpoint, kind)
    if plan.source is not None:
        wanted, given = ({one.sha256, one.origin} - {None} for one in (plan.source, source))
        if not wanted & given:
            raise BadInput(
                f"The plan {plan_path} was made for another checkpoint: {plan.source.file} with the sha256 "
                f"{plan.source.sha256[:12]}..., while {checkpoint} has {source.sha256[:12]}.... Which layers "
                "may become one is different for each network: give that checkpoint, or make a plan for "
                "this one."
            )
    if plan.layers != config.depth:
        raise BadInput(
            f"The plan {plan_path} is for {plan.layers} layers, and {checkpoint} has {config.depth}. Make a "
            "plan for this checkpoint."
        )
    _write_merged(out, state, config, plan, source)
    return plan


# --- before the work


def _check(request: MergeRequest) -> None:
    given = (bool(request.clips), request.labelled is not None, request.people is not None)
    if sum(given) != 1:
        raise BadCall(
            "Say what to measure on: clips of your own (--clips), a labelled set (--labelled), or synthetic "
            "people (--people)."
        )
    if not math.isfinite(request.tau):
        raise BadCall(f"A tau of {request.tau} makes no sense; the paper takes 0.1 (millimetres).")
    if request.frames < 1:
        raise BadCall(f"{request.frames} crops measure nothing. Give 1 or more.")
    if request.variant not in VARIANTS:
        raise BadCall(f"There is no variant '{request.variant}'. There are {', '.join(VARIANTS)}.")
    if request.precision not in PRECISIONS:
        raise BadCall(f"Unknown precision '{request.precision}'. Choose one of {', '.join(PRECISIONS)}.")
    if request.tokens is not None and request.tokens < 1:
        raise BadCall(f"A network cannot do with {request.tokens} tokens.")
    if request.minutes is not None and not request.minutes > 0:
        raise BadCall(f"A budget of {request.minutes:g} minutes ends before it begins.")
    if request.batch is not None and request.batch < 1:
        raise BadCall(f"A batch has 1 crop or more, not {request.batch}.")
    _check_places(request.checkpoint, request.out)


def _check_places(checkpoint: Path, out: Path) -> None:
    if not checkpoint.is_file():
        raise MissingModel(f"There is no checkpoint at {checkpoint}. Give the file with the weights.")
    if out.suffix != ".safetensors":
        raise BadCall(f"Merged checkpoints are written as .safetensors; {out} ends in something else.")
    if out.exists() and out.samefile(checkpoint):
        raise BadCall(f"{out} is the original checkpoint, which stays as it is. Choose another --out.")


def _read_original(path: Path, kind: str | None) -> tuple[dict[str, Tensor], EncoderConfig, PlanSource]:
    """The tensors of a checkpoint that nobody merged, its sizes, and which file it is."""
    state, metadata = read_weights(path)
    shapes = {name: tuple(one.shape) for name, one in state.items()}
    config = config_for(path, kind or kind_of_weights(shapes, metadata) or "hmr2", shapes, metadata)
    check_fit(path, config, state)
    if metadata.get("plan") is not None:
        raise BadInput(
            f"The layers of {path} were merged already, and the error is counted from the original network. "
            "Give the checkpoint that it was made from."
        )
    origin = metadata.get("source")
    known = origin.get("sha256") if isinstance(origin, dict) else None
    sha256 = sha256_of_file(path)
    return state, config, PlanSource(path.name, sha256, known if isinstance(known, str) else None)


def _warn_of_body(request: MergeRequest, progress: Progress) -> None:
    if request.body != "open" or request.kind == "open":
        return
    if request.labelled is not None:
        progress.log(
            "The joints come from the open body, and those of the labels hardly do: its bones are others. "
            "Give the body that they were made with (--body)."
        )


def _calibration(request: MergeRequest, config: EncoderConfig, progress: Progress) -> CalibrationSet:
    if request.labelled is not None:
        return load_calibration(request.labelled, config, labelled=True).spread(request.frames)
    if request.people is not None:
        return people_calibration(request.people, config, request.frames)
    settings = ClipSettings(request.clips, request.frames, request.camera_fov)
    wanted = settings.description(config)
    if request.crops_path.exists():
        with contextlib.suppress(BadInput):  # a damaged one is made again
            kept = load_calibration(request.crops_path, config, labelled=False)
            if kept.description == wanted:
                progress.log(f"Taking the {len(kept)} crops from {request.crops_path}.")
                return kept
    data = collect_crops(settings, config, progress)
    data.save(request.crops_path)
    return data


def _settings(
    request: MergeRequest, device: torch.device, body: BodyModel, data: CalibrationSet, source: PlanSource
) -> dict[str, Any]:
    """All that a measurement depends on, besides the layers."""
    return {
        "checkpoint": source.sha256,
        "crops": len(data),
        "crops_sha256": data.digest,
        "metric": metric_of(data),
        "body": body.sha256,
        "tokens": request.tokens,
        "precision": request.precision,
        "device": device.type,
        "batch": request.batch or (_BATCH_ON_GPU if device.type == "cuda" else _BATCH_ON_CPU),
        "torch": str(torch.__version__),
        "code": code_digest("encoder", "training", "body"),
    }


def _digest(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


# --- after it


def _write_merged(
    out: Path,
    state: Mapping[str, Tensor],
    config: EncoderConfig,
    plan: LayerPlan,
    source: PlanSource | None = None,
) -> None:
    merged = merge_layers(state, plan)
    spoilt = [name for name, one in merged.items() if not torch.isfinite(one.sum(dtype=torch.float64))]
    if spoilt:
        raise BadInput(
            f"A merged layer has numbers that its precision does not hold ({spoilt[0]}). Convert the "
            "checkpoint to fp32 first: fasthmr checkpoint convert."
        )
    origin = source or plan.source
    metadata: dict[str, Any] = {"plan": plan.to_json()}
    if origin is not None:
        metadata["source"] = {"file": origin.file, "sha256": origin.sha256}
    save_checkpoint(out, merged, merged_config(config, plan), metadata)
