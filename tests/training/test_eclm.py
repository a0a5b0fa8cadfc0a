# SPDX-License-Identifier: Apache-2.0
"""From a checkpoint to one with fewer layers, on a network of which it is known what can go."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fasthmr.body import load_body
from fasthmr.encoder.checkpoint import load_checkpoint, save_checkpoint
from fasthmr.encoder.convert import convert_checkpoint
from fasthmr.encoder.layer_merging import merge_layers
from fasthmr.encoder.layer_plan import LayerPlan, Variant
from fasthmr.errors import BadCall, BadInput, Cancelled, MissingModel
from fasthmr.progress import Progress
from fasthmr.training import eclm
from fasthmr.training.calibration import CalibrationSet, mean_distance_mm
from fasthmr.training.eclm import MergeRequest, MergeResult, apply_plan, merge_checkpoint
from fasthmr.training.joint_error import JointError
from tests.encoder.small_sizes import TINY_HMR2
from tests.training.tiny_network import (
    EIGHT,
    IDLE,
    random_crops,
    state_with_idle_layers,
    write_network,
)

WITHOUT_IDLE = ((0,), (1, 2), (3,), (4, 5, 6), (7,))


class Watched(Progress):
    """Keeps the steps; may cancel at one."""

    def __init__(self, cancel_at: int | None = None) -> None:
        super().__init__()
        self.steps: list[tuple[str, int, int | None]] = []
        self.said: list[str] = []
        self._cancel_at = cancel_at

    def show(self, stage: str, done: int, total: int | None) -> None:
        self.steps.append((stage, done, total))
        if stage == "testing layers" and self._cancel_at is not None and done >= self._cancel_at:
            self.cancelled.set()

    def log(self, message: str) -> None:
        self.said.append(message)


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MergeRequest:
    """The network with idle layers, measured on noise in the place of crops from clips."""
    monkeypatch.setattr(eclm, "collect_crops", collect)
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"footage")
    return MergeRequest(
        write_network(tmp_path / "original.safetensors"),
        tmp_path / "merged.safetensors",
        clips=(clip,),
        tau=1e-6,
        device="cpu",
    )


def collect(settings: Any, config: Any, progress: Progress) -> CalibrationSet:
    return dataclasses.replace(
        random_crops().spread(settings.frames), description=settings.description(config)
    )


def joints(path: Path, data: CalibrationSet) -> torch.Tensor:
    batch = data.batch(slice(None), torch.device("cpu"))
    found = load_checkpoint(path, "hmr2")(batch.crops)
    return load_body("open").joints(found.rotmat, found.betas)[0]


@pytest.mark.parametrize("variant", ["formula", "keep_last"])
def test_idle_layers_are_found_and_go(variant: Variant, request_: MergeRequest) -> None:
    """Exactly those layers that do nothing can go, and the error stays zero."""
    result = merge_checkpoint(dataclasses.replace(request_, variant=variant))
    plan = result.plan
    assert plan.groups == WITHOUT_IDLE
    assert plan.baseline == plan.value == 0.0
    assert plan.finished
    assert plan.metric == "difference_mm"
    assert len(plan.tests) == EIGHT.depth - 1 == result.measured - 1
    assert min(test.value or 0 for test in plan.tests if not test.accepted) > 1.0  # millimetres
    loaded = load_checkpoint(request_.out, "hmr2")
    assert loaded.config.depth == EIGHT.depth - len(IDLE)
    assert LayerPlan.from_json(loaded.plan) == plan == LayerPlan.load(request_.plan_path)
    assert torch.equal(joints(request_.out, random_crops()), joints(request_.checkpoint, random_crops()))


def test_idle_layers_below_are_found_with_keep_first(request_: MergeRequest) -> None:
    result = merge_checkpoint(dataclasses.replace(request_, variant="keep_first"))
    assert result.plan.groups == ((0, 1), (2,), (3, 4, 5), (6,), (7,))
    assert result.plan.value == 0.0


def test_larger_tau_merges_all(request_: MergeRequest) -> None:
    result = merge_checkpoint(dataclasses.replace(request_, tau=1e9))
    assert result.plan.groups == (tuple(range(8)),)
    value = mean_distance_mm(
        joints(request_.out, random_crops()), joints(request_.checkpoint, random_crops())
    )
    assert value == pytest.approx(result.plan.value, rel=1e-4)  # what was measured is what was saved
    assert value > 1.0


def test_labelled_set_is_measured_by_mpjpe(request_: MergeRequest, tmp_path: Path) -> None:
    data = random_crops()
    truth = joints(request_.checkpoint, data) + 0.03 * torch.randn(
        (6, 24, 3), generator=torch.Generator().manual_seed(1)
    )
    path = tmp_path / "set.npz"
    dataclasses.replace(data, joints=truth.numpy()).save(path)
    plan = merge_checkpoint(dataclasses.replace(request_, clips=(), labelled=path)).plan
    original = joints(request_.checkpoint, data)
    assert plan.metric == "mpjpe_mm"
    assert plan.baseline == pytest.approx(mean_distance_mm(original, truth), rel=1e-5)
    assert plan.baseline is not None
    assert plan.baseline > 10.0
    for test in plan.tests[:1]:
        keep = [layer for layer in range(8) if layer != test.low]
        state = merge_layers(
            state_with_idle_layers(), LayerPlan(layers=8, groups=tuple((layer,) for layer in keep))
        )
        save_checkpoint(
            tmp_path / "one.safetensors", state, dataclasses.replace(EIGHT, depth=7), {"plan": {}}
        )
        value = mean_distance_mm(joints(tmp_path / "one.safetensors", data), truth)
        assert test.value == pytest.approx(value, rel=1e-5)


def test_layer_drop_is_measured_beside(request_: MergeRequest) -> None:
    result = merge_checkpoint(dataclasses.replace(request_, drop_baseline=True))
    assert result.drop is not None
    assert sorted(result.drop.dropped) == list(IDLE)
    assert result.drop.value == 0.0
    assert [layer for layer, value in enumerate(result.drop.single) if value == 0.0] == list(IDLE)
    # The search has tested each two layers below an idle one, which is leaving one out: not measured again.
    assert result.measured < 1 + 7 + 9


def test_measurements_are_taken_up_again(request_: MergeRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = merge_checkpoint(
        dataclasses.replace(request_, out=request_.out.with_name("other.safetensors"))
    )
    watched = Watched(cancel_at=6 * 3 + 2)
    with pytest.raises(Cancelled):
        merge_checkpoint(request_, watched)
    assert not request_.out.exists()
    assert not request_.plan_path.exists()
    before = len(request_.log_path.read_bytes().splitlines())
    assert 0 < before < 8
    with request_.log_path.open("ab") as stream:
        stream.write(b'{"of": "cut off')
    result = merge_checkpoint(request_)
    assert result.plan == expected.plan
    assert result.measured == 8 - before

    def forbidden(*arguments: object) -> None:
        raise AssertionError("everything is measured already")

    monkeypatch.setattr(eclm, "load_checkpoint", forbidden)
    monkeypatch.setattr(eclm, "collect_crops", forbidden)
    again = merge_checkpoint(request_)
    assert (again.measured, again.plan, again.seconds) == (0, expected.plan, None)


def test_what_does_not_depend_on_tau_and_variant_is_measured_once(request_: MergeRequest) -> None:
    first = merge_checkpoint(request_)
    assert first.measured == 8
    other_tau = merge_checkpoint(dataclasses.replace(request_, tau=2e-6))
    assert other_tau.measured == 0
    keep_last = merge_checkpoint(dataclasses.replace(request_, variant="keep_last"))
    assert 0 < keep_last.measured < 7  # two layers merged by the formula are the later one


@pytest.mark.parametrize(
    "change", [{"frames": 4}, {"tokens": 9}, {"precision": "bf16"}, {"batch": 3}], ids=str
)
def test_what_changes_the_error_is_measured_anew(change: dict[str, Any], request_: MergeRequest) -> None:
    merge_checkpoint(request_)
    assert merge_checkpoint(dataclasses.replace(request_, **change)).measured == 8


def test_another_checkpoint_is_measured_anew(request_: MergeRequest) -> None:
    merge_checkpoint(request_)
    state = state_with_idle_layers()
    state["backbone.last_norm.bias"] += 0.1
    save_checkpoint(request_.checkpoint, state, EIGHT)
    assert merge_checkpoint(request_).measured == 8


def test_tokens_are_merged_in_both_networks(request_: MergeRequest) -> None:
    plan = merge_checkpoint(dataclasses.replace(request_, tokens=6)).plan
    assert plan.baseline == 0.0
    assert set(IDLE[1:]) <= {layer for group in plan.groups if len(group) > 1 for layer in group}
    assert plan.calibration is not None
    assert plan.calibration["tokens"] == 6


def test_budget_ends_with_what_was_found_and_the_same_call_goes_on(request_: MergeRequest) -> None:
    whole = merge_checkpoint(dataclasses.replace(request_, out=request_.out.with_name("other.safetensors")))
    short = dataclasses.replace(request_, minutes=1e-9)
    depths, calls, result = [], 0, merge_checkpoint(short)
    assert (result.measured, result.plan.finished, result.plan.tests) == (1, False, ())
    assert result.plan.depth == 8
    while not result.plan.finished:
        calls += 1
        assert calls < 10
        result = merge_checkpoint(short)
        depths.append(load_checkpoint(short.out, "hmr2").config.depth)
        assert result.measured == 1
        assert len(result.plan.tests) == calls
        assert LayerPlan.load(short.plan_path) == result.plan
    assert result.plan == whole.plan
    assert depths == sorted(depths, reverse=True)
    assert depths[-1] == 5


def test_progress_goes_to_the_end(request_: MergeRequest) -> None:
    watched = Watched()
    merge_checkpoint(dataclasses.replace(request_, drop_baseline=True), watched)
    steps = [(done, total) for stage, done, total in watched.steps if stage == "testing layers"]
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert {total for _, total in steps} == {6 * (8 + 9)}
    assert steps[-1][0] == steps[-1][1]


def test_networks_that_give_no_numbers_are_not_good_enough(
    request_: MergeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JointError, "__call__", lambda *_: float("nan"))
    result = merge_checkpoint(request_)
    assert result.plan.depth == 8
    assert all(test.value is None and not test.accepted for test in result.plan.tests)
    assert merge_checkpoint(request_).plan == result.plan  # from the log


# --- applying a plan


def test_plan_is_applied_without_measuring(request_: MergeRequest, tmp_path: Path) -> None:
    plan = merge_checkpoint(request_).plan
    out = tmp_path / "applied.safetensors"
    assert apply_plan(request_.plan_path, request_.checkpoint, out) == plan
    first, second = (load_checkpoint(path, "hmr2", simplify=False) for path in (out, request_.out))
    assert first.plan == second.plan
    for name, one in first.state_dict().items():
        assert torch.equal(one, second.state_dict()[name])


def test_plan_fits_a_conversion_of_its_checkpoint(request_: MergeRequest, tmp_path: Path) -> None:
    merge_checkpoint(request_)
    half = tmp_path / "half.safetensors"
    convert_checkpoint(request_.checkpoint, "hmr2", "bf16", half)
    out = tmp_path / "merged-half.safetensors"
    apply_plan(request_.plan_path, half, out)
    assert load_checkpoint(out, "hmr2").config.depth == 5
    of_half = dataclasses.replace(request_, checkpoint=half, out=tmp_path / "b.safetensors")
    merge_checkpoint(of_half)
    apply_plan(of_half.plan_path, request_.checkpoint, out)  # and the other way round


def test_plan_of_another_checkpoint_is_refused(request_: MergeRequest, tmp_path: Path) -> None:
    merge_checkpoint(request_)
    other = tmp_path / "other.safetensors"
    state = state_with_idle_layers()
    state["smpl_head.init_betas"] += 1
    save_checkpoint(other, state, EIGHT)
    out = tmp_path / "x.safetensors"
    with pytest.raises(BadInput, match=r"made for another checkpoint: original\.safetensors"):
        apply_plan(request_.plan_path, other, out)
    plan = json.loads(request_.plan_path.read_text()) | {"source": None, "layers": 9}
    request_.plan_path.write_text(json.dumps(plan))
    with pytest.raises(BadInput, match="for 9 layers"):
        apply_plan(request_.plan_path, other, out)
    assert not out.exists()


def test_merged_checkpoint_is_not_merged_again(request_: MergeRequest, tmp_path: Path) -> None:
    merge_checkpoint(request_)
    again = dataclasses.replace(request_, checkpoint=request_.out, out=tmp_path / "again.safetensors")
    with pytest.raises(BadInput, match="merged already"):
        merge_checkpoint(again)
    with pytest.raises(BadInput, match="merged already"):
        apply_plan(request_.plan_path, request_.out, tmp_path / "again.safetensors")


def test_sums_that_half_precision_does_not_hold_are_refused(tmp_path: Path) -> None:
    state = {name: one.half() for name, one in state_with_idle_layers().items()}
    for layer, value in ((0, -6e4), (1, 6e4), (2, 6e4)):
        state[f"backbone.blocks.{layer}.norm1.bias"][:] = value
    save_checkpoint(tmp_path / "half.safetensors", state, EIGHT)
    plan = LayerPlan(layers=8, groups=((0, 1, 2), (3,), (4,), (5,), (6,), (7,)))
    plan.save(tmp_path / "plan.json")
    out = tmp_path / "out.safetensors"
    with pytest.raises(BadInput, match=r"blocks\.0\.norm1\.bias"):
        apply_plan(tmp_path / "plan.json", tmp_path / "half.safetensors", out)
    assert not out.exists()


# --- what is refused before the work


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clips": ()}, "--clips"),
        ({"labelled": Path("set.npz")}, "--labelled"),
        ({"tau": float("nan")}, "tau"),
        ({"frames": 0}, "0 crops"),
        ({"variant": "sum"}, "no variant 'sum'"),
        ({"precision": "fp8"}, "precision 'fp8'"),
        ({"tokens": 0}, "0 tokens"),
        ({"minutes": 0.0}, "budget"),
        ({"minutes": float("nan")}, "budget"),
        ({"batch": 0}, "batch"),
        ({"out": Path("merged.ckpt")}, r"\.safetensors"),
        ({"device": "tpu"}, "tpu"),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    change: dict[str, Any], message: str, request_: MergeRequest
) -> None:
    with pytest.raises(BadCall, match=message):
        merge_checkpoint(dataclasses.replace(request_, **change))
    assert not request_.log_path.exists()


def test_original_is_never_written_over(request_: MergeRequest) -> None:
    before = request_.checkpoint.read_bytes()
    with pytest.raises(BadCall, match="stays as it is"):
        merge_checkpoint(dataclasses.replace(request_, out=request_.checkpoint))
    assert request_.checkpoint.read_bytes() == before


def test_missing_and_other_checkpoints_are_refused(request_: MergeRequest, tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match=r"none\.ckpt"):
        merge_checkpoint(dataclasses.replace(request_, checkpoint=tmp_path / "none.ckpt"))
    with pytest.raises(MissingModel, match="CameraHMR"):
        merge_checkpoint(dataclasses.replace(request_, kind="camerahmr"))
    with pytest.raises(BadInput, match=r"nobody\.npz"):
        merge_checkpoint(dataclasses.replace(request_, clips=(), labelled=tmp_path / "nobody.npz"))


def test_a_foreign_body_under_labels_is_warned_of(request_: MergeRequest, tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    truth = joints(request_.checkpoint, random_crops())
    dataclasses.replace(random_crops(), joints=truth.numpy()).save(path)
    watched = Watched()
    merge_checkpoint(dataclasses.replace(request_, clips=(), labelled=path), watched)
    assert any("--body" in line for line in watched.said)


def test_damaged_crops_are_made_again(request_: MergeRequest) -> None:
    merge_checkpoint(request_)
    request_.crops_path.write_bytes(b"PK")
    assert merge_checkpoint(request_).measured == 0
    assert np.load(request_.crops_path)["crops"].shape == (6, 3, *TINY_HMR2.image_size)


def values(result: MergeResult) -> Sequence[float | None]:
    return [test.value for test in result.plan.tests]


def test_results_do_not_change_from_run_to_run(request_: MergeRequest) -> None:
    other = dataclasses.replace(request_, out=request_.out.with_name("other.safetensors"))
    assert values(merge_checkpoint(request_)) == values(merge_checkpoint(other))
    assert request_.out.read_bytes() == other.out.read_bytes()
