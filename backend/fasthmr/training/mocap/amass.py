# SPDX-License-Identifier: Apache-2.0
"""AMASS (Mahmood et al., ICCV 2019): SMPL motion as ``.npz``, for users who have it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from fasthmr.body import load_body
from fasthmr.body.skeleton import JOINT_COUNT, JOINT_NAMES, PARENTS
from fasthmr.errors import BadInput
from fasthmr.files import load_arrays
from fasthmr.training.mocap.held_out import trial_in_name
from fasthmr.training.mocap.source_motion import SourceMotion

_BODY_JOINTS = 22  # the hands of SMPL-H and SMPL-X are other joints than SMPL's two


def read_amass(path: Path, name: str) -> SourceMotion:
    """Read a motion of AMASS.

    The joints are those of the mean open body: AMASS's shapes are of another body, whose files may not be
    there. Rotations are kept as they are; hands stay straight. CMU's subject and trial are read from the
    name ("CMU/131/131_03_poses"), so that they are held out here as well.

    Args:
        path: of the ``.npz`` file.
        name: of the clip.

    Raises:
        BadInput: it is no motion of AMASS.
    """
    arrays = load_arrays(path, "motion of AMASS")
    rate = arrays.get("mocap_framerate", arrays.get("mocap_frame_rate"))
    if rate is None or "poses" not in arrays or "trans" not in arrays:
        raise BadInput(f"{path} is no motion of AMASS: it lacks poses, trans or mocap_framerate.")
    try:
        poses, trans = (np.asarray(arrays[key], np.float64) for key in ("poses", "trans"))
        frame_rate = float(np.asarray(rate, np.float64).item())
    except (ValueError, TypeError) as error:
        raise BadInput(f"{path} is no motion of AMASS: {error}.") from error
    count = len(poses) if poses.ndim else 0
    if poses.ndim != 2 or poses.shape[1] < 3 * _BODY_JOINTS or trans.shape != (count, 3) or not count:
        raise BadInput(f"{path} is no motion of AMASS: poses {poses.shape}, trans {trans.shape}.")
    if not (np.isfinite(poses).all() and np.isfinite(trans).all() and 0 < frame_rate < np.inf):
        raise BadInput(f"{path} holds values that are not finite, or no frame rate.")
    rotvecs = np.zeros((count, JOINT_COUNT, 3))
    rotvecs[:, :_BODY_JOINTS] = poses[:, : 3 * _BODY_JOINTS].reshape(count, _BODY_JOINTS, 3)
    matrices = Rotation.from_rotvec(rotvecs.reshape(-1, 3)).as_matrix().reshape(count, JOINT_COUNT, 3, 3)
    joints, _ = load_body("open").joints(
        torch.from_numpy(matrices).float(), torch.zeros(10), torch.from_numpy(trans).float()
    )
    subject, trial = trial_in_name(name) or (None, None)
    return SourceMotion(
        name=name,
        skeleton="smpl",
        subject=subject,
        trial=trial,
        frame_rate=frame_rate,
        joint_names=JOINT_NAMES,
        parents=np.array(PARENTS),
        positions=joints.numpy().astype(np.float32),
        rotations=matrices.astype(np.float32),
    )
