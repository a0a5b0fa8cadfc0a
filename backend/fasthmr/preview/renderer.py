# SPDX-License-Identifier: Apache-2.0
"""Shaded figures and a floor with a grid of metres, drawn off screen."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Final

import moderngl
import numpy as np

from fasthmr.preview.context import open_context
from fasthmr.preview.view import View

SAMPLES: Final = 4  # a pixel, against jagged edges

# One colour a person, bright enough for both the footage and the dark floor; RGB.
COLOURS: Final = (
    (242, 142, 43),
    (78, 154, 230),
    (89, 190, 96),
    (226, 88, 145),
    (237, 201, 72),
    (160, 120, 220),
    (64, 196, 190),
    (225, 87, 89),
)

BACKGROUND: Final = (34, 37, 42)
_GROUND: Final = (52, 57, 64)
_GRID_LINE: Final = (104, 112, 122)
_SHADOW: Final = (22, 24, 27)
_GRID_REACH: Final = 40.0  # metres from the middle of the picture to where the floor has faded away

_FIGURE_VERTEX: Final = """
#version 330
uniform mat4 clip_from_world;
uniform bool flattened;
in vec3 position;
in vec3 normal;
out vec3 place;
out vec3 facing;
void main() {
    place = flattened ? vec3(position.xy, 0.0) : position;
    facing = normal;
    gl_Position = clip_from_world * vec4(place, 1.0);
}
"""

# A soft light from above and one from beside the camera, on both sides of a face; edges darken, so that
# the outline stands out against footage of any colour.
_FIGURE_FRAGMENT: Final = """
#version 330
uniform vec3 eye;
uniform vec3 colour;
uniform bool flattened;
in vec3 place;
in vec3 facing;
out vec4 result;
void main() {
    if (flattened) {
        result = vec4(colour, 1.0);
        return;
    }
    vec3 towards_eye = normalize(eye - place);
    vec3 n = length(facing) > 0.0 ? normalize(facing) : towards_eye;
    if (dot(n, towards_eye) < 0.0) n = -n;
    float sky = 0.5 + 0.5 * n.z;
    float lamp = max(0.0, dot(n, normalize(towards_eye + vec3(0.0, 0.0, 0.6))));
    float edge = pow(1.0 - dot(n, towards_eye), 3.0);
    float light = (0.25 + 0.25 * sky + 0.6 * lamp) * (1.0 - 0.6 * edge);
    result = vec4(min(colour * light, vec3(1.0)), 1.0);
}
"""

_FLOOR_VERTEX: Final = """
#version 330
uniform mat4 clip_from_world;
uniform vec2 middle;
uniform float reach;
in vec2 corner;
out vec2 ground;
void main() {
    ground = middle + corner * reach;
    gl_Position = clip_from_world * vec4(ground, 0.0, 1.0);
}
"""

# Lines a pixel wide at any distance: the distance to the next whole metre, in pixels.
_FLOOR_FRAGMENT: Final = """
#version 330
uniform vec2 middle;
uniform float reach;
uniform vec3 ground_colour;
uniform vec3 line_colour;
in vec2 ground;
out vec4 result;
void main() {
    vec2 pixel = max(fwidth(ground), vec2(1e-6));
    vec2 away = abs(fract(ground - 0.5) - 0.5) / pixel;
    vec2 strength = clamp(1.2 - away, 0.0, 1.0) * clamp(0.6 / pixel, 0.0, 1.0);
    vec2 origin = clamp(2.2 - abs(ground) / pixel, 0.0, 1.0);  // the world's axes: twice as wide
    float line = max(max(strength.x, strength.y), max(origin.x, origin.y));
    float fade = 1.0 - smoothstep(0.25, 1.0, distance(ground, middle) / reach);
    result = vec4(mix(ground_colour, line_colour, line), fade);
}
"""


class Renderer:
    """Draws one set of figures from several views; a context manager that frees the graphics memory.

    Args:
        faces: (F, 3) triangles that all figures share, counter-clockwise from outside; only their outside
            is drawn.
        vertex_count: V.
        capacity: how many figures there can be at a time.
        context: an OpenGL context; one is made, and released at the end, when left out.

    Raises:
        FastHMRError: OpenGL cannot be started.
    """

    def __init__(
        self, faces: np.ndarray, vertex_count: int, capacity: int, context: moderngl.Context | None = None
    ) -> None:
        self._own_context = context is None
        self._context = context or open_context()
        # Half of a closed body faces away and need not be drawn. With y down, what is counter-clockwise
        # from outside is clockwise on the screen.
        self._context.front_face = "cw"
        self._context.enable(moderngl.DEPTH_TEST | moderngl.CULL_FACE)
        self._figure_program = self._context.program(
            vertex_shader=_FIGURE_VERTEX, fragment_shader=_FIGURE_FRAGMENT
        )
        self._floor_program = self._context.program(
            vertex_shader=_FLOOR_VERTEX, fragment_shader=_FLOOR_FRAGMENT
        )
        triangles = self._context.buffer(np.ascontiguousarray(faces, np.int32).tobytes())
        self._vertices = [
            self._context.buffer(reserve=vertex_count * 6 * 4, dynamic=True) for _ in range(capacity)
        ]
        self._figures = [
            self._context.vertex_array(
                self._figure_program, [(buffer, "3f 3f", "position", "normal")], index_buffer=triangles
            )
            for buffer in self._vertices
        ]
        corners = self._context.buffer(np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]], np.float32).tobytes())
        self._floor = self._context.vertex_array(self._floor_program, [(corners, "2f", "corner")])
        self._targets: dict[tuple[int, int], tuple[moderngl.Framebuffer, moderngl.Framebuffer]] = {}
        self._shown: list[tuple[int, tuple[int, int, int]]] = []

    def __enter__(self) -> Renderer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for drawn, resolved in self._targets.values():
            drawn.release()
            resolved.release()
        if self._own_context:
            self._context.release()

    def show(self, meshes: Sequence[tuple[np.ndarray, tuple[int, int, int]]]) -> None:
        """Set the figures of this moment.

        Args:
            meshes: for each figure (V, 6) float32 positions and normals in the world, and its RGB colour.
        """
        self._shown = []
        for slot, (mesh, colour) in enumerate(meshes):
            self._vertices[slot].write(np.ascontiguousarray(mesh, np.float32).tobytes())
            self._shown.append((slot, colour))

    def figures(self, views: Sequence[View]) -> np.ndarray:
        """The figures alone: (H, W, 4) uint8, colours multiplied by the coverage in the fourth channel.

        Args:
            views: one for each figure, since motions recovered apart have worlds of their own; all show
                the same camera and size, so that who is nearer hides who is farther.
        """
        drawn, _ = self._begin(views[0], (0.0, 0.0, 0.0, 0.0))
        self._draw_figures(views)
        return self._read(drawn, views[0])

    def scene(self, view: View, middle: np.ndarray) -> np.ndarray:
        """The figures on the floor, with their shadows straight below: (H, W, 3) uint8.

        Args:
            view: the camera.
            middle: (2,) or (3,) metres; the grid fades away around it.
        """
        drawn, _ = self._begin(view, (*_unit(BACKGROUND), 1.0))
        self._context.enable(moderngl.BLEND)
        _set(
            self._floor_program,
            clip_from_world=_columns(view.clip_from_world),
            middle=(float(middle[0]), float(middle[1])),
            reach=_GRID_REACH,
            ground_colour=_unit(_GROUND),
            line_colour=_unit(_GRID_LINE),
        )
        # The floor is behind whatever stands on it; feet a centimetre deep in it must stay visible.
        drawn.depth_mask = False
        self._floor.render(moderngl.TRIANGLE_STRIP)
        self._context.disable(moderngl.BLEND)
        _set(self._figure_program, flattened=True, colour=_unit(_SHADOW))
        _set(self._figure_program, clip_from_world=_columns(view.clip_from_world))
        for slot, _colour in self._shown:
            self._figures[slot].render()
        drawn.depth_mask = True
        self._draw_figures([view] * len(self._shown))
        return np.ascontiguousarray(self._read(drawn, view)[..., :3])

    def _begin(
        self, view: View, colour: tuple[float, float, float, float]
    ) -> tuple[moderngl.Framebuffer, moderngl.Framebuffer]:
        if view.size not in self._targets:
            samples = min(SAMPLES, self._context.max_samples)
            self._targets[view.size] = (
                self._context.framebuffer(
                    [self._context.renderbuffer(view.size, 4, samples=samples)],
                    self._context.depth_renderbuffer(view.size, samples=samples),
                ),
                self._context.framebuffer([self._context.renderbuffer(view.size, 4)]),
            )
        drawn, resolved = self._targets[view.size]
        drawn.use()
        drawn.clear(*colour)
        return drawn, resolved

    def _draw_figures(self, views: Sequence[View]) -> None:
        _set(self._figure_program, flattened=False)
        for (slot, colour), view in zip(self._shown, views, strict=True):
            _set(
                self._figure_program,
                clip_from_world=_columns(view.clip_from_world),
                eye=tuple(float(value) for value in view.eye),
                colour=_unit(colour),
            )
            self._figures[slot].render()

    def _read(self, drawn: moderngl.Framebuffer, view: View) -> np.ndarray:
        resolved = self._targets[view.size][1]
        self._context.copy_framebuffer(resolved, drawn)
        width, height = view.size
        return np.frombuffer(resolved.read(components=4), np.uint8).reshape(height, width, 4)


def _set(program: moderngl.Program, **uniforms: object) -> None:
    for name, value in uniforms.items():
        uniform = program[name]
        assert isinstance(uniform, moderngl.Uniform)  # noqa: S101 - for the type checker: not an attribute
        uniform.value = value


def _columns(matrix: np.ndarray) -> tuple[float, ...]:
    """A matrix as OpenGL takes it: column after column."""
    return tuple(float(value) for value in matrix.T.ravel())


def _unit(colour: Sequence[int]) -> tuple[float, float, float]:
    red, green, blue = (value / 255.0 for value in colour)
    return red, green, blue
