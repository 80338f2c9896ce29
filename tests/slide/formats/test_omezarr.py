"""OME-Zarrs of both versions, written here; local ones and through a server."""

import shutil
import threading
import tracemalloc
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import zarr
from imagecodecs.numcodecs import register_codecs

from napari_mhim.errors import SlideError
from napari_mhim.slide import fingerprint, open_slide
from napari_mhim.slide.formats._zarr_store import claimed_bytes

RNG = np.random.default_rng(5)
IMAGE = RNG.integers(1, 255, (3, 300, 420), dtype=np.uint8)
AXES = ("c", "y", "x")
WANTED = np.moveaxis(IMAGE, 0, 2)


def write_image(
    group: zarr.Group,
    levels: list[np.ndarray],
    axes: tuple[str, ...] = AXES,
    units: str = "micrometer",
    scale: tuple[float, float] = (0.5, 0.25),
    **more: object,
) -> None:
    """Write the levels of one image, and the metadata of the group's version."""
    datasets = []
    for number, pixels in enumerate(levels):
        chunks = [{"c": 1, "y": 64, "x": 80, "t": 1, "z": 1}[axis] for axis in axes]
        array = group.create_array(
            str(number), shape=pixels.shape, dtype=pixels.dtype, chunks=chunks
        )
        array[:] = pixels
        step = [{"y": scale[0], "x": scale[1]}.get(axis, 1.0) for axis in axes]
        own = [
            n * 2**number if axis in "yx" else n
            for axis, n in zip(axes, step, strict=True)
        ]
        datasets.append(
            {
                "path": str(number),
                "coordinateTransformations": [{"type": "scale", "scale": own}],
            }
        )
    named = [
        {"name": axis, "type": "space", **({"unit": units} if units else {})}
        for axis in axes
    ]
    ome = {"multiscales": [{"axes": named, "datasets": datasets}], **more}
    is_new = group.metadata.zarr_format == 3
    group.attrs.update({"ome": {"version": "0.5", **ome}} if is_new else ome)


def made(path: Path, zarr_format: int = 2, levels=(IMAGE,), **options) -> Path:
    root = zarr.create_group(path, zarr_format=zarr_format)
    write_image(root, list(levels), **options)
    return path


@contextmanager
def served(folder: Path):
    """Serve a folder on this computer, and give its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("zarr_format", [2, 3], ids=["0.4", "0.5"])
def test_levels_scale_and_pixels_of_either_version(tmp_path, zarr_format):
    half = IMAGE[:, ::2, ::2]
    path = made(tmp_path / "a.ome.zarr", zarr_format, [IMAGE, half])
    with open_slide(path) as slide:
        assert slide.name == "a.ome"
        assert slide.mpp == pytest.approx((0.5, 0.25))
        assert [source.tile for source in slide.sources] == [(64, 80), (64, 80)]
        np.testing.assert_array_equal(slide.levels[0].compute(), WANTED)
        np.testing.assert_array_equal(slide.levels[1].compute(), WANTED[::2, ::2])
        assert slide.missing_tiles == 0


@pytest.mark.parametrize(
    ("unit", "factor"), [("nanometer", 1e-3), ("millimeter", 1e3), ("micrometer", 1)]
)
def test_units_become_micrometres(tmp_path, unit, factor):
    scale = (0.5 / factor, 0.25 / factor)
    path = made(tmp_path / "a.zarr", units=unit, scale=scale)
    with open_slide(path) as slide:
        assert slide.mpp == pytest.approx((0.5, 0.25))


def test_a_scale_of_the_whole_multiscale_counts_too(tmp_path):
    path = made(tmp_path / "a.zarr")
    root = zarr.open_group(path, mode="r+")
    (multiscale,) = root.attrs["multiscales"]
    multiscale["coordinateTransformations"] = [{"type": "scale", "scale": [1, 2, 4]}]
    root.attrs["multiscales"] = [multiscale]
    with open_slide(path) as slide:
        assert slide.mpp == pytest.approx((1.0, 1.0))


def test_a_scale_without_a_unit_is_not_guessed(tmp_path):
    with open_slide(made(tmp_path / "a.zarr", units="")) as slide:
        assert slide.mpp is None
        assert "no unit" in slide.mpp_reason


def test_the_middle_plane_is_taken_and_said(tmp_path):
    stack = RNG.integers(1, 255, (2, 3, 5, 90, 100), dtype=np.uint8)
    path = made(tmp_path / "a.zarr", levels=[stack], axes=("t", "c", "z", "y", "x"))
    with open_slide(path) as slide:
        wanted = np.moveaxis(stack[1, :, 2], 0, 2)
        np.testing.assert_array_equal(slide.levels[0].compute(), wanted)
        assert [note for note in slide.notes if "number 3, the middle one" in note]
        assert len(slide.notes) == 2


def test_channels_that_come_last_are_found_by_name(tmp_path):
    path = made(tmp_path / "a.zarr", levels=[WANTED], axes=("y", "x", "c"))
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.levels[0].compute(), WANTED)


@pytest.mark.parametrize(
    ("pixels", "more", "reason"),
    [
        (IMAGE.astype(np.uint16), {}, "uint16"),
        (IMAGE[:2], {}, "2 channels"),
        (
            IMAGE,
            {"omero": {"channels": [{"color": c} for c in ("0000FF", "00FF00", "F00")]}},
            "stains",
        ),
        (IMAGE, {"plate": {"rows": []}}, "plate"),
    ],
)  # fmt: skip
def test_what_is_no_rgb_slide_is_refused_in_one_sentence(
    tmp_path, pixels, more, reason
):
    path = made(tmp_path / "a.zarr", levels=[pixels], **more)
    with pytest.raises(SlideError, match=reason) as caught:
        open_slide(path)
    assert str(caught.value).startswith("'a.zarr' cannot be opened")
    assert "\n" not in str(caught.value)


def test_several_images_are_scenes_and_the_label_is_none(tmp_path):
    path = tmp_path / "a.zarr"
    root = zarr.create_group(path, zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    for number, pixels in enumerate((IMAGE, IMAGE[:, :90], IMAGE[:, :60, :70])):
        write_image(root.create_group(str(number)), [pixels])
    (path / "OME").mkdir()
    names = "".join(f'<Image Name="{n}"/>' for n in ("left", "right", "label image"))
    (path / "OME" / "METADATA.ome.xml").write_text(f'<OME xmlns="x">{names}</OME>')
    with open_slide(path) as slide, open_slide(path, scene=1) as other:
        assert slide.scenes == ("left", "right")
        assert "1 'right'" in slide.notes[0]
        assert other.shape == (90, 420)
        assert slide.fingerprint != other.fingerprint
        assert slide.associated == ("label",)
        np.testing.assert_array_equal(slide.associated_image("label"), WANTED[:60, :70])
    with pytest.raises(SlideError, match="no scene 2; there are: 0 'left', 1 'right'"):
        open_slide(path, scene=2)


def test_absent_chunks_are_white_and_their_place_is_known(tmp_path):
    path = made(tmp_path / "a.zarr", levels=[WANTED], axes=("y", "x", "c"))
    for member in (path / "0").glob("1.2.*"):
        member.unlink()
    with open_slide(path) as slide:
        pixels = slide.levels[0].compute()
        assert (pixels[64:128, 160:240] == 255).all()
        assert slide.missing_tiles == 1
        assert slide.missing_boxes.tolist() == [[64, 160, 64, 80]]


def test_a_damaged_chunk_is_white_and_counted(tmp_path):
    path = made(tmp_path / "a.zarr")
    (path / "0" / "1.0.0").write_bytes(b"nothing that decodes")
    with open_slide(path) as slide:
        pixels = slide.levels[0].compute()
        assert (pixels[:64, :80] == 255).all()
        np.testing.assert_array_equal(pixels[64:], WANTED[64:])
        assert slide.missing_tiles == 1


def test_a_folder_that_is_gone_is_an_error_and_not_white(tmp_path):
    path = made(tmp_path / "a.zarr")
    with open_slide(path) as slide:
        shutil.rmtree(path)
        with pytest.raises(SlideError, match="gone"):
            slide.levels[0].compute()


def test_chunks_too_large_for_memory_are_refused_before_they_are_read(tmp_path):
    path = tmp_path / "a.zarr"
    side = 40_000
    root = zarr.create_group(path, zarr_format=2)
    root.create_array(
        "0", shape=(side, side, 3), chunks=(side, side, 3), dtype=np.uint8
    )
    with pytest.raises(SlideError, match="4577 MiB"):
        open_slide(path)


def test_a_web_address_opens_like_the_folder_it_serves(tmp_path):
    path = made(tmp_path / "a.zarr", 3, [IMAGE, IMAGE[:, ::2, ::2]])
    with served(tmp_path) as address:
        with open_slide(f"{address}/a.zarr/") as slide, open_slide(path) as local:
            assert slide.name == "a"
            np.testing.assert_array_equal(slide.levels[0].compute(), WANTED)
            assert slide.fingerprint == local.fingerprint == fingerprint(slide.path)
            again = str(slide.path)
        with open_slide(again) as slide:
            assert slide.mpp == pytest.approx((0.5, 0.25))
        with pytest.raises(SlideError, match=r"'b\.zarr' cannot be opened.*address"):
            open_slide(f"{address}/b.zarr")


def test_a_server_that_is_gone_is_an_error_and_not_white(tmp_path):
    made(tmp_path / "a.zarr")
    with served(tmp_path) as address:
        slide = open_slide(f"{address}/a.zarr")
    with slide, pytest.raises(SlideError):
        slide.levels[0].compute()


def test_the_real_zarr_shows_the_tissue_of_the_svs_it_was_made_of(test_data):
    slides = test_data / "data" / "slides"
    made_of = slides / "aperio" / "CMU-1-Small-Region.svs"
    found = slides / "omezarr" / "CMU-1-Small-Region-JPEG.zarr"
    with open_slide(found) as slide, open_slide(made_of) as other:
        np.testing.assert_array_equal(
            slide.levels[0].compute(), other.levels[0].compute()
        )
        assert slide.mpp is None


def jpeg_array(path: Path) -> zarr.Array:
    register_codecs(verbose=False)
    array = zarr.create_array(
        path,
        shape=WANTED.shape,
        chunks=(64, 80, 3),
        dtype="u1",
        zarr_format=2,
        compressors=imagecodecs.numcodecs.Jpeg(level=95),
    )
    array[:] = WANTED
    return array


def test_a_chunk_that_says_it_is_huge_is_missing_before_memory_is_given(tmp_path):
    path = tmp_path / "a.zarr"
    jpeg_array(path)
    chunk = path / "1.1.0"
    hurt = bytearray(chunk.read_bytes())
    at = hurt.index(b"\xff\xc0")
    hurt[at + 5 : at + 9] = b"\xff\x00\xff\x00"
    chunk.write_bytes(hurt)
    tracemalloc.start()
    with open_slide(path) as slide:
        pixels = slide.read_region(0, 0, 300, 420)
        assert (pixels[64:128, 80:160] == 255).all()
        assert slide.missing_tiles == 1
    assert tracemalloc.get_traced_memory()[1] < 1 << 27
    tracemalloc.stop()


@pytest.mark.parametrize(
    "encode",
    [
        lambda data: imagecodecs.blosc_encode(data, typesize=1),
        imagecodecs.zstd_encode,
        lambda data: imagecodecs.jpeg8_encode(data.reshape(100, -1, 4)[..., :3].copy()),
    ],
    ids=["blosc", "zstd", "jpeg"],
)
@pytest.mark.parametrize("rows", [1, 60, 4000])
def test_what_a_chunk_says_of_its_size_is_read(encode, rows):
    data = np.arange(400 * rows, dtype=np.uint32).astype(np.uint8)
    assert claimed_bytes(bytes(encode(data))) == data.size


@pytest.mark.parametrize("data", [b"", b"\x28\xb5\x2f\xfd", bytes(40), b"\xff\xd8"])
def test_what_says_no_size_claims_none(data):
    assert claimed_bytes(data) == 0
