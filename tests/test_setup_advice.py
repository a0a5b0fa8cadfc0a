# SPDX-License-Identifier: Apache-2.0
"""What to do about a lacking installation fits who installed it: a developer, or an artist in Blender."""

from __future__ import annotations

from pathlib import Path

import pytest

from fasthmr import doctor, setup_advice
from fasthmr.errors import MissingModel
from fasthmr.people import bundle

ROOT = Path(__file__).resolve().parent.parent


def test_in_a_checkout_it_is_build_py() -> None:
    assert setup_advice.in_checkout()
    assert setup_advice.install_again() == f"Run `python build.py setup` in {ROOT}."


def test_installed_by_blender_it_is_the_preferences(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(setup_advice, "_ROOT", tmp_path / "env/lib/python3.11")
    assert not setup_advice.in_checkout()
    assert "build.py" not in setup_advice.install_again()
    assert "click Remove, and then Install Backend" in setup_advice.install_again()


def test_the_buttons_that_it_names_are_there() -> None:
    preferences = (ROOT / "blender_addon/preferences.py").read_text(encoding="utf-8")
    buttons = (ROOT / "blender_addon/setup_operators.py").read_text(encoding="utf-8")
    assert '"recover_motion.remove_backend", text="Remove"' in preferences
    assert 'bl_label = "Install Backend"' in buttons


def test_messages_about_missing_parts_carry_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(setup_advice, "_ROOT", tmp_path)
    monkeypatch.setenv(bundle.ENVIRONMENT_VARIABLE, str(tmp_path / "gone.task"))
    with pytest.raises(MissingModel, match=r"gone\.task.*Install Backend"):
        bundle.find_bundle()
    (tmp_path / "half.task").write_bytes(b"half")
    with pytest.raises(MissingModel, match=r"half\.task.*Delete the file\..*Install Backend"):
        bundle.read_bundle(tmp_path / "half.task")


@pytest.mark.parametrize("name", ["python", "torch", "device", "video", "images", "perception", "body"])
def test_the_doctor_gives_it_for_all_that_an_installation_brings(name: str) -> None:
    advice = {one.name: one.advice for one in doctor.EXAMINATIONS}[name]
    assert advice == setup_advice.install_again()
