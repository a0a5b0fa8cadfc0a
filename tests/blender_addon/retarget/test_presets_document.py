# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/retargeting_presets.md names the presets that there are, and its example is one."""

import json
import re
from pathlib import Path

from recover_motion.retarget.detection import GOOD
from recover_motion.retarget.preset_file import built_in_presets
from recover_motion.retarget.preset_schema import _KEYS, preset_from

TEXT = (Path(__file__).parents[3] / "docs/retargeting_presets.md").read_text(encoding="utf-8")
EXAMPLE = json.loads(re.search(r"```json\n(.*?)```", TEXT, re.DOTALL)[1])


def test_table_has_all_presets_and_no_other():
    rows = re.findall(r"^\| (.+?) \| `(\w+)` \|", TEXT, re.MULTILINE)
    assert rows == [(preset.name, preset.id) for preset in built_in_presets()]


def test_example_has_every_key_and_can_be_used():
    assert set(EXAMPLE) == set(_KEYS)
    preset = preset_from(EXAMPLE, "example.json")
    assert preset.bones["right_foot"] == (("Toes.R",), ("Ball.R",))
    assert len(preset.settings) == len(preset.twists) == len(preset.ik) == 2


def test_threshold_is_the_one_in_the_code():
    assert f"a score of {GOOD:.0%}".replace("%", " %") in TEXT
