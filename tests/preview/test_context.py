# SPDX-License-Identifier: Apache-2.0
"""What is said where there is no OpenGL."""

from __future__ import annotations

import sys

import moderngl
import pytest

from fasthmr.errors import FastHMRError
from fasthmr.preview import open_context


@pytest.mark.parametrize(
    ("platform", "advice"),
    [("linux", "apt install libegl1"), ("win32", "graphics driver"), ("darwin", "ssh")],
)
def test_the_message_names_what_to_install(monkeypatch, platform, advice):
    def refuse(**options: object) -> None:
        raise Exception(f"libEGL.so.1 not loaded ({options.get('backend', 'window')})")  # as moderngl does

    monkeypatch.setattr(moderngl, "create_context", refuse)
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(FastHMRError, match=r"OpenGL 3\.3") as refused:
        open_context()
    assert advice in str(refused.value)
    assert "libEGL.so.1 not loaded" in str(refused.value)
    assert refused.value.exit_code == 1
