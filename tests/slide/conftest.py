"""Made slides, the real ones that lie there, and the check that none stays open."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
from making import SLIDES, made_tissue
from numpy.typing import NDArray

from napari_mhim.slide import write_pyramid


@dataclass(frozen=True)
class SyntheticSlide:
    """A slide on disk, and what is on it."""

    path: Path
    rgb: NDArray[np.uint8]
    """What was written, (y, x, 3)."""
    tissue: NDArray[np.bool_]
    """Where tissue is, (y, x)."""
    mpp: tuple[float, float]


@pytest.fixture(scope="session")
def synthetic_slide(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSlide:
    rgb, tissue = made_tissue((1310, 2070))
    path = tmp_path_factory.mktemp("slide") / "made slide.tiff"
    write_pyramid(path, rgb, mpp=(0.5, 0.4), min_px=512, magnification=20)
    return SyntheticSlide(path, rgb, tissue, (0.5, 0.4))


@pytest.fixture(autouse=True)
def _no_slide_stays_open():
    before = _open_files()
    yield
    assert _open_files() <= before


def _open_files() -> set[str]:
    files = {file.path for file in psutil.Process().open_files()}
    return {path for path in files if "site-packages" not in path}


def found_slides() -> list[Path]:
    """List the real files, and the folders of DICOM files, wherever they lie."""
    files = [path for path in SLIDES.rglob("*") if path.is_file()]
    # the chunks of a zarr folder are no files of their own
    alone = [path for path in files if ".zarr" not in str(path)]
    folders = {path.parent for path in files if path.suffix == ".dcm"}
    folders |= set(SLIDES.rglob("*.zarr"))
    return sorted({*alone, *(folder for folder in folders if folder != SLIDES)})


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "real_slide" in metafunc.fixturenames:
        found = found_slides()
        reason = f"no slides at {SLIDES}: set NAPARI_MHIM_TEST_DATA"
        none = [pytest.param(None, marks=pytest.mark.skip(reason=reason))]
        names = [str(path.relative_to(SLIDES)) for path in found]
        metafunc.parametrize("real_slide", found or none, ids=names or ["none"])
