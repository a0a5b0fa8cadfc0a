# SPDX-License-Identifier: Apache-2.0
"""Training the motion decoder in seconds: stages, files, going on, fine-tuning, and what it refuses."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fasthmr.body import BodyModel, load_body
from fasthmr.decoder.batches import EvidenceBatch, MotionBatch
from fasthmr.decoder.evidence_features import CHANNELS, evidence_features
from fasthmr.decoder.motion_decoder import DecoderConfig, MotionDecoder, load_decoder
from fasthmr.errors import BadCall, BadInput, Cancelled
from fasthmr.progress import Progress
from fasthmr.training import evidence
from fasthmr.training import motion_decoder as module
from fasthmr.training.evidence.errors import usual
from fasthmr.training.mocap.packed import MocapSet
from fasthmr.training.motion_decoder import (
    DecoderTraining,
    _Stages,
    _validation,
    draws,
    resized,
    train_decoder,
)
from fasthmr.training.motion_losses import truth_of
from tests.decoder.smooth_people import people
from tests.decoder.tiny_decoder import TINY, WINDOW, tiny_decoder
from tests.training.evidence.recorded_pairs import write_pairs
from tests.training.tiny_mocap import tiny_mocap


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body("open")


@pytest.fixture(scope="module")
def mocap(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> MocapSet:
    return tiny_mocap(body, tmp_path_factory.mktemp("mocap") / "set")


@pytest.fixture
def training(mocap: MocapSet, tmp_path: Path) -> DecoderTraining:
    """A few steps for each stage."""
    return DecoderTraining(
        mocap.folder,
        tmp_path / "run",
        vae_minutes=1 / 60,
        minutes=1 / 60,
        batch=4,
        precision="fp32",
        validation_windows=6,
        config=TINY,
    )


# --- parts


def test_batches_are_mixed_with_recorded_pairs(
    body: BodyModel, mocap: MocapSet, training: DecoderTraining, tmp_path: Path
) -> None:
    write_pairs(tmp_path / "pairs", mocap, body, usual(), sequences=4)
    training = replace(training, pairs=tmp_path / "pairs")

    def recorded(share: float) -> float:
        draw = draws(replace(training, pairs_share=share))
        return (
            sum(draw()[0].rotations is None for _ in range(40)) / 40
        )  # an encoder speaks in synthesis alone

    assert recorded(0.0) == 0
    assert recorded(1.0) == 1
    assert 0.2 < recorded(0.5) < 0.8


def test_a_share_of_the_batches_is_of_varied_motion(
    training: DecoderTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Synthesis:
        def __init__(self, *_: object, varied: bool, seed: int, **__: object) -> None:
            self.varied, self.seed = varied, seed

        def batch(self, _count: int) -> tuple[bool, int]:
            return self.varied, self.seed

    monkeypatch.setattr(evidence, "EvidenceSynthesis", Synthesis)

    def drawn(share: float) -> list[tuple[bool, int]]:
        draw: Callable[[], Any] = draws(replace(training, varied=share))
        return [draw() for _ in range(60)]

    assert not any(varied for varied, _ in drawn(0.0))
    assert all(varied for varied, _ in drawn(1.0))
    mixed = drawn(0.5)
    assert 0.2 < sum(varied for varied, _ in mixed) / 60 < 0.8
    assert len(set(mixed)) == 2, "both draw the same windows"


def test_recordings_that_are_held_out_are_measured_too(
    body: BodyModel, mocap: MocapSet, training: DecoderTraining, tmp_path: Path
) -> None:
    def measured(files: int) -> set[str]:
        folder = tmp_path / f"{files} files"
        write_pairs(folder, mocap, body, usual(), files, sequences=1)
        held = _validation(replace(training, pairs=folder))
        return set(_Stages(training, tiny_decoder(body), body, held, Progress()).errors())

    plain = {"vae", "diffusion", "regressor"}
    assert measured(7) == plain  # the eighth file is the first that is held out
    assert measured(8) == plain | {f"recorded_{name}" for name in plain}


def test_batches_are_of_the_decoders_window(training: DecoderTraining) -> None:
    evidence, motion = draws(training)()
    assert evidence.boxes.shape == (4, WINDOW, 4)
    assert motion.rotations.shape == (4, WINDOW, 24, 3, 3)


def stages(body: BodyModel, training: DecoderTraining, decoder: MotionDecoder) -> _Stages:
    return _Stages(training, decoder, body, {"": people(body, 2, WINDOW)}, Progress())


def test_channels_are_left_out_of_some_windows(
    body: BodyModel, training: DecoderTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence, _ = people(body, 60, WINDOW)
    one = stages(body, training, tiny_decoder(body))
    monkeypatch.setattr(module, "_CHANNEL_LOSS", 0.0)
    whole = evidence_features(evidence)
    assert torch.equal(one._with_losses_of_channels(evidence), whole)
    monkeypatch.setattr(module, "_CHANNEL_LOSS", 0.1)
    made = one._with_losses_of_channels(evidence)
    ways = {"": whole} | {
        name: evidence_features(evidence, (name,)) for name in CHANNELS if name != "encoder"
    }
    counted = dict.fromkeys(ways, 0)
    for row in range(60):
        found = [name for name, features in ways.items() if torch.equal(made[row], features[row])]
        assert len(found) == 1
        counted[found[0]] += 1
    assert min(counted.values()) >= 2
    assert counted[""] == max(counted.values())


def test_latents_are_standardised(body: BodyModel, training: DecoderTraining) -> None:
    decoder = tiny_decoder(body)
    one = stages(body, training, decoder)
    evidence, motion = people(body, 64, WINDOW, seed=1)

    class Repeated:
        def __next__(self) -> tuple[EvidenceBatch, MotionBatch]:
            return evidence, motion

    one._measure_latents(Repeated())  # type: ignore[arg-type]
    latents = decoder.vae.encode(truth_of(motion, evidence, body).features).flatten(0, 1)
    assert torch.allclose(latents.mean(0), torch.zeros(8), atol=1e-4)
    assert float(latents.square().mean()) == pytest.approx(1, abs=1e-3)
    assert len(decoder.vae.latent_deviation.unique()) == 1


def test_sizes_for_tries() -> None:
    plain = DecoderConfig()
    assert resized(plain, None, None) == plain
    wide = resized(plain, 64, None)
    assert (wide.vae.width, wide.denoiser.width, wide.regressor.width) == (64, 64, 64)
    assert (wide.vae.encoder_depth, wide.denoiser.depth) == (plain.vae.encoder_depth, plain.denoiser.depth)
    deep = resized(plain, None, 2)
    assert (deep.vae.encoder_depth, deep.vae.decoder_depth, deep.denoiser.depth, deep.regressor.depth) == (
        2,
        2,
        2,
        4,
    )
    assert deep.denoiser.width == plain.denoiser.width


# --- the whole


class Log(Progress):
    def __init__(self, cancelled: threading.Event | None = None, stop_at: str = "") -> None:
        super().__init__(cancelled)
        self.stages: list[str] = []
        self.said: list[str] = []
        self._stop_at = stop_at

    def show(self, stage: str, done: int, total: int | None) -> None:
        if stage not in self.stages:
            self.stages.append(stage)
        if stage == self._stop_at:
            self.cancelled.set()

    def log(self, message: str) -> None:
        self.said.append(message)


def steps_of(folder: Path) -> dict[str, int]:
    states = {
        name: torch.load(folder / f"{name}.state.pt", weights_only=True) for name in ("vae", "networks")
    }
    return {name: state["step"] for name, state in states.items()}


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return load_decoder(path).state_dict()


@pytest.mark.slow
def test_training_goes_on_and_may_be_fine_tuned(training: DecoderTraining, tmp_path: Path) -> None:
    log = Log()
    errors = train_decoder(training, log)
    assert list(errors) == ["vae", "diffusion", "regressor"]
    assert all(0 < one.mpjpe_mm < 1000 for one in errors.values())
    assert log.stages == ["train vae", "train networks"]
    assert any(text.startswith("vae, step") for text in log.said)
    made = sorted(path.name for path in training.out.iterdir())
    expected = {
        "motion_decoder.safetensors",
        "motion_decoder.regressor.safetensors",
        "networks.state.pt",
        "vae.state.pt",
    }
    assert expected | {"networks.validation.csv", "vae.validation.csv"} <= set(made)
    path = training.out / "motion_decoder.safetensors"
    loaded = load_decoder(path)
    assert loaded.config == TINY
    assert loaded.vae.latent_deviation.min() > 0
    assert not torch.equal(loaded.vae.deviation, torch.ones(154))
    first, weights = steps_of(training.out), weights_of(path)
    assert min(first.values()) >= 1  # the first step waits for the other process

    again = train_decoder(training)  # the budget is spent
    assert steps_of(training.out) == first
    assert all(torch.equal(one, weights[name]) for name, one in weights_of(path).items())
    assert again["regressor"] == errors["regressor"]

    train_decoder(replace(training, minutes=9 / 60))
    more = steps_of(training.out)
    assert more["vae"] == first["vae"]
    assert more["networks"] > first["networks"]
    assert not torch.equal(
        weights_of(path)["regressor.to_motion.weight"], weights["regressor.to_motion.weight"]
    )
    assert torch.equal(weights_of(path)["vae.to_motion.weight"], weights["vae.to_motion.weight"])

    tuned = replace(
        training, out=tmp_path / "tuned", start_from=path, vae_minutes=0.0, config=DecoderConfig()
    )
    begun = weights_of(path)
    train_decoder(tuned)
    fine = weights_of(tuned.out / "motion_decoder.safetensors")
    assert load_decoder(tuned.out / "motion_decoder.safetensors").config == TINY
    assert torch.equal(fine["vae.to_motion.weight"], begun["vae.to_motion.weight"])
    change = (fine["regressor.to_motion.weight"] - begun["regressor.to_motion.weight"]).abs().max()
    assert 0 < change < 0.1

    alone = replace(tuned, out=tmp_path / "alone", trained="regressor")
    train_decoder(alone)
    assert (alone.out / "regressor.state.pt").is_file()
    only = weights_of(alone.out / "motion_decoder.safetensors")
    changed = {name.split(".")[0] for name, one in only.items() if not torch.equal(one, begun[name])}
    assert changed == {"regressor"}


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["vae", "networks"])
def test_cancelling_keeps_the_state(training: DecoderTraining, stage: str) -> None:
    with pytest.raises(Cancelled):
        train_decoder(training, Log(stop_at=f"train {stage}"))
    assert (training.out / f"{stage}.state.pt").is_file()
    assert not (training.out / "motion_decoder.safetensors").exists()
    train_decoder(training)
    assert min(steps_of(training.out).values()) >= 1
    load_decoder(training.out / "motion_decoder.safetensors")


def test_what_cannot_be_is_refused(training: DecoderTraining, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none is not a motion capture set"):
        train_decoder(replace(training, mocap=tmp_path / "none"))
    with pytest.raises(BadCall, match="fp3"):
        train_decoder(replace(training, precision="fp3"))
    with pytest.raises(BadCall, match="no network 'vae'"):
        train_decoder(replace(training, trained="vae"))


def test_missing_pairs_are_said_though_another_process_reads_them(
    training: DecoderTraining, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"none holds no recorded pairs"):
        train_decoder(replace(training, pairs=tmp_path / "none"))


def test_state_of_another_network_is_refused(training: DecoderTraining, tmp_path: Path) -> None:
    training.out.mkdir()
    torch.save({"step": 1}, training.out / "vae.state.pt")
    with pytest.raises(BadInput, match=r"vae\.state\.pt does not belong to this training"):
        train_decoder(training)
