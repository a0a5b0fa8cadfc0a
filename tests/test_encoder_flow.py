# SPDX-License-Identifier: Apache-2.0
"""A job with an encoder, from real footage to the motion file: a tiny network with random weights."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fasthmr import cli
from fasthmr.decoder.landmark_fit import FitSettings
from fasthmr.encoder import EncoderConfig
from fasthmr.encoder.checkpoint import save_checkpoint
from fasthmr.encoder.encoding import Encoding
from fasthmr.encoder.random_weights import random_state
from fasthmr.errors import BadInput, Cancelled, MissingModel
from fasthmr.evidence import Evidence
from fasthmr.models import Models
from fasthmr.motion import Motion
from fasthmr.people.bundle import find_bundle
from fasthmr.pipeline import RecoverRequest, recover
from fasthmr.progress import Progress
from tests.encoder.open_network import TINY_CROPS
from tests.real_clip import demo_clip

TINY = EncoderConfig(
    dim=48, depth=3, heads=4, head_dim=40, head_depth=2, head_heads=2, head_head_dim=16, head_mlp=56
)


class Stages(Progress):
    """Keeps the names of the stages, and the log."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, tuple[int, int | None]] = {}
        self.said: list[str] = []

    def show(self, stage: str, done: int, total: int | None) -> None:
        self.seen[stage] = (done, total)

    def log(self, message: str) -> None:
        self.said.append(message)


def write_checkpoint(path: Path, kind: str = "hmr2", change: float = 0.0) -> Path:
    """Random weights in the project's own file, of the kind of one of the published networks."""
    state = random_state(TINY)
    state["smpl_head.init_betas"] += change
    save_checkpoint(path, state, dataclasses.replace(TINY, kind=kind))
    return path


@pytest.fixture(scope="module", autouse=True)
def _quick_fit() -> Iterator[None]:
    """The fit is not what is tested here: a fifth of its steps will do."""
    quick = functools.partial(FitSettings, shape_steps=25, motion_steps=30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fasthmr.decoder.landmark_fit.fit.FitSettings", quick)
        yield


@pytest.fixture(scope="module")
def clip() -> Path:
    try:
        find_bundle()
    except MissingModel:
        pytest.skip("the person detector's weights are not prepared: run `python build.py setup`")
    return demo_clip()


@pytest.fixture(scope="module")
def job(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RecoverRequest, Any, Stages]:
    """The largest person of the first 0.4 s, recovered once."""
    folder = tmp_path_factory.mktemp("job")
    request = RecoverRequest(
        clip,
        folder / "out",
        person="largest",
        end=0.4,
        model="hmr2",
        checkpoint=write_checkpoint(folder / "tiny.safetensors"),
        tokens=96,
    )
    stages = Stages()
    return request, recover(request, stages), stages


def test_the_encoder_has_a_stage_of_its_own(job: tuple[RecoverRequest, Any, Stages]) -> None:
    _, result, stages = job
    assert list(stages.seen) == ["probe", "people", "encode", "fit", "place", "write"]
    motion = Motion.load(result.motions[0])
    assert stages.seen["encode"] == (motion.frame_count, motion.frame_count)
    assert result.seconds_by_stage["encode"] > 0
    encoding = Encoding.load(result.folder / "encoding.person01.npz")
    assert encoding.kind == "hmr2"
    assert encoding.token.shape == (motion.frame_count, TINY.head_dim)
    assert encoding.rotmat.shape == (motion.frame_count, 24, 3, 3)
    assert motion.meta["model"] == "hmr2"
    assert motion.meta["encoder"]["checkpoint"] == "tiny.safetensors"
    assert motion.meta["encoder"]["tokens"] == 96
    assert len(motion.meta["encoder"]["sha256"]) == 64


def test_what_was_encoded_is_taken_up_again(
    job: tuple[RecoverRequest, Any, Stages], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*arguments: object) -> None:
        raise AssertionError("the encoder was loaded although its stage is finished")

    monkeypatch.setattr(Models, "encoder", forbidden)
    again = recover(job[0])
    assert again.reused == ("people", "encode.person01", "fit.person01", "place")


def changed_stages(request: RecoverRequest, **change: object) -> list[str]:
    """The stages that a changed request does not take from the folder."""
    everything = ["people", "encode.person01", "fit.person01", "place"]
    reused = recover(dataclasses.replace(request, **change)).reused  # type: ignore[arg-type]
    return [stage for stage in everything if stage not in reused]


def test_only_people_who_are_not_encoded_yet_are(
    job: tuple[RecoverRequest, Any, Stages], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fasthmr.encoder import encode

    asked: list[list[int]] = []
    really: Callable[..., Any] = encode.encode_people

    def watch(footage: Any, people: Any, tracks: Any, *others: Any) -> Any:
        asked.append([track.person for track in tracks])
        return really(footage, people, tracks, *others)

    monkeypatch.setattr(encode, "encode_people", watch)
    one = dataclasses.replace(job[0], out=tmp_path / "out", start=3.0, end=3.4, person="1")
    recover(one)
    everyone = dataclasses.replace(one, person="all")
    result = recover(everyone)
    assert len(result.motions) == 2
    assert asked == [[1], [2]]
    (result.folder / "encoding.person01.npz").write_bytes(b"damaged")
    (result.folder / "encoding.person02.npz").unlink()
    recover(everyone)
    assert asked == [[1], [2], [1, 2]]  # both in one pass


def test_a_cancelled_encoder_leaves_what_was_finished(
    job: tuple[RecoverRequest, Any, Stages], tmp_path: Path
) -> None:
    class Impatient(Stages):
        def show(self, stage: str, done: int, total: int | None) -> None:
            super().show(stage, done, total)
            if stage == "encode" and done:
                self.cancelled.set()

    request = dataclasses.replace(job[0], out=tmp_path / "out")
    with pytest.raises(Cancelled):
        recover(request, Impatient())
    assert not list(tmp_path.glob("out/*.job/encoding*"))
    assert recover(request).reused == ("people",)


def test_a_changed_encoder_is_asked_again(job: tuple[RecoverRequest, Any, Stages], tmp_path: Path) -> None:
    request = job[0]
    after = ["encode.person01", "fit.person01", "place"]
    other = write_checkpoint(tmp_path / "other.safetensors", change=0.1)
    assert changed_stages(request, checkpoint=other) == after
    assert changed_stages(request, tokens=None) == after
    assert changed_stages(request, model="landmarks", checkpoint=None, tokens=None) == after
    assert changed_stages(request) == after  # back again; the folder keeps one result a stage
    renamed = request.checkpoint.rename(tmp_path / "renamed.safetensors") if request.checkpoint else None
    assert changed_stages(request, checkpoint=renamed) == ["place"]  # the name is in the motion file
    write_checkpoint(request.checkpoint or tmp_path)
    recover(request)


def test_the_decoder_gets_rotations_belief_and_token(
    job: tuple[RecoverRequest, Any, Stages], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fasthmr.decoder import decode

    given: list[Evidence] = []
    real: Callable[..., Any] = decode.decode

    def watch(evidence: Evidence, *others: Any) -> Any:
        given.append(evidence)
        return real(evidence, *others)

    monkeypatch.setattr(decode, "decode", watch)
    request, result, _ = job
    (result.folder / "fit.person01.npz").unlink()
    recover(request)
    (evidence,) = given
    count = evidence.frame_count
    assert evidence.rotations is not None
    assert evidence.joints is not None
    assert evidence.joint_confidence is not None
    assert evidence.token is not None
    assert evidence.betas is None  # HMR2.0's shape is not the open body's
    assert evidence.rotations.shape == (count, 24, 3, 3)
    assert evidence.joints.shape == (count, 24, 3)
    assert evidence.token.shape == (count, TINY.head_dim)
    assert np.isfinite(evidence.rotations).all()
    assert evidence.joint_confidence.max() < 0.2  # random weights do not agree with the picture


def test_random_weights_do_the_motion_no_harm(
    job: tuple[RecoverRequest, Any, Stages], tmp_path: Path
) -> None:
    request, result, _ = job
    plain = dataclasses.replace(
        request, model="landmarks", checkpoint=None, tokens=None, out=tmp_path / "out"
    )
    (without,) = recover(plain).motions
    error = Motion.load(without).joints_camera - Motion.load(result.motions[0]).joints_camera
    assert np.linalg.norm(error, axis=-1).mean() < 0.02


def test_damaged_and_other_checkpoints_are_refused_before_the_work(clip: Path, tmp_path: Path) -> None:
    whole = write_checkpoint(tmp_path / "tiny.safetensors")
    half = tmp_path / "half.safetensors"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    request = RecoverRequest(clip, tmp_path / "out", end=0.4, model="hmr2", checkpoint=half)
    with pytest.raises(BadInput, match=r"half\.safetensors"):
        recover(request)
    with pytest.raises(MissingModel, match="HMR2"):
        recover(dataclasses.replace(request, model="open", checkpoint=whole))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["camerahmr", "open"])
def test_the_other_kinds_go_the_same_way(
    kind: str, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = dataclasses.replace(TINY, kind=kind, token_input=160 if kind == "camerahmr" else 1)
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, random_state(config), config)
    words = ["recover", clip, "--out", tmp_path / "out", "--person", "1", "--end", "0.4", "--json"]
    code = cli.main([*map(str, words), "--model", kind, "--checkpoint", str(path), "--precision", "fp32"])
    out = capsys.readouterr().out
    assert code == 0
    assert "encode" in json.loads(out)["seconds_by_stage"]
    assert Encoding.load(tmp_path / "out/demo.job/encoding.person01.npz").kind == kind


def test_the_network_that_comes_along_reads_landmarks(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "encoder.safetensors"
    save_checkpoint(path, random_state(TINY_CROPS), TINY_CROPS)
    monkeypatch.setattr("fasthmr.request.WEIGHTS", path)
    words = ["recover", str(clip), "--person", "1", "--end", "0.4", "--json", "--decoder", "landmark_fit"]
    assert cli.main([*words, "--out", str(tmp_path / "open"), "--model", "open", "--tokens", "96"]) == 0
    assert "encode" in json.loads(capsys.readouterr().out)["seconds_by_stage"]
    encoding = Encoding.load(tmp_path / "open/demo.job/encoding.person01.npz")
    assert encoding.kind == "open"
    assert encoding.token.shape[1] == TINY_CROPS.head_dim
    assert cli.main([*words, "--out", str(tmp_path / "plain"), "--model", "landmarks"]) == 0
    assert "encode" not in json.loads(capsys.readouterr().out)["seconds_by_stage"]
