# SPDX-License-Identifier: GPL-3.0-or-later
"""What the interface says can be translated: Blender's own search for messages finds every text.

It reads classes and properties from Blender, and calls such as `label(text="…")` from the source: there only
plain literals count, or what goes through `bpy.app.translations` under one of the names that it knows.
"""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import bpy
import pytest
import recover_motion

pytestmark = pytest.mark.bpy

ADDON = Path(recover_motion.__file__).parent
FILES = sorted(ADDON.rglob("*.py"))
SOURCES = {
    path.relative_to(ADDON).with_suffix("").as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in FILES
}

# Calls that show a text, with the words that it is given under; a number is a place among the arguments.
SHOWING = {
    "poll_message_set": (0,),
    "RangeProblem": (0,),  # becomes the message of a grey button
    "_may": (1,),  # what the operators of the set-up ask with
    **dict.fromkeys(("label", "operator", "menu", "progress", "operator_menu_enum"), ("text",)),
    **dict.fromkeys(("prop", "prop_search", "row", "column"), ("text", "heading", "placeholder")),
}
MARKERS = {"pgettext", "pgettext_n", "n_", "pgettext_iface", "iface_", "pgettext_tip", "tip_"}
MARKERS |= {"pgettext_rpt", "rpt_"}

# Functions that say why a button is grey: what they return is a poll message.
REASONS = {"can_install", "can_remove", "offline", "reason_against", "problem_of", "problem_of_footage"}
REASONS |= {"problem_of_mode", "problem_of_source", "problem_of_target"}

# Texts that are shown as they are: names of files and people, and what is put together by the time.
DATA = {
    "confidence_view": {"f'{owner.name}: {owner[CONFIDENCE]:.0%}'", "f'{bone.name}: {bone[CONFIDENCE]:.0%}'"},
    "preferences": {
        "text",
        "str(settings.install_folder())",
        "install",  # one of _INSTALL_TEXTS
    },
    "model_menus": {"label(form.model, n_('Built-in'))", "label(form.body, n_('Open Body'))", "text"},
    "progress_panel": {"text"},
    "retarget/panel": {
        "source.name",
        "part",  # one of PARTS, which label() translates
        "name",  # of a preset, from title()
    },
    "wrapped_text": {"line"},
}
# Checked where they are made: by the test of REASONS, by that of class attributes, in a table of texts.
ELSEWHERE = {"reason", "cls.in_use", "PARTS[row.role]"}

# Reasons that are passed on as they came.
PASSED_ON = {"problem", "str(problem)"}


def calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield name, node


def literals(node: ast.expr) -> list[str] | None:
    """The literals that a text is, or is chosen from, markers taken off; None for any other expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.IfExp):
        parts = [literals(node.body), literals(node.orelse)]
        return None if None in parts else [text for part in parts for text in part]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return literals(node.func.value) if isinstance(node.func.value, ast.Call) else None
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in MARKERS:
        return literals(node.args[0])
    return None


def shown(tree: ast.Module) -> Iterator[ast.expr]:
    """Every text that a call shows, unless it says that it is not to be translated."""
    for name, call in calls(tree):
        given = {word.arg: word.value for word in call.keywords}
        if getattr(given.get("translate"), "value", True) is False:
            continue
        for where in SHOWING.get(name, ()):
            if isinstance(where, int) and where < len(call.args):
                yield call.args[where]
            elif where in given:
                yield given[where]


@pytest.fixture(scope="module")
def found() -> set[str]:
    """What Blender's own search finds in our sources."""
    for name in ("_bl_i18n_utils", "bl_i18n_utils"):
        try:
            search = importlib.import_module(f"{name}.bl_extract_messages")
            settings = importlib.import_module(f"{name}.settings")
            break
        except ImportError:
            continue
    else:
        pytest.fail("this Blender has no tool for translators")
    messages: dict = {}
    reports = search._gen_reports(None)
    paths = [str(path) for path in FILES]
    search.dump_py_messages_from_files(messages, reports, paths, settings.I18nSettings())
    return {text for _, text in messages}


@pytest.mark.parametrize("name", SOURCES)
def test_texts_in_calls_are_found(name, found):
    lost = set()
    for node in shown(SOURCES[name]):
        text = ast.unparse(node)
        parts = literals(node)
        checked = text in ELSEWHERE or getattr(getattr(node, "func", None), "attr", "") in REASONS
        if parts is None and not checked and text not in DATA.get(name, ()):
            lost.add(text)
        lost |= {part for part in parts or () if part and part not in found}
    for call_name, call in calls(SOURCES[name]):
        if call_name in MARKERS and ast.unparse(call.args[0]) not in ELSEWHERE:
            parts = literals(call.args[0])
            lost |= {ast.unparse(call)} if parts is None else {part for part in parts if part not in found}
    assert not lost


@pytest.mark.parametrize("name", SOURCES)
def test_reasons_why_a_button_is_grey_are_found(name, found):
    lost = set()
    for function in ast.walk(SOURCES[name]):
        if not isinstance(function, ast.FunctionDef) or function.name not in REASONS:
            continue
        for node in ast.walk(function):
            if not isinstance(node, ast.Return) or node.value is None:
                continue
            called = getattr(getattr(node.value, "func", None), "id", "")
            parts = literals(node.value)
            if parts is None and called not in REASONS and ast.unparse(node.value) not in PASSED_ON:
                lost.add(ast.unparse(node.value))
            lost |= {part for part in parts or () if part and part not in found}
    for line in ast.walk(SOURCES[name]):
        if isinstance(line, ast.Assign) and getattr(line.targets[0], "id", "") == "reason":
            lost |= {part for part in literals(line.value) or () if part and part not in found}
            lost |= {ast.unparse(line.value)} if isinstance(line.value, ast.JoinedStr) else set()
    assert not lost


@pytest.mark.parametrize("name", SOURCES)
def test_names_and_descriptions_are_plain_literals(name):
    for cls in (node for node in ast.walk(SOURCES[name]) if isinstance(node, ast.ClassDef)):
        for line in cls.body:
            targets = line.targets if isinstance(line, ast.Assign) else []
            for target in targets:
                if getattr(target, "id", "") in ("bl_label", "bl_description", "bl_category", "in_use"):
                    assert literals(line.value), f"{cls.name}.{target.id}"
    for call_name, call in calls(SOURCES[name]):
        if not call_name.endswith("Property") or "bpy.props" not in ast.unparse(call.func):
            continue
        for word in call.keywords:
            if word.arg in ("name", "description"):
                assert literals(word.value), ast.unparse(word.value)
            elif word.arg == "items":
                for item in ast.literal_eval(word.value):
                    assert all(isinstance(part, str) for part in item[:3])


def test_every_class_has_a_name_and_every_button_a_description():
    recover_motion.register()
    try:
        kinds = (bpy.types.Operator, bpy.types.Panel, bpy.types.Menu)
        for kind in kinds:
            ours = [cls for cls in kind.__subclasses__() if cls.__module__.startswith("recover_motion.")]
            for cls in ours:
                if cls.__name__.startswith("RECOVER_MOTION"):
                    assert cls.bl_label or "HIDE_HEADER" in getattr(cls, "bl_options", ()), cls
                    if kind is bpy.types.Operator:
                        assert cls.bl_description, cls
                        assert not cls.bl_description.endswith("."), cls  # Blender adds it
    finally:
        recover_motion.unregister()
