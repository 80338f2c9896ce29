import pytest

from napari_mhim.mil.result import SlideResult


@pytest.fixture
def result(made_result: SlideResult) -> SlideResult:
    return made_result
