import pytest

from napari_mhim.errors import ConfigError
from napari_mhim.features.config import ExtractConfig
from napari_mhim.slide.tiling import GridConfig


def test_what_is_not_set_is_the_encoders() -> None:
    assert ExtractConfig().grid_config(0.7, 333) == GridConfig(0.7, 333, 0.0, 0.25)


def test_what_is_set_goes_before_the_encoders() -> None:
    config = ExtractConfig(mpp=0.25, patch_model_px=512, overlap=0.5, min_tissue=0.1)
    assert config.grid_config(0.7, 333) == GridConfig(0.25, 512, 0.5, 0.1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoder", ""),
        ("mpp", 0.0),
        ("mpp", 352.8),
        ("patch_model_px", 0),
        ("overlap", 1.0),
        ("overlap", -0.1),
        ("min_tissue", 1.1),
        ("slide_mpp", 0.00499),
        ("slide_mpp", -0.5),
        ("batch_size", 0),
        ("threads", -1),
    ],
)
def test_a_setting_that_cannot_be_is_refused(name, value) -> None:
    with pytest.raises(ConfigError, match=name):
        ExtractConfig(**{name: value})
