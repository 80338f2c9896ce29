from dataclasses import replace

import numpy as np
import pytest
from trials import Answer, Arm, Journal, claim, parts_of, run_fold, stratified_folds

from napari_mhim.errors import ConfigError
from napari_mhim.mil.bags import Bag
from napari_mhim.mil.config import TrainConfig

CLASSES = ("normal", "tumour")


def made_bags(n: int = 15) -> list[Bag]:
    rng = np.random.default_rng(0)
    return [
        Bag(
            name=f"slide-{i}",
            features=rng.normal(i % 2, 1, size=(25 + i, 6)).astype(np.float32),
            label=i % 2,
            patient=f"patient-{i}",
            encoder_id="made",
        )
        for i in range(n)
    ]


def answer(fold: int) -> Answer:
    return Answer("abmil", "plain", 1, fold, ["a", "b"], [0.25, 0.5], 0.0, 1.0)


def test_a_journal_read_again_says_the_same(tmp_path):
    journal = Journal(tmp_path / "new" / "answers.jsonl")
    journal.add(answer(0))
    journal.add(answer(1))
    assert Journal(journal.path).answers == journal.answers


def test_a_line_that_was_cut_off_is_dropped_and_the_next_is_whole(tmp_path):
    journal = Journal(tmp_path / "answers.jsonl")
    journal.add(answer(0))
    with journal.path.open("a") as file:
        file.write('{"model": "ab')
    Journal(journal.path).add(answer(1))
    assert set(Journal(journal.path).answers) == {answer(0).key, answer(1).key}


def test_answers_of_other_settings_do_not_join(tmp_path):
    claim(tmp_path / "out", {"epochs": 6})
    claim(tmp_path / "out", {"epochs": 6})
    with pytest.raises(ConfigError, match=r"'epochs': 6.*'epochs': 7"):
        claim(tmp_path / "out", {"epochs": 7})


def test_each_bag_is_held_out_once_and_validates_once():
    bags = made_bags()
    folds = np.array([i % 5 for i in range(15)], np.int8)
    held, validating = [], []
    for fold in range(5):
        parts = parts_of(bags, folds, fold)
        assert sum(map(len, parts.values())) == len(bags)
        held += [bag.name for bag in parts["test"]]
        validating += [bag.name for bag in parts["val"]]
    assert sorted(held) == sorted(validating) == sorted(bag.name for bag in bags)


def test_folds_hold_each_class_alike():
    labels = [0] * 13 + [1] * 8
    folds = stratified_folds(labels, 4)
    for label in (0, 1):
        counts = np.bincount(folds[np.array(labels) == label], minlength=4)
        assert np.ptp(counts) <= 1


@pytest.fixture
def run(tmp_path):
    """Give what trains two arms on one fold, and the journal it fills."""
    bags = made_bags()
    parts = parts_of(bags, np.array([i % 5 for i in range(15)], np.int8), 0)
    config = TrainConfig(epochs=2, device="cpu", threads=1, model_options={"hidden": 8})
    journal = Journal(tmp_path / "answers.jsonl")

    def start(arms):
        return run_fold(
            "abmil", arms, parts, CLASSES, config, (3, 0), journal, tmp_path / "runs"
        )

    return start, journal, tmp_path / "runs" / "abmil" / "seed-3" / "fold-0"


ARMS = (Arm("plain", "plain"), Arm("hidden", "mhim", {"mask_ratio_high": 0.2}))


def test_arms_share_stage_1(run):
    start, _, folder = run
    list(start(ARMS))
    own = (folder / "plain" / "bundle" / "model.safetensors").read_bytes()
    stage_1 = folder / "hidden" / "baseline" / "bundle" / "model.safetensors"
    assert stage_1.read_bytes() == own


def test_what_the_journal_has_is_not_trained_again(run):
    start, journal, _ = run
    first = list(start(ARMS[:1]))
    second = list(start(ARMS))
    assert [one.arm for one in first] == ["plain"]
    assert [one.arm for one in second] == ["hidden"]
    assert journal.answers[first[0].key] == first[0]


def test_an_answer_holds_a_probability_for_each_held_out_bag(run):
    start, _, _ = run
    for one in start(ARMS):
        assert len(one.bags) == len(one.probabilities) == 3
        assert all(0 <= value <= 1 for value in one.probabilities)
    assert one.mask_ratio_high == 0.2


def test_an_arm_can_train_longer(run):
    start, _, folder = run
    list(start([replace(ARMS[0], name="long", times=2)]))
    log = (folder / "long" / "events.jsonl").read_text()
    assert log.count('"epoch"') >= 4
