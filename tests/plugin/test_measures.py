"""What the attention layer can show instead of attention."""

import made
import numpy as np
import pytest
from napari.components import ViewerModel
from window_pictures import HAS_DISPLAY

from napari_mhim.plugin import overlays, show
from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.measures import FIRST, MEASURES, percentile
from napari_mhim.plugin.overlays import ATTENTION
from napari_mhim.plugin.state.desk import DeskState


def test_percentiles_end_at_100_for_the_largest() -> None:
    found = percentile(np.array([0.1, 5.0, 0.2, 0.3]))
    assert found.tolist() == [25.0, 100.0, 50.0, 75.0]


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_gives_a_number_for_every_patch_within_its_limits(
    name: str,
) -> None:
    result, measure = made.result(), MEASURES[name]
    values = measure.values(result)
    low, high = measure.limits(values)
    assert values.shape == (len(result),)
    assert low < high
    assert ((values >= low) & (values <= high)).mean() > 0.95
    image, kwargs, _ = overlays.attention_layer(result, made.MPP, measure)
    rows, cols = result.grid.cells.T
    assert image[rows, cols] == pytest.approx(values, abs=1e-4)
    assert kwargs["name"] == name


def test_teacher_above_student_is_positive() -> None:
    result = made.result()
    gap = MEASURES["Teacher − student"].values(result)
    wanted = percentile(result.teacher_scores) - percentile(result.student_scores)
    assert (gap == wanted).all()
    assert gap.min() < 0 < gap.max()


@pytest.fixture
def canvas(tmp_path):
    made.write_folder(tmp_path, "case")
    state = DeskState()
    canvas = Canvas(ViewerModel(), state)
    found = show.layers(
        tmp_path / "case.tiff",
        tmp_path / "case.h5",
        tmp_path / "case.truth.json",
        tmp_path / "case.baseline.h5",
    )
    canvas.put(found)
    yield canvas
    canvas.make_room()


def test_the_layer_follows_the_choice_and_the_baseline(canvas) -> None:
    state, layer = canvas.state, canvas.layers()[ATTENTION]
    state.measure = "Percentile in slide"
    assert layer.name == "Percentile in slide"
    assert tuple(layer.contrast_limits) == (0, 100)
    assert np.nanmax(layer.data) == 100
    layer.contrast_limits = (50, 100)
    state.shows_baseline = True
    rows, cols = state.shown.grid.cells.T
    wanted = percentile(state.baseline.student_scores)
    assert layer.data[rows, cols] == pytest.approx(wanted, abs=1e-4)
    assert tuple(layer.contrast_limits) == (50, 100), "the reader's own range stays"
    state.measure = FIRST
    assert layer.name == FIRST
    assert layer.contrast_limits[1] != 100


@pytest.mark.qt
@pytest.mark.skipif(not HAS_DISPLAY, reason="no display: use xvfb-run")
def test_the_row_says_what_is_shown(viewer, qtbot, tmp_path) -> None:
    made.write_folder(tmp_path, "case")
    dock = show.open_dock(viewer)
    dock.show_layers(show.layers(tmp_path / "case.tiff", tmp_path / "case.h5"))
    qtbot.waitUntil(lambda: ATTENTION in dock.review.rows)  # one comes a turn
    row = dock.review.rows[ATTENTION]
    row.choice.setCurrentText("Teacher − student")
    assert row.switch.text() == "Teacher − student"
    assert "Both can be wrong together" in row.meaning.text()
    assert row.attention_bar.numbers() == ("-100", "0", "+100")
