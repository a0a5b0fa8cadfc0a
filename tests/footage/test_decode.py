# SPDX-License-Identifier: Apache-2.0
"""Video files of every kind that cameras and phones make, each made here."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction

import av
import numpy as np
import pytest

from fasthmr.footage import open_footage, probe

# FFmpeg's numbers for the YUV matrix and the range.
BT709, UNSPECIFIED, BT601 = 1, 2, 6
LIMITED, FULL = 1, 2

SHORT_GOP = {"g": "8", "bf": "2", "sc_threshold": "0"}


def frames_of(path, *span, **options):
    return list(open_footage(path, *span, **options))


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("h264.mp4", "libx264"),
        ("h264.mkv", "libx264"),
        ("h264.mov", "libx264"),
        ("h264.ts", "libx264"),
        ("hevc.mp4", "libx265"),
        ("mpeg4.avi", "mpeg4"),
        ("vp8.webm", "libvpx"),
        ("vp9.webm", "libvpx-vp9"),
    ],
)
def test_every_frame_comes_once_in_order_with_its_time(make, name, codec):
    path = make.video(name, 40, codec=codec, rate=25)
    frames = frames_of(path)
    assert [make.stamp_of(frame.image) for frame in frames] == list(range(40))
    assert [frame.index for frame in frames] == list(range(40))
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(40) / 25, atol=0.6e-3)
    info = probe(path)
    assert (info.kind, info.width, info.height, info.rotation) == ("video", 96, 64, 0)
    assert (info.frame_rate, info.variable_rate, info.frame_count) == (25.0, False, 40)
    assert info.duration == pytest.approx(40 / 25, abs=2e-3)


def test_invisible_frames_of_vp8_are_not_counted(make):
    path = make.video("hidden.webm", 60, codec="libvpx")
    with av.open(str(path)) as container:
        coded = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for number in (10, 25):  # make two frames invisible references: bit 4 of the frame tag (RFC 6386, 9.1)
        assert data.count(coded[number]) == 1
        data[data.index(coded[number])] &= ~0x10
    path.write_bytes(data)
    shown = [index for index in range(60) if index not in (10, 25)]
    assert probe(path).frame_count == 58
    assert [make.stamp_of(frame.image) for frame in frames_of(path)] == shown
    part = frames_of(path, 1.5)
    assert [frame.index for frame in part] == list(range(43, 58))
    assert [make.stamp_of(frame.image) for frame in part] == list(range(45, 60))


def test_a_fractional_rate_is_kept_exactly_also_in_a_container_of_milliseconds(make):
    for name in ("ntsc.mp4", "ntsc.mkv"):
        info = probe(make.video(name, 50, rate=Fraction(30000, 1001)))
        assert info.frame_rate == pytest.approx(30000 / 1001, abs=1e-9)
        assert not info.variable_rate


@pytest.mark.parametrize("name", ["phone.mp4", "phone.mkv"])
def test_a_variable_rate_keeps_the_time_of_every_frame(make, name):
    rng = np.random.default_rng(5)
    seconds = np.cumsum(rng.choice([0.033, 0.040, 0.100], 50))
    seconds -= seconds[0]
    ticks = [round(second * 1000) for second in seconds]
    path = make.video(name, 50, ticks=ticks, tick=Fraction(1, 1000), options=SHORT_GOP)
    info = probe(path)
    assert info.variable_rate
    assert info.frame_rate == pytest.approx(49 / seconds[-1])
    frames = frames_of(path)
    np.testing.assert_allclose([frame.time for frame in frames], seconds, atol=1e-9)
    # A part of it: the same indices, times and pictures as when everything is read.
    for start, end in [(0.5, 1.1), (1.31, None), (None, 0.4), (seconds[20], seconds[31])]:
        low, high = start or 0.0, seconds[-1] + 1 if end is None else end
        wanted = [frame for frame in frames if low - 1e-9 <= frame.time < high - 1e-9]
        part = frames_of(path, start, end)
        assert [(f.index, f.time) for f in part] == [(f.index, f.time) for f in wanted]
        for got, want in zip(part, wanted, strict=True):
            np.testing.assert_array_equal(got.image, want.image)


@pytest.mark.parametrize("name", ["seek.mp4", "seek.mkv", "seek.ts", "seek.avi"])
@pytest.mark.parametrize("options", [SHORT_GOP, {"g": "1000"}, {**SHORT_GOP, "x264-params": "open-gop=1"}])
def test_seeking_never_shifts_an_index(make, name, options):
    if name == "seek.avi":
        options = {key: value for key, value in options.items() if key in ("g", "bf")}
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    path = make.video(name, 60, codec=codec, rate=30, options=options)
    for first in (0, 1, 7, 8, 9, 23, 24, 25, 41, 58, 59):
        frames = frames_of(path, first / 30)
        assert [frame.index for frame in frames] == list(range(first, 60))
        assert [make.stamp_of(frame.image) for frame in frames] == list(range(first, 60))
        assert frames[0].time == pytest.approx(first / 30, abs=0.6e-3)


def test_a_clip_that_does_not_begin_at_zero_still_begins_at_frame_zero(make):
    ticks = [9000 + index * 40 for index in range(30)]
    path = make.video("late.mkv", 30, ticks=ticks, tick=Fraction(1, 1000), options=SHORT_GOP)
    frames = frames_of(path)
    assert (frames[0].index, frames[0].time) == (0, 0.0)
    assert [frame.index for frame in frames_of(path, 0.8)] == list(range(20, 30))


def test_frames_that_an_edit_list_hides_do_not_count(make):
    # Negative times become an edit list that begins at zero, as when a phone trims without coding anew.
    path = make.folder / "trimmed.mp4"
    with av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as container:
        stream = container.add_stream("libx264", rate=30, options={**SHORT_GOP, "bf": "0", "g": "20"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index in range(40):
            for packet in stream.encode(av.VideoFrame.from_ndarray(make.stamped(index))):
                packet.pts -= 7 * packet.time_base.denominator // 30
                packet.dts -= 7 * packet.time_base.denominator // 30
                container.mux(packet)
        for packet in stream.encode():
            packet.pts -= 7 * packet.time_base.denominator // 30
            packet.dts -= 7 * packet.time_base.denominator // 30
            container.mux(packet)
    frames = frames_of(path)
    assert [make.stamp_of(frame.image) for frame in frames] == list(range(7, 40))
    assert [frame.index for frame in frames] == list(range(33))
    part = frames_of(path, 0.5)
    assert [make.stamp_of(frame.image) for frame in part] == list(range(22, 40))
    assert part[0].index == 15
    assert not open_footage(path).warnings


@pytest.mark.parametrize("degrees", [90, -90, 180, -180, 0])
@pytest.mark.parametrize("size", [(96, 64), (97, 65)])
def test_the_rotation_flag_of_a_phone_is_applied(make, degrees, size):
    stored = make.stamped(0b10010110, *size)
    path = make.video("phone.mp4", [stored] * 3, rotation=degrees, pixel_format="yuv444p")
    upright = np.rot90(stored, degrees // 90)  # both count counterclockwise
    info = probe(path)
    assert (info.width, info.height) == (upright.shape[1], upright.shape[0])
    assert info.rotation == -degrees % 360
    for frame in frames_of(path):
        assert frame.image.flags.c_contiguous
        assert frame.image.shape == upright.shape
        assert np.abs(frame.image.astype(int) - upright).mean() < 4


def test_a_mirrored_display_matrix_is_applied(make):
    stored = make.stamped(0b11100010)
    one = 1 << 16
    path = make.video("mirror.mp4", [stored] * 3, matrix=[-one, 0, 0, 0, one, 0, 0, 0, 1 << 30])
    image = frames_of(path)[0].image
    assert np.abs(image.astype(int) - stored[:, ::-1]).mean() < 4


@pytest.mark.parametrize("size", [(97, 64), (96, 65), (97, 65), (33, 17), (8, 8)])
def test_odd_and_tiny_sizes(make, size):
    path = make.video("odd.mkv", [make.stamped(5, *size)] * 2, codec="ffv1")
    frame = frames_of(path)[0]
    assert frame.image.shape == (size[1], size[0], 3)
    assert make.stamp_of(frame.image) == 5 or size == (8, 8)
    assert (probe(path).width, probe(path).height) == size


def test_one_frame_is_a_clip(make):
    path = make.video("one.mp4", 1)
    assert probe(path).frame_count == 1
    assert [(frame.index, frame.time) for frame in frames_of(path)] == [(0, 0.0)]
    assert probe(path).duration == pytest.approx(1 / 30)


@pytest.mark.parametrize(
    "pixel_format",
    [
        "yuv420p",
        "yuv422p",
        "yuv444p",
        "yuv420p10le",
        "yuv422p10le",
        "yuv444p12le",
        "gray",
        "bgr0",
        "yuva420p",
        "rgb48le",
    ],
)
def test_pixel_formats_of_8_to_16_bits_become_8_bit_rgb(make, pixel_format):
    picture = np.full((64, 96, 3), (60, 160, 90), np.uint8)
    if pixel_format == "gray":
        picture[:] = 120
    path = make.video("deep.mkv", [picture] * 2, codec="ffv1", pixel_format=pixel_format)
    image = frames_of(path)[0].image
    assert image.dtype == np.uint8
    assert image.shape == (64, 96, 3)
    np.testing.assert_allclose(image.reshape(-1, 3).mean(0), picture[0, 0], atol=3)


def naive_rgb(y: float, u: float, v: float, matrix: int, value_range: int) -> np.ndarray:
    """ITU-R BT.601 / BT.709, written out."""
    kr, kb = (0.2126, 0.0722) if matrix == BT709 else (0.299, 0.114)
    if value_range == FULL:
        luma, blue, red = y / 255, (u - 128) / 255, (v - 128) / 255
    else:
        luma, blue, red = (y - 16) / 219, (u - 128) / 224, (v - 128) / 224
    r = luma + 2 * (1 - kr) * red
    b = luma + 2 * (1 - kb) * blue
    g = (luma - kr * r - kb * b) / (1 - kr - kb)
    return np.clip(255 * np.array([r, g, b]), 0, 255)


@pytest.mark.parametrize("value_range", [LIMITED, FULL])
@pytest.mark.parametrize(
    ("tagged", "height", "meant"),
    [
        (BT709, 64, BT709),
        (BT601, 64, BT601),
        (BT601, 720, BT601),
        (UNSPECIFIED, 64, BT601),
        (UNSPECIFIED, 720, BT709),
    ],
)
def test_colours_follow_the_matrix_and_range_of_the_file(make, tagged, height, meant, value_range):
    y, u, v = 120, 90, 170
    frame = av.VideoFrame(96, height, "yuv444p")
    for plane, value in zip(frame.planes, (y, u, v), strict=True):
        plane.update(np.full(plane.buffer_size, value, np.uint8).tobytes())
    frame.colorspace, frame.color_range = tagged, value_range
    path = make.video(
        "colour.mp4", [frame] * 2, pixel_format="yuv444p", options={"qp": "0"}, colour=(tagged, value_range)
    )
    image = frames_of(path)[0].image
    np.testing.assert_allclose(image[5, 5], naive_rgb(y, u, v, meant, value_range), atol=2)
    assert np.abs(naive_rgb(y, u, v, BT709, value_range) - naive_rgb(y, u, v, BT601, value_range)).max() > 6


@pytest.mark.parametrize(
    ("aspect", "size"), [(Fraction(4, 3), (128, 64)), (Fraction(8, 9), (96, 72)), (Fraction(1), (96, 64))]
)
def test_pixels_become_square(make, aspect, size):
    path = make.video("anamorphic.mp4", 3, aspect=aspect)
    frame = frames_of(path)[0]
    assert (frame.image.shape[1], frame.image.shape[0]) == size == (probe(path).width, probe(path).height)


def test_the_focal_length_of_a_phone_is_read(make):
    key = "com.apple.quicktime.camera.focal_length.35mm_equivalent"
    path = make.video(
        "phone.mov", 2, metadata={key: "26"}, container_options={"movflags": "use_metadata_tags"}
    )
    assert probe(path).focal_35mm == 26.0
    assert probe(make.video("plain.mov", 2)).focal_35mm is None


def test_memory_does_not_grow_with_the_clip(make):
    path = make.video("long.mp4", 250)
    footage = iter(open_footage(path))
    for _ in range(20):
        next(footage)
    tracemalloc.start()
    peaks = []
    for _ in range(2):
        for _ in range(100):
            next(footage)
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert peaks[1] - peaks[0] < 3 * 96 * 64 * 3
