# SPDX-License-Identifier: Apache-2.0
"""Methods run the pipeline's own steps, share what they have in common, and differ where they should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fasthmr.decoder.decode import DecodeSettings, decode
from fasthmr.decoder.motion_decoder import DecoderConfig, MotionDecoder
from fasthmr.decoder.motion_vae import VaeConfig
from fasthmr.decoder.networks import NetworkConfig
from fasthmr.errors import MissingModel
from fasthmr.evaluation import methods
from fasthmr.evaluation.ablations import baselines, chosen, decoders, variants
from fasthmr.evaluation.methods import Method, Watched, field_of_view, recover_by, watch
from fasthmr.models import Models
from fasthmr.motion import Motion
from fasthmr.people.bundle import find_bundle
from fasthmr.pipeline import RecoverRequest, recover
from fasthmr.progress import Progress
from fasthmr.request import EncoderChoice
from tests.decoder.landmark_fit.synthetic import BODY, evidence_of, walk
from tests.real_clip import demo_clip

TINY = DecoderConfig(
    vae=VaeConfig(width=32, encoder_depth=1, decoder_depth=1, latent=16),
    denoiser=NetworkConfig(width=32, depth=1),
    regressor=NetworkConfig(width=32, depth=1),
)


@pytest.fixture(scope="module")
def networks() -> MotionDecoder:
    torch.manual_seed(0)
    return MotionDecoder(TINY).eval()


@pytest.fixture
def watched() -> Watched:
    rotations, pelvis = walk(12)
    evidence, _ = evidence_of(rotations, pelvis, torch.zeros(10), world_noise=0.01)
    return Watched([], {None: [evidence]})


def test_learned_methods_are_the_decoder(watched: Watched, networks: MotionDecoder) -> None:
    method = Method("x", "diffusion", DecodeSettings(estimator="diffusion", steps=3))
    (motion,) = recover_by(method, watched, BODY, networks)
    estimate = decode(watched.evidences[None][0], BODY, networks, settings=method.settings)
    np.testing.assert_array_equal(motion.betas, estimate.betas)
    assert motion.meta["method"] == "x"
    (regressed,) = recover_by(
        Method("y", "regressor", DecodeSettings(estimator="regressor")), watched, BODY, networks
    )
    assert np.abs(regressed.poses - motion.poses).max() > 1e-3


def test_one_euro_shares_the_estimate(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    fits = []
    real = methods.fit_landmarks
    monkeypatch.setattr(methods, "fit_landmarks", lambda *a: fits.append(1) or real(*a))
    plain, smooth = (recover_by(method, watched, BODY)[0] for method in baselines())
    assert len(fits) == 1
    assert np.abs(plain.trans - smooth.trans).max() > 1e-4
    np.testing.assert_array_equal(plain.betas, smooth.betas)


def test_learned_method_without_weights_says_what_to_do(watched: Watched) -> None:
    with pytest.raises(MissingModel, match="decoder-weights"):
        recover_by(decoders()[0], watched, BODY)


def test_variants_have_names_of_their_own_and_cover_the_design(networks: MotionDecoder) -> None:
    assert [method.name for method in variants(None)] == ["landmark_fit", "landmark_fit + One-Euro"]
    found = variants(networks)
    names = [method.name for method in found]
    assert len(set(names)) == len(names)
    assert {"regressor", "diffusion, 1 step", "diffusion, 4 steps"} <= set(names)
    assert {m.settings.without for m in found if m.settings.without} == {
        ("image",), ("world",), ("visibility",), ("box",)
    }  # fmt: skip
    assert any(m.settings.overlap == 0 for m in found)
    for method in found:
        if method.learned:
            assert method.settings.estimator == method.decoder
    kept = [method.name for method in chosen(found)]
    assert kept[:2] == ["landmark_fit", "landmark_fit + One-Euro"]
    assert not any("without" in name or "overlap" in name for name in kept)


def test_encoder_adds_its_variants(networks: MotionDecoder) -> None:
    encoder = EncoderChoice("open", Path("e.safetensors"))
    found = variants(networks, encoder)
    assert ("encoder",) in {method.settings.without for method in found}
    assert {method.encoder.tokens for method in found if method.encoder} == {192, 128, 96}
    assert len({method.name for method in found}) == len(found)


def test_every_variant_runs(watched: Watched, networks: MotionDecoder) -> None:
    for method in variants(networks):
        (motion,) = recover_by(method, watched, BODY, networks)
        assert not motion.problems(), method.name


def test_field_of_view_is_that_of_the_camera() -> None:
    focal = 480 / np.tan(np.radians(25))
    assert field_of_view(np.diag([focal, focal, 1]), 960) == pytest.approx(50)


@pytest.mark.slow
def test_watched_clip_is_recovered_as_the_product_does(tmp_path: Path) -> None:
    clip = demo_clip()
    try:
        find_bundle()
    except MissingModel as error:
        pytest.skip(str(error))
    models = Models()
    result = recover(
        RecoverRequest(clip, tmp_path, decoder="landmark_fit", camera_fov=50.0, person="all"), models=models
    )
    stamp = (result.folder / "people.npz").stat().st_mtime_ns
    seen = watch(clip, tmp_path, models, Progress(), 50.0)
    assert (result.folder / "people.npz").stat().st_mtime_ns == stamp  # people were not looked for again
    motions = recover_by(baselines()[0], seen, models.body("open"))
    for path, motion in zip(result.motions, motions, strict=True):
        kept = Motion.load(path)
        np.testing.assert_allclose(motion.poses, kept.poses, atol=1e-4)
        np.testing.assert_allclose(motion.trans, kept.trans, atol=1e-4)
