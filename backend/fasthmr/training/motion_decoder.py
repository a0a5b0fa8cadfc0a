# SPDX-License-Identifier: Apache-2.0
"""Train the motion decoder: the motion VAE first, then denoiser and direct regressor on the same batches.

Windows of motion capture are seen by virtual cameras through modelled or recorded errors of perception
(:mod:`fasthmr.training.evidence`). A budget is wall-clock time: the learning rate falls along a cosine to its
end. The state is kept on disk all the while; the same call goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from fasthmr.body import BodyModel, load_body
from fasthmr.decoder.batches import EvidenceBatch, MotionBatch
from fasthmr.decoder.evidence_features import CHANNELS, evidence_features
from fasthmr.decoder.motion_decoder import DecoderConfig, MotionDecoder, load_decoder, save_decoder
from fasthmr.decoder.networks import Read
from fasthmr.decoder.transformer import SkipTransformer
from fasthmr.device import choose_precision
from fasthmr.errors import BadCall, BadInput
from fasthmr.progress import Progress
from fasthmr.training.batch_stream import BatchStream
from fasthmr.training.motion_losses import LossWeights, Truth, error_likelihood, motion_loss, truth_of
from fasthmr.training.motion_validation import MotionError, motion_errors
from fasthmr.training.training_run import TrainingRun

NETWORKS: Final = ("vae", "denoiser", "regressor")
#: What the time after the VAE may go to.
TRAINED: Final = ("both", "denoiser", "regressor")
# How often each channel of evidence is left out of a batch's window; one at a time.
_CHANNEL_LOSS: Final = 0.08
_BATCHES_TO_BEGIN: Final = 48
_SEVERITY: Final = (0.3, 1.1)
_KL: Final = 1e-4
_LATENTS: Final = 1.0
_RECORDED: Final = "recorded_"  # before the names of errors on recorded evidence


@dataclass(frozen=True)
class DecoderTraining:
    """What to train, on what, for how long.

    Attributes:
        mocap: folder of a set made by ``fasthmr train mocap``.
        out: folder for the state, the logs and the weights.
        vae_minutes: budget of the VAE.
        minutes: budget of denoiser and regressor together.
        batch: windows a step.
        pairs: folder of recorded pairs of perception and truth, or None.
        pairs_share: share of the batches that come from there.
        varied: share of the other batches whose motion is varied (limbs exchanged, joints bent; see
            :mod:`fasthmr.training.evidence.varied_motion`).
        start_from: weights of a motion decoder to go on from (fine-tuning), or None; its sizes are taken.
        learning_rate: highest.
        trained: "both" networks, or one of :data:`TRAINED` alone, which then has all the time of ``minutes``.
        seed: of everything drawn.
        device: "cpu", "cuda", ...
        precision: of the transformers' products: "auto", "fp32" or "bf16"; sums and losses stay in fp32.
        threads: of PyTorch; None leaves it alone.
        validation_windows: how many windows the errors are measured on.
        validate_minutes: time between measurements.
        config: sizes of the networks.
    """

    mocap: Path
    out: Path
    vae_minutes: float = 15.0
    minutes: float = 90.0
    batch: int = 32
    pairs: Path | None = None
    pairs_share: float = 0.3
    varied: float = 0.5
    start_from: Path | None = None
    learning_rate: float = 5e-4
    trained: str = "both"
    seed: int = 0
    device: str = "cpu"
    precision: str = "auto"
    threads: int | None = None
    validation_windows: int = 256
    validate_minutes: float = 5.0
    config: DecoderConfig = field(default_factory=DecoderConfig)


def train_decoder(training: DecoderTraining, progress: Progress | None = None) -> dict[str, MotionError]:
    """Train what is not trained yet, and write ``motion_decoder.safetensors`` into the folder.

    Returns:
        Errors on validation windows: of the VAE's reconstruction, diffusion, and the regressor; the same
        with "recorded_" before the names on recorded pairs that are held out, where there are any.

    Raises:
        BadInput: the mocap set or the recorded pairs are missing or damaged.
        BadCall: there is no such precision, or no such network.
        Cancelled: the user cancelled; the state is kept.
    """
    progress = progress or Progress()
    if training.trained not in TRAINED:
        raise BadCall(f"There is no network '{training.trained}' to train: choose {', '.join(TRAINED)}.")
    if training.threads:
        torch.set_num_threads(training.threads)
    torch.manual_seed(training.seed)
    body = load_body("open").to(training.device)
    decoder = MotionDecoder(training.config)
    if training.start_from is not None:
        decoder = load_decoder(training.start_from).requires_grad_(True).train()
        training = replace(training, config=decoder.config)
    decoder = decoder.to(training.device)
    products = choose_precision(training.device, training.precision)
    for module in decoder.modules():
        if isinstance(module, SkipTransformer):
            module.products = None if products == torch.float32 else products
    held = _validation(training)
    stream = BatchStream(draws, training)
    try:
        stream.wait()
        stages = _Stages(training, decoder, body, held, progress)
        stages.vae(stream)
        stages.networks(stream)
    finally:
        stream.close()
    errors = stages.errors()
    save_decoder(decoder, training.out / "motion_decoder.safetensors", stages.card(errors))
    return errors


def draws(training: DecoderTraining) -> Callable[[], tuple[EvidenceBatch, MotionBatch]]:
    """The function that makes one batch; called in the process of a :class:`BatchStream`."""
    from fasthmr.training.evidence import EvidenceSynthesis
    from fasthmr.training.mocap.packed import MocapSet

    window = training.config.vae.window
    seed = training.seed + time.time_ns() % 1_000_003  # a run that goes on sees other batches
    body, mocap = load_body("open"), MocapSet.open(training.mocap)
    captured, varied = (
        EvidenceSynthesis(mocap, body, seed=seed + more, window=window, severity=_SEVERITY, varied=bool(more))
        for more in (0, 1)
    )
    generator = torch.Generator().manual_seed(seed)

    def happens(share: float) -> bool:
        return float(torch.rand((), generator=generator)) < share

    def synthetic() -> tuple[EvidenceBatch, MotionBatch]:
        return (varied if happens(training.varied) else captured).batch(training.batch)

    if training.pairs is None:
        return synthetic
    from fasthmr.training.evidence.paired import PairedEvidence

    recorded = PairedEvidence(training.pairs, seed=seed, window=window)
    return lambda: recorded.batch(training.batch) if happens(training.pairs_share) else synthetic()


def _validation(training: DecoderTraining) -> dict[str, tuple[EvidenceBatch, MotionBatch]]:
    """Windows of validation clips with modelled errors, and held-out recorded ones if there are any."""
    from fasthmr.training.evidence import EvidenceSynthesis
    from fasthmr.training.mocap.packed import MocapSet

    synthesis = EvidenceSynthesis(
        MocapSet.open(training.mocap),
        load_body("open"),
        seed=12345,
        window=training.config.vae.window,
        split="validation",
        severity=_SEVERITY,
    )
    held = {"": synthesis.batch(training.validation_windows)}
    if training.pairs is not None:
        from fasthmr.training.evidence.paired import PairedEvidence, pair_files

        try:
            pair_files(training.pairs, held_out=True)
        except BadInput:
            return held  # too few files yet
        recorded = PairedEvidence(training.pairs, 12345, training.config.vae.window, held_out=True)
        held[_RECORDED] = recorded.batch(training.validation_windows)
    return held


class _Stages:
    """The two stages of a training, each a :class:`TrainingRun`."""

    def __init__(
        self,
        training: DecoderTraining,
        decoder: MotionDecoder,
        body: BodyModel,
        held: dict[str, tuple[EvidenceBatch, MotionBatch]],
        progress: Progress,
    ) -> None:
        self._training, self._decoder, self._body, self._progress = training, decoder, body, progress
        self._held = {
            name: (evidence.to(training.device), motion.to(training.device))
            for name, (evidence, motion) in held.items()
        }
        self._generator = torch.Generator().manual_seed(training.seed)
        self._runs: list[TrainingRun] = []

    def vae(self, stream: BatchStream) -> None:
        """Train the VAE, then freeze it and standardise its latents."""
        training, vae = self._training, self._decoder.vae
        run = self._run("vae", training.vae_minutes, [vae])
        if run.state.step == 0 and training.start_from is None:
            self._measure_features(stream)
        weights = LossWeights(betas=0.0, error=0.0)
        while run.goes_on():
            evidence, motion = self._next(stream)
            truth = truth_of(motion, evidence, self._body)
            mean, log_variance = vae.distribution(truth.features)
            noise = torch.randn(mean.shape, generator=self._generator).to(mean)
            rebuilt = vae.decode_raw(mean + noise * (0.5 * log_variance).exp())
            loss, parts, _ = motion_loss(
                rebuilt, truth.betas, truth, vae.deviation, self._body, evidence.step, weights.eased(run.done)
            )
            kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
            run.step(loss + _KL * kl, {**parts, "kl": kl})
        run.use_average()
        vae.requires_grad_(False)
        if training.start_from is None and not run.state.extra.get("latents"):
            self._measure_latents(stream)
            run.keep({"latents": 1.0})

    def networks(self, stream: BatchStream) -> None:
        """Train denoiser and regressor on the same batches, or one of them alone."""
        training, decoder = self._training, self._decoder
        both = {"denoiser": decoder.denoiser, "regressor": decoder.regressor}
        chosen = {name: one for name, one in both.items() if training.trained in ("both", name)}
        name = "networks" if len(chosen) > 1 else training.trained
        run = self._run(name, training.minutes, list(chosen.values()))
        if run.state.step == 0 and training.start_from is None:
            self._begin_networks(stream)
        weights = LossWeights()
        while run.goes_on():
            evidence, motion = self._next(stream)
            truth = truth_of(motion, evidence, self._body)
            features = self._with_losses_of_channels(evidence)
            now = weights if training.start_from else weights.eased(run.done)
            losses: list[Tensor] = []
            logged: dict[str, Tensor] = {}
            if "denoiser" in chosen:
                clean = decoder.vae.encode(truth.features)
                noisy, times, wanted = decoder.training_latents(clean, self._generator)
                velocity, read = decoder.denoiser(features, noisy, times)
                latent_error = (velocity - wanted).square().mean()
                made = decoder.vae.decode(decoder.schedule.clean(noisy, velocity, times))
                diffusion, parts = self._loss(made, read, truth, evidence, now)
                losses += [diffusion, _LATENTS * latent_error]
                logged |= {"latents": latent_error}
                logged |= {f"diffusion_{part}": one for part, one in parts.items()}
            if "regressor" in chosen:
                made, read = decoder.regress(features)
                regression, parts = self._loss(made, read, truth, evidence, now)
                losses.append(regression)
                logged |= {f"regressor_{part}": one for part, one in parts.items()}
            # Adam does not mind the sum: the two share no weights.
            run.step(torch.stack(losses).sum(), logged)
        run.use_average()

    def _loss(
        self, made: Tensor, read: Read, truth: Truth, evidence: EvidenceBatch, weights: LossWeights
    ) -> tuple[Tensor, dict[str, Tensor]]:
        deviation = self._decoder.vae.deviation
        loss, parts, distance = motion_loss(
            made, read.betas, truth, deviation, self._body, evidence.step, weights
        )
        parts["error"] = error_likelihood(read, distance, truth.valid)
        return loss + weights.error * parts["error"], parts

    def errors(self) -> dict[str, MotionError]:
        """Errors on the validation windows, with the weights as they are; "recorded_..." on recorded ones."""
        self._decoder.eval()
        return {
            prefix + who: error
            for prefix, windows in self._held.items()
            for who, error in motion_errors(self._decoder, *windows, self._body).items()
        }

    def card(self, errors: dict[str, MotionError]) -> dict[str, Any]:
        """What is kept with the weights."""
        return {
            "steps": {run.name: run.state.step for run in self._runs},
            "hours": {run.name: round(run.state.seconds / 3600, 3) for run in self._runs},
            "batch": self._training.batch,
            "errors": {name: asdict(one) for name, one in errors.items()},
        }

    def _run(self, name: str, minutes: float, modules: list[torch.nn.Module]) -> TrainingRun:
        training = self._training

        def validate() -> dict[str, float]:
            errors = self.errors()
            flat = {f"{who}_{key}": v for who, one in errors.items() for key, v in asdict(one).items()}
            shown = ("vae",) if name == "vae" else ("diffusion", "regressor")
            return {k: value for k, value in flat.items() if k.removeprefix(_RECORDED).startswith(shown)}

        run = TrainingRun(
            name,
            training.out,
            modules,
            minutes,
            training.learning_rate,
            self._progress,
            validate,
            validate_minutes=training.validate_minutes,
            saved_beside=[self._decoder.vae],
        )
        self._runs.append(run)
        return run

    def _next(self, stream: BatchStream) -> tuple[EvidenceBatch, MotionBatch]:
        evidence, motion = next(stream)
        return evidence.to(self._training.device), motion.to(self._training.device)

    def _with_losses_of_channels(self, evidence: EvidenceBatch) -> Tensor:
        """Evidence features with a whole channel left out of some windows; the encoder has its own losses."""
        features = evidence_features(evidence)
        draw = torch.rand(len(features), generator=self._generator)
        for number, channel in enumerate(one for one in CHANNELS if one != "encoder"):
            lost = (draw >= number * _CHANNEL_LOSS) & (draw < (number + 1) * _CHANNEL_LOSS)
            if lost.any():
                lost = lost.to(features.device)
                features[lost] = evidence_features(evidence.select(lost), (channel,))
        return features

    def _measure_features(self, stream: BatchStream) -> None:
        """Statistics of motion features, and the VAE's start, from a few batches."""
        batches = [self._next(stream) for _ in range(8)]
        self._decoder.vae.begin_from(torch.cat([truth_of(m, e, self._body).features for e, m in batches]))

    @torch.no_grad()
    def _begin_networks(self, stream: BatchStream) -> None:
        """Start both networks at the best linear answer to a few batches."""
        vae = self._decoder.vae
        rows: list[tuple[Tensor, Tensor, Tensor]] = []
        for _ in range(_BATCHES_TO_BEGIN):
            evidence, motion = self._next(stream)
            truth = truth_of(motion, evidence, self._body)
            standard = (truth.features - vae.mean) / vae.deviation
            rows.append((self._with_losses_of_channels(evidence), vae.encode(truth.features), standard))
        features, latents, standard = (torch.cat(part) for part in zip(*rows, strict=True))
        self._decoder.denoiser.begin_from(features, latents)
        self._decoder.regressor.begin_from(features, self._decoder.regressor.patches(standard))

    def _measure_latents(self, stream: BatchStream) -> None:
        """Mean and spread of the latents, so that the diffusion works on unit size."""
        vae = self._decoder.vae
        with torch.no_grad():
            batches = [self._next(stream) for _ in range(8)]
            latents = torch.cat(
                [vae.distribution(truth_of(m, e, self._body).features)[0].flatten(0, 1) for e, m in batches]
            )
        vae.latent_mean.copy_(latents.mean(0))
        # One size for all numbers: those that hardly vary hardly count.
        vae.latent_deviation.fill_(float((latents - latents.mean(0)).square().mean().sqrt()))


def resized(config: DecoderConfig, width: int | None, depth: int | None) -> DecoderConfig:
    """Other sizes of all the networks, for tries, tests, and machines with more to spend."""
    sizes = {name: value for name, value in (("width", width), ("depth", depth)) if value is not None}
    inner = {} if depth is None else {"encoder_depth": depth, "decoder_depth": depth}
    return replace(
        config,
        vae=replace(config.vae, **({} if width is None else {"width": width}), **inner),
        denoiser=replace(config.denoiser, **sizes),
        regressor=replace(config.regressor, **{**sizes, **({} if depth is None else {"depth": depth + 2})}),
    )
