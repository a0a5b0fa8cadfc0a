# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files of a models folder are offered, and as what."""

import pytest
from recover_motion import model_files
from recover_motion.model_files import ModelFile, find_model_files, kinds_of


@pytest.mark.parametrize(
    ("path", "kinds"),
    [
        ("logs/train/multiruns/hmr2/0/checkpoints/epoch=35-step=1000000.ckpt", ["hmr2"]),
        ("epoch=10-step=25000.ckpt", ["hmr2"]),
        ("camerahmr_checkpoint_cleaned.ckpt", ["camerahmr"]),
        ("CameraHMR/epoch=1.ckpt", ["camerahmr"]),
        ("hmr2b.safetensors", ["hmr2"]),
        ("merged.safetensors", ["hmr2", "camerahmr"]),
        ("vitpose_backbone.pth", []),
        ("cam_model_cleaned.ckpt", []),
        ("bedlam_v1_v2.ckpt", []),
        ("SMPL_NEUTRAL.pkl", ["body"]),
        ("basicModel_neutral_lbs_10_207_0_v1.0.0.pkl", ["body"]),
        ("smpl/smpl_female.npz", ["body"]),
        ("smpl_mean_params.npz", []),
        ("SMPLX_NEUTRAL.npz", []),
        ("walk.person01.npz", []),
        ("notes.txt", []),
    ],
)
def test_published_names_are_recognised(path, kinds):
    assert list(kinds_of(path)) == kinds


def test_a_folder_is_searched_in_depth_without_following_links(tmp_path):
    deep = tmp_path / "é" / "a/b/c/d/e/f/g"
    deep.mkdir(parents=True)
    (deep / "epoch=35.ckpt").touch()
    (tmp_path / "SMPL_MALE.pkl").touch()
    (tmp_path / "é" / "round").symlink_to(tmp_path, target_is_directory=True)
    found = find_model_files(tmp_path)
    assert found == [ModelFile("body", "SMPL_MALE.pkl"), ModelFile("hmr2", "é/a/b/c/d/e/f/g/epoch=35.ckpt")]
    assert [one.label for one in found] == ["SMPL_MALE.pkl", "HMR2.0, epoch=35.ckpt"]
    assert find_model_files(tmp_path / "nowhere") == []


def test_a_huge_folder_chosen_by_mistake_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(model_files, "_MOST_ENTRIES", 10)
    for folder in range(8):
        (tmp_path / str(folder)).mkdir()
        (tmp_path / str(folder) / "hmr2.ckpt").touch()
    assert 0 < len(find_model_files(tmp_path)) < 8
