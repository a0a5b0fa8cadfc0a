# SPDX-License-Identifier: Apache-2.0
"""Training our encoder in seconds: both stages, files, going on, fine-tuning, and what it refuses."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fasthmr.body import load_body
from fasthmr.encoder.checkpoint import load_checkpoint, read_weights, save_checkpoint
from fasthmr.encoder.random_weights import random_state
from fasthmr.errors import BadCall, BadInput
from fasthmr.training.encoder import WEIGHTS, EncoderTraining, card_of, first_model, train_encoder
from tests.encoder.open_network import TINY_CROPS
from tests.encoder.small_sizes import TINY_HMR2
from tests.training.tiny_mocap import tiny_mocap
from tests.training.tiny_people import write_tiny_people


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """People and captured motion."""
    folder, body = tmp_path_factory.mktemp("sets"), load_body("open")
    return write_tiny_people(body, folder / "people"), tiny_mocap(body, folder / "mocap").folder


@pytest.fixture
def training(sets: tuple[Path, Path], tmp_path: Path) -> EncoderTraining:
    people, mocap = sets
    return EncoderTraining(
        people,
        tmp_path / "run",
        mocap=mocap,
        minutes=3 / 60,
        landmark_minutes=3 / 60,
        batch=4,
        mocap_batch=16,
        learning_rate=3e-3,
        precision="fp32",
        validation=6,
        config=TINY_CROPS,
    )


def column(path: Path, name: str) -> list[float]:
    with path.open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_both_stages_learn_and_a_finished_training_is_not_done_again(training: EncoderTraining) -> None:
    errors = train_encoder(training)
    assert set(errors) == {"pictures", "blind"}
    weights = training.out / WEIGHTS
    model = load_checkpoint(weights, "open")
    assert model.config == TINY_CROPS
    card = card_of(read_weights(weights)[1])
    assert card["errors"]["pictures"]["mpjpe_mm"] == pytest.approx(errors["pictures"].mpjpe_mm)
    assert card["steps"]["landmarks"] > 0
    assert card["steps"]["encoder"] > 0
    # Longer, the first stage alone: the loss falls.
    longer = replace(training, landmark_minutes=8 / 60, minutes=0)
    train_encoder(longer)
    losses = column(training.out / "landmarks.log.csv", "loss")
    assert len(losses) >= 2
    assert losses[-1] < 0.9 * losses[0]
    again = train_encoder(replace(longer, minutes=3 / 60))
    assert card_of(read_weights(weights)[1])["steps"]["encoder"] == card["steps"]["encoder"]
    assert again["pictures"].mpjpe_mm > 0


@pytest.mark.slow
def test_fine_tuning_begins_from_given_weights(training: EncoderTraining, tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    save_checkpoint(start, random_state(TINY_CROPS), TINY_CROPS)
    tuned = replace(training, start_from=start, landmark_minutes=0, minutes=1 / 60, learning_rate=1e-6)
    train_encoder(tuned)
    before, after = (read_weights(path)[0] for path in (start, training.out / WEIGHTS))
    for name, one in before.items():
        torch.testing.assert_close(after[name].float(), one.float(), rtol=1e-3, atol=1e-3)  # half precision
    assert any(not torch.equal(after[name], one.to(after[name].dtype)) for name, one in before.items())


def test_the_first_network_says_somebody_upright_who_looks_into_the_camera(training: EncoderTraining) -> None:
    torch.manual_seed(0)
    model = first_model(training)
    crops = torch.randn(2, 2, 256, 192)
    output = model(crops, landmarks=torch.zeros(2, 25, 6))
    up = output.rotmat[:, 0] @ torch.tensor([0.0, 1, 0])
    assert (up[:, 1] < -0.8).all()


def test_nothing_to_learn_from_is_refused(training: EncoderTraining, tmp_path: Path) -> None:
    with pytest.raises(BadCall, match="--people"):
        train_encoder(replace(training, people=None))
    with pytest.raises(BadCall, match="nothing to learn"):
        train_encoder(replace(training, people=None, mocap=None, minutes=0))
    with pytest.raises(BadInput, match="no shards"):
        train_encoder(replace(training, people=tmp_path))


def test_a_network_of_another_kind_is_no_start(training: EncoderTraining, tmp_path: Path) -> None:
    colour = replace(TINY_HMR2, kind="open")
    save_checkpoint(tmp_path / "colour.safetensors", random_state(colour), colour)
    with pytest.raises(BadInput, match="no edges"):
        first_model(replace(training, start_from=tmp_path / "colour.safetensors"))
