# SPDX-License-Identifier: Apache-2.0
"""Recorded pairs as training batches: windows of the recording, and mirror images of them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from fasthmr.body import BodyModel, load_body
from fasthmr.decoder.view_frame import steady_boxes
from fasthmr.errors import BadInput
from fasthmr.files import load_arrays, save_arrays
from fasthmr.training.evidence.body_landmarks import BodyLandmarks
from fasthmr.training.evidence.errors import exact, usual
from fasthmr.training.evidence.paired import PairedEvidence, _mirrored, load_pairs, pair_files
from tests.training.evidence.recorded_pairs import write_pairs
from tests.training.tiny_mocap import tiny_mocap


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body("open")


@pytest.fixture(scope="module")
def folder(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pairs")
    write_pairs(made, tiny_mocap(body, made / "set"), body, usual(), files=9, sequences=3, gaps=True)
    return made


def test_every_eighth_file_is_held_out(folder: Path) -> None:
    assert [path.name for path in pair_files(folder, True)] == ["pairs0007.npz"]
    names = [path.name for path in pair_files(folder, False)]
    assert names == [f"pairs{number:04d}.npz" for number in (0, 1, 2, 3, 4, 5, 6, 8)]


def test_windows_are_cut_out_of_the_recording(folder: Path) -> None:
    arrays = load_pairs(pair_files(folder, False))
    evidence, motion = PairedEvidence(folder, seed=3, window=16).batch(40)
    found = 0
    for row in range(40):
        # the middle of the landmarks' y is not changed by a mirror, and no two frames share it
        heights = evidence.landmarks_image[row, :, :, 1].mean(1).numpy()
        every = arrays["landmarks_image"][..., 1].mean(2)
        sequence, first = divmod(int(np.abs(every - heights[0]).argmin()), every.shape[1])
        assert first + 16 <= every.shape[1]
        here = slice(first, first + 16)
        np.testing.assert_allclose(every[sequence, here], heights, rtol=1e-4)
        if not np.allclose(arrays["pelvis"][sequence, here], motion.pelvis[row], atol=1e-6):
            continue  # a mirror image
        found += 1
        assert torch.equal(motion.rotations[row], torch.from_numpy(arrays["rotations"][sequence, here]))
        assert torch.equal(motion.betas[row], torch.from_numpy(arrays["betas"][sequence]))
        boxes = torch.from_numpy(arrays["boxes"][sequence, here])[None]
        assert torch.allclose(evidence.boxes[row], steady_boxes(boxes)[0], atol=1e-2)
        shown = arrays["visibility"][sequence, here] * arrays["valid"][sequence, here, None]
        np.testing.assert_allclose(evidence.visibility[row], shown)
    assert 10 < found < 30
    assert evidence.rotations is None


def test_mirrored_windows_are_mirror_images(body: BodyModel, tmp_path: Path) -> None:
    """A perfect detector's pairs fit their truth after mirroring as before."""
    write_pairs(tmp_path, tiny_mocap(body, tmp_path / "set"), body, exact(), sequences=8)
    evidence, motion = PairedEvidence(tmp_path, window=16).batch(30)
    joints, turns = body.joints(motion.rotations.flatten(0, 1), motion.betas.repeat_interleave(16, 0))
    joints = (joints - joints[:, :1]).unflatten(0, (30, 16)) + motion.pelvis[:, :, None]
    points = BodyLandmarks(body).place(joints, turns.unflatten(0, (30, 16)), motion.betas)
    image = (evidence.intrinsics[:, None, None] @ points[..., None])[..., 0]
    off = (image[..., :2] / image[..., 2:] - evidence.landmarks_image).norm(dim=-1)
    size = (evidence.boxes[..., 2:] - evidence.boxes[..., :2]).amax(-1)[..., None]
    near = points[..., 2] > 0.3
    assert (off / size)[near].max() < 0.03  # the body's own two sides differ by a little
    assert torch.allclose(motion.up.norm(dim=-1), torch.ones(30, 16), atol=1e-4)
    assert (torch.linalg.det(motion.rotations) > 0.99).all()


def test_mirroring_twice_changes_nothing(folder: Path) -> None:
    evidence, motion = PairedEvidence(folder, window=16).batch(6)
    width = torch.full((6,), 1280.0)
    every, some = torch.ones(6, dtype=torch.bool), torch.tensor([True, False] * 3)
    once = _mirrored(evidence, motion, width, every)
    twice = _mirrored(*once, width, every)
    half = _mirrored(evidence, motion, width, some)
    for index, batch in enumerate((evidence, motion)):
        for field in fields(batch):
            plain = getattr(batch, field.name)
            if plain is None:
                continue
            assert torch.allclose(getattr(twice[index], field.name), plain, atol=1e-3), field.name
            mixed = getattr(half[index], field.name)
            assert torch.equal(mixed[~some], plain[~some])
            assert torch.equal(mixed[some], getattr(once[index], field.name)[some])
    assert not torch.allclose(once[1].rotations, motion.rotations)
    assert torch.equal(once[1].contacts, motion.contacts[..., [2, 3, 0, 1]])


def test_seed_decides(folder: Path) -> None:
    first, again, other = (PairedEvidence(folder, seed=seed, window=16).batch(5)[1] for seed in (1, 1, 2))
    assert torch.equal(first.pelvis, again.pelvis)
    assert not torch.equal(first.pelvis, other.pelvis)


# --- files


def test_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(BadInput, match=r"no recorded pairs.*fasthmr train evidence"):
            PairedEvidence(folder)
    (tmp_path / "pairs_of_shoes.npz").write_bytes(b"not of a recording")
    with pytest.raises(BadInput, match="no recorded pairs"):
        PairedEvidence(tmp_path)


def test_sequences_shorter_than_a_window_are_refused(folder: Path) -> None:
    with pytest.raises(BadInput, match="24 frames long; 64 are needed"):
        PairedEvidence(folder)


def test_damaged_files_are_refused(folder: Path, tmp_path: Path) -> None:
    whole = folder / "pairs0000.npz"
    path = tmp_path / "pairs0000.npz"
    path.write_bytes(whole.read_bytes()[:5000])
    with pytest.raises(BadInput, match=r"recorded pairs .*pairs0000\.npz cannot be read"):
        PairedEvidence(tmp_path, window=16)
    arrays = load_arrays(whole)
    save_arrays(path, {name: value for name, value in arrays.items() if name not in ("up", "betas")})
    with pytest.raises(BadInput, match=r"pairs0000\.npz lack betas, up"):
        PairedEvidence(tmp_path, window=16)
    save_arrays(path, arrays)
    shorter = {name: value[:, :20] if value.ndim > 2 else value for name, value in arrays.items()}
    save_arrays(tmp_path / "pairs0001.npz", shorter)
    with pytest.raises(BadInput, match=r"pairs0001\.npz"):
        PairedEvidence(tmp_path, window=16)
