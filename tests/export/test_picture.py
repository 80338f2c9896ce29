from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image

from napari_mhim.export import ExportOptions, write
from napari_mhim.export.drawing import caption, figure
from napari_mhim.export.options import OVERLAYS
from napari_mhim.export.overlay import overlay
from napari_mhim.export.source import open_source
from napari_mhim.mil.cutoff import Cutoff
from napari_mhim.mil.result import SlideResult
from napari_mhim.slide import Slide, SlideIdentity, open_slide, region, write_regions


def _drawn(result: SlideResult, slide: Path, out: Path, **options) -> np.ndarray:
    path = write("picture", result, slide, out, ExportOptions(**options))
    return imread(path)[..., :3]


def _one_sided(result: SlideResult, sign: float) -> SlideResult:
    towards = np.full(len(result), sign * 4, np.float32)
    # all attention alike, no ring on either side: only the evidence differs
    return replace(
        result,
        attention=np.full_like(result.attention, 1 / len(result)),
        evidence=np.stack([-towards, towards], axis=1),
        mask=np.ones(len(result), bool),
    )


def _texts(result: SlideResult, slide: Path, **options) -> str:
    with (
        open_source(result, slide, ExportOptions(**options)) as source,
        figure(source) as drawn,
    ):
        caption(drawn, source)
        found = drawn.findobj(lambda item: hasattr(item, "get_text"))
        return "\n".join(item.get_text() for item in found)


def test_evidence_for_and_against_have_different_colours(result, slide_path, tmp_path):
    for_it = _drawn(_one_sided(result, 1), slide_path, tmp_path / "for")
    against = _drawn(_one_sided(result, -1), slide_path, tmp_path / "against")
    differs = np.abs(for_it - against).max(axis=2) > 0.1
    assert differs.any()
    assert for_it[differs][:, 0].mean() > for_it[differs][:, 2].mean()
    assert against[differs][:, 2].mean() > against[differs][:, 0].mean()


def test_a_slide_that_says_little_is_pale(result, slide_path, tmp_path) -> None:
    weak = _one_sided(result, 1)
    weak = replace(weak, evidence=weak.evidence * 0.01)
    with open_source(weak, slide_path, ExportOptions()) as source:
        assert overlay(source).colours()[:, 3].max() < 0.15


def test_the_limits_are_the_models_and_are_printed(result, slide_path) -> None:
    said = _texts(result, slide_path)
    assert "limits ±2, the same for every slide" in said
    assert "exact sum" in said


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_picture_says_research_use_only(name, result, slide_path) -> None:
    said = _texts(result, slide_path, overlay=name)
    assert said.count("Research use only. Not for diagnosis.") >= 2
    assert "RESEARCH USE ONLY" in said


def test_a_percentile_says_there_is_always_a_highest(result, slide_path) -> None:
    said = _texts(result, slide_path, overlay="percentile")
    assert "There is always a highest patch, also on a normal slide." in said


def test_a_score_below_the_cutoff_excludes_nothing(result, slide_path) -> None:
    low = replace(result, cutoff=Cutoff(0.9, 8, "validation"))
    said = _texts(low, slide_path)
    assert "below the cut-off 0.90" in said
    assert "This does not exclude tumour." in said
    assert "No remaining patch supports tumour." in said


def test_a_training_slides_score_is_called_flattering(result, slide_path) -> None:
    said = _texts(replace(result, role="train"), slide_path)
    assert "the model has learnt from it, so its score is flattering" in said


def test_a_slide_without_mpp_has_no_scale_bar(result, slide_path) -> None:
    assert "50 µm" in _texts(result, slide_path)
    said = _texts(replace(result, slide_mpp=None), slide_path)
    assert "does not say its micrometres" in said
    assert "50 µm" not in said


def test_the_scale_bar_is_as_long_as_it_says(result, slide_path) -> None:
    with (
        open_source(result, slide_path, ExportOptions()) as source,
        figure(source) as drawn,
    ):
        # solid lines alone: rings are drawn as markers
        (bar,) = {
            tuple(line.get_xdata())
            for line in drawn.axes[0].lines
            if line.get_linestyle() == "-" and len(line.get_xdata()) == 2
        }
    assert (bar[1] - bar[0]) * result.slide_mpp[1] == pytest.approx(50)


def test_excluded_patches_are_not_coloured(result, slide_path, tmp_path) -> None:
    with open_slide(slide_path) as slide:
        identity = SlideIdentity.of(slide)
    box = np.array([[0, 0], [0, 1800], [500, 1800], [500, 0]], float)
    path = tmp_path / "r.geojson"
    write_regions(path, [region(box, reason="pen")], identity)
    options = ExportOptions(regions=str(path))
    with open_source(result, slide_path, options) as source:
        colours = overlay(source).colours()
        assert source.excluded.any()
        assert (colours[source.excluded] == 0).all()
        assert (colours[~source.excluded, 3] > 0).all()
    assert "excluded 1" in _texts(result, slide_path, regions=str(path))


def test_names_are_no_formulas(result, slide_path) -> None:
    odd = replace(result, slide="a$\\frac$_b", classes=("n", "t$x^2$"))
    assert "a$\\frac$_b" in _texts(odd, slide_path)


def test_label_and_macro_are_never_read(real, tmp_path, monkeypatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("a label image can carry a name")

    result, path = real
    with open_slide(path) as slide:
        assert slide.associated
    monkeypatch.setattr(Slide, "associated_image", refuse)
    for kind in ("picture", "report", "ometiff"):
        write(kind, result, path, tmp_path)


def test_nothing_is_cut_off(real, result, slide_path, tmp_path: Path) -> None:
    # a tall slide and a wide one: each edge of the picture is empty
    for one, path in (real, (result, slide_path)):
        image = _drawn(one, path, tmp_path)
        edges = (image[:4], image[-4:], image[:, :4], image[:, -4:])
        assert all((edge == 1).all() for edge in edges)


def test_the_picture_is_light(real, tmp_path: Path) -> None:
    result, path = real
    found = write("picture", result, path, tmp_path)
    assert found.stat().st_size < 3_000_000
    with Image.open(found) as image:
        assert max(image.size) < 1600
        # no more than the program's name is in it
        assert set(image.info) <= {"Software", "dpi"}
