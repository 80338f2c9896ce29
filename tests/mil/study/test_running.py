"""Studies from end to end: honest, resumable at any moment, nothing trained twice."""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_bags import CLASSES, make_bag, make_bags, small_config

from napari_mhim.errors import CohortError, ConfigError, TrainingError
from napari_mhim.events import Note, Progress
from napari_mhim.mil import train
from napari_mhim.mil.bags import Bag
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.study.config import StudyConfig
from napari_mhim.mil.study.predictions import Prediction, read_predictions
from napari_mhim.mil.study.running import (
    MemberDone,
    MemberFailed,
    StudyDone,
    run_study,
)
from napari_mhim.mil.train import fit

GRID = StudyConfig(cv=2, grid={"recipe.mask_ratio_high": [0.05, 0.2]})


def bags_of(n: int = 12) -> dict[str, Bag]:
    return {bag.name: bag for bag in make_bags(n)}


def cohort_of(bags: dict[str, Bag], classes: tuple[str, ...] = CLASSES) -> Cohort:
    rows = (
        CohortRow(b.name, label=classes[b.label], patient=b.patient)
        for b in bags.values()
    )
    return Cohort.of(rows, classes)


def small(**changes: Any) -> TrainConfig:
    return small_config(**{"epochs": 2, **changes})


def study(
    folder: Path,
    config: TrainConfig | None = None,
    asked: StudyConfig = GRID,
    bags: dict[str, Bag] | None = None,
) -> Iterator[Any]:
    bags = bags or bags_of()
    return run_study(bags, cohort_of(bags), config or small(), asked, folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies") / "study"
    list(study(folder))
    return folder


def outcome(folder: Path) -> list[bytes]:
    names = ("predictions.csv", "study.csv", "study.json", "study.md", "splits.csv")
    return [(folder / name).read_bytes() for name in names]


def all_predictions(folder: Path) -> list[Prediction]:
    return read_predictions(folder / "predictions.csv", CLASSES)


def test_every_setting_says_something_of_every_slide_once(whole: Path) -> None:
    found = all_predictions(whole)
    assert len({(p.setting, p.slide) for p in found}) == len(found) == 3 * 12
    assert {p.setting for p in found} == {
        *("baseline", "mask_ratio_high=0.05", "mask_ratio_high=0.2")
    }


def test_no_model_has_seen_the_slides_it_is_judged_on(whole: Path) -> None:
    for p in all_predictions(whole):
        member = whole / "repeat-1" / f"fold-{p.fold}" / p.setting
        config = Bundle.open(member / "bundle").config
        assert config.role_of(p.slide) == "test"
        assert config.cutoff is not None
        assert p.cutoff == config.cutoff.value
        assert "validation" in config.cutoff.where


def test_a_member_is_the_run_that_it_would_be_alone(whole: Path, tmp_path) -> None:
    """The baseline taken over changes no bit of what starts from it."""
    member = whole / "repeat-1" / "fold-2" / "mask_ratio_high=0.2"
    split, bags = Cohort.read(member / "splits.csv", CLASSES), bags_of()
    alone = small(recipe_options={"mask_ratio_high": 0.2})
    sides = [[bags[r.slide] for r in split.with_role(x)] for x in ("train", "val")]
    list(fit(*sides, CLASSES, alone, tmp_path / "run", cohort=split))
    for stage in ("bundle", "baseline/bundle"):
        name = f"{stage}/model.safetensors"
        assert (member / name).read_bytes() == (tmp_path / "run" / name).read_bytes()


def test_the_baseline_is_trained_once_for_each_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = []
    whole_run = train.Stage.run

    def counted(self: train.Stage, watch: Bag | None = None) -> Iterator[Any]:
        for event in whole_run(self, watch):
            stages.append((self.name, self.folder.path.parent.name))
            yield event

    monkeypatch.setattr(train.Stage, "run", counted)
    list(study(tmp_path / "study"))
    # two epochs each: a baseline a fold, and two settings
    assert stages.count(("plain", "fold-1")) == stages.count(("plain", "fold-2")) == 2
    assert stages.count(("mhim", "fold-1")) == stages.count(("mhim", "fold-2")) == 4
    assert len(stages) == 2 * 2 + 2 * 4


@pytest.mark.parametrize("events_taken", [1, 2, 3, 5, 9, 14, 20])
def test_a_stopped_study_comes_to_the_same_bits(
    tmp_path: Path, whole: Path, events_taken: int
) -> None:
    job = study(tmp_path / "study")
    assert len(list(islice(job, events_taken))) == events_taken
    job.close()
    torch.manual_seed(events_taken)
    list(study(tmp_path / "study"))
    assert outcome(tmp_path / "study")[0] == outcome(whole)[0]
    assert outcome(tmp_path / "study")[1] == outcome(whole)[1]


def test_a_half_taken_baseline_is_taken_again(tmp_path: Path, whole: Path) -> None:
    folder = tmp_path / "study"
    # two folds: baseline (a start, two epochs, the end), then the first setting's start
    list(islice(study(folder), 5))
    member = folder / "repeat-1" / "fold-1" / "mask_ratio_high=0.05"
    draft = member / ".baseline.1.part"
    (member / "baseline").replace(draft)
    (draft / "best.pt").unlink()
    list(study(folder))
    assert outcome(folder)[0] == outcome(whole)[0]
    assert not draft.exists()


def test_a_finished_study_trains_nothing(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = outcome(whole)
    monkeypatch.setattr(train, "fit", None)
    events = list(study(whole))
    assert isinstance(events[-1], StudyDone)
    assert outcome(whole) == before


def test_progress_says_which_fold_and_setting(tmp_path: Path) -> None:
    asked = replace(GRID, repeats=2)
    events = list(study(tmp_path / "study", asked=asked))
    steps = [event for event in events if isinstance(event, Progress)]
    assert steps[-1].stage == (
        "repeat 2 of 2, fold 2 of 2, setting 3 of 3 (mask_ratio_high=0.2)"
    )
    assert (steps[-1].done, steps[-1].total, steps[-1].unit) == (2, 2, "epochs")
    assert sum(isinstance(event, MemberDone) for event in events) == 12
    assert "test AUC" in next(e.line for e in events if isinstance(e, MemberDone))


def test_the_table_is_in_the_folder_in_three_forms(whole: Path) -> None:
    plain = json.loads((whole / "study.json").read_text())
    assert [row["setting"] for row in plain["settings"]] == [
        *("baseline", "mask_ratio_high=0.05", "mask_ratio_high=0.2")
    ]
    assert len(plain["folds"]) == 6
    assert (whole / "study.csv").read_text().count("\n") == 4
    text = (whole / "study.md").read_text()
    assert "12 slides of 12 patients (6 normal, 6 tumour); 2 folds by patient" in text
    assert "One repeat" in text


def test_what_another_needs_to_repeat_it_is_saved(whole: Path) -> None:
    settings = json.loads((whole / "settings.json").read_text())
    assert settings["study"]["cv"] == 2
    assert settings["settings"][1]["config"]["recipe_options"] == {
        "mask_ratio_high": 0.05
    }
    assert "torch" in json.loads((whole / "environment.json").read_text())
    lines = (whole / "splits.csv").read_text().splitlines()
    assert lines[0] == "repeat,fold,slide,patient,label,role"
    assert len(lines) == 1 + 2 * 12


@pytest.mark.parametrize(
    ("asked", "changes", "sentence"),
    [
        (replace(GRID, cv=3), {}, "begun with cv = 2, asked is 3"),
        (replace(GRID, repeats=2), {}, "begun with repeats = 1, asked is 2"),
        (GRID, {"lr": 0.5}, "lr of 'baseline' = 0.002, asked is 0.5"),
        (StudyConfig(cv=2), {}, r"settings = \['baseline', 'mask.*'mhim'\]"),
        (GRID, {"seed": 4}, "seed of 'baseline' = 0, asked is 4"),
    ],
)
def test_another_study_in_the_same_folder_is_refused(
    whole: Path, asked: StudyConfig, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        list(study(whole, small(**changes), asked))


def test_other_slides_in_the_same_folder_are_refused(whole: Path) -> None:
    with pytest.raises(TrainingError, match="begun on other slides, labels or folds"):
        list(study(whole, bags=bags_of(14)))


def test_other_threads_and_device_are_the_same_study(whole: Path) -> None:
    events = list(study(whole, small(threads=2)))
    assert isinstance(events[-1], StudyDone)


def test_a_single_runs_folder_is_no_studys(tmp_path: Path) -> None:
    bags = make_bags(8)
    list(fit(bags[:4], bags[4:], CLASSES, small(), tmp_path / "run"))
    with pytest.raises(ConfigError, match="holds a single run, asked is a study"):
        list(study(tmp_path / "run"))


def test_a_studys_folder_is_no_single_runs(whole: Path) -> None:
    bags = make_bags(8)
    with pytest.raises(ConfigError, match="another run folder"):
        list(fit(bags[:4], bags[4:], CLASSES, small(), whole))


def test_damaged_predictions_are_named(tmp_path: Path) -> None:
    list(study(tmp_path / "study"))
    path = tmp_path / "study" / "repeat-1" / "fold-1" / "baseline" / "predictions.csv"
    path.write_text("setting,slide\nbaseline,x\n")
    events = list(study(tmp_path / "study"))
    failed = [event.line for event in events if isinstance(event, MemberFailed)]
    assert len(failed) == 1
    assert "delete the file" in failed[0]


def test_a_setting_that_cannot_be_trained_stops_no_other(tmp_path: Path) -> None:
    plain = small(recipe="plain", recipe_options={})
    asked = StudyConfig(cv=2, grid={"lr": [0.002, 1e30]})
    events = list(study(tmp_path / "study", plain, asked))
    failed = [event for event in events if isinstance(event, MemberFailed)]
    assert [("lr=1e+30" in event.where) for event in failed] == [True, True]
    first, second = events[-1].rows
    assert (first.n_folds, second.n_folds) == (2, 0)
    assert any("lower the learning rate" in note for note in events[-1].notes)
    assert "lr=1e+30" in (tmp_path / "study" / "study.md").read_text()


def test_settings_whose_baseline_failed_say_so(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no setting of study .* could be trained"):
        list(study(tmp_path / "study", small(lr=1e30), StudyConfig(cv=2)))


def test_an_ablation_without_teacher_hides_what_the_full_method_found(
    tmp_path: Path,
) -> None:
    config = small(recipe_options={})
    events = list(study(tmp_path, config, StudyConfig(cv=2, ablate=True)))
    rows = [row.setting for row in events[-1].rows]
    assert rows[:2] == ["baseline", "full"]
    place = tmp_path / "repeat-1" / "fold-1"
    full = Bundle.open(place / "full" / "bundle").config.mask_ratio_high
    for name in ("own scores", "momentum only"):
        assert Bundle.open(place / name / "bundle").config.mask_ratio_high == full
    assert not Bundle.open(place / "own scores" / "bundle").config.has_teacher


def test_three_classes_go_through(tmp_path: Path) -> None:
    classes = ("normal", "itc", "macro")
    bags = {
        f"slide-{i:02d}": replace(make_bag(i, i % 2), label=i % 3) for i in range(18)
    }
    asked, config = StudyConfig(cv=3), small(recipe="plain", recipe_options={})
    cohort = cohort_of(bags, classes)
    done = list(run_study(bags, cohort, config, asked, tmp_path / "study"))[-1]
    assert done.rows[0].auc.n == 3
    found = read_predictions(tmp_path / "study" / "predictions.csv", classes)
    assert all(sum(p.probabilities) == pytest.approx(1, abs=1e-5) for p in found)
    assert {p.cutoff for p in found} == {None}


def test_a_model_that_has_learnt_from_tested_slides_is_no_start(
    whole: Path, tmp_path: Path
) -> None:
    bundle = str(whole / "repeat-1" / "fold-1" / "baseline" / "bundle")
    with pytest.raises(
        CohortError, match=r"is tested here, and the model .*/baseline/"
    ):
        list(study(tmp_path / "study", small(start_from=bundle), StudyConfig(cv=2)))
    assert not (tmp_path / "study").exists()


def test_without_validation_a_study_says_so_once(tmp_path: Path) -> None:
    config = small(recipe="plain", recipe_options={})
    events = list(study(tmp_path, config, StudyConfig(cv=2, val=0.0)))
    notes = [event.text for event in events if isinstance(event, Note)]
    assert len(notes) == 1
    assert "No validation slides" in notes[0]


def test_hints_are_varied_by_a_grid_and_kept_with_the_study(tmp_path: Path) -> None:
    hints = np.full(60, -1, np.int16)
    hints[6:8], hints[20:40] = 1, 0
    bags = {
        k: replace(b, hints=hints if b.label else None) for k, b in bags_of().items()
    }
    plain = small(recipe="plain", recipe_options={})
    asked = StudyConfig(cv=2, grid={"hint_weight": [0.0, 1.0]})
    job = study(tmp_path / "s", plain, asked, bags)
    next(event for event in job if isinstance(event, MemberDone))
    # drawn over since: the study goes on with what it began with
    events = list(study(tmp_path / "s", plain, asked, bags_of()))
    assert any("hints it began with" in e.text for e in events if isinstance(e, Note))
    list(study(tmp_path / "whole", plain, asked, bags))
    stopped, whole = (
        read_predictions(tmp_path / name / "predictions.csv", CLASSES)
        for name in ("s", "whole")
    )
    assert stopped == whole
    by = {
        name: [p.probabilities for p in whole if p.setting == name]
        for name in ("hint_weight=0.0", "hint_weight=1.0")
    }
    assert by["hint_weight=0.0"] != by["hint_weight=1.0"]
