# SPDX-License-Identifier: Apache-2.0
"""The motion decoder as a value and as a file."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from fasthmr.body import load_body
from fasthmr.decoder import evidence_features
from fasthmr.decoder.motion_decoder import (
    DecoderConfig,
    MotionDecoder,
    load_decoder,
    regressor_file,
    save_decoder,
)
from fasthmr.decoder.motion_features import blurred
from fasthmr.decoder.noise_schedule import TIMES, trailing_times
from fasthmr.errors import BadInput, MissingModel
from tests.decoder.tiny_decoder import TINY, WINDOW, tiny_decoder

FEATURES = evidence_features.FEATURE_COUNT


@pytest.fixture(scope="module")
def decoder() -> MotionDecoder:
    return tiny_decoder(load_body("open"))


def random(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


# --- denoising


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_diffusion_is_the_loop_of_ddim(decoder: MotionDecoder, steps: int) -> None:
    features, latents = random(3, WINDOW, FEATURES), decoder.noise(3, 1)
    made, read = decoder.diffuse(features, latents, steps)
    signal, noise = decoder.schedule.signal.tolist(), decoder.schedule.noise.tolist()
    times, last = trailing_times(steps), None
    for index, now in enumerate(times):
        velocity, last = decoder.denoiser(features, latents, torch.full((3,), now))
        clean = signal[now] * latents - noise[now] * velocity
        left = noise[now] * latents + signal[now] * velocity
        if index + 1 < len(times):
            latents = signal[times[index + 1]] * clean + noise[times[index + 1]] * left
        else:
            latents = clean
    assert torch.allclose(made, decoder.vae.decode(latents), atol=1e-4)
    assert last is not None
    assert torch.equal(read.betas, last.betas)


def test_regression_is_blurred_and_not_standardised(decoder: MotionDecoder) -> None:
    features = random(2, WINDOW, FEATURES)
    motion, _ = decoder.regress(features)
    plain, _ = decoder.regressor(features)
    made = (motion - decoder.vae.mean) / decoder.vae.deviation
    assert torch.allclose(made, blurred(plain), atol=1e-4)


def test_noise_belongs_to_its_seed(decoder: MotionDecoder) -> None:
    assert torch.equal(decoder.noise(2, 5), decoder.noise(2, 5))
    assert not torch.equal(decoder.noise(2, 5), decoder.noise(2, 6))
    assert decoder.noise(2, 5).shape == (2, TINY.vae.tokens, TINY.vae.latent)


def test_half_of_the_latents_to_train_on_are_noise_alone(decoder: MotionDecoder) -> None:
    clean = random(4000, 1, 8)
    noisy, times, velocity = decoder.training_latents(clean, torch.Generator().manual_seed(0))
    last = times == TIMES - 1
    assert 0.46 < last.float().mean() < 0.54
    others = times[~last].float()
    assert others.min() < 10
    assert abs(float(others.mean()) - TIMES / 2) < 30
    # at the last time the latents say nothing of the truth, and the wanted v is the truth itself
    assert torch.allclose(velocity[last], -clean[last], atol=1e-6)
    both = torch.stack([noisy[last].flatten(), clean[last].flatten()])
    assert abs(float(both.corrcoef()[0, 1])) < 0.03
    assert torch.allclose(decoder.schedule.clean(noisy, velocity, times), clean, atol=1e-4)
    again = decoder.training_latents(clean, torch.Generator().manual_seed(0))
    assert torch.equal(again[0], noisy)


# --- files


def test_file_keeps_weights_to_half_precision(decoder: MotionDecoder, tmp_path: Path) -> None:
    path = tmp_path / "decoder.safetensors"
    save_decoder(decoder, path, {"hours": 1.5})
    loaded = load_decoder(path)
    assert loaded.config == TINY
    assert len(loaded.sha256) == 64
    assert not any(weight.requires_grad for weight in loaded.parameters())
    for name, value in decoder.state_dict().items():
        kept = loaded.state_dict()[name]
        assert kept.dtype == torch.float32
        if value.ndim > 1:
            assert torch.equal(kept, value.half().float()), name
        else:
            assert torch.equal(kept, value), name
    features = random(2, WINDOW, FEATURES)
    for estimate in (
        lambda one: one.regress(features)[0],
        lambda one: one.diffuse(features, one.noise(2, 0))[0],
    ):
        assert torch.allclose(estimate(loaded), estimate(decoder), atol=0.05)
    save_decoder(loaded, tmp_path / "again.safetensors", {"hours": 1.5})
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "again.regressor.safetensors",
        "again.safetensors",
        "decoder.regressor.safetensors",
        "decoder.safetensors",
    ]


def test_second_part_must_be_there_and_of_the_same_decoder(decoder: MotionDecoder, tmp_path: Path) -> None:
    path, other = tmp_path / "decoder.safetensors", tmp_path / "other.safetensors"
    save_decoder(decoder, path)
    assert regressor_file(path) == tmp_path / "decoder.regressor.safetensors"
    torch.manual_seed(99)
    save_decoder(MotionDecoder(TINY), other)
    regressor_file(other).replace(regressor_file(path))
    with pytest.raises(BadInput, match=r"decoder\.regressor\.safetensors does not belong to decoder"):
        load_decoder(path)
    regressor_file(path).unlink()
    with pytest.raises(MissingModel, match=r"lacks its second part decoder\.regressor\.safetensors"):
        load_decoder(path)


def test_sizes_and_training_stand_in_the_head(decoder: MotionDecoder, tmp_path: Path) -> None:
    path = tmp_path / "decoder.safetensors"
    save_decoder(decoder, path, {"hours": 1.5})
    with safetensors.safe_open(path, framework="pt") as file:
        head = json.loads(file.metadata()["fasthmr"])
    assert head["training"] == {"hours": 1.5}
    assert DecoderConfig.from_json(head["config"]) == TINY
    other = replace(TINY, default="regressor", frame_rate=25.0)
    assert DecoderConfig.from_json(json.loads(json.dumps(asdict(other)))) == other


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match=r"none\.safetensors.*fasthmr train decoder"):
        load_decoder(tmp_path / "none.safetensors")


@pytest.mark.parametrize("length", [0, 4, 100, -1])
def test_partial_files_are_refused(decoder: MotionDecoder, tmp_path: Path, length: int) -> None:
    path = tmp_path / "decoder.safetensors"
    save_decoder(decoder, path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(BadInput, match=r"decoder\.safetensors is no motion decoder, or it is damaged"):
        load_decoder(path)


def rewritten(
    decoder: MotionDecoder,
    path: Path,
    state: dict[str, torch.Tensor] | None = None,
    config: object = None,
    head: str | None = None,
) -> Path:
    """The decoder's file with other contents."""
    text = json.dumps({"config": asdict(decoder.config) if config is None else config})
    state = dict(decoder.state_dict()) if state is None else state
    safetensors.torch.save_file(state, path, {"fasthmr": text if head is None else head})
    return path


def test_heads_that_are_no_motion_decoders_are_refused(decoder: MotionDecoder, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    plain = asdict(TINY)
    heads = ["", "nothing", "[]", "{}", '{"config": 3}', '{"config": {"vae": {}}}']
    configs = [
        {**plain, "vae": {**plain["vae"], "heads": 0}},
        {**plain, "vae": {**plain["vae"], "width": -4}},
        {**plain, "vae": {**plain["vae"], "colour": 1}},
        {**plain, "denoiser": {**plain["denoiser"], "window": 17}},
        {**plain, "frame_rate": "often"},
    ]
    for head in heads:
        with pytest.raises(BadInput, match=r"other\.safetensors is no motion decoder"):
            load_decoder(rewritten(decoder, path, head=head))
    for config in configs:
        with pytest.raises(BadInput, match=r"other\.safetensors is no motion decoder"):
            load_decoder(rewritten(decoder, path, config=config))
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(BadInput, match=r"other\.safetensors is no motion decoder"):
        load_decoder(path)


def test_weights_that_do_not_fit_are_refused(decoder: MotionDecoder, tmp_path: Path) -> None:
    state = dict(decoder.state_dict())
    path = tmp_path / "other.safetensors"
    lacking = {name: one for name, one in state.items() if name != "vae.mean"}
    with pytest.raises(BadInput, match=r"another version(?s:.*)vae\.mean"):
        load_decoder(rewritten(decoder, path, lacking))
    with pytest.raises(BadInput, match=r"another version(?s:.*)extra"):
        load_decoder(rewritten(decoder, path, {**state, "extra": torch.zeros(2)}))
    with pytest.raises(BadInput, match=r"another version(?s:.*)vae\.mean"):
        load_decoder(rewritten(decoder, path, {**state, "vae.mean": torch.zeros(3)}))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["regressor.to_motion.weight", "vae.latent_deviation"])
def test_numbers_that_are_not_finite_are_refused(
    decoder: MotionDecoder, tmp_path: Path, name: str, value: float
) -> None:
    state = {key: one.clone() for key, one in decoder.state_dict().items()}
    state[name].view(-1)[3] = value
    with pytest.raises(BadInput, match=r"other\.safetensors holds weights that are not finite"):
        load_decoder(rewritten(decoder, tmp_path / "other.safetensors", state))


def test_nothing_is_left_where_nothing_can_be_written(decoder: MotionDecoder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match="cannot be written"):
        save_decoder(decoder, tmp_path / "file" / "decoder.safetensors")
