# SPDX-License-Identifier: Apache-2.0
"""Evidence to a body in motion: lengths, rates, gaps, seeds and seams, with small random networks."""

from __future__ import annotations

import copy
import threading
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch
from torch import Tensor

from fasthmr.body import BodyModel, load_body
from fasthmr.decoder import decode as decoding
from fasthmr.decoder.decode import DecodeSettings, decode, evidence_on_grid
from fasthmr.decoder.evidence_features import evidence_features
from fasthmr.decoder.motion_decoder import MotionDecoder
from fasthmr.decoder.motion_features import read_features
from fasthmr.decoder.segments import local_from_segments, segments_from_local
from fasthmr.decoder.time_grid import TimeGrid
from fasthmr.decoder.view_frame import box_rays, camera_from_view
from fasthmr.errors import Cancelled
from fasthmr.evidence import BodyEstimate, Evidence
from fasthmr.progress import Progress
from tests.decoder.smooth_people import as_clip, people, with_encoder
from tests.decoder.tiny_decoder import WINDOW, tiny_decoder

SETTINGS = DecodeSettings(overlap=6)


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body("open")


@pytest.fixture(scope="module")
def decoder(body: BodyModel) -> MotionDecoder:
    return tiny_decoder(body)


def clip(body: BodyModel, frames: int, rate: float = 30.0, seed: int = 0) -> Evidence:
    return as_clip(people(body, 1, frames, seed=seed)[0], rate)


def check(made: BodyEstimate, evidence: Evidence, body: BodyModel) -> None:
    """What every estimate must be, whatever the networks say."""
    count = evidence.frame_count
    assert made.rotations.shape == (count, 24, 3, 3)
    assert made.betas.shape == (10,)
    assert np.abs(made.betas).max() <= 3
    for value in (made.rotations, made.translation, made.joints, made.confidence, made.up, made.contacts):
        assert value is not None
        assert len(value) == count
        assert np.isfinite(value).all()
    unit = made.rotations @ made.rotations.swapaxes(-1, -2)
    np.testing.assert_allclose(unit, np.broadcast_to(np.eye(3), unit.shape), atol=1e-4)
    assert (np.linalg.det(made.rotations) > 0.9).all()
    joints, _ = body.joints(torch.from_numpy(made.rotations), torch.from_numpy(made.betas).expand(count, 10))
    np.testing.assert_allclose(joints.numpy() + made.translation[:, None], made.joints, atol=1e-4)
    assert made.confidence.min() >= 0
    assert made.confidence.max() <= 1
    assert (made.confidence[~evidence.seen] == 0).all()
    assert (made.confidence[evidence.seen] > 0).all()
    assert made.contacts is not None
    assert made.contacts.min() >= 0
    assert made.contacts.max() <= 1
    assert made.up is not None
    np.testing.assert_allclose(np.linalg.norm(made.up, axis=-1), 1, atol=1e-4)
    assert (made.joints[:, 0, 2] > 0.2).all()


@pytest.mark.parametrize("frames", [1, 2, 7, WINDOW - 1, WINDOW, WINDOW + 1, 90])
@pytest.mark.parametrize("estimator", ["diffusion", "regressor"])
def test_any_length(body: BodyModel, decoder: MotionDecoder, frames: int, estimator: str) -> None:
    evidence = clip(body, frames)
    settings = replace(SETTINGS, estimator=estimator)  # type: ignore[arg-type]
    check(decode(evidence, body, decoder, settings=settings), evidence, body)


@pytest.mark.parametrize("rate", [5.0, 23.976, 25.0, 30.0, 50.0, 60.0, 120.0])
@pytest.mark.parametrize("frames", [1, 2, 45])
def test_any_frame_rate(body: BodyModel, decoder: MotionDecoder, rate: float, frames: int) -> None:
    evidence = clip(body, frames, rate)
    check(decode(evidence, body, decoder, settings=SETTINGS), evidence, body)


def test_uneven_times_and_gaps(body: BodyModel, decoder: MotionDecoder) -> None:
    evidence = clip(body, 60)
    random = np.random.default_rng(0)
    times = np.cumsum(random.uniform(0.01, 0.1, 60))
    visibility = evidence.visibility.copy()
    visibility[:5] = visibility[20:41] = visibility[-1:] = 0
    visibility[7, 3:20] = 0
    evidence = replace(evidence, timestamps=times, visibility=visibility)
    check(decode(evidence, body, decoder, settings=SETTINGS), evidence, body)


@pytest.mark.parametrize("frames", [1, 5, 40])
def test_nothing_seen_at_all(body: BodyModel, decoder: MotionDecoder, frames: int) -> None:
    evidence = clip(body, frames)
    evidence = replace(evidence, visibility=np.zeros_like(evidence.visibility))
    made = decode(evidence, body, decoder, settings=SETTINGS)
    check(made, evidence, body)
    assert (made.betas == 0).all()


def test_landmarks_of_unseen_frames_are_not_read(body: BodyModel, decoder: MotionDecoder) -> None:
    evidence = clip(body, 30)
    visibility = evidence.visibility.copy()
    visibility[10:15] = 0
    wrong = {name: getattr(evidence, name).copy() for name in ("landmarks_image", "landmarks_world")}
    for value in wrong.values():
        value[10:15] = 1e3
    plain = replace(evidence, visibility=visibility)
    made = [decode(one, body, decoder, settings=SETTINGS) for one in (plain, replace(plain, **wrong))]
    np.testing.assert_array_equal(made[0].joints, made[1].joints)


# --- seeds, steps, samples


def poses(made: BodyEstimate) -> np.ndarray:
    return made.rotations


def test_seed_decides_the_motion(body: BodyModel, decoder: MotionDecoder) -> None:
    evidence = clip(body, 40)
    first, again, other = (
        decode(evidence, body, decoder, settings=replace(SETTINGS, seed=seed)) for seed in (3, 3, 4)
    )
    for name in ("rotations", "betas", "translation", "joints", "confidence", "up", "contacts"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert np.abs(poses(first) - poses(other)).max() > 1e-3
    regressed = [
        decode(evidence, body, decoder, settings=replace(SETTINGS, seed=seed, estimator="regressor"))
        for seed in (3, 4)
    ]
    np.testing.assert_array_equal(poses(regressed[0]), poses(regressed[1]))


@pytest.mark.parametrize("together", [1, 3])
def test_windows_do_not_depend_on_what_they_are_computed_with(
    body: BodyModel, decoder: MotionDecoder, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = clip(body, 75)
    settings = replace(SETTINGS, steps=2, samples=2)
    whole = decode(evidence, body, decoder, settings=settings)
    monkeypatch.setattr(decoding, "_TOGETHER", together)
    parts = decode(evidence, body, decoder, settings=settings)
    np.testing.assert_allclose(poses(parts), poses(whole), atol=2e-4)
    np.testing.assert_allclose(parts.betas, whole.betas, atol=1e-5)
    np.testing.assert_allclose(parts.confidence, whole.confidence, atol=1e-4)


def test_steps_and_samples_change_the_motion(body: BodyModel, decoder: MotionDecoder) -> None:
    evidence = clip(body, 40)
    one, four, drawn = (
        decode(evidence, body, decoder, settings=settings)
        for settings in (SETTINGS, replace(SETTINGS, steps=4), replace(SETTINGS, samples=3))
    )
    for made in (four, drawn):
        check(made, evidence, body)
        assert np.abs(poses(made) - poses(one)).max() > 1e-3
    # samples that are not of one mind are believed less
    assert drawn.confidence.mean() < one.confidence.mean()


def test_samples_are_averaged(body: BodyModel, decoder: MotionDecoder) -> None:
    evidence = clip(body, WINDOW)
    batch = evidence_on_grid(evidence, TimeGrid.over(evidence.timestamps, 30.0))
    features = evidence_features(batch)
    drawn = [
        decoder.diffuse(features, decoder.noise(1, 5 * 1_000_003 + sample * 10_007))[0][0]
        for sample in range(3)
    ]
    wanted = in_camera(torch.stack(drawn).mean(0), evidence)
    made = decode(evidence, body, decoder, settings=replace(SETTINGS, samples=3, seed=5))
    np.testing.assert_allclose(poses(made), wanted, atol=1e-4)


def in_camera(features: Tensor, evidence: Evidence) -> np.ndarray:
    """Local rotations of motion features (T, F) of a clip of 30 frames a second."""
    batch = evidence_on_grid(evidence, TimeGrid.over(evidence.timestamps, 30.0))
    rays, _ = box_rays(batch.boxes, batch.intrinsics)
    segments = camera_from_view(rays[0])[:, None] @ read_features(features).segments
    return local_from_segments(segments).numpy()


# --- windows


def test_windows_cross_fade_as_a_plain_loop_does(body: BodyModel, decoder: MotionDecoder) -> None:
    frames, overlap = 45, SETTINGS.overlap
    evidence = clip(body, frames)
    made = decode(evidence, body, decoder, settings=SETTINGS)
    features = evidence_features(evidence_on_grid(evidence, TimeGrid.over(evidence.timestamps, 30.0)))[0]
    starts = [0, 10, 19, 29]  # evenly from 0 to 45 - 16, in as few steps as six shared frames allow
    summed, total = torch.zeros(frames, 154), torch.zeros(frames, 1)
    for number, start in enumerate(starts):
        motion, _ = decoder.diffuse(features[None, start : start + WINDOW], decoder.noise(1, number))
        for place in range(WINDOW):
            share = 1.0
            if start > 0:
                share *= min(1.0, (place + 1) / (overlap + 1))
            if start + WINDOW < frames:
                share *= min(1.0, (WINDOW - place) / (overlap + 1))
            summed[start + place] += share * motion[0, place]
            total[start + place] += share
    np.testing.assert_allclose(poses(made), in_camera(summed / total, evidence), atol=1e-4)


class Constant(MotionDecoder):
    """Every window is a still pose, another one than its neighbour's."""

    def regress(self, features: Tensor):  # type: ignore[no-untyped-def]
        _, read = super().regress(features)
        angles = torch.arange(len(features))[:, None, None] % 2 * torch.tensor([0.4, 0.0, 0.0])
        segments = roma.rotvec_to_rotmat(angles)[:, :, None].expand(-1, WINDOW, 24, 3, 3)
        motion = torch.zeros(len(features), WINDOW, 154)
        motion[..., :144] = torch.cat([segments[..., 0], segments[..., 1]], dim=-1).flatten(2)
        motion[..., 148] = -1
        return motion, read


def test_no_seams_where_windows_meet(body: BodyModel, decoder: MotionDecoder) -> None:
    still = Constant(decoder.config)
    still.load_state_dict(decoder.state_dict())
    evidence = clip(body, 4 * WINDOW)
    evidence = replace(evidence, boxes=np.tile(evidence.boxes[:1], (4 * WINDOW, 1)))
    steps = []
    for overlap in (0, 6):
        settings = DecodeSettings(estimator="regressor", overlap=overlap)
        root = torch.from_numpy(decode(evidence, body, still, settings=settings).rotations[:, 0])
        steps.append(float(roma.rotmat_geodesic_distance(root[1:], root[:-1]).max()))
    assert steps[0] == pytest.approx(0.4, abs=0.01)  # a jump of the whole difference
    assert steps[1] < 1.5 * 0.4 / 7


# --- what is told is what is done


class Oracle(MotionDecoder):
    """Says what it is told to say."""

    told: Tensor
    shape: Tensor

    def regress(self, features: Tensor):  # type: ignore[no-untyped-def]
        _, read = super().regress(features)
        motion = torch.zeros(len(features), WINDOW, 154)
        motion[..., :144] = torch.eye(3)[:, :2].mT.flatten().repeat(24)
        motion[0, : len(self.told)] = self.told
        return motion, replace(read, betas=self.shape[None], error=torch.full_like(read.error, 0.05))


@pytest.mark.parametrize("rate", [30.0, 25.0, 60.0, 10.0])
def test_right_networks_give_the_true_motion(body: BodyModel, decoder: MotionDecoder, rate: float) -> None:
    """The truth goes through view frame, time grid, shape and path, and comes back in the camera."""
    many = people(body, 1, 31, seed=2, frame_rate=60.0)  # half a second, 60 times a second
    keep = {30.0: 2, 25.0: 2, 60.0: 1, 10.0: 6}[rate]
    evidence, motion = many[0], many[1]
    frames = torch.arange(0, 31, keep)[: WINDOW if rate != 60.0 else None]
    seen = replace(
        evidence,
        **{
            name: getattr(evidence, name)[:, frames]
            for name in ("landmarks_image", "landmarks_world", "visibility", "boxes")
        },
    )
    given = as_clip(seen, rate)
    grid = TimeGrid.over(given.timestamps, rate)
    even = torch.from_numpy((grid.times * rate * keep).round().astype(int))
    assert len(even) <= WINDOW
    rays, _ = box_rays(evidence_on_grid(given, grid).boxes, evidence.intrinsics)
    view = camera_from_view(rays[0]).mT
    segments = view[:, None] @ segments_from_local(motion.rotations[0, even])
    speed = motion.pelvis[0, even].diff(dim=0) / grid.step
    speed = (view @ torch.cat([speed, speed[-1:]])[..., None])[..., 0]
    up = (view @ motion.up[0, even][..., None])[..., 0]
    contacts = torch.ones(len(even), 4)
    oracle = Oracle(decoder.config)
    oracle.load_state_dict(decoder.state_dict())
    columns = torch.cat([segments[..., 0], segments[..., 1]], dim=-1).flatten(1)
    oracle.told = torch.cat([columns, speed, up, contacts], dim=-1)
    oracle.shape = motion.betas[0]
    assert oracle.shape.abs().max() < 3
    made = decode(given, body, oracle, settings=DecodeSettings(estimator="regressor", overlap=6))
    check(made, given, body)
    turned = roma.rotmat_geodesic_distance(torch.from_numpy(made.rotations), motion.rotations[0, frames])
    assert turned.max() < 0.01
    np.testing.assert_allclose(made.joints[:, 0], motion.pelvis[0, frames], atol=0.02)
    assert made.up is not None
    assert made.contacts is not None
    np.testing.assert_allclose(made.up, motion.up[0, frames], atol=0.01)
    np.testing.assert_allclose(made.betas, oracle.shape, atol=1e-5)
    np.testing.assert_allclose(made.contacts, 1, atol=1e-5)
    np.testing.assert_allclose(made.confidence, 1 - np.exp(-0.1 / 0.05), atol=1e-4)


def test_shape_is_the_mean_of_what_was_seen(body: BodyModel, decoder: MotionDecoder) -> None:
    evidence = clip(body, WINDOW + 10)
    visibility = evidence.visibility.copy()
    visibility[12:] = 0
    evidence = replace(evidence, visibility=visibility)
    features = evidence_features(evidence_on_grid(evidence, TimeGrid.over(evidence.timestamps, 30.0)))[0]
    rows = torch.stack([features[:WINDOW], features[10:]])
    shapes = decoder.regress(rows)[1].betas
    made = decode(evidence, body, decoder, settings=replace(SETTINGS, estimator="regressor"))
    np.testing.assert_allclose(made.betas, (12 * shapes[0] + 2 * shapes[1]) / 14, atol=1e-5)


def test_other_bodies_get_their_mean(body: BodyModel, decoder: MotionDecoder) -> None:
    other = copy.copy(body)
    other.name = "smpl"
    made = decode(clip(body, 8), other, decoder, settings=SETTINGS)
    assert (made.betas == 0).all()


def test_encoder_is_listened_to_unless_left_out(body: BodyModel, decoder: MotionDecoder) -> None:
    batch, motion = people(body, 1, 20)
    plain, told = as_clip(batch), as_clip(with_encoder(batch, motion))
    settings = replace(SETTINGS, estimator="regressor")
    without = replace(settings, without=("encoder",))
    alone = poses(decode(plain, body, decoder, settings=settings))
    assert np.abs(poses(decode(told, body, decoder, settings=settings)) - alone).max() > 1e-4
    np.testing.assert_array_equal(poses(decode(told, body, decoder, settings=without)), alone)


# --- what cannot be


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (DecodeSettings(samples=0, overlap=6), "0 samples"),
        (DecodeSettings(steps=0, overlap=6), "0 steps"),
        (DecodeSettings(overlap=WINDOW), "overlap of 16"),
        (DecodeSettings(overlap=-1), "overlap of -1"),
        (DecodeSettings(overlap=6, without=("smell",)), "smell"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    body: BodyModel, decoder: MotionDecoder, settings: DecodeSettings, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        decode(clip(body, 4), body, decoder, settings=settings)


def test_cancelled(body: BodyModel, decoder: MotionDecoder) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Cancelled):
        decode(clip(body, 4), body, decoder, Progress(cancelled), SETTINGS)


def test_progress_counts_windows(
    body: BodyModel, decoder: MotionDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int, int | None]] = []

    class Told(Progress):
        def show(self, stage: str, done: int, total: int | None) -> None:
            told.append((stage, done, total))

    monkeypatch.setattr(decoding, "_TOGETHER", 2)
    decode(clip(body, 45), body, decoder, Told(), SETTINGS)
    assert told == [("fit", 0, 4), ("fit", 2, 4), ("fit", 4, 4)]
