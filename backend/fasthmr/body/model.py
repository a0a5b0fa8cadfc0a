# SPDX-License-Identifier: Apache-2.0
"""A body in SMPL's layout: shape and pose to joints and vertices, batched, with gradients.

Linear blend skinning as in SMPL (Loper et al., "SMPL: A Skinned Multi-Person Linear Model", 2015,
equations 2-10), with AMASS's convention for the translation: forward kinematics with the pelvis at
its place in the rest pose, then everything moved by ``translation``.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fasthmr.body.body_file import BodyArrays, body_from_npz, read_npz, write_body_file
from fasthmr.body.skeleton import JOINT_COUNT, PARENTS
from fasthmr.errors import BadInput, MissingModel

OPEN_BODY_PATH: Final = Path(__file__).with_name("open_body.npz")


def _levels() -> list[list[int]]:
    """Joints by their number of ancestors: parents are in the level before."""
    depth = [0] * JOINT_COUNT
    for joint in range(1, JOINT_COUNT):
        depth[joint] = depth[PARENTS[joint]] + 1
    return [[j for j in range(JOINT_COUNT) if depth[j] == level] for level in range(max(depth) + 1)]


def _ancestors() -> NDArray[np.float32]:
    """(24,24) matrix whose row j has a one for j itself and for every ancestor of j."""
    matrix = np.eye(JOINT_COUNT, dtype=np.float32)
    for joint in range(1, JOINT_COUNT):
        matrix[joint] += matrix[PARENTS[joint]]
    return matrix


class _Tree:
    """Forward kinematics on SMPL's joint tree, laid out for speed.

    Level by level (9 steps instead of 24), with the batch as the last axis, so that a product of
    3x3 matrices is nine long sums of products: two to three times as fast, forward and backward, on
    a CPU as batched matrix products in SMPL's order.
    """

    def __init__(self) -> None:
        levels = _levels()
        order = [joint for level in levels for joint in level]
        self.sizes = [len(level) for level in levels]
        self.order = torch.tensor(order)
        self.back = torch.argsort(self.order)
        self.parents_in_level = [
            torch.tensor([before.index(PARENTS[joint]) for joint in level])
            for before, level in itertools.pairwise(levels)
        ]
        self.parents = torch.tensor(PARENTS[1:])
        self.ancestors = torch.from_numpy(_ancestors())

    def to(self, device: torch.device, dtype: torch.dtype) -> _Tree:
        """The same on another device or in another floating-point type."""
        moved = copy.copy(self)
        for key, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(
                    moved, key, value.to(device=device, dtype=dtype if value.is_floating_point() else None)
                )
        moved.parents_in_level = [parents.to(device) for parents in self.parents_in_level]
        return moved

    def joints(self, rotations: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        """Joints (B,24,3) and global rotations (B,24,3,3).

        Args:
            rotations: (B,24,3,3) of each joint relative to its parent.
            rest: (B,24,3) or (1,24,3) joints at rest.
        """
        levels = rotations.permute(1, 2, 3, 0).index_select(0, self.order).split(self.sizes)
        turned = [levels[0]]
        for parents, own in zip(self.parents_in_level, levels[1:], strict=True):
            turned.append(_product(turned[-1].index_select(0, parents), own))
        turns = torch.cat(turned).index_select(0, self.back)  # (24,3,3,B)

        # A joint is the pelvis plus all bones on the way to it; a bone turns with its upper joint.
        rest = rest.permute(1, 2, 0)
        bones = rest[1:] - rest.index_select(0, self.parents)
        bones = (turns.index_select(0, self.parents) * bones[:, None]).sum(dim=2)
        steps = torch.cat([rest[:1].expand(1, 3, bones.shape[-1]), bones])
        joints = (self.ancestors @ steps.reshape(JOINT_COUNT, -1)).reshape(steps.shape)
        return joints.permute(2, 0, 1), turns.permute(3, 0, 1, 2)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Matrix products of (N,3,3,B) and (N,3,3,B)."""
    return a[:, :, 0:1] * b[:, 0:1] + a[:, :, 1:2] * b[:, 1:2] + a[:, :, 2:3] * b[:, 2:3]


class BodyModel:
    """A body whose tensors live on one device in one floating-point type.

    Attributes:
        name: of the body ("open" for the one that comes along).
        licence: terms under which the body may be used.
        sha256: of the file it was loaded from.
        arrays: the same data as numpy arrays, as :func:`save_body` writes them.
        faces: (F,3) int64 triangles.
        v_template: (V,3) mean shape in T-pose, metres, y up, facing +z.
        shapedirs: (V,3,10); weights: (V,24); J_regressor: (24,V).
        posedirs: (V,3,207) pose-dependent displacements, or None.
        landmark_vertices: (33,) int64 vertices at BlazePose's landmarks (-1: a joint), or None.
    """

    def __init__(self, arrays: BodyArrays, sha256: str = "") -> None:
        self.name = arrays.name
        self.licence = arrays.licence
        self.sha256 = sha256
        self.arrays = arrays
        self.faces = torch.from_numpy(arrays.f.astype(np.int64))
        self.v_template = torch.from_numpy(arrays.v_template)
        self.shapedirs = torch.from_numpy(arrays.shapedirs)
        self.weights = torch.from_numpy(arrays.weights)
        self.J_regressor = torch.from_numpy(arrays.J_regressor)
        self.posedirs = None if arrays.posedirs is None else torch.from_numpy(arrays.posedirs)
        landmarks = arrays.landmark_vertices
        self.landmark_vertices = None if landmarks is None else torch.from_numpy(landmarks.astype(np.int64))
        self._tree = _Tree()
        # Joints are linear in the shape, so joints() never needs a vertex. Sums over thousands of
        # vertices: in double precision.
        regressor = self.J_regressor.double()
        self._joint_template = (regressor @ self.v_template.double()).float()
        self._joint_shapedirs = torch.einsum("jv,vcs->jcs", regressor, self.shapedirs.double()).float()

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.v_template.device

    @property
    def dtype(self) -> torch.dtype:
        """The tensors' floating-point type."""
        return self.v_template.dtype

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> BodyModel:
        """The same body on another device or in another floating-point type; this one stays as it is."""
        moved = copy.copy(self)
        for key, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(
                    moved, key, value.to(device=device, dtype=dtype if value.is_floating_point() else None)
                )
        moved._tree = self._tree.to(moved.device, moved.dtype)
        return moved

    def rest_joints(self, betas: Tensor) -> Tensor:
        """Joints (...,24,3) of the rest pose for shape coefficients (...,10)."""
        return self._joint_template + torch.einsum("jcs,...s->...jc", self._joint_shapedirs, betas)

    def joints(
        self, rotations: Tensor, betas: Tensor, translation: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Joints without any vertex: the cheap way, for the inner loop of a fit.

        Args:
            rotations: (B,24,3,3) of each joint relative to its parent; the pelvis's turns the whole body.
            betas: shape coefficients, (B,10) or (10,) for one shape.
            translation: (B,3) metres, or None for zero; the pelvis is at ``translation`` plus its rest place.

        Returns:
            Joints (B,24,3) in metres and global rotations (B,24,3,3).
        """
        rest = self.rest_joints(betas)
        joints, turns = self._tree.joints(rotations, rest if rest.ndim == 3 else rest[None])
        return (joints if translation is None else joints + translation[:, None]), turns

    def rest_vertices(self, betas: Tensor) -> Tensor:
        """Vertices (...,V,3) in T-pose for shape coefficients (...,10)."""
        return self.v_template + torch.einsum("vcs,...s->...vc", self.shapedirs, betas)

    def vertices(
        self, rotations: Tensor, betas: Tensor, translation: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Skinned vertices and the joints; takes about 1.5 MB a body for 12,000 vertices.

        Args:
            rotations: (B,24,3,3) of each joint relative to its parent.
            betas: (B,10) or (10,).
            translation: (B,3) metres, or None for zero.

        Returns:
            Vertices (B,V,3) and joints (B,24,3), metres.
        """
        rest = self.rest_joints(betas)
        rest = rest if rest.ndim == 3 else rest[None]
        joints, turns = self._tree.joints(rotations, rest)
        skin = self.rest_vertices(betas)
        if self.posedirs is not None:
            bend = (rotations[:, 1:] - torch.eye(3, device=self.device, dtype=self.dtype)).flatten(1)
            skin = skin + torch.einsum("vcp,bp->bvc", self.posedirs, bend)
        shifts = joints - (turns @ rest[..., None])[..., 0]
        # One 3x4 matrix a vertex: the weighted mean of the joints'.
        matrices = self.weights @ torch.cat([turns.flatten(2), shifts], dim=-1)  # (B,V,12)
        skin = (matrices[..., :9].unflatten(-1, (3, 3)) @ skin[..., None])[..., 0] + matrices[..., 9:]
        if translation is not None:
            skin, joints = skin + translation[:, None], joints + translation[:, None]
        return skin, joints

    __call__ = forward = vertices


def load_body(source: str | Path) -> BodyModel:
    """Load a body.

    Args:
        source: "open" for the body that comes along, else a body file (``.npz``, see
            :mod:`fasthmr.body.body_file`) or an official SMPL file (``.pkl`` or ``.npz``).

    Raises:
        MissingModel: there is no such file, or it is an official file and ``smplx`` is not installed.
        BadInput: the file cannot be read as a body.
    """
    path = OPEN_BODY_PATH if str(source) == "open" else Path(source)
    if not path.exists():
        advice = "Give a body file (.npz), an official SMPL file (.pkl or .npz), or 'open'."
        raise MissingModel(f"{path}: no such body file. {advice}")
    if path.is_dir():
        raise BadInput(f"{path}: this is a folder, not a body file. Give the file inside it.")
    try:
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror or error}.") from error
    return BodyModel(_read(path), sha256)


def _read(path: Path) -> BodyArrays:
    if path.suffix.lower() != ".pkl":
        arrays = read_npz(path)
        if "licence" in arrays:  # official files do not have this key
            return body_from_npz(path, arrays)
        from fasthmr.body.smpl_files import body_from_smpl

        return body_from_smpl(path, arrays)
    from fasthmr.body.smpl_files import body_from_smpl, read_smpl_pickle

    return body_from_smpl(path, read_smpl_pickle(path))


def save_body(body: BodyModel, path: str | Path) -> None:
    """Write a body as a body file; an older file is replaced only when the new one is complete.

    Raises:
        OSError: the folder does not exist, cannot be written to, or the disk is full.
    """
    write_body_file(Path(path), body.arrays)
