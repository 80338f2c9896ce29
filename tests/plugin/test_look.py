"""How a layer looks, changed in its row; the class whose evidence it shows; the keys."""

from dataclasses import replace
from pathlib import Path

import made
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from napari_mhim.plugin import overlays, words
from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.state.desk import DeskState
from napari_mhim.plugin.widgets import keys
from napari_mhim.plugin.widgets.evidence_row import EvidenceRow
from napari_mhim.plugin.widgets.legend import LayerRow
from napari_mhim.slide import open_slide

pytestmark = pytest.mark.qt


def layer_of(made_by) -> Layer:
    data, kwargs, kind = made_by
    return Layer.create(data, dict(kwargs), kind)


@pytest.fixture
def row(qtbot) -> EvidenceRow:
    shown = made.result()
    layer = layer_of(overlays.evidence_layer(shown, shown.target, made.MPP))
    row = EvidenceRow(layer, shown, made.MPP)
    qtbot.addWidget(row)
    row.more.setChecked(True)
    return row


class TestLook:
    def test_sliders_change_the_layer_live(self, row) -> None:
        row.look.opacity.setValue(80)
        assert row.layer.opacity == pytest.approx(0.8)
        row.look.limits.setValue((-1.0, 2.0))
        assert row.layer.contrast_limits == pytest.approx([-1, 2], abs=0.02)
        assert row._bars[0].numbers()[0] in ("-1", "-0.99")

    def test_what_napari_s_own_controls_change_is_shown(self, row) -> None:
        row.layer.opacity = 0.3
        row.layer.contrast_limits = (-2, 2)
        row.layer.colormap = "coolwarm"
        assert row.look.opacity.value() == 30
        assert row.look.limits.value() == pytest.approx((-2, 2), abs=0.05)
        assert row.look.colours.currentText() == "coolwarm"

    def test_the_stored_range_and_colours_come_back(self, row) -> None:
        own = row.layer.colormap.name
        row.look.limits.setValue((0.5, 1.0))
        row.look.colours.setCurrentText("PiYG")
        assert row.layer.colormap.name == "PiYG"
        row.look.reset.click()
        assert row.layer.contrast_limits == [-4, 4]
        assert row.layer.colormap.name == own
        assert row.look.colours.currentIndex() == 0

    def test_two_handles_at_one_place_leave_the_range(self, row) -> None:
        before = list(row.layer.contrast_limits)
        row.look._set_limits((1.0, 1.0))
        assert row.layer.contrast_limits == before

    def test_rings_have_opacity_alone(self, qtbot) -> None:
        layer = layer_of(overlays.hard_layer(made.result(), 1, made.MPP))
        row = LayerRow(overlays.HARD, layer, "")
        qtbot.addWidget(row)
        row.more.setChecked(True)
        row.look.opacity.setValue(10)
        assert layer.opacity == pytest.approx(0.1)
        row.release()

    def test_a_row_that_goes_listens_no_more(self, row) -> None:
        row.release()
        row.layer.opacity = 0.9
        assert row.look.opacity.value() == 50


class TestClass:
    def test_two_classes_ask_nothing(self, row) -> None:
        assert not row.choice.isVisibleTo(row)

    def test_each_of_several_can_be_shown(self, qtbot) -> None:
        two = made.result()
        push = np.concatenate([two.evidence, -two.evidence[:, :1] / 2], axis=1)
        shown = replace(
            two,
            classes=("normal", "tumour", "necrosis"),
            evidence=push - push.mean(axis=1, keepdims=True),
            evidence_limits=np.array([4, 4, 2], np.float32),
            probabilities=np.array([0.1, 0.8, 0.1], np.float32),
            remaining=np.array([0.2, 0.6, 0.2], np.float32),
        )
        layer = layer_of(overlays.evidence_layer(shown, 1, made.MPP))
        row = EvidenceRow(layer, shown, made.MPP)
        qtbot.addWidget(row)
        assert row.choice.isVisibleTo(row)
        row.choice.setCurrentIndex(2)
        assert layer.name == "Evidence: necrosis"
        assert layer.contrast_limits == [-2, 2]
        cell = tuple(shown.grid.cells[3])
        assert layer.data[cell] == pytest.approx(shown.contribution[3, 2])
        assert "necrosis" in row.meaning.text()
        row.release()


class TestKeys:
    @pytest.fixture
    def canvas(self, tmp_path: Path):
        made.write_folder(tmp_path, "case")
        canvas = Canvas(ViewerModel(), DeskState())
        canvas.viewer.canvas.size = 600, 800
        slide = open_slide(tmp_path / "case.tiff")
        canvas.put([overlays.slide_layer(slide)])
        canvas.show_result(made.result())
        yield canvas
        canvas.make_room()

    @pytest.fixture
    def acts(self, canvas):
        return {key: act for key, (_, act) in keys.looking(canvas).items()}

    @pytest.mark.parametrize(("key", "um"), [("F5", 2), ("F6", 1), ("F8", 0.25)])
    def test_a_key_gives_a_magnification(self, canvas, acts, key, um) -> None:
        before = canvas.viewer.scene.camera.center
        acts[key]()
        assert 1 / canvas.viewer.scene.camera.zoom == pytest.approx(um)
        assert canvas.viewer.scene.camera.center == before
        acts["F9"]()
        assert 1 / canvas.viewer.scene.camera.zoom != pytest.approx(um)

    @pytest.mark.parametrize("key", ["Alt-E", "Alt-A", "Alt-M", "Alt-K"])
    def test_a_key_switches_its_layer(self, canvas, acts, key) -> None:
        layer = canvas.layers()[keys.LAYER_KEYS[key]]
        before = layer.visible
        acts[key]()
        assert layer.visible != before
        acts["Alt-T"]()  # there is no truth: nothing happens

    def test_without_a_scale_ten_times_means_nothing(self, tmp_path) -> None:
        made.write_folder(tmp_path, "bare", mpp=None)
        canvas = Canvas(ViewerModel(), DeskState())
        canvas.put([overlays.slide_layer(open_slide(tmp_path / "bare.tiff"))])
        before = canvas.viewer.scene.camera.zoom
        keys.looking(canvas)["F6"][1]()
        assert canvas.viewer.scene.camera.zoom == before
        assert canvas.state.problem == words.NO_SCALE
        canvas.make_room()

    def test_every_key_is_told_in_the_dock(self, acts) -> None:
        told = set()
        for names, _ in words.KEYS:
            first, *rest = names.split(" / ")
            before = first.rpartition("+")[0]
            told |= {first, *(f"{before}+{one}" if before else one for one in rest)}
        assert {key.replace("-", "+") for key in acts} <= told
