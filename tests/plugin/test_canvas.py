"""Slides and results on a viewer model, without a window."""

from pathlib import Path

import made
import numpy as np
import pytest
import test_colour
import vendors
from napari.components import ViewerModel

from napari_mhim.errors import SlideError
from napari_mhim.plugin import reader, refreshing, sample_data, show
from napari_mhim.plugin.canvas import Canvas
from napari_mhim.plugin.open_slides import slide_of
from napari_mhim.plugin.overlays import EVIDENCE, HARD, HIDDEN, SLIDE, TRUTH
from napari_mhim.plugin.state.desk import DeskState


@pytest.fixture(scope="session")
def samples(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    made.write_folder(folder, "both")
    made.write_folder(folder, "negative", positive=False)
    made.write_folder(folder, "scaleless", mpp=None)
    (folder / "text.svs").write_text("no slide at all")
    return folder


@pytest.fixture
def canvas():
    canvas = Canvas(ViewerModel(), DeskState())
    yield canvas
    canvas.make_room()


def layers(folder: Path, name: str = "both") -> list:
    return show.layers(
        folder / f"{name}.tiff",
        folder / f"{name}.h5",
        folder / f"{name}.truth.json",
        folder / f"{name}.baseline.h5",
    )


def names(canvas: Canvas) -> list[str]:
    return [layer.name for layer in canvas.viewer.layers]


def opened(canvas: Canvas):
    return slide_of(canvas.layers()[SLIDE])


def is_closed(slide) -> bool:
    try:
        slide.read_region(0, 0, 1100, 1700)
    except (SlideError, ValueError, OSError):
        return True
    return False


def test_the_reader_opens_lazily_in_micrometres(samples: Path, monkeypatch) -> None:
    monkeypatch.setattr(refreshing, "has_window", lambda: False)
    read = reader.get_reader(str(samples / "both.tiff"))
    ((levels, kwargs, kind),) = read(str(samples / "both.tiff"))
    assert kind == "image"
    assert kwargs["scale"] == pytest.approx(made.MPP, rel=1e-4)
    assert kwargs["units"] == ("um", "um")
    assert kwargs["multiscale"]
    assert not kwargs["cache"]
    assert levels[0].shape == (*made.SHAPE, 3)
    assert hasattr(levels[0], "dask")
    kwargs["metadata"]["napari_mhim"]["open"].close()


def test_the_reader_takes_a_list(samples: Path) -> None:
    paths = [str(samples / "both.tiff"), str(samples / "negative.tiff")]
    found = reader.get_reader(paths)(paths)
    assert len(found) == 2
    for _, kwargs, _ in found:
        kwargs["metadata"]["napari_mhim"]["open"].close()


def test_the_reader_leaves_folders_and_missing_files_to_others(tmp_path: Path) -> None:
    assert reader.get_reader(str(tmp_path)) is None
    assert reader.get_reader(str(tmp_path / "none.svs")) is None
    assert reader.get_reader([]) is None


def test_a_file_that_is_no_slide_is_refused_and_nothing_stays_open(
    samples: Path, monkeypatch
) -> None:
    seen = []
    really = reader.open_slide

    def watched(path):
        seen.append(really(path))
        return seen[-1]

    monkeypatch.setattr(reader, "open_slide", watched)
    with pytest.raises(SlideError, match=r"text\.svs"):
        reader.read([str(samples / "both.tiff"), str(samples / "text.svs")])
    assert is_closed(seen[0])


def test_a_slide_closes_with_its_layer(canvas: Canvas, samples: Path) -> None:
    canvas.open(str(samples / "both.tiff"))
    slide = opened(canvas)
    assert not is_closed(slide)
    canvas.viewer.layers.remove(canvas.layers()[SLIDE])
    assert is_closed(slide)
    assert canvas.state.slide is None


def test_opening_another_slide_closes_the_first(canvas: Canvas, samples: Path) -> None:
    canvas.put(layers(samples))
    first = opened(canvas)
    canvas.open(str(samples / "negative.tiff"))
    assert is_closed(first)
    assert names(canvas) == ["Slide"]
    assert canvas.state.result is None
    assert canvas.state.slide.name == "negative"


def test_a_slide_that_does_not_open_leaves_the_one_on_screen(
    canvas: Canvas, samples: Path
) -> None:
    canvas.open(str(samples / "both.tiff"))
    with pytest.raises(SlideError):
        canvas.open(str(samples / "text.svs"))
    assert names(canvas) == ["Slide"]
    assert not is_closed(opened(canvas))


def test_a_duplicated_layer_keeps_the_file_open(canvas: Canvas, samples: Path) -> None:
    canvas.open(str(samples / "both.tiff"))
    first = canvas.layers()[SLIDE]
    copy = canvas.viewer.add_image(
        list(first.data), multiscale=True, rgb=True, metadata=first.metadata
    )
    canvas.viewer.layers.remove(first)
    assert not is_closed(slide_of(copy))


def test_the_first_screen_has_six_layers_and_the_slide_is_active(
    canvas: Canvas, samples: Path
) -> None:
    canvas.put(layers(samples))
    assert names(canvas) == [
        "Slide",
        "Evidence: tumour",
        "Attention",
        "Hidden by teacher",
        "Truth (demo only)",
        "Hard patches",
    ]
    assert canvas.viewer.layers.selection.active.name == "Slide"
    assert canvas.viewer.canvas.overlays.scale_bar.visible


def test_layers_added_one_by_one_are_understood(samples: Path) -> None:
    later: list = []
    canvas = Canvas(ViewerModel(), DeskState(), later.append)
    # napari adds what a sample returns by itself
    for data, kwargs, kind in layers(samples):
        getattr(canvas.viewer, f"add_{kind}")(data, **kwargs)
    state = canvas.state
    assert state.slide.name == "both"
    assert state.result.slide == "both"
    assert state.baseline.bundle == "baseline"
    assert state.truth is not None
    for act in later:
        act()
    assert canvas.viewer.layers.selection.active.name == "Slide"
    canvas.make_room()


def test_a_dock_opened_later_finds_what_is_there(canvas: Canvas, samples: Path) -> None:
    canvas.put(layers(samples))
    second = DeskState()
    Canvas(canvas.viewer, second)
    assert second.result is canvas.state.result
    assert second.slide == canvas.state.slide


def test_removing_any_layer_breaks_nothing(canvas: Canvas, samples: Path) -> None:
    canvas.put(layers(samples))
    for part in (TRUTH, HARD, EVIDENCE):
        canvas.viewer.layers.remove(canvas.layers()[part])
        canvas.show_only(EVIDENCE, HARD)
        canvas.fly_to_ring(0)
        canvas.step_ring(1)
        canvas.state.shows_baseline = not canvas.state.shows_baseline
    assert canvas.state.result is None
    assert canvas.state.slide is not None


def test_rings_are_flown_to_in_turn_and_round(canvas: Canvas, samples: Path) -> None:
    canvas.put(layers(samples))
    hard = canvas.layers()[HARD]
    seen = []
    for _ in range(len(hard.data) + 1):
        canvas.step_ring(1)
        seen.append(canvas.state.ring)
    assert seen == [*range(len(hard.data)), 0]
    canvas.step_ring(-1)
    assert canvas.state.ring == len(hard.data) - 1
    centre = hard.data_to_world(hard.data[-1])
    np.testing.assert_allclose(canvas.viewer.scene.camera.center[-2:], centre)


def test_previous_at_the_start_is_the_last_ring(canvas: Canvas, samples: Path) -> None:
    canvas.put(layers(samples))
    canvas.step_ring(-1)
    assert canvas.state.ring == len(canvas.layers()[HARD].data) - 1


def test_a_slide_without_rings_stays_where_it_is(canvas: Canvas, samples: Path) -> None:
    canvas.put(layers(samples, "negative"))
    before = canvas.viewer.scene.camera.center
    canvas.step_ring(1)
    assert canvas.viewer.scene.camera.center == before
    assert canvas.state.ring == -1


def test_the_baseline_is_drawn_with_the_same_colours(
    canvas: Canvas, samples: Path
) -> None:
    canvas.put(layers(samples))
    evidence = canvas.layers()[EVIDENCE]
    own, limits = evidence.data.copy(), evidence.contrast_limits
    canvas.state.shows_baseline = True
    assert not np.array_equal(own, evidence.data, equal_nan=True)
    assert evidence.contrast_limits == limits
    hard = canvas.layers()[HARD]
    assert len(hard.data) == len(canvas.state.rings())
    assert len(hard.features) == len(hard.data)
    canvas.state.shows_baseline = False
    np.testing.assert_array_equal(own, evidence.data)


def test_held_overlays_come_back_as_they_were(canvas: Canvas, samples: Path) -> None:
    canvas.put(layers(samples))
    canvas.show_only(EVIDENCE, HIDDEN)
    before = {part: layer.visible for part, layer in canvas.layers().items()}
    canvas.hold_overlays_off()
    canvas.hold_overlays_off()
    assert [p for p, layer in canvas.layers().items() if layer.visible] == [SLIDE]
    canvas.let_overlays_back()
    after = {part: layer.visible for part, layer in canvas.layers().items()}
    assert after == before


def test_a_scale_given_by_the_user_moves_every_layer(
    canvas: Canvas, samples: Path
) -> None:
    canvas.put(layers(samples, "scaleless"))
    pixels = canvas.layers()
    assert str(pixels[SLIDE].units[0]) == "pixel"
    data = np.array([3.0, 5.0])
    before = {p: layer.data_to_world(data)[-2:] for p, layer in pixels.items()}
    canvas.set_mpp(0.25)
    for part, layer in canvas.layers().items():
        assert str(layer.units[0]) == "micrometer"
        after = layer.data_to_world(data)[-2:]
        np.testing.assert_allclose(after, np.array(before[part]) * 0.25)


def test_a_result_of_another_run_takes_the_place_of_the_first(
    canvas: Canvas, samples: Path
) -> None:
    canvas.put(layers(samples))
    fresh = made.result(slide="both", bundle="another")
    canvas.show_result(fresh)
    assert canvas.state.result is fresh
    assert canvas.state.truth is None
    assert "Truth (demo only)" not in names(canvas)
    assert len(canvas.viewer.layers) == 5


def test_other_peoples_layers_are_left_alone(canvas: Canvas, samples: Path) -> None:
    mine = canvas.viewer.add_image(np.zeros((5, 5)), name="mine")
    canvas.put(layers(samples))
    canvas.hold_overlays_off()
    canvas.make_room()
    assert list(canvas.viewer.layers) == [mine]
    assert mine.visible


def test_samples_come_with_results_and_the_negative_without_rings(
    samples: Path, monkeypatch
) -> None:
    monkeypatch.setattr(sample_data, "folder", lambda: samples)
    found = {}
    for tuples in (sample_data.both(), sample_data.negative()):
        rings = next(data for data, kwargs, _ in tuples if "Hard" in kwargs["name"])
        slide = tuples[0][1]["metadata"]["napari_mhim"]["open"]
        found[slide.name] = len(rings)
        slide.close()
    assert found["both"] > 0
    assert found["negative"] == 0


def test_a_missing_sample_says_how_to_get_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sample_data, "folder", lambda: tmp_path)
    with pytest.raises(SlideError, match="napari-mhim demo"):
        sample_data.hard_only()


def test_the_whole_slide_is_what_was_scanned_of_it(canvas, tmp_path):
    vendors.scn(tmp_path / "a.scn")
    canvas.viewer.canvas.size = (600, 900)
    canvas.open(str(tmp_path / "a.scn"))
    camera = canvas.viewer.scene.camera
    # 1024 × 1536 px from (400, 200) on, half a micrometre each
    np.testing.assert_allclose(camera.center[1:], (456, 484), atol=0.5)
    assert camera.zoom == pytest.approx(0.96 * 900 / 768)


def test_colours_are_the_scanners_unless_the_settings_say_srgb(
    canvas, tmp_path, monkeypatch
):
    profile = test_colour.swapped_profile()
    path = test_colour.written(tmp_path / "a.tiff", profile)
    canvas.open(str(path))
    as_scanned = canvas.slide().read_region(0, 0, 120, 150)
    np.testing.assert_array_equal(as_scanned, test_colour.IMAGE)
    monkeypatch.setenv("NAPARI_MHIM_SRGB", "1")
    canvas.open(str(path))
    turned = canvas.slide().read_region(0, 0, 120, 150).astype(int)
    assert np.abs(turned - as_scanned[..., ::-1]).max() <= 2
