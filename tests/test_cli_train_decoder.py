# SPDX-License-Identifier: Apache-2.0
"""``fasthmr train decoder`` as a user calls it: on a tiny set, on real clips, and into a recovery."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from fasthmr import cli, cli_train_decoder
from fasthmr.body import load_body
from fasthmr.decoder.decode import DecodeSettings, decode
from fasthmr.decoder.motion_decoder import DecoderConfig, load_decoder
from fasthmr.errors import MissingModel
from fasthmr.motion import Motion
from fasthmr.people.bundle import find_bundle
from fasthmr.training import motion_decoder
from fasthmr.training.motion_decoder import DecoderTraining
from tests.decoder.smooth_people import as_clip, people
from tests.real_clip import demo_clip
from tests.training.tiny_mocap import tiny_mocap

DATA = Path(__file__).resolve().parents[2] / "shared/data/mocap"


def parser() -> argparse.ArgumentParser:
    trains = argparse.ArgumentParser().add_subparsers()
    cli_train_decoder.add_commands(trains)
    return trains.choices["decoder"]


@pytest.fixture
def mocap(tmp_path: Path) -> Path:
    return tiny_mocap(load_body("open"), tmp_path / "set").folder


def call(mocap: Path, out: Path, *more: str) -> list[str]:
    """A tiny network and a few seconds."""
    words = [
        "train",
        "decoder",
        "--mocap",
        str(mocap),
        "--out",
        str(out),
        "--device",
        "cpu",
        "--precision",
        "fp32",
    ]
    words += ["--width", "32", "--depth", "1", "--batch", "8", "--validation-windows", "8", "--threads", "1"]
    return [*words, *more]


def column(path: Path, name: str) -> np.ndarray:
    if not path.exists():  # not even twenty steps
        return np.zeros(0)
    with path.open(encoding="utf-8") as file:
        return np.array([float(row[name]) for row in csv.DictReader(file)])


def fallen(path: Path, name: str) -> float:
    """Mean of the last tenth of a log over that of the first tenth."""
    values = column(path, name)
    tenth = max(1, len(values) // 10)
    return float(values[-tenth:].mean() / values[:tenth].mean())


# --- the call


def test_help_tells_the_defaults_of_the_code() -> None:
    helps = {action.dest: action.help or "" for action in parser()._actions}
    defaults = {field.name: field.default for field in dataclasses.fields(DecoderTraining)}
    told = {name: re.search(r"\((\S+)\)$", text) for name, text in helps.items()}
    numbers = ("vae_minutes", "minutes", "batch", "pairs_share", "learning_rate", "seed")
    for name in (*numbers, "validation_windows", "validate_minutes"):
        found = told[name]
        assert found, name
        assert float(found[1]) == defaults[name], name
    config = DecoderConfig()
    assert config.denoiser.width == config.regressor.width
    assert helps["width"].endswith(f"(denoiser {config.denoiser.width}, VAE {config.vae.width})")
    assert helps["depth"].endswith(f"(denoiser {config.denoiser.depth}, regressor {config.regressor.depth})")
    assert helps["precision"].endswith(f"({defaults['precision']})")


def test_options_reach_the_training(
    mocap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[DecoderTraining] = []
    monkeypatch.setattr(
        motion_decoder, "train_decoder", lambda training, _progress: asked.append(training) or {}
    )
    assert (
        cli.main(["train", "decoder", "--mocap", str(mocap), "--out", str(tmp_path), "--device", "cpu"]) == 0
    )
    assert asked[0] == DecoderTraining(mocap, tmp_path)
    words = {
        "vae_minutes": "3.5",
        "minutes": "7",
        "batch": "9",
        "pairs": str(tmp_path / "pairs"),
        "pairs_share": "0.25",
        "varied": "0.7",
        "start_from": str(tmp_path / "weights"),
        "learning_rate": "0.001",
        "seed": "4",
        "threads": "2",
        "precision": "bf16",
        "validation_windows": "11",
        "validate_minutes": "0.5",
    }
    more = [word for name, value in words.items() for word in (f"--{name.replace('_', '-')}", value)]
    assert cli.main(call(mocap, tmp_path, *more, "--only", "denoiser", "--json")) == 0
    assert asked[1].trained == "denoiser"
    for name, value in words.items():
        assert str(getattr(asked[1], name)) in {value, f"{value}.0"}, name
    assert set(cli_train_decoder._SETTINGS) == {*words, "trained"}
    assert asked[1].config.denoiser.width == 32
    assert asked[1].config.vae.decoder_depth == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {}


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (["--mocap", "none"], 3, "not a motion capture set"),
        (["--device", "tpu"], 2, "tpu"),
        (["--precision", "fp7"], 2, "fp7"),
        (["--start-from", "none.safetensors"], 5, "none.safetensors"),
        (["--pairs", "none"], 3, "no recorded pairs"),
    ],
    ids=str,
)
def test_exit_codes(
    change: list[str],
    code: int,
    message: str,
    mocap: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main([*call(mocap, tmp_path / "run"), *change]) == code
    out, err = capsys.readouterr()
    assert not out
    assert message in err


# --- the training


@pytest.mark.slow
def test_tiny_training_learns_goes_on_and_recovers(
    mocap: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = call(mocap, run, "--vae-minutes", "0.25", "--minutes", "0.3", "--learning-rate", "0.002")
    assert cli.main(words) == 0
    out, err = capsys.readouterr()
    assert [line.split(":")[0] for line in out.splitlines()] == ["vae", "diffusion", "regressor"]
    assert "MPJPE" in out
    assert str(run / "motion_decoder.safetensors") in err
    log = run / "networks.log.csv"
    steps, minutes, errors = column(log, "step"), 0.3, {}
    while minutes < 0.4 or len(column(log, "step")) < 6:  # at least once; more often where machines are slow
        minutes += 0.2
        assert cli.main([*words, "--minutes", str(minutes), "--json"]) == 0
        errors = json.loads(capsys.readouterr().out)
    assert column(log, "step").max() > max(steps, default=0)
    assert (np.diff(column(log, "seconds")) > 0).all()
    assert errors["regressor"]["mpjpe_mm"] < 400
    assert fallen(run / "vae.log.csv", "bends") < 0.95  # it begins at principal components, which tremble
    # the networks begin at a linear answer, which trembles; the loss as a whole weighs that more and more
    for name in ("regressor_bends", "diffusion_bends"):
        assert fallen(log, name) < 0.9, name
    assert fallen(log, "regressor_joints") < 1

    weights = load_decoder(run / "motion_decoder.safetensors")
    body = load_body("open")
    evidence = as_clip(people(body, 1, 100)[0])
    for estimator in ("diffusion", "regressor"):
        made = decode(evidence, body, weights, settings=DecodeSettings(estimator=estimator))
        assert np.isfinite(made.joints).all()
    recovers(run / "motion_decoder.safetensors", tmp_path, capsys)


def recovers(weights: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second of real footage with these weights, where the detector is there."""
    try:
        find_bundle()
    except MissingModel:
        return
    words = ["recover", str(demo_clip()), "--out", str(folder / "out"), "--end", "1", "--person", "largest"]
    assert cli.main([*words, "--json", "--decoder-weights", str(weights)]) == 0
    found = json.loads(capsys.readouterr().out)
    motion = Motion.load(Path(found["motions"][0]))
    assert motion.meta["decoder"]["sha256"] == load_decoder(weights).sha256
    assert np.isfinite(motion.poses).all()


@pytest.mark.slow
def test_training_on_real_clips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not DATA.is_dir():
        pytest.skip(f"the motion capture is not at {DATA}")
    mocap = tmp_path / "set"
    assert (
        cli.main(
            ["train", "mocap", "--data", str(DATA), "--out", str(mocap), "--only", "cmu_jump_retargeted"]
        )
        == 0
    )
    words = call(
        mocap, tmp_path / "run", "--vae-minutes", "0.15", "--minutes", "0.7", "--learning-rate", "0.002"
    )
    assert cli.main([*words, "--json"]) == 0
    assert fallen(tmp_path / "run/networks.log.csv", "regressor_bends") < 0.95
    assert list(json.loads(capsys.readouterr().out.splitlines()[-1])) == ["vae", "diffusion", "regressor"]
    load_decoder(tmp_path / "run/motion_decoder.safetensors")
