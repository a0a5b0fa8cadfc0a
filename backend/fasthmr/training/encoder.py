# SPDX-License-Identifier: Apache-2.0
"""Train our encoder: what landmarks of captured motion say first, then rendered people as well.

The first stage has no pictures: the first guess (:mod:`fasthmr.encoder.first_guess`) learns what poses there
are and what landmarks say of them, at a thousandth of the cost a person. In the second the transformer learns
from crops what to correct, with a part of the patches left out, so that a step costs less and the network
gets used to missing background; the guess goes on learning beside it, from its own error alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from fasthmr.body import load_body
from fasthmr.device import choose_precision
from fasthmr.encoder.checkpoint import load_checkpoint, save_checkpoint
from fasthmr.encoder.config import OPEN, EncoderConfig
from fasthmr.encoder.first_guess import FirstGuess, Guess
from fasthmr.encoder.model import HMRModel, HMROutput
from fasthmr.encoder.smpl_head import SMPLHead
from fasthmr.errors import BadCall, BadInput
from fasthmr.progress import Progress
from fasthmr.training.batch_stream import BatchStream
from fasthmr.training.encoder_batches import MocapBatches, PictureBatches, draws
from fasthmr.training.encoder_losses import CORRECTION, LandmarkCorrection, encoder_loss
from fasthmr.training.encoder_validation import EncoderError, encoder_errors
from fasthmr.training.single_frames import EncoderBatch
from fasthmr.training.training_run import TrainingRun

WEIGHTS: Final = "encoder.safetensors"
_SPREAD: Final = 0.02  # of first positions
# Layers whose result is added to what came before.
_ADDED: Final = ("attn.proj", "mlp.fc2", "to_out.0", "net.3")


@dataclass(frozen=True)
class EncoderTraining:
    """What to train, on what, for how long.

    Attributes:
        people: folder of a set of synthetic people.
        out: folder for the state, the logs and the weights.
        mocap: folder of a set made by ``fasthmr train mocap``; None: no first stage, and pictures only.
        minutes: budget of the stage with pictures; 0 for the first stage alone.
        landmark_minutes: budget of the first stage; 0 leaves it out.
        batch: people a step.
        mocap_batch: landmarks of captured motion beside them.
        start_from: weights to go on from (fine-tuning), or None; its sizes are taken.
        learning_rate: highest.
        seed: of everything drawn.
        device: "cpu", "cuda", ...
        precision: of the transformer's products: "auto", "fp32" or "bf16"; sums and losses stay in fp32.
        threads: of PyTorch; None leaves it alone.
        validation: people that the errors are measured on.
        validate_minutes: time between measurements.
        config: sizes of the network.
    """

    people: Path | None
    out: Path
    mocap: Path | None = None
    minutes: float = 60.0
    landmark_minutes: float = 15.0
    batch: int = 32
    mocap_batch: int = 256
    start_from: Path | None = None
    learning_rate: float = 6e-4
    seed: int = 0
    device: str = "cpu"
    precision: str = "auto"
    threads: int | None = None
    validation: int = 256
    validate_minutes: float = 5.0
    config: EncoderConfig = field(default_factory=lambda: OPEN)


def train_encoder(training: EncoderTraining, progress: Progress | None = None) -> dict[str, EncoderError]:
    """Train what is not trained yet, and write ``encoder.safetensors`` into the folder.

    The weights so far are written there at every measurement as well.

    Returns:
        Errors on people that were held out: with "pictures", and of the same network "blind", from landmarks
        alone.

    Raises:
        BadCall: there is nothing to learn from, or no such precision.
        BadInput: a set is missing or damaged, or the state in the folder is another network's.
        MissingModel: the weights to start from are not there.
        Cancelled: the user cancelled; the state is kept.
    """
    if training.people is None and training.minutes > 0:
        raise BadCall("Pictures need people (--people), made by `fasthmr train synthesis`.")
    if training.mocap is None and training.landmark_minutes > 0 and training.people is None:
        raise BadCall(
            "Give people (--people), captured motion (--mocap), or both: there is nothing to learn."
        )
    progress = progress or Progress()
    if training.threads:
        torch.set_num_threads(training.threads)
    torch.manual_seed(training.seed)
    stages = _Stages(training, progress)
    if training.mocap is not None and training.landmark_minutes > 0:
        stages.landmarks()
    if training.minutes > 0:
        stages.pictures()
    return stages.finish()


class _Stages:
    """The stages of a training, each a :class:`TrainingRun`."""

    def __init__(self, training: EncoderTraining, progress: Progress) -> None:
        self._training, self._progress = training, progress
        self.model = first_model(training)
        self.model.to(training.device).train().requires_grad_(True)
        guess = self.model.smpl_head.first_guess
        assert isinstance(guess, FirstGuess)  # noqa: S101 (first_model sees to it)
        self._guess = guess
        self._correction = LandmarkCorrection(self.model.config.dim).to(training.device)
        self._body = load_body("open").to(training.device)
        products = choose_precision(training.device, training.precision)
        self._products = None if products == torch.float32 else products
        self._held = self._held_out()
        self._runs: list[TrainingRun] = []

    def landmarks(self) -> None:
        """The first stage."""
        training = self._training
        self._train("landmarks", training.landmark_minutes, None)

    def pictures(self) -> None:
        """The second stage."""
        training = self._training
        self._train("encoder", training.minutes, training.people)

    def finish(self) -> dict[str, EncoderError]:
        """Measure, and write the weights."""
        errors = self.errors()
        self._save(errors)
        return errors

    def errors(self) -> dict[str, EncoderError]:
        """Errors of the network as it is."""
        found = {}
        # Products as in training: on two cores, half the time.
        with self._cast():
            if self._held.crops is not None:
                found["pictures"] = encoder_errors(self.model, self._held, self._body_on_cpu)
            found["blind"] = encoder_errors(self.model, self._held._replace(crops=None), self._body_on_cpu)
        return found

    def _train(self, name: str, minutes: float, people: Path | None) -> None:
        training = self._training
        stream = BatchStream(
            draws,
            people,
            training.mocap,
            training.batch,
            training.mocap_batch,
            training.seed,
            self.model.config.in_channels,
        )
        try:
            stream.wait()  # before the time is counted
            run = TrainingRun(
                name,
                training.out,
                # The first stage trains the guess alone, the second all.
                [self.model, self._correction] if people is not None else [self._guess],
                minutes,
                training.learning_rate,
                self._progress,
                self._validate,
                validate_minutes=training.validate_minutes,
            )
            self._runs.append(run)
            while run.goes_on():
                run.step(*self._losses(*next(stream)))
        finally:
            stream.close()
        run.use_average()

    def _losses(
        self, pictures: EncoderBatch | None, motion: EncoderBatch | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        parts: dict[str, Tensor] = {}
        losses = []
        for prefix, given in (("", pictures), ("mocap_", motion)):
            if given is None:
                continue
            batch = given.to(self._training.device)
            guess = self._guess(batch.landmarks)
            output = HMROutput(*self.model.smpl_head.guessed(guess), guess.hidden)
            loss, found = encoder_loss(output, batch, self._body)
            losses.append(loss)
            parts |= {f"blind_{prefix}{part}": value for part, value in found.items()}
            if batch.crops is not None:
                output, correction = self._forward(batch, guess)
                loss, found = encoder_loss(output, batch, self._body)
                losses += [loss, CORRECTION * correction]
                parts |= {**found, "correction": correction}
        return torch.stack(losses).sum(), parts

    def _forward(self, batch: EncoderBatch, guess: Guess) -> tuple[HMROutput, Tensor]:
        """The network on a part of the patches, and the loss of its landmarks."""
        assert batch.crops is not None  # noqa: S101 (for the type checker)
        backbone = self.model.backbone
        # What the image corrects must not make the guess worse.
        guess = Guess(guess.hidden.detach(), guess.body.detach())
        with self._cast():
            tokens = backbone.embed(batch.crops.float(), batch.landmarks, guess.hidden, batch.keep)
            tokens = backbone.through(tokens)
        tokens = tokens.float()
        rotmat, betas, camera, token = self.model.smpl_head(tokens, guess=guess)
        correction = self._correction(tokens[:, -self.model.config.landmarks :], batch)
        return HMROutput(rotmat, betas, camera, token), correction

    def _cast(self) -> torch.autocast:
        return torch.autocast(
            torch.device(self._training.device).type,
            dtype=self._products or torch.bfloat16,
            enabled=self._products is not None,
        )

    def _validate(self) -> Mapping[str, float]:
        errors = self.errors()
        self._save(errors)
        return {
            f"{name}_{what}": value for name, one in errors.items() for what, value in asdict(one).items()
        }

    def _save(self, errors: Mapping[str, EncoderError]) -> None:
        training = self._training
        card = {
            "steps": {run.name: run.state.step for run in self._runs},
            "hours": {run.name: round(run.state.seconds / 3600, 3) for run in self._runs},
            "batch": training.batch,
            "errors": {name: asdict(one) for name, one in errors.items()},
        }
        # Matrices in half precision: half the file, and no error that could be measured.
        state = {
            name: one.half() if one.ndim > 1 and one.is_floating_point() else one
            for name, one in self.model.state_dict().items()
        }
        save_checkpoint(training.out / WEIGHTS, state, self.model.config, {"card": card})

    def _held_out(self) -> EncoderBatch:
        """People to measure on; where there are none yet, landmarks of motion."""
        training = self._training
        self._body_on_cpu = load_body("open")
        if training.people is not None:
            try:
                held = PictureBatches(training.people, 12345, True, self.model.config.in_channels)
            except BadInput:
                if training.minutes > 0:
                    raise
            else:
                rows = np.unique(np.linspace(0, len(held) - 1, training.validation).round().astype(int))
                return held.all_in_order(rows)
        if training.mocap is None:
            raise BadCall("There is nothing to measure on: give people (--people) or motion (--mocap).")
        return MocapBatches(training.mocap, 12345, "validation").draw(training.validation)


def first_model(training: EncoderTraining) -> HMRModel:
    """The network before its first step: drawn, or that of a file.

    Raises:
        MissingModel: there is no such file.
        BadInput: it is damaged, or its layers were merged.
    """
    if training.start_from is not None:
        model = load_checkpoint(training.start_from, "open", simplify=False)
        if not model.config.landmarks or not model.config.reads_proxies:
            raise BadInput(
                f"{training.start_from} reads no edges, masks and landmarks. Start from a network that "
                "`fasthmr train encoder` made."
            )
        return HMRModel.from_state(
            model.config, {name: one.clone() for name, one in model.state_dict().items()}, model.plan
        )
    model = HMRModel(training.config)
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            if "first_guess" in name:
                continue  # begins as PyTorch has it: it has no lack of steps
            # Wide enough that a signal gets through: narrow networks stand still for long otherwise.
            spread = 1 / math.sqrt(module.weight[0].numel())
            if name.endswith(_ADDED):
                spread /= math.sqrt(2 * training.config.depth)
            nn.init.trunc_normal_(module.weight, std=spread)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for name, weight in model.named_parameters():
        if name.endswith(("pos_embed", "pos_embedding", "landmark_embed.names")):
            nn.init.trunc_normal_(weight, std=_SPREAD)
    head = model.smpl_head
    assert isinstance(head, SMPLHead)  # noqa: S101 (for the type checker)
    with torch.no_grad():
        for layer in (head.decpose, head.decshape, head.deccam):
            layer.weight.mul_(0.1)  # close to the guess at first
        # Somebody who stands upright and looks into the camera.
        head.init_body_pose[0, :6] = torch.tensor([1.0, 0, 0, 0, -1, 0])
    return model


def card_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What a file says of its training; empty where it says nothing."""
    card = metadata.get("card")
    return card if isinstance(card, dict) else {}
