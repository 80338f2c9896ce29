"""LUAD against LUSC on real features: plain training against MHIM, on equal terms.

    python benchmarks/tcga.py --data ../shared/data --out tcga-benchmark

958 diagnostic slides of 862 patients, one 192-number vector of HIPT for each region of
4096 px (median 42 a slide). The folds are ``pfold``: no patient is in two of them; the
ten published splits leak patients and are not used. Each fold in turn is held out, the
next one validates (it picks the epoch), the other three train.

Arms of one seed and fold share their stage 1, ``plain``. An arm on top of it trains as
many epochs again, so ``plain-long`` gets the epochs of both stages in one: the same
passes over the training slides as baseline and student together. ``again`` is the second
stage with nothing hidden: what it gains is not the masks'. A logistic regression on the
mean feature of a slide stands beside them.

A second call goes on where the first stopped; ``--table`` prints what is there.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from paired import areas_of, table
from trials import Answer, Arm, Journal, claim, parts_of, run_fold

from napari_mhim.mil.bags import Bag
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.evaluate import auc

PAPER = {
    "mask_ratio_high": 0.02,
    "high_schedule": "cosine",
    "mask_ratio_low": 0.2,
    "mask_ratio_random": 0.7,
    "momentum_schedule": "cosine",
    "student_init": "projection",
    "consistency_weight": 0.5,
    "smallest_masked": 1,
}
"""The authors' settings for AB-MIL on TCGA, on slides of some 10 000 patches."""
NOTHING = {"mask_ratio_high": 0.0}
ARMS = (
    Arm("plain", "plain"),
    Arm("plain-long", "plain", times=2),
    Arm("again", "mhim", NOTHING),
    Arm("mhim", "mhim"),
    Arm("mhim-paper", "mhim", PAPER),
    Arm("mhim_v2", "mhim_v2"),
    # small bags: from which size on are they masked, and how much is hidden
    Arm("all-masked", "mhim", {"smallest_masked": 1}),
    Arm("from-64", "mhim", {"smallest_masked": 64}),
    Arm("high-.02", "mhim", {"mask_ratio_high": 0.02}),
    Arm("high-.05", "mhim", {"mask_ratio_high": 0.05}),
    Arm("high-.1", "mhim", {"mask_ratio_high": 0.1}),
    Arm("high-.4", "mhim", {"mask_ratio_high": 0.4}),
)
OPTIONS = {
    "abmil": {"hidden": 192, "gated": True},
    "dsmil": {"hidden": 192},
    # of slides of some 42 regions 256 landmarks would be zeros
    "transmil": {"hidden": 192, "landmarks": 32},
    "dtfd": {"hidden": 192},
}
"""As wide as the features; the authors' TCGA checkpoints of AB-MIL are gated."""
POOLED = "mean-pool"
SHARES = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Inverse penalties of the logistic regression, one picked on the validation fold."""


def read_bags(path: Path) -> tuple[list[Bag], NDArray[np.int8], list[str]]:
    """Read the slides, the fold of each, and the classes' names."""
    with np.load(path) as data:
        features = data["features"].astype(np.float32)
        ends, labels = data["offsets"], data["label"]
        names, patients = data["slide_id"], data["case_id"]
        bags = [
            Bag(
                name=str(names[i]),
                features=features[ends[i] : ends[i + 1]],
                label=int(labels[i]),
                patient=str(patients[i]),
                encoder_id="hipt",
            )
            for i in range(len(names))
        ]
        return bags, data["pfold"], [str(name) for name in data["classes"]]


def mean_pool(parts: dict[str, list[Bag]]) -> NDArray[np.float64]:
    """Give the held-out probabilities of a logistic regression on mean features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = {k: np.stack([b.features.mean(axis=0) for b in v]) for k, v in parts.items()}
    y = {k: np.array([b.label for b in v]) for k, v in parts.items()}
    found = []
    for share in SHARES:
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=share, max_iter=5000)
        )
        model.fit(x["train"], y["train"])
        said = model.predict_proba(x["val"])
        found.append((auc(y["val"], said), model.predict_proba(x["test"])[:, 1]))
    return np.asarray(max(found, key=lambda one: one[0])[1])


def add_mean_pool(
    bags: Sequence[Bag],
    folds: NDArray[np.int8],
    seeds: Sequence[int],
    models: Sequence[str],
    journal: Journal,
) -> None:
    """Put the logistic regression beside each model; no chance is in it, seeds are alike."""
    for fold in range(int(folds.max()) + 1):
        parts = parts_of(bags, folds, fold)
        names, found = [bag.name for bag in parts["test"]], None
        for model, seed in product(models, seeds):
            if (model, POOLED, seed, fold) not in journal.answers:
                found = mean_pool(parts) if found is None else found
                journal.add(
                    Answer(model, POOLED, seed, fold, names, found.tolist(), 0.0, 0.0)
                )


def main() -> None:
    """Run what is missing, then print the table."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--out", type=Path, default=Path("tcga-benchmark"))
    parser.add_argument("--models", nargs="+", default=["abmil", "dsmil"])
    parser.add_argument("--arms", nargs="+", default=[arm.name for arm in ARMS[:6]])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=6, help="of one stage")
    parser.add_argument("--against", default="plain-long", help="arm to compare with")
    parser.add_argument("--table", action="store_true", help="train nothing")
    args = parser.parse_args()
    bags, folds, classes = read_bags(args.data / "features" / "tcga_lung.npz")
    claim(args.out, {"epochs": args.epochs})
    journal = Journal(args.out / "answers.jsonl")
    arms = [arm for arm in ARMS if arm.name in args.arms]
    base = TrainConfig(epochs=args.epochs, device="cpu", threads=1)
    for seed in () if args.table else args.seeds:
        for model in args.models:
            config = replace(base, model=model, model_options=OPTIONS.get(model, {}))
            for fold in range(int(folds.max()) + 1):
                parts = parts_of(bags, folds, fold)
                place, runs = (seed, fold), args.out / "runs"
                for answer in run_fold(
                    model, arms, parts, classes, config, place, journal, runs
                ):
                    _tell(answer, parts["test"])
    add_mean_pool(bags, folds, args.seeds, args.models, journal)
    print(
        "\n".join(table(areas_of(bags, folds, journal.answers.values()), args.against))
    )


def _tell(answer: Answer, held: Sequence[Bag]) -> None:
    labels = np.array([bag.label for bag in held])
    said = np.array(answer.probabilities)
    print(
        f"{answer.model} {answer.arm} seed {answer.seed} fold {answer.fold}: "
        f"AUC {auc(labels, np.stack([1 - said, said], axis=1)):.3f}, "
        f"hidden {answer.mask_ratio_high:.3f}, {answer.seconds:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
