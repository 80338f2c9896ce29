"""OpenSlide's formats, as far as files of them can be had or made."""

import numpy as np
import pytest

from napari_mhim.slide import Slide, open_slide
from napari_mhim.slide.formats import openslide as part


def test_the_same_tissue_looks_the_same_through_both_readers(synthetic_slide):
    with open_slide(synthetic_slide.path) as ours:
        theirs = Slide(synthetic_slide.path, part.open_slide(synthetic_slide.path))
        with theirs:
            assert theirs.mpp == pytest.approx(ours.mpp)
            for mine, other in zip(ours.sources, theirs.sources, strict=True):
                a = mine.read(-5, 100, 600, 500).astype(int)
                assert np.abs(a - other.read(-5, 100, 600, 500)).max() <= 1
