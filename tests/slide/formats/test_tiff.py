"""TIFFs of every make, written by tifffile, must give back what was written."""

import numpy as np
import openslide
import pytest
import tifffile
from imagecodecs import jpeg2k_encode

from napari_mhim.errors import SlideError
from napari_mhim.slide import open_slide

RNG = np.random.default_rng(1)
SHAPE = (300, 420)


def smooth(shape: tuple[int, int]) -> np.ndarray:
    """Draw an image that JPEG keeps well, not symmetric in any way."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = [np.sin(y / 31 + k) + np.cos(x / (17 + 9 * k)) for k in range(3)]
    return (127 + 60 * np.stack(waves, 2)).clip(0, 255).astype(np.uint8)


IMAGE = smooth(SHAPE)


def halves(image: np.ndarray) -> np.ndarray:
    return image[::2, ::2]


@pytest.mark.parametrize("tile", [(64, 64), (112, 160), None], ids=str)
@pytest.mark.parametrize("codec", ["none", "lzw", "deflate", "zstd", "packbits"])
def test_lossless_pixels_come_back_exactly(tmp_path, codec, tile):
    path = tmp_path / "a.tiff"
    tifffile.imwrite(
        path, IMAGE, compression=codec, tile=tile, rowsperstrip=None if tile else 37
    )
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.levels[0].compute(), IMAGE)


def test_a_predictor_is_undone(tmp_path):
    path = tmp_path / "a.tiff"
    tifffile.imwrite(path, IMAGE, compression="lzw", predictor=True, tile=(64, 64))
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.levels[0].compute(), IMAGE)


@pytest.mark.parametrize("codec", ["jpeg", "webp", "jpeg2000"])
def test_lossy_pixels_come_back_nearly(tmp_path, codec):
    path = tmp_path / "a.tiff"
    tifffile.imwrite(path, IMAGE, photometric="rgb", compression=codec, tile=(64, 64))
    with open_slide(path) as slide:
        error = slide.levels[0].compute().astype(int) - IMAGE
    assert np.abs(error).mean() < 4


def test_planes_kept_apart_are_put_together(tmp_path):
    path = tmp_path / "a.tiff"
    planes = np.moveaxis(IMAGE, 2, 0)
    tifffile.imwrite(
        path, planes, photometric="rgb", planarconfig="separate", tile=(64, 64)
    )
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.levels[0].compute(), IMAGE)


@pytest.mark.parametrize(
    ("photometric", "wanted"), [("minisblack", 0), ("miniswhite", 255)]
)
def test_grey_becomes_three_equal_colours(tmp_path, photometric, wanted):
    path = tmp_path / "a.tiff"
    tifffile.imwrite(path, IMAGE[..., 0], photometric=photometric, tile=(64, 64))
    grey = IMAGE[..., :1] if wanted == 0 else 255 - IMAGE[..., :1]
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.levels[0].compute(), np.repeat(grey, 3, 2))


def test_transparent_pixels_are_glass(tmp_path):
    path = tmp_path / "a.tiff"
    rgba = np.dstack([IMAGE, np.full(SHAPE, 255, np.uint8)])
    rgba[:100, :, 3] = 0
    tifffile.imwrite(
        path, rgba, photometric="rgb", extrasamples=["unassalpha"], tile=(64, 64)
    )
    with open_slide(path) as slide:
        pixels = slide.levels[0].compute()
    assert (pixels[:100] == 255).all()
    np.testing.assert_array_equal(pixels[100:], IMAGE[100:])


def test_jpeg2000_of_aperio_in_ycbcr_looks_as_in_openslide(tmp_path):
    path = tmp_path / "a.svs"
    red, green, blue = (IMAGE[..., i].astype(float) for i in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    ycbcr = np.stack(
        [luma, 128 + (blue - luma) / 1.772, 128 + (red - luma) / 1.402], axis=2
    )
    whole = np.pad(np.rint(ycbcr), ((0, 84), (0, 92), (0, 0)), mode="edge")
    tiles = [
        jpeg2k_encode(
            np.ascontiguousarray(whole[y : y + 128, x : x + 128], np.uint8),
            mct=False,
            codecformat="j2k",
        )
        for y in range(0, 384, 128)
        for x in range(0, 512, 128)
    ]
    tifffile.imwrite(
        path,
        iter(tiles),
        shape=IMAGE.shape,
        dtype=np.uint8,
        tile=(128, 128),
        photometric="rgb",
        compression=33003,
        description="Aperio Image Library v12.0.0\r\n420x300|MPP = 0.25",
        metadata=None,
    )
    with open_slide(path) as slide, openslide.OpenSlide(path) as other:
        ours = slide.levels[0].compute()
        theirs = np.asarray(other.read_region((0, 0), 0, SHAPE[::-1]))[..., :3]
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    assert np.abs(ours.astype(int) - IMAGE).mean() < 2


def write_pages(path, images, **first):
    with tifffile.TiffWriter(path) as tiff:
        for level, image in enumerate(images):
            tiff.write(
                image,
                photometric="rgb",
                tile=(64, 64),
                subfiletype=1 if level else 0,
                metadata=None,
                **(first if level == 0 else {}),
            )


def test_separate_pages_become_levels_with_halves_between(tmp_path):
    path = tmp_path / "a.tiff"
    write_pages(path, [IMAGE, IMAGE[::4, ::4]])
    with open_slide(path) as slide:
        assert [level.shape[:2] for level in slide.levels] == [
            (300, 420),
            (150, 210),
            (75, 105),
        ]
        assert [source.shape for source in slide.sources] == [(300, 420), (75, 105)]
        np.testing.assert_array_equal(slide.levels[2].compute(), IMAGE[::4, ::4])


def test_subifds_of_an_ome_tiff_become_levels(tmp_path):
    path = tmp_path / "a.ome.tiff"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(
            IMAGE,
            photometric="rgb",
            tile=(64, 64),
            subifds=1,
            metadata={
                "axes": "YXS",
                "PhysicalSizeX": 250.0,
                "PhysicalSizeXUnit": "nm",
                "PhysicalSizeY": 0.5,
                "PhysicalSizeYUnit": "µm",
            },
        )
        tiff.write(halves(IMAGE), photometric="rgb", tile=(64, 64), subfiletype=1)
    with open_slide(path) as slide:
        assert len(slide.sources) == 2
        assert slide.mpp == pytest.approx((0.5, 0.25))
        np.testing.assert_array_equal(slide.levels[1].compute(), halves(IMAGE))


def test_a_picture_of_another_view_is_no_level(tmp_path):
    path = tmp_path / "a.tiff"
    write_pages(path, [IMAGE, np.zeros((90, 200, 3), np.uint8)])
    with open_slide(path) as slide:
        assert [source.shape for source in slide.sources] == [SHAPE]
        assert slide.associated_image(slide.associated[0]).shape == (90, 200, 3)


def test_resolution_tags_keep_their_axes(tmp_path):
    path = tmp_path / "a.tiff"
    write_pages(path, [IMAGE], resolution=(40_000, 20_000), resolutionunit="CENTIMETER")
    with open_slide(path) as slide:
        assert slide.mpp == pytest.approx((0.5, 0.25))
        assert slide.mpp_reason == ""


@pytest.mark.parametrize(
    ("per_unit", "unit", "reason"),
    [(72, "INCH", "72 dots an inch"), (2_004_008, "CENTIMETER", "0.00499"),
     (1, "NONE", "no unit"), (96, "INCH", "96 dots an inch")],
)  # fmt: skip
def test_a_scale_no_microscope_has_is_none_with_the_reason(
    tmp_path, per_unit, unit, reason
):
    path = tmp_path / "a.tiff"
    write_pages(path, [IMAGE], resolution=(per_unit, per_unit), resolutionunit=unit)
    with open_slide(path) as slide:
        assert slide.mpp is None
        assert reason in slide.mpp_reason


@pytest.mark.parametrize(
    ("image", "options", "reason"),
    [
        (IMAGE[..., 0].astype(np.uint16), {}, "16 bits"),
        (IMAGE.astype(np.float32), {"photometric": "rgb"}, "32 bits"),
        (np.stack([IMAGE] * 3), {"photometric": "rgb"}, "3 pictures"),
        (IMAGE, {"photometric": "rgb", "extratags": [(274, 3, 1, 6, True)]}, "EXIF"),
        (np.dstack([IMAGE, IMAGE[..., 0]]), {"photometric": "separated"}, "SEPARATED"),
    ],
    ids=["grey 16", "float", "stack", "turned", "cmyk"],
)
def test_what_is_no_slide_is_refused_with_the_reason(tmp_path, image, options, reason):
    path = tmp_path / "a.tiff"
    tifffile.imwrite(path, image, tile=(64, 64), **options)
    with pytest.raises(SlideError, match=reason) as caught:
        open_slide(path)
    assert "a.tiff" in str(caught.value)


def damage(path, page: int, keep: int = 0) -> None:
    """Overwrite the tiles of a page from number ``keep`` on."""
    with tifffile.TiffFile(path) as tiff:
        offsets = tiff.pages[page].dataoffsets[keep:]
        counts = tiff.pages[page].databytecounts[keep:]
    with path.open("r+b") as file:
        for offset, count in zip(offsets, counts, strict=True):
            file.seek(offset)
            file.write(b"\x7f" * count)


def write_zipped(path) -> None:
    with tifffile.TiffWriter(path) as tiff:
        for level, image in enumerate([IMAGE, halves(IMAGE)]):
            tiff.write(
                image,
                photometric="rgb",
                compression="deflate",
                tile=(64, 64),
                subfiletype=min(level, 1),
            )


@pytest.mark.parametrize("page", [0, 1])
def test_a_level_of_which_no_tile_decodes_is_refused(tmp_path, page):
    path = tmp_path / "a.tiff"
    write_zipped(path)
    damage(path, page)
    with pytest.raises(SlideError, match=f"level {page} decodes"):
        open_slide(path)


def test_some_damaged_tiles_are_white_and_counted(tmp_path):
    path = tmp_path / "a.tiff"
    write_zipped(path)
    damage(path, 0, keep=32)
    with open_slide(path) as slide:
        pixels = slide.levels[0].compute()
        assert slide.missing_tiles == 3
    np.testing.assert_array_equal(pixels[:256], IMAGE[:256])
    assert (pixels[256:, 256:] == 255).all()


def test_absent_tiles_are_white_and_counted(tmp_path):
    path = tmp_path / "a.tiff"
    write_zipped(path)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        counts = tiff.pages[0].tags["TileByteCounts"]
        counts.overwrite([0, *counts.value[1:]])
    with open_slide(path) as slide:
        assert (slide.read_region(0, 0, 64, 64) == 255).all()
        assert slide.missing_tiles == 1


def test_black_tiles_are_counted(tmp_path):
    path = tmp_path / "a.tiff"
    image = IMAGE.copy()
    image[64:128, :64] = 0
    write_pages(path, [image])
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.levels[0].compute(), image)
        assert slide.missing_tiles == 1


def test_a_suffix_means_nothing(tmp_path):
    path = tmp_path / "a.jpg"
    write_pages(path, [IMAGE])
    with open_slide(path) as slide:
        assert slide.shape == SHAPE


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_either_byte_order_and_size_opens(tmp_path, byteorder, bigtiff):
    path = tmp_path / "a.tiff"
    with tifffile.TiffWriter(path, bigtiff=bigtiff, byteorder=byteorder) as tiff:
        tiff.write(IMAGE, photometric="rgb", tile=(64, 64), description="x" * 99)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.levels[0].compute(), IMAGE)


def write_ome(path, images, **more):
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for number, (name, image, axes) in enumerate(images):
            said = {"axes": axes, "Name": name, "PhysicalSizeX": 0.25 * (number + 1)}
            tiff.write(image, photometric="rgb", tile=(64, 64), metadata=said, **more)


def test_images_of_an_ome_tiff_are_scenes_and_its_label_is_none(tmp_path):
    path = tmp_path / "a.ome.tiff"
    small = IMAGE[:150, :210]
    write_ome(
        path,
        [
            ("left", IMAGE, "YXS"),
            ("right", small, "YXS"),
            ("label image", IMAGE[:99], "YXS"),
        ],
    )
    with open_slide(path) as slide, open_slide(path, scene=1) as other:
        assert slide.scenes == other.scenes == ("left", "right")
        assert "1 'right'" in slide.notes[0]
        assert slide.mpp == pytest.approx((0.25, 0.25))
        assert other.mpp == pytest.approx((0.5, 0.5))
        # one of half the size is another scene, not a level
        assert len(slide.sources) == 1
        np.testing.assert_array_equal(slide.levels[0].compute(), IMAGE)
        np.testing.assert_array_equal(other.levels[0].compute(), small)
        assert slide.associated == ("label",)
        np.testing.assert_array_equal(slide.associated_image("label"), IMAGE[:99])
    with pytest.raises(SlideError, match="no scene 2; there are: 0 'left', 1 'right'"):
        open_slide(path, scene=2)


def test_a_scene_is_refused_where_there_is_but_one(synthetic_slide):
    with pytest.raises(SlideError, match="no scene 1"):
        open_slide(synthetic_slide.path, scene=1)


def test_the_middle_focal_plane_of_an_ome_tiff_is_taken_and_said(tmp_path):
    path = tmp_path / "a.ome.tiff"
    stack = np.stack([IMAGE // (n + 1) for n in range(5)])
    write_ome(path, [("stack", stack, "ZYXS")])
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.levels[0].compute(), stack[2])
        assert "5 focal planes, of which this is number 3" in slide.notes[0]


def test_channels_of_an_ome_tiff_are_no_slide(tmp_path):
    path = tmp_path / "a.ome.tiff"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(np.moveaxis(IMAGE, 2, 0), metadata={"axes": "CYX"}, tile=(64, 64))
    with pytest.raises(SlideError, match="separate channels"):
        open_slide(path)


def test_the_middle_focal_plane_of_an_aperio_file_is_taken_and_said(tmp_path):
    path = tmp_path / "a.svs"
    planes = [IMAGE // (n + 1) for n in range(3)]
    with tifffile.TiffWriter(path) as tiff:
        for pixels in (*planes, *(plane[::4, ::4] for plane in planes)):
            tiff.write(
                pixels,
                photometric="rgb",
                tile=(64, 64),
                description="Aperio Image Library\r\n420x300|MPP = 0.25",
                metadata=None,
            )
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.sources[0].read(0, 0, *SHAPE), planes[1])
        quarter = planes[1][::4, ::4]
        np.testing.assert_array_equal(
            slide.sources[1].read(0, 0, *quarter.shape[:2]), quarter
        )
        assert "3 focal planes, of which this is number 2" in slide.notes[0]
        assert slide.associated == ()


@pytest.mark.parametrize("codec", ["jpeg", "jpeg2000"])
def test_a_tile_that_says_it_is_huge_is_missing_and_takes_no_memory(tmp_path, codec):
    path = tmp_path / "a.tiff"
    tifffile.imwrite(path, IMAGE, photometric="rgb", compression=codec, tile=(64, 64))
    with tifffile.TiffFile(path) as tiff:
        at = tiff.pages[0].dataoffsets[0]
    data = bytearray(path.read_bytes())
    if codec == "jpeg":
        size = data.find(b"\xff\xc0", at) + 5
        data[size : size + 4] = b"\xff\xff\xff\xff"
    else:
        size = data.find(b"\xff\x4f\xff\x51", at) + 8
        data[size : size + 8] = b"\x00\x07\xff\xff" * 2
    path.write_bytes(data)
    with open_slide(path) as slide:
        assert (slide.read_region(0, 0, 64, 64) == 255).all()
        assert slide.missing_boxes.tolist() == [[0, 0, 64, 64]]
