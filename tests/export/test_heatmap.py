from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.image import imread

from napari_mhim.export.heatmap import write_heatmap
from napari_mhim.mil.result import SlideResult


def _drawn(result: SlideResult, path: Path) -> np.ndarray:
    thumbnail = np.full((520, 900, 3), 235, np.uint8)
    write_heatmap(result, thumbnail, path)
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


def test_evidence_for_and_against_have_different_colours(result, tmp_path: Path):
    for_it = _drawn(_one_sided(result, 1), tmp_path / "for.png")
    against = _drawn(_one_sided(result, -1), tmp_path / "against.png")
    differs = np.abs(for_it - against).max(axis=2) > 0.1
    assert differs.any()
    # orange is redder than blue, purple bluer than it is green
    assert for_it[differs][:, 0].mean() > for_it[differs][:, 2].mean()
    assert against[differs][:, 2].mean() > against[differs][:, 1].mean()


def test_a_slide_that_says_little_is_pale(result, tmp_path: Path) -> None:
    strong = _drawn(_one_sided(result, 1), tmp_path / "strong.png")
    weak = _one_sided(result, 1)
    weak = _drawn(replace(weak, evidence=weak.evidence * 0.01), tmp_path / "weak.png")

    def colour(image: np.ndarray) -> float:
        # the colour bar is the same in both; leave it out
        slide = image[:, : int(0.7 * image.shape[1])]
        return float(np.ptp(slide, axis=2).mean())

    assert colour(weak) < colour(strong) / 3


def test_a_slide_without_mpp_has_no_scale_bar(result, tmp_path: Path) -> None:
    with_bar = _drawn(result, tmp_path / "with.png")
    without = _drawn(replace(result, slide_mpp=None), tmp_path / "without.png")
    assert (with_bar != without).any()
