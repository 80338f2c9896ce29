"""Regions as hints in the window: drawn and named, undone, counted, learnt from."""

import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from window_pictures import HAS_DISPLAY, settle

from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.mil.review import Results, Reviewed, write_results
from napari_mhim.plugin import sample_data, show
from napari_mhim.plugin import training_words as said
from napari_mhim.plugin.hint_layer import NAME, colour_of
from napari_mhim.plugin.open_slides import what
from napari_mhim.plugin.state.hints import (
    IGNORE,
    HintsState,
    HintsThere,
    hints_there,
    name_of,
    wrong_with_hints,
)
from napari_mhim.slide.regions import (
    SlideIdentity,
    read_regions,
    region,
    write_regions,
)
from napari_mhim.workspace import Workspace

SQUARE = np.array([[10.0, 10], [10, 90], [90, 90], [90, 10]])
SHAPE = (600, 800)


def drawn(place: Workspace, slide: str, *names: str) -> None:
    regions = [region(SQUARE, kind="hint", class_name=name) for name in names]
    regions.append(region(SQUARE, kind="exclude", reason="pen"))
    identity = SlideIdentity(slide, "", SHAPE)
    place.regions_path(slide).parent.mkdir(exist_ok=True)
    write_regions(place.regions_path(slide), regions, identity)


def test_regions_of_training_slides_are_counted_and_others_told(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    drawn(place, "a", "tumour", "normal", "tumor")
    drawn(place, "b")  # left out, which is no hint
    drawn(place, "c", "tumour")
    roles = {"a": "train", "b": "train", "c": "val", "d": "train"}
    rows = [
        CohortRow(name, label=("normal", "tumour")[i % 2], patient=name, role=role)
        for i, (name, role) in enumerate(roles.items())
    ]
    there = hints_there(Cohort.of(rows), place)
    assert there == HintsThere(regions=2, slides=1, unknown=1, elsewhere=1)
    text = said.hints_line(there, 0.5)
    assert "2 regions on 1 training slide will join, with weight 0.5." in text
    assert "1 region has a name that is no class here." in text
    assert "1 slide that does not train are never used." in text
    assert "could join" in said.hints_line(there, 0)


def test_a_file_that_cannot_be_read_counts_none(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    drawn(place, "a", "tumour")
    place.regions_path("a").write_text("not json")
    rows = [CohortRow("a", label="tumour", patient="a", role="train")]
    assert not hints_there(Cohort.of(rows), place).is_any


def test_a_region_is_named_as_chosen_and_ignoring_is_an_exclusion() -> None:
    state = HintsState()
    state.offer(("normal", "tumour"))
    assert (state.classes, state.chosen) == (("tumour", "normal", IGNORE), "tumour")
    hint = state.named(region(SQUARE))
    assert (hint.kind, hint.class_name, name_of(hint)) == ("hint", "tumour", "tumour")
    state.chosen = IGNORE
    left = state.named(region(SQUARE))
    assert (left.kind, left.class_name, name_of(left)) == (
        *("exclude", ""),
        "ignore (other)",
    )


def test_a_name_that_no_class_has_is_drawn_as_ignored() -> None:
    known, unknown = (
        region(SQUARE, kind="hint", class_name=name) for name in ("tumour", "tumor")
    )
    classes = ("tumour", "normal", IGNORE)
    ignored = region(SQUARE, kind="exclude")
    assert colour_of(known, classes) != colour_of(unknown, classes)
    assert colour_of(unknown, classes) == colour_of(ignored, classes)


def test_undo_goes_back_step_by_step_and_only_if_it_can_be_written() -> None:
    state, written = HintsState(), []

    def write(regions: tuple) -> bool:
        written.append(regions)
        return True

    one, two = region(SQUARE), region(SQUARE + 100)
    state.take((one,), write)
    state.take((one, two), write)
    state.take((two,), write)
    state.undo(lambda _: False)
    assert state.regions == (two,)
    state.undo(write)
    assert state.regions == (one, two)
    state.undo(write)
    state.undo(write)
    assert (state.regions, written[-1]) == ((), ())
    state.undo(write)
    assert len(written) == 6


def test_hints_are_offered_where_a_wrong_slide_has_regions(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    drawn(place, "a", "tumour")
    drawn(place, "b", "tumour")
    drawn(place, "c")
    right = Reviewed("a", "", "a", "tumour", "train", (0.1, 0.9), "tumour", 0.1, 0.0)
    wrong = replace(right, slide="b", call="normal")
    bare = replace(wrong, slide="c")
    found = wrong_with_hints([right, wrong, bare], place)
    assert found == [wrong]
    assert said.hints_offer(found).startswith("b is wrong and has regions")
    assert "Learn from regions" in said.hints_offer(found)
    judges = said.hints_offer([replace(wrong, role="test")])
    assert "must not teach it" in judges
    assert said.hints_offer([]) == ""


@pytest.mark.qt
@pytest.mark.skipif(not HAS_DISPLAY, reason="no display: use xvfb-run")
class TestWindow:
    @pytest.fixture
    def dock(self, viewer):
        dock = show.open_dock(viewer)
        place = sample_data.folder()
        dock.show_layers(
            show.layers(
                place / "both.tiff",
                place / "both.h5",
                bundle_path=place / "bundle",
                features_path=place / "both.features.h5",
            )
        )
        dock.turn_to("Train")
        settle()
        return dock

    def test_what_is_drawn_is_named_kept_undone_and_joins(self, dock, tmp_path) -> None:
        layers = dock.canvas.viewer.layers
        view = dock.train.hints.open()
        settle()
        assert NAME not in layers
        side = SQUARE * 10
        view.lasso.click()
        assert layers.selection.active is layers[NAME]
        assert layers[NAME].mode == "add_polygon_lasso"
        layers[NAME].add_polygons(side - 0.5)
        assert what(layers.selection.active).get("part") == "slide"
        view.named.setCurrentText("normal")
        view.lasso.click()
        layers[NAME].add_polygons(side + 400)

        slide = dock.canvas.slide()
        path = Workspace(dock.runs.workspace).regions_path(slide.name)

        def kept() -> list[str]:
            found = read_regions(path, SlideIdentity.of(slide)).regions
            return [name_of(one) for one in found]

        assert kept() == ["tumour", "normal"]
        assert len(layers[NAME].data) == 2
        first = read_regions(path, SlideIdentity.of(slide)).regions[0]
        np.testing.assert_allclose(
            sorted(first.polygons[0].outline.tolist()), sorted(side.tolist())
        )
        # an area excluded in What if leaves the hints as they are
        what_if = dock.review.sections["What if"].open()
        what_if.marking.draw()
        layers["Marked area"].add_polygons(side + 1000)
        what_if.exclude()
        assert sorted(kept()) == ["ignore (pen)", "normal", "tumour"]
        assert len(view.state.regions) == 3
        view.take_away(0)
        assert sorted(kept()) == ["normal", "tumour"]
        assert what_if.state.excluded == ()
        view.undo.click()
        assert sorted(kept()) == ["ignore (pen)", "normal", "tumour"]

        table = tmp_path / "cohort.csv"
        rows = [
            CohortRow(name, label=label, patient=name, role=role)
            for name, label, role in (
                *((slide.name, "tumour", "train"), ("n", "normal", "train")),
                *(("v", "normal", "val"), ("w", "tumour", "val")),
            )
        ]
        Cohort.of(rows).write(table)
        dock.train.form.slides.use_table(str(table))
        switch = dock.train.switch
        assert "2 regions on 1 training slide could join." in switch.line.text()
        switch.on.click()
        assert "will join, with weight 0.5" in switch.line.text()
        assert dock.trainings.config().hint_weight == 0.5
        line = shlex.split(dock.trainings.command())
        assert line[line.index("--hint-weight") + 1] == "0.5"
        # a run that got this slide wrong asks for its hints
        shutil.copytree(sample_data.folder() / "bundle", tmp_path / "run" / "bundle")
        wrong = Reviewed(
            *(slide.name, "", slide.name, "tumour", "train", (0.9, 0.1)),
            *("normal", 2.3, 0.0),
        )
        write_results(tmp_path / "run", Results(("normal", "tumour"), {}, (wrong,)))
        results = dock.train.results.open()
        assert not results.offer.isVisibleTo(results)
        dock.trainings.state.bundle_path = str(tmp_path / "run" / "bundle")
        assert f"{slide.name} is wrong and has regions" in results.offer.text()
        dock.turn_to("Review")
        settle()
        assert NAME not in layers
