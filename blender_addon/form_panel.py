# SPDX-License-Identifier: GPL-3.0-or-later
"""How the form is drawn, wherever its panel is: footage, range and people, and the options."""

import bpy
from bpy.app.translations import pgettext_iface as iface_

from . import job_form, model_menus, person_pictures
from .chosen_footage import Footage, chosen_footage
from .footage_range import RangeProblem, Span, chosen_span
from .resample import scene_rate
from .wrapped_text import write

_PICTURE = 2.6
"""Height of a person's picture, in rows."""


class RECOVER_MOTION_UL_people(bpy.types.UIList):
    """The people in the footage, to tick those to recover."""

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index) -> None:
        """Draw a person: picture, tick box, and when it is seen."""
        row = layout.row()
        row.prop(item, "chosen", text="")
        if picture := person_pictures.icon_of(item.thumbnail):
            row.template_icon(picture, scale=_PICTURE)
        column = row.column(align=True)
        column.label(text=iface_("Person {:d}").format(item.number), translate=False)
        seen = column.row()
        seen.active = False
        seen.label(text=iface_("{:.1f} to {:.1f} s").format(item.start, item.end), translate=False)


def draw_form(layout: bpy.types.UILayout, context: bpy.types.Context, form: bpy.types.PropertyGroup) -> None:
    """Draw what every job needs: the footage, its range and the people."""
    layout.use_property_decorate = False
    footage = chosen_footage(form)
    _draw_footage(layout, context, form, footage)
    _draw_range(layout, context, form, footage)
    column = layout.column()
    column.use_property_split = True
    column.prop(form, "who")
    if form.who == "CHOSEN":
        _draw_people(layout, form)


def draw_options(
    layout: bpy.types.UILayout, context: bpy.types.Context, form: bpy.types.PropertyGroup
) -> None:
    """Draw what is right as it is most of the time."""
    layout.use_property_split = True
    layout.use_property_decorate = False
    layout.prop(form, "out", placeholder="Beside the footage")
    layout.prop(form, "camera_fov")
    model_menus.draw_choices(layout, form)

    layout.prop(form, "shape")
    column = layout.column()
    column.prop(form, "smooth")
    feet = column.column()
    feet.active = form.smooth > 0
    feet.prop(form, "feet")
    column.prop(form, "floor")

    layout.prop(form, "when_done")
    column = layout.column(heading="Import")
    column.prop(form, "use_camera")
    size = column.column()
    size.active = form.use_camera  # it comes with the camera
    size.prop(form, "set_render_size")
    column.prop(form, "use_nla")
    layout.prop(form, "existing")


def _draw_footage(
    layout: bpy.types.UILayout,
    context: bpy.types.Context,
    form: bpy.types.PropertyGroup,
    footage: Footage | None,
) -> None:
    shown = getattr(context, "edit_movieclip", None)  # the clip of a Movie Clip editor
    if shown is not None and not (form.source == "CLIP" and form.clip == shown):
        text = iface_('Use "{}"').format(shown.name)
        layout.operator("recover_motion.use_clip", text=text, translate=False, icon="TRACKER")
    column = layout.column()
    column.row().prop(form, "source", expand=True)
    if form.source == "CLIP":
        column.template_ID(form, "clip", open="clip.open")
    else:
        column.prop(form, "footage", text="", placeholder="Video, image or folder")
    if footage is None:
        return
    if footage.is_sequence:
        row = column.row()
        row.use_property_split = True
        row.prop(form, "frame_rate")
    if facts := facts_of(footage):
        _draw_fact(column, facts)


def _draw_range(
    layout: bpy.types.UILayout,
    context: bpy.types.Context,
    form: bpy.types.PropertyGroup,
    footage: Footage | None,
) -> None:
    column = layout.column()
    column.use_property_split = True
    column.prop(form, "part")
    if form.part == "TIMES":
        times = column.column(align=True)
        times.prop(form, "start", text="In")
        times.prop(form, "end", text="Out")
    if footage is None or (form.part == "ALL" and footage.shown is None):
        return
    try:
        span = chosen_span(form)
        _draw_fact(column, words_of(span, footage))
        if place := place_of(span, footage, scene_rate(form.id_data)):
            _draw_fact(column, place)
    except RangeProblem as problem:
        write(column, context, str(problem), "ERROR")


def _draw_people(layout: bpy.types.UILayout, form: bpy.types.PropertyGroup) -> None:
    if job_form.knows_people(form):
        rows = min(len(form.people), 4)
        layout.template_list("RECOVER_MOTION_UL_people", "", form, "people", form, "people_index", rows=rows)
        row = layout.row(align=True)
        row.operator("recover_motion.tick_people", text="All").chosen = True
        row.operator("recover_motion.tick_people", text="None").chosen = False
    layout.operator("recover_motion.find_people", icon="VIEWZOOM")


def facts_of(footage: Footage) -> str:
    """What is known of footage, in one line; empty when that is nothing."""
    facts = []
    if footage.size is not None:
        facts.append("{} x {}".format(*footage.size))
    if footage.rate is not None:
        facts.append(iface_("{:.5g} fps").format(footage.rate))
    if footage.count is not None:
        facts.append(iface_("{:d} frames").format(footage.count))
        if footage.rate is not None:
            facts.append(iface_("{:.1f} s").format(footage.count / footage.rate))
    return ", ".join(facts)


def words_of(span: Span, footage: Footage) -> str:
    """What a range means, in one line: frames of the clip from 1, or seconds where the rate is not known."""
    if span.frames is None:
        begin = span.start or 0.0
        if span.end is None:
            return iface_("From {:.2f} s to the end").format(begin)
        return iface_("{:.2f} to {:.2f} s of the clip").format(begin, span.end)
    first, last = span.frames
    seconds = (last - first + 1) / footage.rate
    return iface_("Clip frames {:d} to {:d} ({:.2f} s)").format(first + 1, last + 1, seconds)


def place_of(span: Span, footage: Footage, rate: float) -> str:
    """Where the motion of a movie clip will stand, in one line; empty for other footage.

    Args:
        span: the range.
        footage: the footage.
        rate: the scene's frames per second.
    """
    if span.start_frame is None or span.frames is None or footage.shown is None:
        return ""
    first, last = (round(span.start_frame + frame / footage.rate * rate) for frame in span.frames)
    return iface_("Motion at scene frames {:d} to {:d}").format(first, last)


def _draw_fact(layout: bpy.types.UILayout, text: str) -> None:
    """A line of what was understood, not as loud as what can be changed."""
    row = layout.row()
    row.active = False
    row.alignment = "RIGHT"
    row.label(text=text, translate=False)


def register() -> None:
    """Register the list."""
    bpy.utils.register_class(RECOVER_MOTION_UL_people)


def unregister() -> None:
    """Unregister the list."""
    bpy.utils.unregister_class(RECOVER_MOTION_UL_people)
