import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile

from napari_mhim.export import ExportOptions, write
from napari_mhim.export.kinds.ometiff import Frame, channels, frame
from napari_mhim.export.source import open_source
from napari_mhim.mil.result import SlideResult
from napari_mhim.slide import open_slide

COLOURS = ExportOptions(pixels="colours")
OME = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"


def _pixels(path: Path) -> ET.Element:
    with tifffile.TiffFile(path) as tiff:
        return ET.fromstring(tiff.ome_metadata).find(f"{OME}Image/{OME}Pixels")


def _at_centres(image: np.ndarray, result: SlideResult, downsample: int) -> np.ndarray:
    centres = result.grid.corners + result.grid.patch_px / 2
    y, x = (centres / downsample).astype(int).T
    return image[..., y, x]


@pytest.mark.parametrize("overlap", [1, 2])
def test_every_channel_holds_its_value_where_the_patch_is(
    overlap, result, slide_path, tmp_path
) -> None:
    # patches that overlap, too: each has the middle of it for itself
    sides = result.grid.stride_px * overlap
    result = replace(result, grid=replace(result.grid, patch_px=sides))
    path = write("ometiff", result, slide_path, tmp_path)
    with open_source(result, slide_path, ExportOptions()) as source:
        wanted, downsample = channels(source), frame(source).downsample
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        image = tiff.series[0].asarray()
    found = _at_centres(image, result, downsample)
    np.testing.assert_array_equal(found, np.stack(list(wanted.values())))


def test_there_is_no_value_without_a_patch(result, slide_path, tmp_path) -> None:
    image = tifffile.imread(write("ometiff", result, slide_path, tmp_path))
    covered = len(result) * np.prod(result.grid.stride_px) / (1040 * 1800)
    assert np.isfinite(image).mean() == pytest.approx(covered, rel=0.02)


def test_channels_have_names_and_pixels_a_size(result, slide_path, tmp_path) -> None:
    path = write("ometiff", result, slide_path, tmp_path)
    pixels = _pixels(path)
    assert [c.get("Name") for c in pixels.findall(f"{OME}Channel")] == [
        "Evidence: normal",
        "Evidence: tumour",
        "Attention",
        "Attention percentile",
        "Teacher's score",
        "Hidden by teacher",
    ]
    with open_source(result, slide_path, ExportOptions()) as source:
        downsample = frame(source).downsample
    assert float(pixels.get("PhysicalSizeY")) == 0.5 * downsample
    assert float(pixels.get("PhysicalSizeX")) == 0.25 * downsample
    assert pixels.get("PhysicalSizeXUnit") == "µm"


def test_the_description_states_downsample_notice_and_nan(
    result, slide_path, tmp_path
) -> None:
    path = write("ometiff", result, slide_path, tmp_path)
    with tifffile.TiffFile(path) as tiff:
        said = tiff.ome_metadata
    assert "Research use only. Not for diagnosis." in said
    assert "Downsample 4 of the slide's 1800 × 1040 px" in said
    assert "NaN: no patch" in said


def test_lower_levels_are_the_same_map(result, slide_path, tmp_path) -> None:
    far = replace(result, grid=replace(result.grid, stride_px=np.array([6.4, 7.425])))
    path = write("ometiff", far, slide_path, tmp_path)
    with tifffile.TiffFile(path) as tiff:
        levels = [level.asarray() for level in tiff.series[0].levels]
    assert len(levels) > 1
    for level in levels:
        share = np.isfinite(level).mean()
        assert share == pytest.approx(np.isfinite(levels[0]).mean(), rel=0.05)
        assert set(np.unique(level[~np.isnan(level)])) <= set(np.unique(levels[0]))


def test_the_extent_is_the_slides(result, slide_path, tmp_path) -> None:
    for options in (ExportOptions(), COLOURS):
        path = write("ometiff", result, slide_path, tmp_path, options)
        pixels = _pixels(path)
        for axis, length, mpp in (("Y", 1040, 0.5), ("X", 1800, 0.25)):
            um = float(pixels.get(f"PhysicalSize{axis}"))
            over = int(pixels.get(f"Size{axis}")) * um - length * mpp
            assert 0 <= over < um


@pytest.mark.parametrize("shape", [(1, 1), (100_000, 80_000), (513, 7)])
def test_a_frame_covers_the_slide_and_its_levels_shrink(shape) -> None:
    levels = Frame(shape, 1).levels()
    for one in levels:
        assert all(
            n * one.downsample >= s for n, s in zip(one.shape, shape, strict=True)
        )
    assert max(levels[-1].shape) <= 512


def test_a_large_slide_makes_no_large_file(result, slide_path) -> None:
    with open_source(result, slide_path, ExportOptions()) as source:
        large = replace(source, result=replace(result, slide_shape=(200_000, 90_000)))
        found = frame(large)
        assert max(found.shape) <= 8192
        assert found.downsample == 32


def test_openslide_opens_the_colours_at_the_slides_scale(
    result, slide_path, tmp_path
) -> None:
    path = write("ometiff", result, slide_path, tmp_path, COLOURS)
    with openslide.OpenSlide(path) as found:
        assert found.dimensions == (1800, 1040)
        assert float(found.properties["openslide.mpp-x"]) == pytest.approx(0.25)
        assert float(found.properties["openslide.mpp-y"]) == pytest.approx(0.5)
        image = np.array(found.read_region((0, 0), 0, found.dimensions))[..., :3]
    with open_slide(slide_path) as slide:
        plain = slide.read_region(0, 0, 1040, 1800)
    strong = np.abs(result.contribution[:, 1]) > result.evidence_limits[1]
    patches = replace(result.grid, cells=result.grid.cells[strong])
    changed = np.abs(image.astype(int) - plain).max(axis=2) > 25
    at = _at_centres(changed, replace(result, grid=patches), 1)
    assert at.all()
    # and where no patch is, the slide is left as it is: the notice apart
    raster = np.isnan(result.grid.raster(result.attention[0]))
    empty = replace(result.grid, cells=np.argwhere(raster).astype(np.int32))
    assert _at_centres(changed, replace(result, grid=empty), 1).mean() < 0.02


def test_colours_are_on_top_of_a_sample(sample, tmp_path: Path) -> None:
    options = replace(COLOURS, overlay="hidden")
    path = write("ometiff", sample / "both.h5", sample / "both.tiff", tmp_path, options)
    result = SlideResult.load(sample / "both.h5")
    image = np.moveaxis(tifffile.imread(path), -1, 0)
    found = _at_centres(image, result, 1)
    # grey over tissue: channels come together
    spread = np.ptp(found.astype(int), axis=0)
    assert spread[result.mask].mean() < spread[~result.mask].mean() / 2


def test_an_unknown_scale_is_left_out(result, slide_path, tmp_path) -> None:
    scaleless = replace(result, slide_mpp=None)
    pixels = _pixels(write("ometiff", scaleless, slide_path, tmp_path))
    assert pixels.get("PhysicalSizeX") is None


def test_a_real_slide_is_covered(real, tmp_path: Path) -> None:
    result, path = real
    found = write("ometiff", result, path, tmp_path, COLOURS)
    with openslide.OpenSlide(found) as heat, openslide.OpenSlide(path) as slide:
        assert heat.dimensions == slide.dimensions
        for axis in "xy":
            mpp = float(slide.properties[f"openslide.mpp-{axis}"])
            assert float(heat.properties[f"openslide.mpp-{axis}"]) == pytest.approx(mpp)
