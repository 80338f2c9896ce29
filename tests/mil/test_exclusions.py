"""Patches a reader left out: not trained on, and the score without them beside the first."""

from pathlib import Path

import numpy as np
import pytest

from napari_mhim import pipeline
from napari_mhim.errors import FeatureMismatchError, RegionError
from napari_mhim.events import Note
from napari_mhim.features.store import FeatureStore
from napari_mhim.mil.bags import bag_of
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.cohort import Cohort
from napari_mhim.mil.exclusions import excluded_rows, without
from napari_mhim.mil.predict import Predictor
from napari_mhim.mil.result import SlideResult
from napari_mhim.slide.regions import SlideIdentity, region, write_regions
from napari_mhim.workspace import Workspace


@pytest.fixture
def bag(small_run):
    path = sorted(Path(small_run.workspace).glob("features/*/*.h5"))[0]
    with FeatureStore.open(path) as store:
        return bag_of(store)


def _exclude(path: Path, bag, corner, side: float, **changes) -> None:
    y, x = corner
    outline = np.array([[y, x], [y, x + side], [y + side, x + side], [y + side, x]])
    identity = SlideIdentity(
        changes.get("name", bag.name),
        changes.get("fingerprint", bag.fingerprint),
        bag.slide_shape,
    )
    path.parent.mkdir(exist_ok=True)
    kinds = [region(outline, kind="exclude", reason="pen")]
    # a hint is no exclusion
    kinds.append(region(outline + 1, kind="hint", class_name="tumour"))
    write_regions(path, kinds, identity)


def test_rows_are_those_whose_centre_lies_inside(bag, tmp_path: Path) -> None:
    path = tmp_path / "regions.geojson"
    corner = bag.grid.corners[3]
    _exclude(path, bag, corner - 1, float(bag.grid.patch_px[0]) + 2)
    assert np.flatnonzero(excluded_rows(bag, path)).tolist() == [3]


def test_without_regions_nothing_is_left_out(bag, tmp_path: Path) -> None:
    rows = excluded_rows(bag, tmp_path / "none.geojson")
    assert not rows.any()
    assert without(bag, rows) is bag


def test_a_bag_without_some_keeps_the_others_places(bag) -> None:
    rows = np.arange(len(bag.features)) < 5
    left = without(bag, rows)
    assert (left.features == bag.features[5:]).all()
    assert (left.grid.cells == bag.grid.cells[5:]).all()


def test_all_of_a_slide_cannot_be_left_out(bag) -> None:
    with pytest.raises(FeatureMismatchError, match="take the slide out of the table"):
        without(bag, np.ones(len(bag.features), bool))


def test_regions_of_another_slide_are_refused(bag, tmp_path: Path) -> None:
    path = tmp_path / "regions.geojson"
    _exclude(path, bag, bag.grid.corners[0], 300.0, name="another", fingerprint="0")
    with pytest.raises(RegionError, match="another"):
        excluded_rows(bag, path)


def _gathered(*args, **kwargs) -> tuple[dict, list]:
    job, events = pipeline.gather(*args, **kwargs), []
    while True:
        try:
            events.append(next(job))
        except StopIteration as done:
            return done.value, events


def test_prediction_and_training_go_without(small_run, bag) -> None:
    place = Workspace(Path(small_run.workspace))
    path = place.regions_path(bag.name)
    slide = next(one for one in small_run.slides if Path(one).stem == bag.name)
    _exclude(path, bag, (0.0, 0.0), max(bag.slide_shape) / 2)
    try:
        rows = excluded_rows(bag, path)
        assert 0 < rows.sum() < len(rows)
        events = list(
            pipeline.predict_slide(slide, small_run.bundle, small_run.workspace, "cpu")
        )
        result = SlideResult.load(Path(events[-1].result_path))
        predictor = Predictor(Bundle.open(small_run.bundle), "cpu")
        assert result.probabilities == pytest.approx(predictor.probabilities(bag))
        assert (result.excluded == rows).all()
        wanted = predictor.probabilities(without(bag, rows))
        assert result.excluding == pytest.approx(wanted, abs=1e-6)

        table = Cohort.read(place.cohort_path)
        config = Bundle.open(small_run.bundle).config.extract
        bags, notes = _gathered(small_run.workspace, table, config)
        assert len(bags[bag.name].features) == (~rows).sum()
        others = sum(len(b.features) for b in bags.values() if b.name != bag.name)
        assert others > 0
        told = [one.text for one in notes if isinstance(one, Note)]
        assert told[-1] == "1 slide without the areas you excluded."
        # what is evaluated is always whole
        bags, _ = _gathered(small_run.workspace, table, config, leaves_out=False)
        assert len(bags[bag.name].features) == len(rows)
    finally:
        path.unlink()
