"""Tissue and quality: the state without Qt, and the section in a real window."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from window_pictures import HAS_DISPLAY

import napari_mhim
from napari_mhim.mil.bundle import Bundle
from napari_mhim.plugin import sample_data, show, tissue_settings
from napari_mhim.plugin.open_slides import what
from napari_mhim.plugin.palette import TISSUE_COLOURS
from napari_mhim.plugin.register import raster_transform
from napari_mhim.plugin.state.desk import DeskState, OpenSlide
from napari_mhim.plugin.state.tissue import TissueState
from napari_mhim.plugin.tissue_layer import PART
from napari_mhim.plugin.tissue_preview import KINDS, FindTissue, open_tissue, told
from napari_mhim.slide import TissueConfig, TissueMask, open_slide, tissue_mask
from napari_mhim.slide.tissue import ARTEFACTS, SETTING_OF
from napari_mhim.slide.tissue_file import read_tissue
from napari_mhim.workspace import Workspace, safe

SAMPLE = Path(napari_mhim.__file__).parent / "sample"


def found(config=None, **masks):
    mask = np.zeros((40, 60), bool)
    mask[10:30, 10:50] = True
    return told(TissueMask(mask, (2.0, 2.0), masks), config or TissueConfig(), 7)


def strip():
    mask = np.zeros((40, 60), bool)
    mask[20:24] = True
    return mask


def test_a_row_says_what_share_there_is() -> None:
    state = TissueState()
    assert state.line("folds") == "Folds"
    state.take(found(folds=strip(), pen=np.zeros((40, 60), bool)))
    assert state.line("tissue") == "Tissue · 33.3%"
    assert state.line("folds") == "Folds · 10.0%"
    assert state.line("pen") == "Pen · none found"
    assert state.line("blur") == "Out of focus · not looked for"


def test_tissue_is_drawn_as_an_outline_and_artefacts_as_veils() -> None:
    state = TissueState()
    assert state.picture() is None
    state.take(found(folds=strip()))
    drawn = state.picture()
    colour = {kind: tuple(bytes.fromhex(c[1:])) for kind, c in TISSUE_COLOURS.items()}
    assert tuple(drawn[10, 30, :3]) == colour["tissue"]
    assert drawn[15, 30, 3] == 0
    assert tuple(drawn[22, 30, :3]) == colour["folds"]
    assert 0 < drawn[22, 30, 3] < 255
    # the outline lies on top
    assert tuple(drawn[22, 10, :3]) == colour["tissue"]


def test_what_is_switched_off_is_not_drawn() -> None:
    state = TissueState()
    state.take(found(folds=strip()))
    state.show("folds", False)
    assert state.picture()[22, 30, 3] == 0
    state.show("tissue", False)
    assert not state.picture().any()
    state.show("folds", True)
    assert state.picture()[22, 30, 3] > 0


def test_an_answer_to_older_settings_is_not_taken() -> None:
    state = TissueState()
    state.change(blur_um=3.0)
    state.take(found())
    assert state.found is None
    state.take(found(state.config))
    assert state.found is not None


def test_what_cannot_be_is_told_and_changes_nothing() -> None:
    state = TissueState()
    state.change(blur_um=99.0)
    assert "blur_um" in state.problem
    assert state.config == TissueConfig()


def test_each_artefact_has_its_switch_its_setting_and_its_colour() -> None:
    fields = set(TissueConfig.__dataclass_fields__)
    assert set(SETTING_OF) == set(ARTEFACTS) == set(KINDS) - {"tissue"}
    assert {f"leave_out_{kind}" for kind in ARTEFACTS} | set(
        SETTING_OF.values()
    ) <= fields
    assert set(TISSUE_COLOURS) == set(KINDS)


def test_a_coarse_picture_lies_corner_on_corner() -> None:
    place = raster_transform((4.0, 2.0), (0.5, 0.25))
    assert place.scale == (2.0, 0.5)
    # its first pixel covers level-0 pixels 0 to 3 and 0 to 1, whose centres lie at 0
    assert place.translate == (0.75, 0.125)


def test_the_child_finds_what_an_extraction_finds() -> None:
    path = SAMPLE / "hard.tiff"
    answer = open_tissue(str(path), None, TissueConfig().max_px)
    (first,) = answer(FindTissue(TissueConfig()))
    with open_slide(path) as slide:
        wanted = tissue_mask(slide)
    assert first.shares["tissue"] == pytest.approx(wanted.share)
    assert first.px == wanted.px
    (dense,) = answer(FindTissue(TissueConfig(density=0.3)))
    assert dense.shares["tissue"] < 0.9 * first.shares["tissue"]


@pytest.fixture
def at_desk(tmp_path):
    """A slide, a model and features of the defaults in a workspace."""
    state = DeskState()
    with open_slide(SAMPLE / "both.tiff") as slide:
        state.slide = OpenSlide.of(slide)
    state.bundle = Bundle.open(SAMPLE / "bundle")
    config = state.bundle.config
    folder = Workspace(tmp_path).features_dir(
        config.extract.encoder, config.mpp, config.patch_model_px
    )
    folder.mkdir(parents=True)
    features = folder / f"{safe('both')}.h5"
    features.write_bytes((SAMPLE / "both.features.h5").read_bytes())
    return state, tmp_path, features


def test_settings_are_saved_with_the_slide(at_desk) -> None:
    state, workspace, _ = at_desk
    assert tissue_settings.saved(state, workspace) == TissueConfig()
    config = TissueConfig(leave_out_folds=False)
    tissue_settings.save(state, workspace, config)
    assert tissue_settings.saved(state, workspace) == config
    state.slide = replace(state.slide, name="another")
    assert tissue_settings.saved(state, workspace) == TissueConfig()


def test_features_of_other_settings_are_told_before_a_run(at_desk) -> None:
    state, workspace, features = at_desk
    assert tissue_settings.why_anew(state, workspace) == ""
    tissue_settings.save(state, workspace, TissueConfig(leave_out_folds=False))
    assert "made with other tissue settings" in tissue_settings.why_anew(
        state, workspace
    )
    features.unlink()
    assert tissue_settings.why_anew(state, workspace) == ""


@pytest.mark.qt
@pytest.mark.skipif(not HAS_DISPLAY, reason="no display: use xvfb-run")
def test_a_slider_redraws_counts_saves_and_closes_without_a_trace(
    viewer, qtbot
) -> None:
    dock = show.open_dock(viewer)
    place = sample_data.folder()
    dock.open_slide(str(place / "hard.tiff"))
    dock.runs.choose_bundle(str(place / "bundle"))
    dock.turn_to("Analyse")
    content = dock.tissue.open()
    qtbot.waitUntil(lambda: content.state.found is not None, timeout=60_000)
    layers = [one for one in viewer.layers if one.name == "Tissue and quality"]
    assert len(layers) == 1
    before, patches = layers[0].data.copy(), dock.state.n_patches
    assert viewer.layers.selection.active.name == "Slide"

    content.leaves["tissue"].click()
    content.sliders["tissue"].setValue(0.3)
    qtbot.waitUntil(
        lambda: content.state.found.config.density == pytest.approx(0.3), timeout=60_000
    )
    assert (layers[0].data != before).any()
    assert dock.state.n_patches < patches
    saved = Workspace(dock.runs.workspace).tissue_path("hard")
    assert read_tissue(saved).density == pytest.approx(0.3)

    content.reset.click()
    qtbot.waitUntil(lambda: dock.state.n_patches == patches, timeout=60_000)
    assert read_tissue(saved) == TissueConfig()

    dock.tissue.head.click()
    assert PART not in [what(layer).get("part") for layer in viewer.layers]
