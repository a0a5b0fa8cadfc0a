# SPDX-License-Identifier: Apache-2.0
"""Which decoder a job takes, and that a trained one's motion reaches the motion file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fasthmr import cli
from fasthmr.chosen_decoder import choose_decoder
from fasthmr.decoder import motion_decoder
from fasthmr.decoder.motion_decoder import DecoderConfig, MotionDecoder, save_decoder
from fasthmr.decoder.motion_vae import VaeConfig
from fasthmr.decoder.networks import NetworkConfig
from fasthmr.errors import BadCall, BadInput, MissingModel
from fasthmr.models import Models
from fasthmr.motion import Motion
from fasthmr.people.bundle import find_bundle
from fasthmr.pipeline import RecoverRequest, recover
from fasthmr.progress import Progress
from fasthmr.request import check
from tests.real_clip import demo_clip

TINY = DecoderConfig(
    vae=VaeConfig(width=32, encoder_depth=1, decoder_depth=1, latent=16),
    denoiser=NetworkConfig(width=32, depth=1),
    regressor=NetworkConfig(width=32, depth=1),
    default="regressor",
)


class Log(Progress):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def log(self, message: str) -> None:
        self.said.append(message)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_decoder(MotionDecoder(TINY), path)
    return path


def request(**changes: object) -> RecoverRequest:
    return RecoverRequest(Path("clip.mp4"), Path("out"), **changes)  # type: ignore[arg-type]


def test_auto_takes_the_estimator_that_measured_better(weights: Path) -> None:
    chosen = choose_decoder(request(decoder_weights=weights), Models(), Progress())
    assert chosen is not None
    assert chosen.described() == {
        "name": "regressor",
        "sha256": chosen.networks.sha256,
        "refined": True,
    }
    plain = choose_decoder(request(decoder_weights=weights, refine=False), Models(), Progress())
    assert plain is not None
    assert plain.refinement is None
    assert plain.described() == {**chosen.described(), "refined": False}
    assert len(chosen.networks.sha256) == 64


def test_steps_are_part_of_what_a_motion_depends_on(weights: Path) -> None:
    models = Models()
    one, four = (
        choose_decoder(request(decoder="diffusion", steps=steps, decoder_weights=weights), models, Progress())
        for steps in (1, 4)
    )
    assert one is not None
    assert four is not None
    assert one.networks is four.networks  # loaded once
    assert one.described() != four.described()


def test_auto_falls_back_to_the_landmark_fit_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(motion_decoder, "WEIGHTS", tmp_path / "none.safetensors")
    log = Log()
    assert choose_decoder(request(), Models(), log) is None
    assert "fitted to landmarks" in log.said[0]
    with pytest.raises(MissingModel, match="--decoder-weights"):
        choose_decoder(request(decoder="diffusion"), Models(), log)


def test_landmark_fit_asks_for_no_weights(weights: Path) -> None:
    weights.write_bytes(b"nothing")
    assert choose_decoder(request(decoder="landmark_fit"), Models(), Progress()) is None
    with pytest.raises(BadInput, match="tiny"):
        choose_decoder(request(decoder_weights=weights), Models(), Progress())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoder": "magic"}, "magic"),
        ({"decoder": "diffusion", "steps": 0}, "steps"),
        ({"decoder": "regressor", "steps": 2}, "steps"),
        ({"decoder": "landmark_fit", "decoder_weights": Path("x")}, "no weights"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(BadCall, match=message):
        check(request(**changes))


def test_missing_weights_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match="absent"):
        check(request(decoder_weights=tmp_path / "absent.safetensors"))


@pytest.mark.slow
def test_a_job_with_a_trained_decoder(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:  # type: ignore[type-arg]
    try:
        find_bundle()
    except MissingModel:
        pytest.skip("the person detector's weights are not prepared: run `python build.py setup`")
    call = [
        "recover",
        str(demo_clip()),
        "--out",
        str(tmp_path),
        "--end",
        "1",
        "--person",
        "largest",
        "--json",
    ]
    call += ["--decoder", "diffusion", "--decoder-weights", str(weights)]
    assert cli.main(call) == 0
    first = json.loads(capsys.readouterr().out)
    motion = Motion.load(Path(first["motions"][0]))
    assert motion.meta["decoder"]["name"] == "diffusion"
    assert motion.meta["decoder"]["steps"] == 1
    assert cli.main(call) == 0
    assert "fit.person01" in json.loads(capsys.readouterr().out)["reused"]
    assert cli.main([*call, "--steps", "3"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["reused"] == ["people"]
    assert not np.array_equal(Motion.load(Path(again["motions"][0])).poses, motion.poses)


def test_pipeline_refuses_damaged_weights_before_any_work(weights: Path, tmp_path: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BadInput, match="damaged"):
        recover(RecoverRequest(demo_clip(), tmp_path / "out", decoder_weights=weights))
    assert not (tmp_path / "out").exists()
