import math

import pytest

from napari_mhim.slide.scale import checked, to_um


@pytest.mark.parametrize("mpp", [0.0, -0.5, math.nan, math.inf, 1e-300, 1e300])
def test_an_absurd_scale_is_none_with_the_reason(mpp):
    assert checked(mpp, mpp, "file")[0] is None
    assert "a microscope's lies between" in checked(0.5, mpp, "file")[1]


@pytest.mark.parametrize("unit", ["µm", "μm", "um", "micrometer", None])
def test_a_micrometre_has_many_names(unit):
    assert to_um("0.5", unit) == 0.5
