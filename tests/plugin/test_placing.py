"""Layers that come and go a turn of the event loop at a time."""

from pathlib import Path

import made
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_mhim.errors import SlideError
from napari_mhim.plugin import overlays
from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.open_slides import slide_of, what
from napari_mhim.plugin.overlays import (
    ATTENTION,
    EVIDENCE,
    HARD,
    HIDDEN,
    SLIDE,
    TRUTH,
)
from napari_mhim.plugin.placing import ASIDE
from napari_mhim.plugin.state.desk import DeskState

ALL = [SLIDE, EVIDENCE, ATTENTION, HIDDEN, HARD]


class Window:
    """A viewer model and a canvas whose turns are taken by hand."""

    def __init__(self) -> None:
        self.turns: list = []
        self.canvas = Canvas(ViewerModel(), DeskState(), self.turns.append)

    def take_turn(self) -> None:
        self.turns.pop(0)()

    def take_turns(self) -> None:
        while self.turns:
            self.take_turn()

    def parts(self) -> list[str]:
        return [what(layer).get("part", "") for layer in self.canvas.viewer.layers]


@pytest.fixture(scope="session")
def slides(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("placing")
    for name in ("one", "two"):
        made.write_folder(folder, name)
    made.write_folder(folder, "scaleless", mpp=None)
    return folder


@pytest.fixture
def window(slides: Path):
    window = Window()
    window.canvas.open(str(slides / "one.tiff"))
    window.take_turns()
    yield window
    window.canvas.make_room()
    window.take_turns()


def test_a_result_comes_a_layer_a_turn_in_its_order(window: Window) -> None:
    window.canvas.show_result(made.result(slide="one"), truth=made.truth())
    assert window.parts() == [SLIDE, EVIDENCE]
    assert window.canvas.state.result is not None
    before = window.parts()
    while window.turns:
        window.take_turn()
        assert len(window.parts()) <= len(before) + 1
        before = window.parts()
        assert what(window.canvas.viewer.layers.selection.active)["part"] == SLIDE
    assert window.parts() == [SLIDE, EVIDENCE, ATTENTION, HIDDEN, TRUTH, HARD]


def test_rings_come_before_what_is_off(window: Window) -> None:
    window.canvas.show_result(made.result(slide="one"))
    window.take_turn()
    assert window.parts() == [SLIDE, EVIDENCE, HARD]


def test_a_newer_result_between_two_turns_is_the_one_that_stays(window: Window) -> None:
    window.canvas.show_result(made.result(slide="one"), truth=made.truth())
    window.take_turn()
    newer = made.result(slide="one", seed=1)
    window.canvas.show_result(newer)
    window.take_turns()
    assert window.parts() == ALL
    results = [what(layer).get("result") for layer in window.canvas.viewer.layers]
    assert results == [None, *[newer] * 4]
    assert window.canvas.state.result is newer


def test_a_slide_closed_between_two_turns_brings_no_layers_after_it(
    window: Window,
) -> None:
    window.canvas.show_result(made.result(slide="one"))
    window.canvas.viewer.layers.remove(window.canvas.layers()[SLIDE])
    window.take_turns()
    assert window.parts() == [EVIDENCE]
    assert window.canvas.state.slide is None
    assert window.canvas.state.result is None


def test_evidence_removed_between_two_turns_takes_the_result_with_it(
    window: Window,
) -> None:
    window.canvas.show_result(made.result(slide="one"))
    window.canvas.viewer.layers.remove(window.canvas.layers()[EVIDENCE])
    window.take_turns()
    assert window.parts() == [SLIDE]
    assert window.canvas.state.result is None


def test_a_canvas_let_go_between_two_turns_leaves_nothing_half_done(
    window: Window,
) -> None:
    window.canvas.show_result(made.result(slide="one"), truth=made.truth())
    window.take_turn()
    window.canvas.drop_result()
    assert ASIDE in window.parts()
    window.canvas.release()
    assert window.parts() == [SLIDE]
    window.take_turns()
    assert window.parts() == [SLIDE]


def test_all_layers_cleared_between_two_turns_break_nothing(window: Window) -> None:
    window.canvas.show_result(made.result(slide="one"))
    window.canvas.drop_result()
    window.canvas.viewer.layers.clear()
    window.take_turns()
    assert window.parts() == []


def look_of(layer) -> dict:
    names = ["name", "visible", "opacity", "scale", "translate", "units"]
    if hasattr(layer, "contrast_limits"):
        names += ["contrast_limits", "contrast_limits_range"]
        layer_map = layer.colormap.colors
        return {"map": layer_map} | {name: getattr(layer, name) for name in names}
    features = layer.features.drop(columns="reason").to_numpy()
    # napari keeps one colour where there is no point
    each = ("size", "border_color", "face_color", "border_width", "symbol")
    of_points = {name: getattr(layer, name)[: len(layer.data)] for name in each}
    whole = {name: getattr(layer, name) for name in names}
    return {"features": features} | of_points | whole


def other_grid() -> made.SlideResult:
    """A result with other patches, of a model that sees no tumour."""
    full = made.grid()
    inner = made.PatchGrid(
        full.origin + 7,
        full.stride_px,
        full.patch_px,
        (8, 11),
        full.cells[(full.cells < (8, 11)).all(axis=1)],
        0.5,
        96,
    )
    n = len(inner)
    plain = made.result(positive=False, slide="one", seed=3)
    changed = {
        name: getattr(plain, name)[:n]
        for name in ("evidence", "student_scores", "teacher_scores", "mask")
    }
    limits = np.array([2.0, 2.0], np.float32)
    return made.replace(
        plain,
        grid=inner,
        attention=plain.attention[:, :n],
        evidence_limits=limits,
        **changed,
    )


@pytest.mark.parametrize(
    "second", [made.result(slide="one", seed=1), other_grid()], ids=["alike", "other"]
)
def test_a_layer_filled_anew_looks_like_a_new_one(
    window: Window, slides: Path, second
) -> None:
    canvas = window.canvas
    canvas.show_result(made.result(slide="one"))
    window.take_turns()
    first = canvas.layers()
    first[EVIDENCE].opacity, first[EVIDENCE].colormap = 0.1, "magma"
    first[ATTENTION].visible, first[HARD].visible = True, False
    canvas.fly_to_ring(1)
    canvas.state.measure = "Percentile in slide"
    canvas.show_result(second)
    assert canvas.layers() == first  # the same layers, none came or went
    fresh = Window()
    fresh.canvas.open(str(slides / "one.tiff"))
    fresh.canvas.show_result(second)
    fresh.take_turns()
    for part, layer in fresh.canvas.layers().items():
        if part == SLIDE:
            continue
        np.testing.assert_array_equal(first[part].data, layer.data)
        np.testing.assert_equal(look_of(first[part]), look_of(layer))
    fresh.canvas.make_room()
    fresh.take_turns()


def test_fewer_rings_than_before_are_drawn_while_rings_are_off(window: Window) -> None:
    canvas = window.canvas
    canvas.show_result(
        made.result(slide="one"), made.result(positive=False, slide="one")
    )
    window.take_turns()
    rings = canvas.layers()[HARD]
    rings.visible = False
    canvas.state.shows_baseline = True
    rings.visible = True
    assert len(rings.data) == 0
    assert len(rings._view_data) == 0


def test_looks_hold_for_layers_that_are_still_to_come(window: Window) -> None:
    window.canvas.show_result(made.result(slide="one"))
    looks = {EVIDENCE: (False, 0.3), HARD: (False, 0.4), HIDDEN: (True, 0.2)}
    window.canvas.apply_looks(looks)
    window.take_turns()
    layers = window.canvas.layers()
    assert {p: (layers[p].visible, layers[p].opacity) for p in looks} == looks


def test_a_step_of_the_tour_waits_for_no_layer(window: Window) -> None:
    window.canvas.show_result(made.result(slide="one"))
    window.canvas.show_only(HIDDEN)
    shown = {p for p, layer in window.canvas.layers().items() if layer.visible}
    assert shown == {SLIDE, HIDDEN}
    window.take_turns()
    assert window.parts() == ALL


def test_the_slide_before_is_out_of_sight_at_once_and_closed_in_its_turn(
    window: Window, slides: Path
) -> None:
    canvas = window.canvas
    canvas.show_result(made.result(slide="one"))
    window.take_turns()
    first = slide_of(canvas.layers()[SLIDE])
    canvas.open(str(slides / "two.tiff"))
    seen = [layer for layer in canvas.viewer.layers if layer.visible]
    assert [slide_of(layer).name for layer in seen] == ["two"]
    assert canvas.state.slide.name == "two"
    assert canvas.layers()[SLIDE].name == "Slide"
    window.take_turns()
    assert window.parts() == [SLIDE]
    with pytest.raises(SlideError):
        first.read_region(0, 0, 64, 64)


def test_the_next_slides_result_takes_the_layers_of_the_one_before(
    window: Window, slides: Path
) -> None:
    canvas = window.canvas
    canvas.show_result(made.result(slide="one"))
    window.take_turns()
    first = canvas.layers()
    canvas.open(str(slides / "two.tiff"))
    second = made.result(slide="two", seed=1)
    canvas.show_result(second)
    assert {p: layer for p, layer in canvas.layers().items() if p != SLIDE} == {
        p: layer for p, layer in first.items() if p != SLIDE
    }
    window.take_turns()
    assert window.parts() == ALL
    assert canvas.state.result is second


def test_layers_in_um_are_not_used_again_over_a_slide_without_scale(
    window: Window, slides: Path
) -> None:
    canvas = window.canvas
    canvas.show_result(made.result(slide="one"))
    window.take_turns()
    canvas.open(str(slides / "scaleless.tiff"))
    canvas.show_result(made.result(slide="scaleless", slide_mpp=None))
    window.take_turns()
    assert window.parts() == ALL
    assert {str(layer.units[-1]) for layer in canvas.viewer.layers} == {"pixel"}


def test_other_peoples_layers_keep_their_place(window: Window) -> None:
    mine = window.canvas.viewer.add_image(np.zeros((5, 5)), name="mine")
    window.canvas.show_result(made.result(slide="one"))
    window.take_turns()
    assert window.parts() == [SLIDE, "", *ALL[1:]]
    assert window.canvas.viewer.layers[1] is mine


def test_a_layer_knows_nothing_of_a_result_that_is_set_aside(window: Window) -> None:
    window.canvas.show_result(made.result(slide="one"))
    evidence = window.canvas.layers()[EVIDENCE]
    window.canvas.drop_result()
    assert "result" not in what(evidence)
    assert window.canvas.state.result is None
    assert overlays.EVIDENCE not in window.canvas.layers()
