"""The share hidden as easy, found by itself: told, confirmed on validation, and kept."""

from itertools import islice
from pathlib import Path

import pytest
from made_bags import CLASSES, make_bag, make_bags, small_config

from napari_mhim.events import Note
from napari_mhim.mil.bags import Bag
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.checkpoint import load_state
from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.mil.predict import Predictor
from napari_mhim.mil.recipes.mhim import easy
from napari_mhim.mil.train import EpochDone, FitDone, fit

AUTO = small_config(recipe_options={"mask_ratio_high": "auto"})


def start(run: Path, bags: list[Bag]) -> object:
    return fit(bags[:8], bags[8:], CLASSES, AUTO, run)


@pytest.fixture(scope="module")
def auto_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list]:
    run = tmp_path_factory.mktemp("auto") / "run"
    return run, list(start(run, make_bags(14)))


def test_the_share_is_told_before_the_first_epoch(auto_run: tuple) -> None:
    events = auto_run[1]
    kinds = [
        (type(e), getattr(e, "stage", "")) for e in events if not isinstance(e, FitDone)
    ]
    place = kinds.index((EpochDone, "mhim"))
    said = events[place - 1]
    assert isinstance(said, Note)
    assert said.text.startswith("Hidden as easy: ")
    assert "on validation: " in said.text


def test_bundle_and_card_say_how_it_was_found_and_what_validation_said(
    auto_run: tuple,
) -> None:
    bundle = Bundle.open(auto_run[0] / "bundle")
    settings = bundle.config.recipe_settings
    assert settings["mask_ratio_high"] == bundle.config.mask_ratio_high
    for name in ("mask_ratio_high_found", "mask_ratio_high_confirmed"):
        assert settings[name]
        assert settings[name] in bundle.card
    said = Predictor(bundle, "cpu").predict(make_bag(60, 1)).provenance["easy share"]
    assert settings["mask_ratio_high_confirmed"] in said


def test_a_given_share_has_no_such_sentence(bundle: Bundle) -> None:
    settings = bundle.config.recipe_settings
    assert (
        settings["mask_ratio_high_found"],
        settings["mask_ratio_high_confirmed"],
    ) == (
        "given",
        "",
    )
    assert "Hidden as easy in training: 0.1 of each slide\n" in bundle.card


@pytest.mark.parametrize("taken", [4, 5, 6])
def test_a_run_stopped_around_it_comes_to_the_same_bits(
    tmp_path: Path, auto_run: tuple, taken: int
) -> None:
    whole, events = auto_run
    job = start(tmp_path / "run", make_bags(14))
    stopped = list(islice(job, taken))
    job.close()
    assert [type(e) for e in stopped] == [type(e) for e in events[:taken]]
    list(start(tmp_path / "run", make_bags(14)))
    for name in ("model.safetensors",):
        ours = (tmp_path / "run" / "bundle" / name).read_bytes()
        assert ours == (whole / "bundle" / name).read_bytes()
    kept = Bundle.open(tmp_path / "run" / "bundle").config.recipe_settings
    assert kept == Bundle.open(whole / "bundle").config.recipe_settings


def test_what_is_not_confirmed_is_told_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, auto_run: tuple
) -> None:
    def doubting(found, teacher, bags, score_kind):
        list(bags)
        return easy.Confirmation("not confirmed", "0 of 6; kept")

    monkeypatch.setattr("napari_mhim.mil.recipes.mhim.training.confirm", doubting)
    events = list(start(tmp_path / "run", make_bags(14)))
    notes = [event.text for event in events if isinstance(event, Note)]
    assert any("Not confirmed on validation: 0 of 6; kept." in n for n in notes)
    bundle = Bundle.open(tmp_path / "run" / "bundle")
    whole = Bundle.open(auto_run[0] / "bundle")
    assert bundle.config.mask_ratio_high == whole.config.mask_ratio_high
    assert "not confirmed on validation: 0 of 6; kept" in bundle.card


def test_only_validation_slides_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Test slides are in the table, and no look at them is possible from here."""
    asked: list[bytes] = []
    confirm = easy.confirm

    def listening(found, teacher, bags, score_kind):
        bags = list(bags)
        asked.extend(x.numpy().tobytes() for x, _ in bags)
        return confirm(found, teacher, bags, score_kind)

    monkeypatch.setattr("napari_mhim.mil.recipes.mhim.training.confirm", listening)
    bags = make_bags(14)
    roles = ["train"] * 8 + ["val"] * 6
    rows = [
        CohortRow(bag.name, label=CLASSES[bag.label], patient=bag.patient, role=role)
        for bag, role in zip(bags, roles, strict=True)
    ]
    held_out = make_bag(50, 1)
    cohort = Cohort.of([*rows, CohortRow(held_out.name, label="tumour", role="test")])
    list(fit(bags[:8], bags[8:], CLASSES, AUTO, tmp_path / "run", cohort=cohort))
    assert asked == [bag.features.tobytes() for bag in bags[8:]]


def test_without_validation_it_is_found_and_not_confirmed(tmp_path: Path) -> None:
    bags = make_bags(8)
    list(fit(bags, [], CLASSES, AUTO, tmp_path / "run"))
    settings = Bundle.open(tmp_path / "run" / "bundle").config.recipe_settings
    assert settings["mask_ratio_high_confirmed"] == (
        "cannot be told on validation: no validation slides"
    )


def test_a_checkpoint_from_before_there_was_a_confirmation_goes_on(
    tmp_path: Path,
) -> None:
    import torch

    run, bags = tmp_path / "run", make_bags(14)
    job = start(run, bags)
    # two notes, three epochs of the baseline, the first of mhim
    list(islice(job, 6))
    job.close()
    state = load_state(run / "checkpoint.pt", "cpu")
    name = next(key for key in state["recipe"] if key.endswith("_extra_state"))
    del state["recipe"][name]["confirmed"]
    torch.save(state, run / "checkpoint.pt")
    assert isinstance(list(start(run, bags))[-1], FitDone)
