"""Training: resumes to the same bits, repeats by seed, refuses what cannot be trained on."""

import errno
import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from made_bags import CLASSES, make_bag, make_bags, small_config

from napari_mhim.errors import (
    CohortError,
    ConfigError,
    FeatureMismatchError,
    TrainingError,
    WorkspaceError,
)
from napari_mhim.events import Note
from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.bags import Bag
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.checkpoint import load_state
from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.kept_epochs import kept_epochs, read
from napari_mhim.mil.run import RunFolder
from napari_mhim.mil.train import EpochDone, FitDone, Watched, fit


def train(run: Path, config: TrainConfig | None = None, **options: object) -> list:
    bags = make_bags(10)
    return list(
        fit(bags[:6], bags[6:], CLASSES, config or small_config(), run, **options)
    )


def weights_of(run: Path) -> bytes:
    return (run / "bundle" / "model.safetensors").read_bytes()


def epochs_of(run: Path) -> list[dict[str, object]]:
    lines = (run / "events.jsonl").read_text().splitlines()
    own = {"seconds": 0, "memory_mib": 0}  # the process's, not the run's
    return [{**json.loads(line), **own} for line in lines]


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    train(run)
    return run


def test_baseline_comes_first_and_both_bundles_are_told(tmp_path: Path) -> None:
    events = train(tmp_path / "run")
    stages = [event.stage for event in events if isinstance(event, EpochDone)]
    assert stages == ["baseline"] * 3 + ["mhim"] * 3
    done = events[-1]
    assert isinstance(done, FitDone)
    assert Bundle.open(done.bundle_path).config.recipe == "mhim"
    baseline = Bundle.open(done.baseline_path)
    assert (baseline.config.recipe, baseline.config.has_teacher) == ("plain", False)
    assert baseline.name != Bundle.open(done.bundle_path).name


def test_plain_training_has_no_baseline(tmp_path: Path) -> None:
    config = small_config(recipe="plain", recipe_options={})
    events = train(tmp_path / "run", config)
    assert events[-1].baseline_path == ""
    assert not (tmp_path / "run" / "baseline").exists()


def test_the_loss_falls(tmp_path: Path) -> None:
    config = small_config(recipe="plain", recipe_options={}, epochs=30, lr=0.01)
    events = [e for e in train(tmp_path / "run", config) if isinstance(e, EpochDone)]
    assert events[-1].losses["total"] < 0.5 * events[0].losses["total"]


def test_the_checkpoint_is_on_disk_before_each_event(tmp_path: Path) -> None:
    run, bags = tmp_path / "run", make_bags(10)
    for event in fit(bags[:6], bags[6:], CLASSES, small_config(), run):
        if isinstance(event, EpochDone):
            folder = run / "baseline" if event.stage == "baseline" else run
            state = load_state(folder / "checkpoint.pt", "cpu")
            assert state["standing"]["epoch"] == event.epoch
            assert epochs_of(folder)[-1]["epoch"] == event.epoch


@pytest.mark.parametrize("events_taken", [1, 2, 4, 5, 6])
def test_a_stopped_run_comes_to_the_same_bits(
    tmp_path: Path, whole_run: Path, events_taken: int
) -> None:
    run, bags = tmp_path / "run", make_bags(10)
    job = fit(bags[:6], bags[6:], CLASSES, small_config(), run)
    assert len(list(islice(job, events_taken))) == events_taken
    job.close()
    torch.manual_seed(events_taken)  # what the process did meanwhile must not matter
    train(run)
    assert weights_of(run) == weights_of(whole_run)
    assert epochs_of(run) == epochs_of(whole_run)
    assert epochs_of(run / "baseline") == epochs_of(whole_run / "baseline")


def _train_and_dawdle(run: str) -> None:
    bags = make_bags(10)
    for event in fit(bags[:6], bags[6:], CLASSES, small_config(), Path(run)):
        if isinstance(event, EpochDone) and (event.stage, event.epoch) == ("mhim", 2):
            # half a line of the next event, as a kill leaves it
            with (Path(run) / "events.jsonl").open("a") as file:
                file.write('{"event": "epo')
            (Path(run) / "reached").touch()
            time.sleep(600)


def test_a_killed_run_comes_to_the_same_bits(tmp_path: Path, whole_run: Path) -> None:
    run = tmp_path / "run"
    child = multiprocessing.get_context("spawn").Process(
        target=_train_and_dawdle, args=(str(run),)
    )
    child.start()
    while not (run / "reached").exists() and child.is_alive():
        time.sleep(0.05)
    os.kill(child.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    child.join()
    train(run)
    assert weights_of(run) == weights_of(whole_run)
    assert epochs_of(run) == epochs_of(whole_run)


def test_what_the_consumer_draws_does_not_matter(
    tmp_path: Path, whole_run: Path
) -> None:
    bags = make_bags(10)
    for _ in fit(bags[:6], bags[6:], CLASSES, small_config(), tmp_path / "run"):
        torch.rand(17)
    assert weights_of(tmp_path / "run") == weights_of(whole_run)


@pytest.mark.parametrize("file", ["checkpoint.pt", "best.pt", "splits.csv", "bundle"])
def test_a_full_disk_is_told_and_the_run_resumes_to_the_same_bits(
    tmp_path: Path, whole_run: Path, monkeypatch, file: str
) -> None:
    run, replaced, writes = tmp_path / "run", os.replace, []

    def full(part: Path, path: Path) -> None:
        writes.append(Path(path).name)
        # the second time: the first is there to be lost
        if writes[-1] == file and writes.count(file) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replaced(part, path)

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(WorkspaceError, match="is full; free some space"):
        train(run)
    assert not list(run.rglob(".*.part"))
    monkeypatch.undo()
    train(run)
    assert weights_of(run) == weights_of(whole_run)
    assert epochs_of(run) == epochs_of(whole_run)


def test_a_disk_full_in_the_middle_of_a_line_is_told_and_the_line_written_again(
    tmp_path: Path, whole_run: Path, monkeypatch
) -> None:
    run, log = tmp_path / "run", RunFolder.log

    def half(folder: RunFolder, kind: str, values: dict) -> None:
        if values["stage"] == "mhim" and values["epoch"] == 2:
            with folder.events_path.open("a") as file:
                file.write('{"event": "ep')
            monkeypatch.setattr(Path, "open", full)
        log(folder, kind, values)

    def full(*args, **kwargs) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(RunFolder, "log", half)
    with pytest.raises(WorkspaceError, match=r"disk of .*run' is full"):
        train(run)
    monkeypatch.undo()
    train(run)
    assert weights_of(run) == weights_of(whole_run)
    assert epochs_of(run) == epochs_of(whole_run)


def test_the_seed_settles_every_bit(tmp_path: Path, whole_run: Path) -> None:
    train(tmp_path / "again")
    assert weights_of(tmp_path / "again") == weights_of(whole_run)
    train(tmp_path / "other", small_config(seed=1))
    assert weights_of(tmp_path / "other") != weights_of(whole_run)


def test_a_finished_run_is_not_trained_again(whole_run: Path) -> None:
    before = weights_of(whole_run)
    events = train(whole_run)
    assert [type(event) for event in events] == [Note, FitDone]
    assert weights_of(whole_run) == before


def test_the_watched_slide_is_seen_after_each_epoch(tmp_path: Path) -> None:
    watch = make_bag(77, 1, n=23)
    events = train(tmp_path / "run", watch=watch)
    seen = [event for event in events if isinstance(event, Watched)]
    assert [(e.stage, e.epoch) for e in seen] == [
        (stage, epoch) for stage in ("baseline", "mhim") for epoch in (1, 2, 3)
    ]
    kept = np.load(tmp_path / "run" / "scores" / "epoch-0003.npz")
    for name in ("attention", "evidence", "teacher_scores", "probabilities"):
        np.testing.assert_array_equal(kept[name], getattr(seen[-1], name))
    found = kept_epochs(tmp_path / "run" / "bundle", watch.name, 23)
    assert [one.epoch for one in found] == [1, 2, 3]
    np.testing.assert_array_equal(read(found[1]).scores, seen[4].teacher_scores)
    assert kept_epochs(tmp_path / "run" / "bundle", "another", 23) == ()
    assert kept_epochs(tmp_path / "run" / "bundle", watch.name, 24) == ()
    # the baseline has no teacher
    assert kept_epochs(tmp_path / "run" / "baseline" / "bundle", watch.name, 23) == ()
    assert seen[-1].attention.shape == (1, 23)
    assert seen[-1].evidence.shape == (23, 2)


def test_watching_changes_nothing(tmp_path: Path, whole_run: Path) -> None:
    train(tmp_path / "run", watch=make_bag(77, 1, n=23))
    assert weights_of(tmp_path / "run") == weights_of(whole_run)


def test_training_stops_early_and_keeps_the_best(tmp_path: Path) -> None:
    config = small_config(
        recipe="plain", recipe_options={}, epochs=60, patience=2, settle=0.05, lr=0.05
    )
    events = [e for e in train(tmp_path / "run", config) if isinstance(e, EpochDone)]
    best = max((e for e in events if e.is_best), key=lambda e: e.epoch)
    assert len(events) == max(3, best.epoch + 2) < 60
    trained = Bundle.open(tmp_path / "run" / "bundle").config.trained
    assert (trained["best_epoch"], trained["epochs"]) == (best.epoch, len(events))


@pytest.mark.parametrize("balance", ["sampling", "loss", "none"])
@pytest.mark.parametrize("accumulate", [1, 4])
def test_every_balance_and_accumulation_trains(
    tmp_path: Path, balance: str, accumulate: int
) -> None:
    config = small_config(
        recipe="plain", recipe_options={}, balance=balance, accumulate=accumulate
    )
    bags = [make_bag(i, int(i == 0)) for i in range(5)]
    list(fit(bags, [], CLASSES, config, tmp_path / "run"))
    steps = load_state(tmp_path / "run" / "checkpoint.pt", "cpu")["standing"]["step"]
    assert steps == 3 * -(-5 // accumulate)


def test_accumulated_gradients_are_those_of_the_mean(tmp_path: Path) -> None:
    """One step over the same bag four times is one step over it once."""
    config = small_config(
        recipe="plain",
        recipe_options={},
        epochs=1,
        balance="none",
        model_options={"hidden": 16, "attention_dim": 8, "dropout": 0.0},
    )
    bag = make_bag(1, 1)
    copies = [replace(bag, name=f"copy-{i}", label=i % 2) for i in range(4)]
    list(fit(copies[:2], [], CLASSES, replace(config, accumulate=2), tmp_path / "a"))
    list(fit(copies, [], CLASSES, replace(config, accumulate=4), tmp_path / "b"))
    first = Bundle.open(tmp_path / "a" / "bundle").student().state_dict()
    second = Bundle.open(tmp_path / "b" / "bundle").student().state_dict()
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], rtol=1e-4, atol=1e-6)


def test_bags_of_one_instance_train(tmp_path: Path) -> None:
    bags = [make_bag(i, i % 2, n=1) for i in range(6)]
    events = list(fit(bags[:4], bags[4:], CLASSES, small_config(), tmp_path / "run"))
    assert isinstance(events[-1], FitDone)


def test_without_validation_nothing_is_chosen(tmp_path: Path) -> None:
    bags = make_bags(6)
    events = list(fit(bags, [], CLASSES, small_config(), tmp_path / "run"))
    assert "No validation slides" in events[0].text
    config = Bundle.open(events[-1].bundle_path).config
    assert config.cutoff is None
    assert config.metrics == {}
    assert config.trained["best_epoch"] == 3
    assert "train slides" in config.evidence_limits_from


def test_validation_without_a_class_is_told(tmp_path: Path) -> None:
    bags = make_bags(6)
    config = small_config(recipe="plain", recipe_options={})
    events = list(fit(bags[:4], bags[5:], CLASSES, config, tmp_path / "run"))
    assert "No validation slide is of class 'normal'" in events[0].text
    saved = Bundle.open(events[-1].bundle_path).config
    assert (saved.cutoff, saved.metrics["auc"]["value"]) == (None, None)
    assert saved.metrics["auc"]["reason"] == "a class has no slide"


def test_three_classes_train(tmp_path: Path) -> None:
    bags = [replace(make_bag(i, i % 2), label=i % 3) for i in range(12)]
    classes = ("normal", "itc", "macro")
    events = list(fit(bags[:6], bags[6:], classes, small_config(), tmp_path / "run"))
    config = Bundle.open(events[-1].bundle_path).config
    assert (config.classes, config.cutoff) == (classes, None)
    assert len(config.evidence_limits) == 3


def test_labels_patients_and_test_slides_come_from_the_table(tmp_path: Path) -> None:
    bags = [replace(bag, label=None, patient=bag.name) for bag in make_bags(6)]
    rows = [
        CohortRow(
            bag.name,
            label=CLASSES[i % 2],
            patient=f"p{i // 2}",
            role="train" if i < 4 else "val",
        )
        for i, bag in enumerate(bags)
    ]
    cohort = Cohort.of([*rows, CohortRow("held-out", label="tumour", role="test")])
    list(
        fit(bags[:4], bags[4:], CLASSES, small_config(), tmp_path / "r", cohort=cohort)
    )
    config = Bundle.open(tmp_path / "r" / "bundle").config
    assert config.trained["patients"] == {"train": 2, "val": 1, "test": 1}
    assert config.metrics["auc"]["n"] == 2
    assert config.metrics["per_patient"]["auc"]["n"] == 1
    assert config.role_of("held-out") == "test"
    assert config.role_of(bags[0].name) == "train"
    assert config.role_of("somebody else") == "not in the cohort"


def test_the_bundle_knows_how_slides_become_features(tmp_path: Path) -> None:
    train(tmp_path / "a")
    guessed = Bundle.open(tmp_path / "a" / "bundle").config.extract
    assert (guessed.encoder, guessed.mpp, guessed.patch_model_px) == (
        "texture",
        0.5,
        256,
    )
    extract = ExtractConfig(encoder="texture", min_tissue=0.4, overlap=0.25)
    train(tmp_path / "b", extract=extract, encoder_licence="BSD-3-Clause")
    bundle = Bundle.open(tmp_path / "b" / "bundle")
    assert bundle.config.extract == extract
    assert "BSD-3-Clause" in bundle.card


def bags_with(index: int, bag: Bag) -> list[Bag]:
    bags = make_bags(6)
    bags[index] = bag
    return bags


@pytest.mark.parametrize(
    ("bags", "error", "sentence"),
    [
        (
            [make_bag(i, 1) for i in range(6)],
            CohortError,
            "no training slide is of class 'normal'",
        ),
        (
            bags_with(3, replace(make_bag(3, 1), label=None)),
            CohortError,
            "slide 'slide-03' has no class among normal, tumour",
        ),
        (
            bags_with(3, replace(make_bag(3, 1), label=2)),
            CohortError,
            "slide 'slide-03' has no class",
        ),
        (
            bags_with(3, make_bag(0, 1)),
            CohortError,
            "slide 'slide-00' is in the table twice",
        ),
        (
            bags_with(5, replace(make_bag(5, 1), patient="patient-00")),
            CohortError,
            "patient 'patient-00' is in two roles",
        ),
        (
            bags_with(3, make_bag(3, 1, encoder="resnet50#x")),
            FeatureMismatchError,
            "'slide-00' are of encoder 'texture#made', .*'slide-03' of 'resnet50#x'",
        ),
        (
            bags_with(3, make_bag(3, 1, dim=5)),
            FeatureMismatchError,
            "of length 12, those of 'slide-03' of 5",
        ),
        (
            bags_with(
                3,
                replace(
                    make_bag(3, 1), grid=replace(make_bag(3, 1).grid, mpp=np.float64(1))
                ),
            ),
            FeatureMismatchError,
            "of µm per pixel 0.5, those of 'slide-03' of",
        ),
        (
            bags_with(
                3,
                replace(make_bag(3, 1), features=np.full((60, 12), np.nan, np.float32)),
            ),
            TrainingError,
            "features of slide 'slide-03' hold NaN",
        ),
    ],
)
def test_what_cannot_be_trained_on_is_named(
    tmp_path: Path, bags: list[Bag], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        list(fit(bags[:4], bags[4:], CLASSES, small_config(), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_one_class_cannot_be_trained(tmp_path: Path) -> None:
    bags = [make_bag(i, 0) for i in range(4)]
    with pytest.raises(CohortError, match="two classes, got 1"):
        list(fit(bags, [], ("normal",), small_config(), tmp_path / "run"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"hiden": 16}, r"no option 'hiden' .*did you mean 'hidden'"),
        ({"hidden": 1.5}, "hidden of model 'abmil' must be a whole number"),
        ({"hidden": -1}, "hidden must be at least 1"),
    ],
)
def test_a_model_that_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        train(tmp_path / "run", small_config(model_options=options))
    assert not (tmp_path / "run").exists()


def test_another_models_checkpoint_is_refused(tmp_path: Path, whole_run: Path) -> None:
    run, bags = tmp_path / "run", make_bags(10)
    config = small_config(recipe="plain", recipe_options={})
    list(islice(fit(bags[:6], bags[6:], CLASSES, config, run), 1))
    wrong = torch.load(run / "checkpoint.pt", weights_only=True)
    del wrong["recipe"]["student.head.weight"]
    torch.save(wrong, run / "checkpoint.pt")
    with pytest.raises(TrainingError, match="is not of this run"):
        train(run, config)
