import numpy as np
import pytest
from paired import areas_of, draw_weights, figure, gain, table
from trials import Answer

from napari_mhim.mil.bags import Bag

N = 40


def made_bags() -> tuple[list[Bag], np.ndarray]:
    """Forty bags of twenty patients, two each, in two folds."""
    bags = [
        Bag(
            name=f"slide-{i}",
            features=np.zeros((1, 2), np.float32),
            label=(i // 2) % 2,
            patient=f"patient-{i // 2}",
        )
        for i in range(N)
    ]
    return bags, np.array([(i // 4) % 2 for i in range(N)], np.int8)


def made_answers(noise: float, arm: str, seeds=(1, 2), model="abmil") -> list[Answer]:
    bags, folds = made_bags()
    found = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        said = np.array([bag.label for bag in bags]) + noise * rng.normal(size=N)
        for fold in (0, 1):
            at = np.flatnonzero(folds == fold)
            names, values = [bags[i].name for i in at], (said[at] / 10 + 0.4).tolist()
            found.append(Answer(model, arm, seed, fold, names, values, 0.0, 1.0))
    return found


def weights_of(resamples: int = 200) -> np.ndarray:
    bags, folds = made_bags()
    labels = np.array([bag.label for bag in bags])
    return draw_weights(labels, [bag.patient for bag in bags], folds, resamples)


def test_the_first_sample_is_the_set_itself():
    assert (weights_of()[0] == 1).all()


def test_slides_of_a_patient_are_drawn_together():
    weights = weights_of()
    assert (weights[:, ::2] == weights[:, 1::2]).all()
    assert len(np.unique(weights[1:])) > 1


def test_every_sample_has_as_many_patients_of_each_class_and_fold():
    bags, folds = made_bags()
    labels = np.array([bag.label for bag in bags])
    weights = weights_of()
    for fold in (0, 1):
        for label in (0, 1):
            sums = weights[:, (folds == fold) & (labels == label)].sum(axis=1)
            assert np.ptp(sums) == 0


def test_the_figure_is_the_mean_over_seeds_and_folds():
    areas = np.random.default_rng(0).random((3, 5, 101))
    found = figure(areas)
    assert found.value == pytest.approx(areas[:, :, 0].mean())
    assert found.by_seed == pytest.approx(areas[:, :, 0].mean(axis=1))
    assert found.low < found.high


def areas(*answers: list[Answer]) -> dict:
    bags, folds = made_bags()
    return areas_of(bags, folds, [one for some in answers for one in some], 200)


def test_a_better_arm_gains_and_an_arm_gains_nothing_over_itself():
    found = areas(made_answers(1.5, "bad"), made_answers(0.1, "good"))
    bad, good = found["abmil", "bad"], found["abmil", "good"]
    better, same = gain(good, bad), gain(good, good)
    assert better.value > better.low > 0
    assert same.low == same.value == same.high == 0


def test_only_seeds_that_both_arms_have_are_compared():
    found = areas(made_answers(1.5, "a", (1, 2)), made_answers(0.1, "b", (2, 3)))
    assert len(gain(found["abmil", "a"], found["abmil", "b"]).by_seed) == 1
    assert gain(found["abmil", "a"], {}) is None


def test_a_seed_without_all_folds_is_left_out():
    found = areas(made_answers(0.5, "plain", (1, 2))[:-1])
    assert list(found["abmil", "plain"]) == [1]


def test_the_table_compares_within_a_model():
    found = areas(
        made_answers(1.5, "long"),
        made_answers(0.1, "mhim"),
        made_answers(0.3, "mhim", model="dsmil"),
    )
    long, mhim, other = (line.split("|")[1:-1] for line in table(found, "long")[2:])
    assert long[5].strip() == other[5].strip() == ""
    assert mhim[5].strip().startswith("+0.")
