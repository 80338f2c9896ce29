"""Distances to training, and what teacher–student agreement is worth."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_bags import CLASSES, make_bags, small_config

from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.bundle_config import from_json, to_json
from napari_mhim.mil.card import card
from napari_mhim.mil.predict import Predictor
from napari_mhim.mil.questions import HowUnlike
from napari_mhim.mil.reading import Reading
from napari_mhim.mil.train import fit
from napari_mhim.mil.unlike import (
    agreement,
    agreement_kept,
    distance,
    distances_kept,
    is_caution,
    reference,
    unlike_of,
)

BAGS = make_bags(20)


def test_distance_is_in_training_deviations() -> None:
    mean, spread = np.array([1.0, 2.0, 5.0]), np.array([1.0, 2.0, 0.0])
    # a feature that never varied says nothing
    assert distance(np.array([2.0, 2.0, 9.0]), (mean, spread)) == pytest.approx(0.5)
    assert np.isnan(distance(mean, None))
    assert np.isnan(distance(mean, (mean, np.zeros(3))))


def test_agreement_is_of_ranks() -> None:
    own = np.random.default_rng(0).random(50)
    assert agreement(own, np.exp(own)) == pytest.approx(1)
    assert agreement(own, -own) == pytest.approx(-1)
    assert agreement(own[:1], -own[:1]) == 1


class TestReference:
    def test_validation_slides_come_first(self) -> None:
        kept = distances_kept([0.2, 0.4], [0.1] * 30)
        found = reference(kept)
        assert (found.role, found.n, found.limit) == ("validation", 2, 0.4)
        assert not found.is_quantile
        assert reference(distances_kept([], [0.1] * 3)).role == "training"
        assert reference({}) is None

    def test_many_slides_give_a_percentile(self) -> None:
        found = reference(distances_kept(list(np.linspace(0, 1, 101)), []))
        assert found.is_quantile
        assert found.limit == pytest.approx(0.95)

    def test_what_has_no_distance_does_not_count(self) -> None:
        assert distances_kept([float("nan")], []) == {}


class TestCaution:
    def test_too_few_errors_say_nothing(self) -> None:
        assert agreement_kept([0.1, 0.2] + [0.9] * 20, [True] * 2 + [False] * 20) == {}
        assert agreement_kept([0.1] * 20 + [0.9] * 2, [True] * 20 + [False] * 2) == {}

    def test_agreement_that_predicted_errors_becomes_a_caution(self) -> None:
        values = [0.1, 0.2, 0.3, 0.35, *np.linspace(0.5, 0.9, 20)]
        kept = agreement_kept(values, [True] * 4 + [False] * 20)
        assert kept["auroc"] == 1
        assert (kept["errors"], kept["n"]) == (4, 24)
        assert is_caution(0.15, kept)
        assert not is_caution(0.8, kept)

    def test_agreement_that_did_not_is_none(self) -> None:
        values = [0.9, 0.85, 0.8, *np.linspace(0.1, 0.7, 20)]
        kept = agreement_kept(values, [True] * 3 + [False] * 20)
        assert kept["auroc"] == 0
        assert not is_caution(-1.0, kept)
        assert not is_caution(-1.0, {})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder: Path = tmp_path_factory.mktemp("unlike")
    config = small_config(recipe="mhim")
    *_, done = fit(BAGS[:8], BAGS[8:], CLASSES, config, folder / "run")
    return Bundle.open(done.bundle_path)


def test_a_model_keeps_how_far_its_own_slides_are(bundle: Bundle) -> None:
    far = []
    for bag in BAGS[8:]:
        (found,) = Reading(bundle, bag, "cpu").answer(HowUnlike())
        far.append(found.distance)
    kept = bundle.config.distances
    assert kept["validation"]["n"] == 12
    assert kept["validation"]["max"] == pytest.approx(max(far), abs=1e-4)
    assert kept["validation"]["median"] == pytest.approx(np.median(far), abs=1e-4)
    assert kept["training"]["n"] == 8


def test_a_result_says_the_same_as_the_model(bundle: Bundle) -> None:
    bag = BAGS[3]
    (asked,) = Reading(bundle, bag, "cpu").answer(HowUnlike())
    said = unlike_of(Predictor(bundle, "cpu").predict(bag))
    assert said.distance == pytest.approx(asked.distance, rel=1e-4)
    assert said.agreement == pytest.approx(asked.agreement, abs=1e-6)
    older = replace(Predictor(bundle, "cpu").predict(bag), provenance={})
    assert unlike_of(older) is None


def test_the_card_says_what_agreement_is_worth(bundle: Bundle) -> None:
    unknown = replace(bundle.config, agreement_errors={})
    assert "predicts errors: not assessed" in card(unknown)
    found = {"auroc": 0.81, "low": 0.62, "n": 40, "errors": 6, "usual_error": 0.7}
    text = card(replace(bundle.config, agreement_errors=found))
    assert "predicted 6 errors on 40 validation slides with AUROC 0.81" in text
    chance = card(replace(bundle.config, agreement_errors={**found, "low": 0.4}))
    assert "may be chance" in chance


def test_bundles_without_it_still_open(bundle: Bundle) -> None:
    text = to_json(bundle.config)
    for name in ("distances", "agreement_errors"):
        assert f'"{name}"' in text
    values = json.loads(text)
    del values["napari_mhim"]["distances"], values["napari_mhim"]["agreement_errors"]
    old = from_json(json.dumps(values).encode(), bundle.path)
    assert (old.distances, old.agreement_errors) == ({}, {})
