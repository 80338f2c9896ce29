"""What the room offers is there, and asking for its torch-free part loads no torch."""

import subprocess
import sys

import pytest

import napari_mhim.mil as mil


@pytest.mark.parametrize("name", mil.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(mil, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Slide'"):
        getattr(mil, "Slide")  # noqa: B009


def test_what_a_window_uses_loads_no_torch() -> None:
    names = "Bag, Bundle, Cohort, Metrics, SlideResult, TrainConfig, hard_instances"
    code = (
        f"import sys; from napari_mhim.mil import {names}, split_roles\n"
        "TrainConfig(recipe_options={'mask_ratio_high': 0.1})\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
