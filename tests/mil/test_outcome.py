"""From best weights to a bundle: a calibration that changes scores and no order."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from made_bags import CLASSES, make_bag, make_bags, small_config

import napari_mhim
from napari_mhim.events import Note
from napari_mhim.mil.bags import Bag
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.cutoff import choose_cutoff, decide
from napari_mhim.mil.evaluate import auc
from napari_mhim.mil.predict import Predictor
from napari_mhim.mil.temperature import tempered
from napari_mhim.mil.train import fit

BAGS = make_bags(20)
TRAINED, CHOSEN = BAGS[:8], BAGS[8:]


def bundle_of(run: Path, val: list[Bag] = CHOSEN, **changes: object) -> Bundle:
    *_, done = fit(TRAINED, val, CLASSES, small_config(**changes), run)
    return Bundle.open(done.bundle_path)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    folder = tmp_path_factory.mktemp("both")
    return bundle_of(folder / "raw"), bundle_of(folder / "cal", calibrate=True)


def scores(bundle: Bundle, bags: list[Bag]) -> np.ndarray:
    predictor = Predictor(bundle, "cpu")
    return np.array([predictor.probabilities(bag) for bag in bags], np.float64)


def test_the_weights_are_the_same_and_the_scores_are_not(both: tuple) -> None:
    raw, calibrated = both
    for name, tensor in raw.student().state_dict().items():
        assert torch.equal(tensor, calibrated.student().state_dict()[name])
    assert (raw.config.calibrated, raw.config.temperature) == (False, 1.0)
    assert calibrated.config.calibrated
    assert calibrated.config.calibrated_on == len(CHOSEN)
    assert calibrated.config.temperature != pytest.approx(1, abs=0.05)
    expected = tempered(scores(raw, CHOSEN), calibrated.config.temperature)
    np.testing.assert_allclose(scores(calibrated, CHOSEN), expected, rtol=1e-5)


def test_auc_and_decisions_are_those_of_the_raw_scores(both: tuple) -> None:
    raw, calibrated = both
    new = [make_bag(100 + i, i % 2) for i in range(30)]
    labels = np.array([bag.label for bag in new])
    for some in (CHOSEN, new):
        labels = np.array([bag.label for bag in some])
        before, after = scores(raw, some), scores(calibrated, some)
        assert auc(labels, after) == pytest.approx(auc(labels, before))
    np.testing.assert_array_equal(
        decide(scores(calibrated, CHOSEN), calibrated.config.cutoff),
        decide(scores(raw, CHOSEN), raw.config.cutoff),
    )
    assert raw.config.metrics["auc"] == calibrated.config.metrics["auc"]


def test_the_cutoff_is_one_of_the_scores_as_they_are_given(both: tuple) -> None:
    labels = np.array([bag.label for bag in CHOSEN])
    for bundle in both:
        chosen = choose_cutoff(labels, scores(bundle, CHOSEN))
        assert bundle.config.cutoff.value == pytest.approx(chosen.value, rel=1e-4)
        assert bundle.config.cutoff.n == len(CHOSEN)


def test_the_whole_result_is_calibrated_with_what_remains(both: tuple) -> None:
    raw, calibrated = both
    bag, temperature = CHOSEN[1], calibrated.config.temperature
    plain = Predictor(raw, "cpu").predict(bag)
    result = Predictor(calibrated, "cpu").predict(bag)
    assert (plain.calibrated, result.calibrated) == (False, True)
    for name in ("probabilities", "remaining"):
        np.testing.assert_allclose(
            getattr(result, name),
            tempered(getattr(plain, name), temperature),
            rtol=1e-4,
        )
    np.testing.assert_array_equal(result.evidence, plain.evidence)


def test_the_card_says_on_how_many_slides_it_rests(both: tuple) -> None:
    raw, calibrated = both
    assert "They are not calibrated." in raw.card
    assert "fitted on 12 validation slides" in calibrated.card


def test_too_few_validation_slides_are_told_and_nothing_is_scaled(
    tmp_path: Path,
) -> None:
    events = list(
        fit(
            TRAINED, CHOSEN[:6], CLASSES, small_config(calibrate=True), tmp_path / "run"
        )
    )
    notes = [event.text for event in events if isinstance(event, Note)]
    assert (
        "Scores will not be calibrated: it needs 10 validation slides or more, there "
        "are 6."
    ) in notes
    config = Bundle.open(events[-1].bundle_path).config
    assert (config.calibrated, config.temperature, config.calibrated_on) == (
        False,
        1,
        0,
    )


def test_bundles_from_before_there_was_a_temperature_open_and_score_the_same(
    both: tuple, tmp_path: Path
) -> None:
    raw = both[0]
    shutil.copytree(raw.path, tmp_path / "old")
    path = tmp_path / "old" / "config.json"
    values = json.loads(path.read_text())
    for name in ("temperature", "calibrated_on"):
        del values["napari_mhim"][name]
    path.write_text(json.dumps(values))
    old = Bundle.open(tmp_path / "old")
    np.testing.assert_array_equal(scores(old, CHOSEN[:3]), scores(raw, CHOSEN[:3]))


def test_the_sample_bundle_opens() -> None:
    sample = Path(napari_mhim.__file__).parent / "sample" / "bundle"
    config = Bundle.open(sample).config
    assert (config.calibrated, config.temperature) == (False, 1.0)


def test_a_run_from_before_the_setting_goes_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    job = fit(TRAINED, CHOSEN, CLASSES, small_config(), run)
    next(job)
    job.close()
    path = run / "settings.json"
    stored = json.loads(path.read_text())
    del stored["calibrate"]
    path.write_text(json.dumps(stored))
    *_, done = fit(TRAINED, CHOSEN, CLASSES, small_config(), run)
    assert Bundle.open(done.bundle_path).config.trained["epochs"] == 3
