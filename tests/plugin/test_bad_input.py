"""What does not belong together is refused in a sentence, and what is on screen stays."""

from dataclasses import replace
from pathlib import Path

import made
import pytest
from napari.components import ViewerModel

from napari_mhim.errors import FeatureMismatchError
from napari_mhim.plugin import show
from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.overlays import EVIDENCE, SLIDE
from napari_mhim.plugin.runs import Runs
from napari_mhim.plugin.state.desk import DeskState
from napari_mhim.slide import open_slide


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made.write_folder(tmp_path, "case")
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"slide_shape": (1100, 1701)}, "1701 × 1100 px.*1700 × 1100 px"),
        ({"fingerprint": "f" * 64}, "fingerprints differ"),
    ],
)
@pytest.mark.parametrize("which", ["result", "baseline"])
def test_a_result_of_another_slide_is_not_drawn(folder, changes, said, which) -> None:
    other = folder / "other.h5"
    replace(made.result(), **changes).save(other)
    own = folder / "case.h5"
    given = (other, None, None) if which == "result" else (own, None, other)
    with pytest.raises(FeatureMismatchError, match=said):
        show.layers(folder / "case.tiff", *given)


def on_screen(folder: Path) -> tuple[Canvas, Runs, list[str]]:
    state, noted = DeskState(), []
    canvas, runs = Canvas(ViewerModel(), state), Runs(state, folder)
    runs.noted.connect(noted.append)
    canvas.put(show.layers(folder / "case.tiff", folder / "case.h5"))
    return canvas, runs, noted


def test_a_slide_closed_during_its_job_keeps_the_result(folder: Path) -> None:
    canvas, runs, noted = on_screen(folder)
    drawn = []
    runs.finished.connect(drawn.append)
    canvas.make_room()
    runs._finish(folder / "case.h5")
    assert drawn == []
    assert noted == ["case is done; its result is kept for when you open it again."]
    assert not canvas.viewer.layers


def test_another_slide_opened_during_a_job_is_not_drawn_over(folder: Path) -> None:
    canvas, runs, noted = on_screen(folder)
    drawn = []
    runs.finished.connect(drawn.append)
    with open_slide(folder / "case.tiff") as slide:
        own = slide.fingerprint
    for name, fingerprint in (("other", ""), ("case", "f" * 64)):
        late = made.result(seed=9, slide=name, fingerprint=fingerprint)
        late.save(folder / "late.h5")
        runs._finish(folder / "late.h5")
    assert drawn == []
    assert len(noted) == 2
    made.result(seed=9, slide="case", fingerprint=own).save(folder / "late.h5")
    runs._finish(folder / "late.h5")
    assert len(drawn) == 1
    assert {SLIDE, EVIDENCE} <= set(canvas.layers())
    canvas.make_room()


def test_a_model_that_is_gone_is_told_and_the_result_stays(folder, small_run) -> None:
    import shutil

    canvas, runs, _ = on_screen(folder)
    shutil.copytree(small_run.bundle, folder / "model")
    runs.choose_bundle(str(folder / "model"))
    assert canvas.state.bundle is not None
    shutil.rmtree(folder / "model")
    runs.choose_bundle(str(folder / "model"))
    assert "model" in canvas.state.problem
    assert canvas.state.result is not None
    canvas.make_room()
