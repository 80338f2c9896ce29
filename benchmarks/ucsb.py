"""Real images from end to end: malignant against benign breast tissue, TMA by TMA.

    python benchmarks/ucsb.py --data ../shared/data --out /tmp/ucsb-benchmark

The 36 images of the UCSB breast set are written as slides, encoded by SqueezeNet with its
ImageNet weights, and told apart by AB-MIL and by MHIM on top of it. Each TMA group in turn
is held out, the next one validates (checkpoint and cut-off), the rest train: no group is
on two sides. What the held-out slides get is pooled into one AUC with a bootstrap
interval. All of it stays in the output folder; a second call goes on where the first
one stopped.

The settings are the program's own. The images do not say their scale; 0.25 µm per pixel,
a 40-fold objective, is assumed, and everything here only hangs on the patch in pixels.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from napari_mhim.features.config import ExtractConfig
from napari_mhim.features.extract import ExtractDone, extract
from napari_mhim.mil.bags import Bag, read_bag
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.evaluate import Metrics, evaluate
from napari_mhim.mil.predict import Predictor
from napari_mhim.mil.train import FitDone, fit
from napari_mhim.slide import write_pyramid

CLASSES = ("benign", "malignant")
MODELS = ("AB-MIL", "MHIM")
MPP = 0.25


@dataclass(frozen=True)
class Held:
    """What the models say of one held-out slide."""

    slide: str
    label: int
    probabilities: dict[str, np.ndarray]
    """For each of ``MODELS``, shape (2,)."""


def write_slides(images: Path, folder: Path) -> Cohort:
    """Write the images as slides, and say which is what."""
    labels = json.loads((images / "labels.json").read_text(encoding="utf-8"))
    rows = []
    for name, about in sorted(labels.items()):
        path = folder / f"{Path(name).stem}.tiff"
        if not path.exists():
            with Image.open(images / name) as image:
                pixels = np.asarray(image.convert("RGB"))
            write_pyramid(path, pixels, (MPP, MPP), quality=95, magnification=40)
        rows.append(
            CohortRow(
                slide=path.stem,
                path=str(path),
                label=CLASSES[about["label"]],
                patient=about["group"],
            )
        )
    return Cohort.of(rows, CLASSES)


def read_bags(cohort: Cohort, folder: Path, config: ExtractConfig) -> dict[str, Bag]:
    """Extract the features of all slides; what is there is kept."""
    bags = {}
    for row in cohort.rows:
        store = folder / f"{row.slide}.h5"
        done = last(extract(row.path, store, config))
        assert isinstance(done, ExtractDone)
        bags[row.slide] = read_bag(store, row, cohort.classes)
    return bags


def folds(cohort: Cohort) -> Iterator[tuple[str, Cohort]]:
    """Hold out each group in turn; the next one validates."""
    groups = sorted({row.patient for row in cohort.rows})
    for i, held in enumerate(groups):
        roles = {held: "test", groups[(i + 1) % len(groups)]: "val"}
        rows = [
            replace(row, role=roles.get(row.patient, "train")) for row in cohort.rows
        ]
        yield held, Cohort.of(rows, cohort.classes)


def run_fold(
    cohort: Cohort, bags: dict[str, Bag], run: Path, config: TrainConfig
) -> list[Held]:
    """Train on one split and look at the held-out slides once."""
    by_role = {
        role: [bags[row.slide] for row in cohort.with_role(role)]
        for role in ("train", "val", "test")
    }
    done = last(
        fit(by_role["train"], by_role["val"], CLASSES, config, run, cohort=cohort)
    )
    assert isinstance(done, FitDone)
    paths = dict(zip(MODELS, (done.baseline_path, done.bundle_path), strict=True))
    models = {name: Predictor(Bundle.open(path), "cpu") for name, path in paths.items()}
    return [
        Held(
            bag.name,
            bag.label or 0,
            {name: model.probabilities(bag) for name, model in models.items()},
        )
        for bag in by_role["test"]
    ]


def pooled(held: list[Held], model: str) -> Metrics:
    """Give the figures over the held-out slides of all folds, at each one's likelier class."""
    labels = np.array([slide.label for slide in held])
    return evaluate(labels, np.stack([slide.probabilities[model] for slide in held]))


def last(events: Iterable[object]) -> object:
    """Run a generator of events to its end and give the last."""
    event = None
    for event in events:  # noqa: B007
        pass
    return event


def report(held: list[Held], seed: int) -> None:
    """Print one line for each model."""
    for model in MODELS:
        found = pooled(held, model)
        print(
            f"{seed:4}  {model:8}{found.auc.value:8.3f}"
            f"  {found.auc.low:.3f}–{found.auc.high:.3f}"
            f"{found.accuracy.value:12.3f}{found.auc.n:8}",
            flush=True,
        )


def arguments() -> argparse.Namespace:
    """Read the command line."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--patch-px", type=int, default=128)
    parser.add_argument("--overlap", type=float, default=0.5)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    """Run the benchmark and print its table."""
    args = arguments()
    extraction = ExtractConfig(
        encoder="squeezenet",
        weights=str(args.data / "weights" / "squeezenet1_0_imagenet.pth"),
        mpp=MPP,
        patch_model_px=args.patch_px,
        overlap=args.overlap,
        device="cpu",
        threads=args.threads,
    )
    cohort = write_slides(args.data / "images" / "ucsb_breast", args.out / "slides")
    cut = f"squeezenet_{args.patch_px}px_{args.overlap:g}"
    bags = read_bags(cohort, args.out / "features" / cut, extraction)
    sizes = [len(bag) for bag in bags.values()]
    n_malignant = sum(row.label == CLASSES[1] for row in cohort.rows)
    n_groups = len({row.patient for row in cohort.rows})
    print(
        f"{len(sizes)} slides ({n_malignant} malignant) of {n_groups} TMA groups, "
        f"{min(sizes)}–{max(sizes)} patches of {args.patch_px} px each"
    )
    print(f"seed  {'model':8}{'AUC':>8}  95 % interval  accuracy  slides")
    for seed in range(args.seeds):
        config = TrainConfig(seed=seed, device="cpu", threads=args.threads)
        held: list[Held] = []
        for group, split in folds(cohort):
            run = args.out / "runs" / cut / f"seed-{seed}" / group
            held += run_fold(split, bags, run, config)
        report(held, seed)


if __name__ == "__main__":
    main()
