# SPDX-License-Identifier: Apache-2.0
"""Fingerprints follow the content, not the place."""

from __future__ import annotations

import hashlib
import shutil

from fasthmr.footage import sha256_of


def test_a_file_is_its_bytes(make):
    path = make.video()
    assert sha256_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_sequence_is_its_names_and_contents(make):
    paths = make.images(make.folder / "seq", 5)
    whole = sha256_of(make.folder / "seq")
    assert sha256_of(make.folder / "seq" / "shot_####.png") == whole
    shutil.copytree(make.folder / "seq", make.folder / "moved")
    assert sha256_of(make.folder / "moved") == whole
    paths[1].rename(paths[1].with_name("shot_0009.png"))
    assert sha256_of(make.folder / "seq") != whole
    paths[1].with_name("shot_0009.png").rename(paths[1])
    paths[2].write_bytes(paths[3].read_bytes())
    assert sha256_of(make.folder / "seq") != whole
    make.image(paths[2], make.stamped(2))
    assert sha256_of(make.folder / "seq") == whole
