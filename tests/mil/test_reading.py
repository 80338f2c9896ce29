"""Answers to a reader's questions, against the model itself."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_mhim.errors import ConfigError, FeatureMismatchError, StoreError
from napari_mhim.features.store import FeatureStore
from napari_mhim.mil.bags import bag_of
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.masking import high_mask, low_mask
from napari_mhim.mil.predict import Predictor
from napari_mhim.mil.questions import (
    HIGH,
    LOW,
    RANDOM,
    HideBy,
    HideMore,
    HowUnlike,
    Without,
    open_reading,
)
from napari_mhim.mil.reading import Reading


@pytest.fixture(scope="module")
def slide(small_run):
    path = next(Path(small_run.workspace).glob("features/*/*.h5"))
    with FeatureStore.open(path) as store:
        bag = bag_of(store)
    bundle = Bundle.open(small_run.bundle)
    return bundle, bag, Reading(bundle, bag, "cpu"), path


def test_nothing_hidden_is_the_prediction(slide) -> None:
    bundle, bag, reading, _ = slide
    hidden, score = reading.answer(HideBy())
    assert not hidden.mask.any()
    assert score.n_patches == len(bag.features)
    wanted = Predictor(bundle, "cpu").predict(bag).probabilities
    assert score.probabilities == pytest.approx(wanted, abs=1e-6)


def test_the_undecayed_ratio_hides_what_the_result_says(slide) -> None:
    bundle, bag, reading, _ = slide
    wanted = Predictor(bundle, "cpu").predict(bag)
    hidden, score = reading.answer(HideBy(mask_ratio_high=wanted.mask_ratio_high))
    assert (hidden.mask == wanted.mask).all()
    assert set(hidden.parts) == {0, HIGH}
    assert score.probabilities == pytest.approx(wanted.remaining, abs=1e-6)


def test_another_epochs_scores_mask_in_place_of_the_teachers(slide) -> None:
    _, bag, reading, _ = slide
    n = len(bag.features)
    then = np.random.default_rng(0).random(n).astype(np.float32)
    hidden, score = reading.answer(HideBy(mask_ratio_high=0.1, scores=then))
    wanted = np.sort(np.argsort(-then)[: int(np.ceil(0.1 * n))])
    np.testing.assert_array_equal(np.flatnonzero(hidden.mask), wanted)
    # the finished student judges what is left
    rows = np.zeros(n, bool)
    rows[wanted] = True
    (without,) = reading.answer(Without(rows))
    assert score.probabilities == pytest.approx(without.probabilities, abs=1e-6)
    (curve,) = reading.answer(HideMore((0.0, 0.1), scores=then))
    assert curve.probabilities[1] == pytest.approx(score.probabilities, abs=1e-6)


def test_scores_of_another_number_of_patches_are_refused(slide) -> None:
    _, bag, reading, _ = slide
    n = len(bag.features)
    with pytest.raises(FeatureMismatchError, match=f"{n + 1} patches.* have {n};"):
        list(reading.answer(HideBy(scores=np.zeros(n + 1, np.float32))))


def test_parts_are_the_masks_of_training(slide) -> None:
    bundle, bag, reading, _ = slide
    asked = HideBy(
        mask_ratio_high=0.1, mask_ratio_low=0.2, mask_ratio_random=0.3, seed=5
    )
    hidden, score = reading.answer(asked)
    scores = bundle.teacher("cpu")(torch.from_numpy(bag.features)).scores
    assert ((hidden.parts & HIGH) > 0).tolist() == high_mask(scores, 0.1).tolist()
    assert ((hidden.parts & LOW) > 0).tolist() == low_mask(scores, 0.2).tolist()
    n = len(bag.features)
    assert ((hidden.parts & RANDOM) > 0).sum() == np.ceil(n * 0.3)
    assert score.n_patches == n - hidden.mask.sum()
    again, _ = reading.answer(asked)
    assert (again.parts == hidden.parts).all()
    other, _ = reading.answer(replace(asked, seed=6))
    assert (other.parts != hidden.parts).any()


def test_a_patch_is_always_left(slide) -> None:
    _, bag, reading, _ = slide
    hidden, score = reading.answer(HideBy(mask_ratio_high=1.0, mask_ratio_low=1.0))
    assert hidden.mask.sum() == len(bag.features) - 1
    assert score.n_patches == 1


def test_without_patches_is_the_model_without_them(slide) -> None:
    bundle, bag, reading, _ = slide
    rows = np.arange(len(bag.features)) % 3 == 0
    (score,) = reading.answer(Without(rows))
    wanted = Predictor(bundle, "cpu").probabilities(
        replace(bag, features=bag.features[~rows], grid=None)
    )
    assert score.probabilities == pytest.approx(wanted, abs=1e-6)


def test_a_curve_starts_at_the_prediction_and_follows_the_mask(slide) -> None:
    _, _, reading, _ = slide
    (curve,) = reading.answer(HideMore((0.0, 0.1, 0.4)))
    for share, row in zip(curve.shares, curve.probabilities, strict=True):
        _, score = reading.answer(HideBy(mask_ratio_high=float(share)))
        assert row == pytest.approx(score.probabilities, abs=1e-6)


def test_distance_is_larger_for_shifted_features(slide) -> None:
    bundle, bag, reading, _ = slide
    (near,) = reading.answer(HowUnlike())
    shifted = replace(bag, features=bag.features + 5 * bag.features.std(axis=0))
    (far,) = Reading(bundle, shifted, "cpu").answer(HowUnlike())
    assert near.distance < 2 < far.distance
    assert -1 <= near.agreement <= 1


def test_a_model_without_teacher_agrees_with_nobody(slide, small_run) -> None:
    _, bag, _, _ = slide
    plain = Reading(Bundle.open(small_run.baseline), bag, "cpu")
    (unlike,) = plain.answer(HowUnlike())
    assert np.isnan(unlike.agreement)


def test_areas_of_another_slide_or_all_of_it_are_refused(slide) -> None:
    _, bag, reading, _ = slide
    n = len(bag.features)
    with pytest.raises(FeatureMismatchError, match=f"speaks of {n + 1} patches.*{n}"):
        list(reading.answer(Without(np.zeros(n + 1, bool))))
    with pytest.raises(FeatureMismatchError, match="leaves nothing"):
        list(reading.answer(Without(np.ones(n, bool))))


def test_ratios_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"mask_ratio_low must be in \[0, 1\], got 2"):
        HideBy(mask_ratio_low=2)


def test_features_with_nan_are_refused(slide) -> None:
    bundle, bag, _, _ = slide
    broken = bag.features.copy()
    broken[0, 0] = np.nan
    with pytest.raises(StoreError, match="NaN"):
        Reading(bundle, replace(bag, features=broken), "cpu")


def test_files_are_opened_by_their_paths(slide, small_run) -> None:
    _, _, reading, path = slide
    answer = open_reading(small_run.bundle, str(path), "cpu")
    (_, one), (_, other) = answer(HideBy()), reading.answer(HideBy())
    assert one.probabilities == pytest.approx(other.probabilities, abs=1e-7)
