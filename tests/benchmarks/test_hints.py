"""The made-up reader of the benchmark of hints."""

import numpy as np
import pytest
import shapely
from hints import widened


@pytest.mark.parametrize("by_px", [1.0, 64.0])
def test_the_reader_draws_round_a_lesion_and_no_further_than_said(by_px: float) -> None:
    # (y, x), neither square nor at the corner
    outline = np.array([[100.0, 300], [100, 420], [180, 460], [220, 300]])
    true, drawn = shapely.Polygon(outline), shapely.Polygon(widened(outline, by_px))
    assert drawn.contains(true)
    assert drawn.hausdorff_distance(true) == pytest.approx(by_px, rel=0.1)
