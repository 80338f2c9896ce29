import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from napari_mhim.errors import BundleError, FeatureMismatchError
from napari_mhim.export import ExportOptions, write
from napari_mhim.mil.cutoff import Cutoff
from napari_mhim.mil.result import SlideResult, hard_instances
from napari_mhim.slide import SlideIdentity, open_slide, region, write_regions


class _Page(HTMLParser):
    """Tags and text as a browser would see them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def sources(self) -> list[str]:
        return [a[k] for _, a in self.tags for k in ("src", "href") if k in a]


def _page(result, slide: Path, out: Path, without=None, **options) -> _Page:
    return _Page(write("report", result, slide, out, ExportOptions(**options), without))


@pytest.fixture
def regions(slide_path: Path, tmp_path: Path) -> str:
    with open_slide(slide_path) as slide:
        identity = SlideIdentity.of(slide)
    box = np.array([[0, 0], [0, 900], [500, 900], [500, 0]], float)
    drawn = [
        region(box, reason="pen", name="by Dr Who"),
        region(box + 500, kind="hint", class_name="tumour"),
    ]
    path = tmp_path / "case-01.geojson"
    write_regions(path, drawn, identity)
    return str(path)


def test_the_page_needs_no_other_file(result, slide_path, tmp_path) -> None:
    page = _page(result, slide_path, tmp_path)
    assert all(
        source.startswith("data:image/jpeg;base64,") for source in page.sources()
    )
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object"}


def test_the_page_says_score_role_and_what_it_is_not(result, slide_path, tmp_path):
    said = _page(result, slide_path, tmp_path).text
    assert said.count("Research use only. Not for diagnosis.") >= 3
    assert (
        "Tumour: score 0.75, above the cut-off 0.44 (set on 8 validation slides). "
        "Held-out slide. Not calibrated." in said
    )
    assert "Not the probability that this patient has disease." in said


@pytest.mark.parametrize("word", ["diagnosis:", "sign-out", "sign-off", "conclusion"])
def test_there_is_no_line_for_a_diagnosis(word, result, slide_path, tmp_path) -> None:
    assert word not in _page(result, slide_path, tmp_path).text.lower()


def test_names_are_shown_and_never_run(result, slide_path, tmp_path) -> None:
    evil = "<script>alert(1)</script>"
    odd = replace(
        result,
        slide=evil,
        classes=("n", '"><img src=x onerror=alert(2)>'),
        bundle="<b>m</b>",
        provenance={"encoder": "<svg onload=alert(3)>"},
    )
    page = _page(odd, slide_path, tmp_path)
    assert evil in page.text
    assert not {tag for tag, _ in page.tags} & {"script", "svg"}
    assert not any(k.startswith("on") for _, a in page.tags for k in a)
    assert all(source.startswith("data:") for source in page.sources())


def test_hard_patches_are_shown_with_their_reasons(
    result, slide_path, tmp_path
) -> None:
    page = _page(result, slide_path, tmp_path)
    reasons = hard_instances(result).reasons
    assert all(reason in page.text for reason in reasons[:6])
    assert reasons[6] not in page.text
    assert len(page.sources()) == 1 + 6


def test_a_slide_without_hard_patches_says_so(result, slide_path, tmp_path) -> None:
    low = replace(result, cutoff=Cutoff(0.9, 8, "validation"))
    page = _page(low, slide_path, tmp_path)
    assert "No remaining patch supports tumour." in page.text
    assert "This does not exclude tumour." in page.text
    assert len(page.sources()) == 1


def test_exclusions_have_reasons_and_both_scores(
    result, slide_path, tmp_path, regions
) -> None:
    without = np.array([0.68, 0.32], np.float32)
    said = _page(result, slide_path, tmp_path, without, regions=regions).text
    n = int((result.grid.corners + result.grid.patch_px / 2 <= [500, 900]).all(1).sum())
    assert (
        f"without the excluded area ({n} of {len(result)} patches): 0.75 → 0.32" in said
    )
    assert "(below the cut-off 0.44)" in said
    assert "not what caused the disease" in said
    # the original score comes first
    assert said.index("score 0.75") < said.index("0.32")
    assert "pen · by Dr Who" in said


def test_a_score_nobody_worked_out_is_not_made_up(
    result, slide_path, tmp_path, regions
) -> None:
    said = _page(result, slide_path, tmp_path, regions=regions).text
    assert "not worked out (model and features of the slide were not given)" in said


def test_what_the_result_knows_is_said_without_outlines(
    result, slide_path, tmp_path
) -> None:
    left_out = np.arange(len(result)) < 9
    known = replace(
        result, excluded=left_out, excluding=np.array([0.9, 0.1], np.float32)
    )
    said = _page(known, slide_path, tmp_path).text
    assert "without the excluded areas (9 of 300 patches): 0.75 → 0.10" in said
    assert "The outlines of what was left out were not given" in said


def test_other_regions_than_the_results_have_no_score(
    result, slide_path, tmp_path, regions
) -> None:
    known = replace(
        result,
        excluded=np.arange(len(result)) < 9,
        excluding=np.array([0.9, 0.1], np.float32),
    )
    said = _page(known, slide_path, tmp_path, regions=regions).text
    assert "→ 0.10" not in said
    assert "not worked out" in said


def test_model_and_features_give_the_score_without(sample, tmp_path) -> None:
    from napari_mhim.features.store import FeatureStore
    from napari_mhim.mil.bags import bag_of
    from napari_mhim.mil.bundle import Bundle
    from napari_mhim.mil.predict import Predictor

    slide = sample / "both.tiff"
    with open_slide(slide) as opened:
        identity = SlideIdentity.of(opened)
    box = np.array([[0, 0], [0, 3328], [2000, 3328], [2000, 0]], float)
    path = tmp_path / "r.geojson"
    write_regions(path, [region(box, reason="fold")], identity)
    said = _page(
        sample / "both.h5",
        slide,
        tmp_path,
        regions=str(path),
        model=str(sample / "bundle"),
        features=str(sample / "both.features.h5"),
    ).text
    with FeatureStore.open(sample / "both.features.h5") as store:
        bag = bag_of(store)
    left = bag.grid.corners[:, 0] + bag.grid.patch_px[0] / 2 > 2000
    rest = replace(
        bag,
        features=bag.features[left],
        grid=replace(bag.grid, cells=bag.grid.cells[left]),
    )
    score = Predictor(Bundle.open(sample / "bundle"), "cpu").probabilities(rest)[1]
    assert f"→ {score:.2f}" in said


def test_features_of_another_slide_are_refused(sample, tmp_path) -> None:
    slide = sample / "both.tiff"
    with open_slide(slide) as opened:
        identity = SlideIdentity.of(opened)
    path = tmp_path / "r.geojson"
    box = np.array([[0, 0], [0, 3328], [2000, 3328], [2000, 0]], float)
    write_regions(path, [region(box)], identity)
    with pytest.raises(FeatureMismatchError, match="not those of the result"):
        _page(
            sample / "both.h5",
            slide,
            tmp_path / "out",
            regions=str(path),
            model=str(sample / "bundle"),
            features=str(sample / "hard.features.h5"),
        )
    assert not (tmp_path / "out").exists()


def test_another_model_is_refused(result, slide_path, sample, tmp_path) -> None:
    with pytest.raises(BundleError, match="is not the one the result is of"):
        _page(result, slide_path, tmp_path, model=str(sample / "bundle"))


def test_the_model_says_its_licence_and_teacher(sample, tmp_path) -> None:
    slide = sample / "both.tiff"
    page = _page(sample / "both.h5", slide, tmp_path, model=str(sample / "bundle"))
    assert re.search(r"Licence of the encoder\s*\S+", page.text)
    assert "recipe mhim, with a teacher" in page.text


def test_blinded_pages_name_the_case_alone(
    result, slide_path, tmp_path, regions
) -> None:
    path = write(
        "report",
        result,
        slide_path,
        tmp_path / "out",
        ExportOptions(blinded=True, case="Case 07", regions=regions),
    )
    assert path.name == "Case 07.html"
    text = path.read_text(encoding="utf-8")
    assert "<h1>Case 07</h1>" in text
    for secret in ("case-01", str(tmp_path), "Dr Who"):
        assert secret not in text
    assert "pen" in _Page(path).text


def test_a_real_slide_shows_its_pixels(real, tmp_path: Path) -> None:
    import base64
    import io

    from PIL import Image

    result, path = real
    page = _page(result, path, tmp_path)
    crop = page.sources()[1].partition(",")[2]
    image = np.array(Image.open(io.BytesIO(base64.b64decode(crop))))
    assert image.shape == (300, 300, 3)
    row = hard_instances(result).index[0]
    y, x = result.grid.corners[row].round().astype(int)
    with open_slide(path) as slide:
        patch = slide.read_region(int(y), int(x), 128, 128)
    inner = image[85:215, 85:215].mean(axis=(0, 1))
    np.testing.assert_allclose(inner, patch.mean(axis=(0, 1)), atol=6)


def test_a_result_with_three_classes_gives_all_scores(result, slide_path, tmp_path):
    three = replace(
        result,
        classes=("a", "b", "c"),
        target=2,
        cutoff=None,
        probabilities=np.array([0.2, 0.1, 0.7], np.float32),
        remaining=np.array([0.2, 0.1, 0.7], np.float32),
        evidence=np.hstack([result.evidence, result.evidence[:, :1] * 0]),
        evidence_limits=np.ones(3, np.float32),
    )
    assert isinstance(three, SlideResult)
    said = _page(three, slide_path, tmp_path, class_name="b").text
    assert "a 0.20 · b 0.10 · c 0.70" in said
