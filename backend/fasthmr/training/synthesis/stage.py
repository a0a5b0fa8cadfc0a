# SPDX-License-Identifier: Apache-2.0
"""Draws a synthetic person into a place, frame after frame, with the exact mask.

Everything is in the camera's frame (OpenCV), so that a moving camera is a matter of what it is given. The
body is skinned in the vertex shader; a sequence costs one upload of its shape and look.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Final

import moderngl
import numpy as np
import torch

from fasthmr.body import BodyModel
from fasthmr.preview.context import open_context
from fasthmr.preview.figures import vertex_normals
from fasthmr.training.synthesis.look import Look
from fasthmr.training.synthesis.surroundings import Surroundings

_SAMPLES: Final = 4
_NEAR: Final = 0.05
#: How far one can see, metres.
FAR: Final = 200.0

_BODY_VERTEX: Final = """
#version 330
uniform mat4 clip_from_camera;
uniform mat4 bones[24];
in vec3 position;
in vec3 normal;
in vec4 carriers;
in vec4 shares;
in vec3 colour;
out vec3 place;
out vec3 facing;
out vec3 tint;
void main() {
    mat4 bone = shares.x * bones[int(carriers.x)] + shares.y * bones[int(carriers.y)]
              + shares.z * bones[int(carriers.z)] + shares.w * bones[int(carriers.w)];
    place = (bone * vec4(position, 1.0)).xyz;
    facing = mat3(bone) * normal;
    tint = colour;
    gl_Position = clip_from_camera * vec4(place, 1.0);
}
"""
_BODY_FRAGMENT: Final = """
#version 330
uniform vec3 sun;
uniform vec3 sun_colour;
uniform vec3 sky;
uniform vec3 sky_colour;
uniform float counted;  // 1: part of the mask
in vec3 place;
in vec3 facing;
in vec3 tint;
out vec4 result;
void main() {
    vec3 n = normalize(facing);
    float lit = max(0.0, dot(n, sun));
    float above = 0.5 + 0.5 * dot(n, sky);
    float edge = max(0.0, dot(n, normalize(-place)));
    vec3 light = sun_colour * lit + sky_colour * above * (0.7 + 0.3 * edge);
    result = vec4(clamp(tint * light, 0.0, 1.0), counted);
}
"""
_PLACE_VERTEX: Final = """
#version 330
in vec2 corner;
out vec2 screen;
void main() {
    screen = corner;
    gl_Position = vec4(corner, 0.9999, 1.0);
}
"""
# Each pixel's ray meets the floor, or points at the surroundings; a dark patch under the person.
_PLACE_FRAGMENT: Final = """
#version 330
uniform mat3 world_from_camera;
uniform vec3 eye;
uniform vec4 lens;  // focal lengths and principal point, in half pictures
uniform sampler2D floor_picture;
uniform sampler2D around_picture;
uniform float floor_size;
uniform float heading;
uniform vec2 feet;
uniform float brightness;
in vec2 screen;
out vec4 result;
void main() {
    vec3 ray = world_from_camera * vec3((screen - lens.zw) / lens.xy, 1.0);
    vec3 colour;
    float reach = -eye.z / ray.z;
    if (ray.z < -0.004 * length(ray.xy) && reach > 0.0) {
        vec2 ground = eye.xy + reach * ray.xy;
        colour = texture(floor_picture, ground / floor_size).rgb;
        float away = distance(ground, feet);
        colour *= 1.0 - 0.5 * exp(-away * away / 0.12);
        float far = smoothstep(15.0, 60.0, reach * length(ray.xy));
        colour = mix(colour, texture(around_picture, vec2(0.5, 0.0)).rgb, far);
    } else {
        float around = atan(ray.y, ray.x) / 6.2831853 + heading;
        colour = texture(around_picture, vec2(2.0 * around, ray.z / length(ray.xy))).rgb;
    }
    result = vec4(colour * brightness, 0.0);
}
"""


@dataclass(frozen=True)
class Place:
    """Surroundings whose pictures the graphics card holds, until they are released."""

    floor: moderngl.Texture
    around: moderngl.Texture
    floor_size: float

    def release(self) -> None:
        """Free the memory."""
        self.floor.release()
        self.around.release()


class _Actor:
    """Somebody's vertices on the graphics card, and their rest joints."""

    def __init__(
        self,
        context: moderngl.Context,
        program: moderngl.Program,
        vertices: int,
        carriers: moderngl.Buffer,
        faces: moderngl.Buffer,
    ) -> None:
        self.surface = context.buffer(reserve=vertices * 9 * 4)
        self.mesh = context.vertex_array(
            program,
            [
                (self.surface, "3f 3f 3f", "position", "normal", "colour"),
                (carriers, "4f 4f", "carriers", "shares"),
            ],
            faces,
        )
        self.rest = np.zeros((24, 3))


class SyntheticStage:
    """Renders a person, and another who is not in the mask; a context manager that frees the graphics memory.

    Args:
        body: the body model of all people.

    Raises:
        FastHMRError: OpenGL cannot be started.
    """

    def __init__(self, body: BodyModel) -> None:
        self._body = body
        self._context = open_context()
        self._figure = self._context.program(vertex_shader=_BODY_VERTEX, fragment_shader=_BODY_FRAGMENT)
        self._place = self._context.program(vertex_shader=_PLACE_VERTEX, fragment_shader=_PLACE_FRAGMENT)
        carriers, shares = _four_carriers(body.weights)
        faces = body.faces.numpy().astype(np.int32)
        face_buffer = self._context.buffer(faces.tobytes())
        carrier_buffer = self._context.buffer(np.concatenate([carriers, shares], axis=1).tobytes())
        self._person, self._companion = (
            _Actor(self._context, self._figure, len(body.v_template), carrier_buffer, face_buffer)
            for _ in range(2)
        )
        corners = np.array([-1, -1, 1, -1, -1, 1, 1, 1], np.float32)
        self._screen = self._context.vertex_array(
            self._place, [(self._context.buffer(corners.tobytes()), "2f", "corner")]
        )
        self._targets: dict[tuple[int, int], tuple[moderngl.Framebuffer, moderngl.Framebuffer]] = {}
        # Half of the triangles look away. The picture is upside down for OpenGL, which takes front for back.
        self._context.cull_face = "front"
        self._place_now: Place | None = None
        self._own_place: Place | None = None

    def __enter__(self) -> SyntheticStage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.release()

    def dress(self, betas: np.ndarray, look: Look, surroundings: Surroundings) -> None:
        """Set who is shown and where.

        Args:
            betas: (10,) body shape.
            look: of the person.
            surroundings: of the place.
        """
        self.wear(betas, look)
        if self._own_place is not None:
            self._own_place.release()
        self._own_place = self.build(surroundings)
        self.go_to(self._own_place)

    def wear(
        self,
        betas: np.ndarray,
        look: Look,
        companion: bool = False,
        normals: np.ndarray | None = None,
    ) -> None:
        """Set who is shown.

        Args:
            betas: (10,) body shape.
            look: of the person.
            companion: set the person who is not in the mask.
            normals: (V, 3) of the body at rest, those of the mean body will do; None: found for this body,
                which takes as long as half a picture.
        """
        shape = torch.from_numpy(np.asarray(betas, np.float32))
        rest = self._body.rest_vertices(shape)
        if normals is None:
            normals = vertex_normals(rest[None], self._body.faces)[0].numpy()
        actor = self._companion if companion else self._person
        actor.rest = self._body.rest_joints(shape).numpy().astype(np.float64)
        surface = np.empty((len(rest), 9), np.float32)
        surface[:, :3] = rest.numpy() + look.offsets[:, None] * normals
        surface[:, 3:6], surface[:, 6:] = normals, look.colours
        actor.surface.write(surface.tobytes())

    def build(self, surroundings: Surroundings) -> Place:
        """Bring surroundings to the graphics card; the caller releases them."""
        floor, around = (self._texture(picture) for picture in (surroundings.floor, surroundings.around))
        return Place(floor, around, surroundings.floor_size)

    def go_to(self, place: Place) -> None:
        """Set where the pictures that follow are."""
        self._place_now = place

    def render(
        self,
        turns: np.ndarray,
        joints: np.ndarray,
        intrinsics: np.ndarray,
        size: tuple[int, int],
        world_from_camera: np.ndarray,
        lights: Lights,
        companion: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw one frame.

        Args:
            turns: (24, 3, 3) of the joints in the camera's frame.
            joints: (24, 3) metres in the camera's frame.
            intrinsics: (3, 3) in pixels of the picture.
            size: width and height, pixels.
            world_from_camera: (4, 4) rigid; the world's z is up and its floor at 0.
            lights: of the scene.
            companion: turns and joints of somebody else, who may hide the person and is not in the mask.

        Returns:
            (H, W, 3) uint8 RGB, and the mask (H, W) bool of what is seen of the person.
        """
        drawn, resolved = self._target(size)
        drawn.use()
        self._context.disable(moderngl.DEPTH_TEST | moderngl.CULL_FACE)
        self._draw_place(intrinsics, size, world_from_camera, joints, lights)
        self._context.enable(moderngl.DEPTH_TEST | moderngl.CULL_FACE)
        self._prepare_figure(intrinsics, size, world_from_camera, lights)
        self._draw_figure(self._person, turns, joints, counted=1.0)
        if companion is not None:
            self._draw_figure(self._companion, *companion, counted=0.0)
        self._context.copy_framebuffer(resolved, drawn)
        pixels = np.frombuffer(resolved.read(components=4), np.uint8).reshape(size[1], size[0], 4)
        return np.ascontiguousarray(pixels[..., :3]), pixels[..., 3] > 127

    def depth(self, size: tuple[int, int]) -> np.ndarray:
        """How far away the people of the last picture of this size are.

        Args:
            size: width and height, pixels.

        Returns:
            (H, W) metres along the camera's axis; :data:`FAR` where nobody is.
        """
        _, resolved = self._targets[size]
        stored = np.frombuffer(resolved.read(components=1, attachment=-1, dtype="f4"), np.float32)
        stored = stored.reshape(size[::-1])
        return (2 * FAR * _NEAR / (FAR + _NEAR - (2 * stored.astype(np.float64) - 1) * (FAR - _NEAR))).clip(
            _NEAR, FAR
        )

    def _draw_place(
        self,
        intrinsics: np.ndarray,
        size: tuple[int, int],
        world_from_camera: np.ndarray,
        joints: np.ndarray,
        lights: Lights,
    ) -> None:
        width, height = size
        feet = world_from_camera[:3, :3] @ joints[[7, 8]].mean(0) + world_from_camera[:3, 3]
        place = self._place_now
        if place is None:
            raise ValueError("the stage has no surroundings yet: dress() or go_to() comes first")
        place.floor.use(0)
        place.around.use(1)
        _set(
            self._place,
            world_from_camera=tuple(world_from_camera[:3, :3].T.ravel().tolist()),
            eye=tuple(world_from_camera[:3, 3].tolist()),
            lens=(
                2 * intrinsics[0, 0] / width,
                2 * intrinsics[1, 1] / height,
                2 * intrinsics[0, 2] / width - 1,
                2 * intrinsics[1, 2] / height - 1,
            ),
            floor_picture=0,
            around_picture=1,
            floor_size=place.floor_size,
            heading=lights.heading,
            feet=tuple(feet[:2].tolist()),
            brightness=lights.brightness,
        )
        self._screen.render(moderngl.TRIANGLE_STRIP)

    def _prepare_figure(
        self, intrinsics: np.ndarray, size: tuple[int, int], world_from_camera: np.ndarray, lights: Lights
    ) -> None:
        camera_from_world = world_from_camera[:3, :3].T
        _set(
            self._figure,
            clip_from_camera=tuple(_clip(intrinsics, size).T.ravel().tolist()),
            sun=tuple((camera_from_world @ lights.sun).tolist()),
            sky=tuple((camera_from_world @ (0, 0, 1)).tolist()),
            sun_colour=tuple(lights.sun_colour.tolist()),
            sky_colour=tuple(lights.sky_colour.tolist()),
        )

    def _draw_figure(self, actor: _Actor, turns: np.ndarray, joints: np.ndarray, counted: float) -> None:
        bones = np.zeros((24, 4, 4))
        bones[:, :3, :3] = turns
        bones[:, :3, 3] = joints - np.einsum("jab,jb->ja", turns, actor.rest)
        bones[:, 3, 3] = 1
        bone_array = self._figure["bones"]
        assert isinstance(bone_array, moderngl.Uniform)  # noqa: S101 - for the type checker
        bone_array.write(np.ascontiguousarray(bones.transpose(0, 2, 1), np.float32).tobytes())
        _set(self._figure, counted=counted)
        actor.mesh.render()

    def _target(self, size: tuple[int, int]) -> tuple[moderngl.Framebuffer, moderngl.Framebuffer]:
        if size not in self._targets:
            samples = min(_SAMPLES, self._context.max_samples)
            self._targets[size] = (
                self._context.framebuffer(
                    [self._context.renderbuffer(size, 4, samples=samples)],
                    self._context.depth_renderbuffer(size, samples=samples),
                ),
                self._context.framebuffer(
                    [self._context.renderbuffer(size, 4)], self._context.depth_renderbuffer(size)
                ),
            )
        drawn = self._targets[size][0]
        drawn.use()
        drawn.clear()
        return self._targets[size]

    def _texture(self, picture: np.ndarray) -> moderngl.Texture:
        height, width = picture.shape[:2]
        texture = self._context.texture((width, height), 3, np.ascontiguousarray(picture).tobytes())
        texture.build_mipmaps()
        texture.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR)
        return texture


class Lights:
    """Sun and sky.

    Args:
        random: of everything drawn.
    """

    def __init__(self, random: np.random.Generator) -> None:
        direction = random.normal(size=3)
        direction[2] = abs(direction[2]) + 0.3
        self.sun = direction / np.linalg.norm(direction)
        strength, warmth = random.uniform(0.2, 0.9), random.uniform(-0.08, 0.08)
        self.sun_colour = strength * np.array([1 + warmth, 1.0, 1 - warmth])
        self.sky_colour = random.uniform(0.35, 0.8) * np.array([1 - warmth, 1.0, 1 + warmth])
        self.brightness = float(random.uniform(0.5, 1.1))
        self.heading = float(random.uniform())


def _four_carriers(weights: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The four strongest joints of each vertex (V, 4) and their shares, which sum to 1."""
    shares, carriers = weights.topk(4, dim=1)
    shares = shares / shares.sum(1, keepdim=True)
    return carriers.numpy().astype(np.float32), shares.numpy().astype(np.float32)


def _clip(intrinsics: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Clip space from the camera's, with y down, so that the first row read back is the picture's top."""
    width, height = size
    return np.array(
        [
            [2 * intrinsics[0, 0] / width, 0, 2 * intrinsics[0, 2] / width - 1, 0],
            [0, 2 * intrinsics[1, 1] / height, 2 * intrinsics[1, 2] / height - 1, 0],
            [0, 0, (FAR + _NEAR) / (FAR - _NEAR), -2 * FAR * _NEAR / (FAR - _NEAR)],
            [0, 0, 1, 0],
        ]
    )


def _set(program: moderngl.Program, **uniforms: object) -> None:
    for name, value in uniforms.items():
        uniform = program[name]
        assert isinstance(uniform, moderngl.Uniform)  # noqa: S101 - for the type checker
        uniform.value = value
