# SPDX-License-Identifier: GPL-3.0-or-later
"""preset_file.py and preset_schema.py: round trips, and what is refused in which words."""

import json
import shutil

import pytest
from recover_motion.retarget.mapping import BoneMap, IkControl, Setting, Twist
from recover_motion.retarget.preset_file import (
    BUILT_IN,
    built_in_presets,
    identifier,
    load_preset,
    preset_of,
    save_preset,
    user_presets,
)
from recover_motion.retarget.preset_schema import preset_data, preset_from
from recover_motion.retarget.problem import RetargetProblem

SMALL = {"schema": 1, "id": "own", "name": "Own", "bones": {"pelvis": "Hips"}}

MAP = BoneMap(
    bones={"pelvis": ("Hips",), "neck": ("Neck", "Nöck 2"), "left_hip": ("左足",), "right_hip": ("R",)},
    root="root",
    settings=(Setting("torso", "IK_FK", 1.0),),
    twists=(Twist("twist", "left_hip", 0.25),),
    ik=(IkControl("left_ankle", "foot_ik", "", "pole"),),
    name="From elsewhere",
)


def write(path, data):
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def refused(data) -> str:
    with pytest.raises(RetargetProblem) as problem:
        preset_from(data, "own.json")
    return str(problem.value)


# --- reading


def test_smallest_preset(tmp_path):
    preset = load_preset(write(tmp_path / "own.json", SMALL))
    assert (preset.id, preset.name, preset.bones) == ("own", "Own", {"pelvis": (("Hips",),)})
    assert preset.prefix == "any"
    assert not preset.controls
    assert not preset.built_in


def test_mirror_gives_the_right_side():
    preset = preset_from(
        SMALL
        | {
            "bones": {"pelvis": "Hips", "left_hip": {"any": [["thigh.L", "thigh.L.001"], "leg.L"]}},
            "mirror": {"left": ".L", "right": ".R"},
            "settings": [
                {"bone": "thigh_parent.L", "property": "IK_FK", "value": 1},
                {"bone": "torso", "property": "head_follow.L", "value": 1},
            ],
            "twists": [{"bone": "t.L", "role": "left_hip", "share": 0.5}],
            "ik": [{"role": "left_ankle", "target": "foot.L", "pole": "knee.L"}],
        },
        "own.json",
    )
    assert preset.bones["right_hip"] == (("thigh.R", "thigh.R.001"), ("leg.R",))
    assert [one.bone for one in preset.settings] == ["thigh_parent.L", "torso", "thigh_parent.R"]
    assert preset.twists == (Twist("t.L", "left_hip", 0.5), Twist("t.R", "right_hip", 0.5))
    assert preset.ik[1] == IkControl("right_ankle", "foot.R", "", "knee.R")


def test_twist_without_the_word_for_left_is_not_mirrored():
    twists = [
        {"bone": f"{s[0].upper()}UpArmTwist", "role": f"{s}_shoulder", "share": 1} for s in ("left", "right")
    ]
    data = SMALL | {"mirror": {"left": "L ", "right": "R "}, "twists": twists}
    assert preset_from(data, "own.json").twists == (
        Twist("LUpArmTwist", "left_shoulder", 1.0),
        Twist("RUpArmTwist", "right_shoulder", 1.0),
    )


def test_without_mirror_nothing_is_made_up():
    preset = preset_from(SMALL | {"bones": {"left_hip": "thigh.L"}}, "own.json")
    assert set(preset.bones) == {"left_hip"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, 'at "schema" 1 was expected, not 2; save the preset again'),
        ({"schema": True}, 'at "schema" 1 was expected, not True'),
        ({"id": "../x"}, 'at "id" letters, digits and "_" were expected, not \'../x\'; rename it'),
        ({"name": 5}, 'at "name" a short text was expected, not 5'),
        ({"name": "a\nb"}, 'at "name" a short text was expected'),
        ({"bons": {}}, 'at "bons" is no key that is known here; use one of schema, id, name, bones'),
        ({"bones": {}}, 'at "bones" at least one of "pelvis"'),
        ({"bones": {"tail": "x"}}, 'at "bones.tail" is no key that is known here; use one of pelvis'),
        ({"bones": {"left_hand": "x"}}, 'at "bones.left_hand" is no key'),
        ({"bones": {"neck": []}}, 'at "bones.neck" at least one bone was expected'),
        ({"bones": {"neck": [["a"]]}}, 'at "bones.neck[0]" a short text was expected'),
        ({"bones": {"neck": {"any": []}}}, 'at "bones.neck.any" at least one bone'),
        ({"bones": {"neck": {"all": ["x"]}}}, 'at "bones.neck.all" is no key'),
        ({"bones": {"neck": {"any": ["x", 3]}}}, 'at "bones.neck.any[1]" […] was expected, not 3'),
        ({"bones": {"neck": "a", "head": "a"}}, "at \"bones.head\" 'a' plays 'neck' already"),
        ({"bones": {"neck": ["a", "a"]}}, 'at "bones.neck" a bone is named twice'),
        ({"bones": {"neck": "x" * 64}}, "a bone's name has at most 63 bytes"),
        ({"bones": {"left_hip": "leg"}, "mirror": {"left": ".L", "right": ".R"}}, "'.L' was expected once"),
        (
            {"bones": {"right_hip": "leg.R"}, "mirror": {"left": ".L", "right": ".R"}},
            'at "bones.right_hip" is given by "mirror" already',
        ),
        ({"mirror": {"left": ".L"}}, 'at "mirror.right" is missing; add it'),
        ({"root": ["a"]}, 'at "root" a short text was expected'),
        ({"settings": {}}, 'at "settings" […] was expected'),
        ({"settings": [{"bone": "a", "property": "p"}]}, 'at "settings[0].value" is missing; add it'),
        (
            {"settings": [{"bone": "a", "property": "p", "value": "1"}]},
            "at \"settings[0].value\" a number was expected, not '1'",
        ),
        (
            {"settings": [{"bone": "a", "property": "p", "value": True}]},
            'at "settings[0].value" a number was expected, not True',
        ),
        (
            {"twists": [{"bone": "a", "role": "left_hip", "share": 1.5}]},
            'at "twists[0].share" a number from 0 to 1 was expected, not 1.5',
        ),
        (
            {"twists": [{"bone": "a", "role": "head", "share": 0.5}]},
            'at "twists[0].role" one of left_shoulder',
        ),
        ({"ik": [{"role": "left_knee", "target": "a"}]}, 'at "ik[0].role" one of left_wrist'),
        ({"ik": [{"role": "left_wrist", "target": ""}]}, 'at "ik[0].target" a short text'),
        ({"controls": 1}, 'at "controls" true or false was expected, not 1'),
        ({"signs": {"present": "a"}}, "at \"signs.present\" […] was expected, not 'a'"),
        ({"twists": [{}] * 257}, 'at "twists" at most 256 entries were expected, not 257'),
    ],
)
def test_what_is_wrong_is_said_exactly(change, message):
    said = refused(SMALL | change)
    assert message in said
    assert said.startswith("The preset own.json cannot be used:")


@pytest.mark.parametrize("missing", SMALL)
def test_each_needed_key(missing):
    assert f'at "{missing}" is missing; add it' in refused({k: v for k, v in SMALL.items() if k != missing})


@pytest.mark.parametrize("data", [None, [], "x", 3])
def test_no_object_at_all(data):
    assert "cannot be used: {…} was expected" in refused(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("", "is not valid JSON"),
        ('{"schema": 1, "schema": 1}', 'the key "schema" is there twice'),
        ('{"bones": {"neck": "a", "neck": "b"}}', 'the key "neck" is there twice'),
        ('{"schema": NaN}', "NaN is no number of JSON"),
        ("[" * 100_000, "is not valid JSON"),
        (" " * 300_000, "has more than 256 kB: that is no preset"),
        ("__import__('os').abort()", "is not valid JSON"),
    ],
)
def test_files_that_are_no_presets(tmp_path, text, message):
    path = write(tmp_path / "x.json", text)
    with pytest.raises(RetargetProblem, match=r"x\.json") as problem:
        load_preset(path)
    assert message in str(problem.value)


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RetargetProblem, match="not UTF-8 text"):
        load_preset(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(RetargetProblem, match=r"is not there\. Check the path"):
        load_preset(tmp_path / "x.json")
    with pytest.raises(RetargetProblem, match="cannot be read"):
        load_preset(tmp_path)


def test_mark_at_the_beginning_is_no_obstacle(tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(SMALL).encode())
    assert load_preset(path).id == "own"


# --- those that come with the add-on


def test_built_in_presets_are_all_there():
    presets = built_in_presets()
    assert len(presets) == len(list(BUILT_IN.glob("*.json"))) >= 16
    assert {preset.id for preset in presets} == {path.stem for path in BUILT_IN.glob("*.json")}
    assert len({preset.name.lower() for preset in presets}) == len(presets)
    assert all(preset.built_in for preset in presets)
    assert [preset.name.lower() for preset in presets] == sorted(preset.name.lower() for preset in presets)


@pytest.mark.parametrize("preset", built_in_presets(), ids=lambda preset: preset.id)
def test_built_in_preset_says_the_same_when_written_in_full(preset):
    again = preset_from(json.loads(json.dumps(preset_data(preset))), "again.json")
    assert preset_data(again) == preset_data(preset)
    assert again.bones == preset.bones
    assert (again.settings, again.twists, again.ik, again.root) == (
        preset.settings,
        preset.twists,
        preset.ik,
        preset.root,
    )


# --- writing


def test_round_trip(tmp_path):
    path = tmp_path / "new" / "mine.json"
    saved = save_preset(path, MAP, "Mine, ひとつ")
    loaded = load_preset(path)
    assert loaded == saved
    names = ["Hips", "Neck", "Nöck 2", "左足", "R", "root", "torso", "twist", "foot_ik", "pole"]
    found = loaded.bone_map(names)
    assert dict(found.bones) == dict(MAP.bones)
    assert (found.root, found.settings, found.twists, found.ik) == (
        MAP.root,
        MAP.settings,
        MAP.twists,
        MAP.ik,
    )
    assert found.name == "Mine, ひとつ"
    assert [one.name for one in path.parent.iterdir()] == ["mine.json"]


def test_saving_again_replaces(tmp_path):
    path = tmp_path / "mine.json"
    save_preset(path, MAP, "Mine")
    save_preset(path, BoneMap(bones={"pelvis": ("Other",)}), "Mine")
    assert load_preset(path).bones == {"pelvis": (("Other",),)}


def test_built_in_presets_are_not_overwritten(tmp_path):
    before = (BUILT_IN / "mixamo.json").read_bytes()
    with pytest.raises(RetargetProblem, match="comes with the add-on"):
        save_preset(BUILT_IN / "mixamo.json", MAP, "Mine")
    with pytest.raises(RetargetProblem, match="Choose another name"):
        save_preset(tmp_path / "x.json", MAP, " MIXAMO")
    assert (BUILT_IN / "mixamo.json").read_bytes() == before
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("bone_map", "name", "message"),
    [
        (MAP, "  ", "Give the preset a name"),
        (BoneMap(bones={}), "Mine", "at least one of"),
        (BoneMap(bones={"neck": ("a",), "head": ("a",)}), "Mine", "plays 'neck' already"),
        (MAP, "a\nb", "a short text was expected"),
    ],
)
def test_nothing_is_written_that_could_not_be_read(tmp_path, bone_map, name, message):
    with pytest.raises(RetargetProblem, match=message):
        save_preset(tmp_path / "x.json", bone_map, name)
    assert not list(tmp_path.iterdir())


def test_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("here")
    with pytest.raises(RetargetProblem, match="could not be written"):
        save_preset(tmp_path / "file" / "x.json", MAP, "Mine")


def test_control_rigs_are_saved_as_such():
    assert preset_of(MAP, "Mine").controls
    assert not preset_of(BoneMap(bones=MAP.bones), "Mine").controls


@pytest.mark.parametrize(
    ("name", "expected"),
    [("My Rig (2)", "my_rig_2"), ("  x ", "x"), ("A" * 60, "a" * 40), ("../..", "preset_")],
)
def test_identifiers(name, expected):
    assert identifier(name).startswith(expected)


def test_identifiers_of_names_in_other_scripts_differ():
    found = {identifier(name) for name in ("ひと", "とひ", "人", "人 2", "Ä", "Ö")}
    assert len(found) == 6
    assert all(one.isascii() for one in found)


# --- the user's folder


def test_broken_file_is_reported_and_the_others_are_there(tmp_path):
    save_preset(tmp_path / "b.json", MAP, "Beta")
    save_preset(tmp_path / "a.json", MAP, "alpha")
    write(tmp_path / "c.json", "{")
    write(tmp_path / "readme.txt", "no preset")
    shutil.copy(tmp_path / "a.json", tmp_path / "d.json")
    write(tmp_path / "e.json", SMALL | {"id": "mixamo"})
    found = user_presets(tmp_path)
    assert [preset.name for preset in found.presets] == ["alpha", "Beta"]
    assert len(found.problems) == 3
    assert "c.json cannot be used: it is not valid JSON" in found.problems[0]
    assert 'd.json cannot be used: another has the id "alpha" already' in found.problems[1]
    assert 'another has the id "mixamo" already' in found.problems[2]


def test_no_folder_is_no_problem(tmp_path):
    found = user_presets(tmp_path / "none")
    assert (found.presets, found.problems) == ((), ())
