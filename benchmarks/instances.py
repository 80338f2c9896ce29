"""Does what a model points at hold the truth? Phantom slides, and colon with its nuclei.

    python benchmarks/instances.py phantom --out instances --seeds 1 2 3
    python benchmarks/instances.py colon --data ../shared/data --out instances

On the phantom every patch is known: easy lesions, hard ones, none; each seed is a cohort
of its own, split by patient as the demo splits it (``--slides`` is a folder that
``benchmarks/phantom.py`` left; slides and features in it are used again). The colon
images have the centre of every epithelial nucleus of the positive ones; a patch of a
positive image is true if it holds at least one. Five folds of images, drawn once: the
data set does not say which images are of one patient.

Judged inside held-out positive slides, for each model and arm: AUC of attention, class
evidence, contribution (attention x evidence) and the teacher's score; precision and
recall of the hard set; what the mask hides. Of whole slides: AUC, and sensitivity at
95 % specificity on slides with hard lesions only (the cut-off is taken on the held-out
normal slides of the same cohort: it tells models apart, it is no figure for use).

Intervals: a bootstrap over slides, within cohort or fold and kind of slide; on the
phantom cohorts are drawn first. Arms of one model are judged on the same draws.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from judged import Seen, read_seen, table
from numpy.typing import NDArray
from PIL import Image
from trials import Arm, claim, parts_of, stratified_folds, train_arm

from napari_mhim import pipeline
from napari_mhim.demo.figures import rank_auc
from napari_mhim.demo.stages import FEATURES, TRAINING
from napari_mhim.features.config import ExtractConfig
from napari_mhim.features.extract import extract
from napari_mhim.mil.bags import Bag, read_bag
from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.predict import Predictor
from napari_mhim.mil.result import SlideResult, hard_instances
from napari_mhim.phantom import (
    DEMO,
    KINDS,
    CohortConfig,
    read_truth,
    write_cohort,
)
from napari_mhim.slide import write_pyramid
from napari_mhim.slide.tiling import PatchGrid
from napari_mhim.workspace import Workspace

PAPER = {
    "mask_ratio_high": 0.01,
    "high_keep_share": 0.5,
    "high_schedule": "cosine",
    "mask_ratio_random": 0.5,
    "student_init": "projection",
    "smallest_masked": 1,
}
"""The authors' settings for AB-MIL on C16, on slides of some 10 000 patches."""
ARMS = (
    Arm("plain", "plain"),
    Arm("plain-long", "plain", times=2),
    Arm("again", "mhim", {"mask_ratio_high": 0.0}),
    Arm("mhim", "mhim"),
    Arm("mhim_v2", "mhim_v2"),
    # DSMIL's published score is its raw logits; its attention ranks lesions better
    Arm("mhim-attention", "mhim", {"instance_scores": "attention"}),
    Arm("mhim-paper", "mhim", PAPER),
    Arm("high-.02", "mhim", {"mask_ratio_high": 0.02}),
    Arm("high-.05", "mhim", {"mask_ratio_high": 0.05}),
    Arm("high-.1", "mhim", {"mask_ratio_high": 0.1}),
    Arm("high-.2", "mhim", {"mask_ratio_high": 0.2}),
    Arm("decay-.02", "mhim", {"mask_ratio_high": 0.02, "high_schedule": "cosine"}),
    Arm("decay-.2", "mhim", {"mask_ratio_high": 0.2, "high_schedule": "cosine"}),
    # what of v2 makes the difference: how much it hides, by which score, what it recycles
    Arm("v2-.2", "mhim_v2", {"mask_ratio_high": 0.2}),
    Arm("v2-attention", "mhim_v2", {"instance_scores": "attention"}),
    Arm("v2-stay", "mhim_v2", {"stay_share": 1.0}),
)
COLON_CLASSES = ("normal", "tumour")
COLON_MPP = 0.25
"""Not said by the images; everything here only hangs on the patch in pixels."""


@dataclass(frozen=True)
class Split:
    """One cohort or fold: who trains, and what is true of the held-out slides."""

    name: str
    """Of its runs."""
    replicate: int
    """Seed of the training."""
    parts: Mapping[str, Sequence[Bag]]
    """As :func:`trials.parts_of` gives them."""
    kinds: Mapping[str, NDArray[np.int8]]
    """Of each slide, by patch: 0 nothing, 1 easy (or plain true), 2 hard."""


def phantom_splits(
    folder: Path, seeds: Sequence[int], made_up: CohortConfig | None = None
) -> Iterator[Split]:
    """Give one cohort for each seed, made and encoded where it is not there.

    Parameters
    ----------
    folder : Path
        Where cohorts lie; those of another ``made_up`` need another.
    seeds : sequence of int
        Of cohorts and training.
    made_up : CohortConfig, optional
        How cohorts are made up; as the demo's where not given.

    Yields
    ------
    Split
        Bags by role, and the kinds of their patches.
    """
    for seed in seeds:
        place = Workspace(folder / f"seed-{seed}-{DEMO.n_slides}")
        for _ in write_cohort(place.root, DEMO.n_slides, seed, made_up):
            pass
        cohort = Cohort.read(place.cohort_path)
        paths = [row.path for row in cohort.rows]
        for _ in pipeline.extract_slides(paths, str(place.root), FEATURES):
            pass
        parts: dict[str, list[Bag]] = {"train": [], "val": [], "test": []}
        for row in cohort.rows:
            store = pipeline.features_path(place, row.path, FEATURES)
            parts[row.role].append(read_bag(store, row, cohort.classes))
        kinds = {
            bag.name: read_truth(bag.path).patch_labels(_grid(bag))
            for some in parts.values()
            for bag in some
        }
        yield Split(f"seed-{seed}", seed, parts, kinds)


def colon_splits(
    images: Path, weights: Path, folder: Path, seeds: Sequence[int], patch_px: int
) -> Iterator[Split]:
    """Give five folds for each seed; the folds themselves are the same."""
    config = ExtractConfig(
        encoder="squeezenet",
        weights=str(weights),
        mpp=COLON_MPP,
        patch_model_px=patch_px,
        overlap=0.5,
        min_tissue=0.0,
        device="cpu",
        threads=1,
    )
    labels = json.loads((images / "labels.json").read_text(encoding="utf-8"))
    bags, kinds = [], {}
    for name, about in sorted(labels.items()):
        row = _write_slide(images / name, about["label"], folder / "slides")
        store = folder / f"features-{patch_px}" / f"{row.slide}.h5"
        for _ in extract(row.path, store, config):
            pass
        bag = read_bag(store, row, COLON_CLASSES)
        bags.append(bag)
        kinds[bag.name] = holds_nucleus(_grid(bag), np.array(about["epithelial_xy"]))
    folds = stratified_folds([bag.label or 0 for bag in bags])
    for seed in seeds:
        for fold in range(int(folds.max()) + 1):
            parts = parts_of(bags, folds, fold)
            yield Split(f"{patch_px}px-seed-{seed}-fold-{fold}", seed, parts, kinds)


def holds_nucleus(grid: PatchGrid, points_xy: NDArray[np.float64]) -> NDArray[np.int8]:
    """Say which patches hold the centre of a nucleus.

    Parameters
    ----------
    grid : PatchGrid
        The patches.
    points_xy : ndarray, shape (M, 2)
        Centres, (x, y), level-0 px from the corner; may be empty.

    Returns
    -------
    ndarray, shape (N,), int8
        1 where a patch holds one or more, else 0.
    """
    if not len(points_xy):
        return np.zeros(len(grid), np.int8)
    points = points_xy[:, ::-1]  # (M, 2), (y, x)
    low = grid.corners[:, None]  # (N, 1, 2)
    inside = (points >= low) & (points < low + grid.patch_px)
    return inside.all(axis=2).any(axis=1).astype(np.int8)


def look(result: SlideResult, kinds: NDArray[np.int8]) -> dict[str, float]:
    """Hold one result against the kinds of its patches.

    Parameters
    ----------
    result : SlideResult
        What a model saw.
    kinds : ndarray, shape (N,)
        0 nothing, 1 easy, 2 hard.

    Returns
    -------
    dict of str to float
        The figures that are defined on this slide.
    """
    signals = {
        "attention": result.attention.mean(axis=0),
        "evidence": result.evidence[:, result.target],
        "contribution": result.contribution[:, result.target],
        "teacher": result.teacher_scores,
    }
    shown = hard_instances(result).index
    clean, easy, hard = kinds == 0, kinds == KINDS["easy"], kinds == KINDS["hard"]
    if clean.all():
        return {"rings": float(len(shown))}
    found = {}
    for name, values in signals.items():
        found[f"{name}, all"] = rank_auc(values[~clean], values[clean])
        found[f"{name}, hard"] = rank_auc(values[hard], values[clean])
    wanted = hard if hard.any() else ~clean
    right = float(wanted[shown].sum())
    found["precision"] = right / len(shown) if len(shown) else float("nan")
    found["recall"] = right / float(wanted.sum())
    found["chance"] = float(wanted.mean())
    found["easy hidden"] = _mean(result.mask[easy])
    found["hard hidden"] = _mean(result.mask[hard])
    return {name: value for name, value in found.items() if not np.isnan(value)}


def told(split: Split) -> float:
    """Give the patch AUC of a classifier that is told every patch: what features allow.

    Parameters
    ----------
    split : Split
        Its training and validation slides are told.

    Returns
    -------
    float
        Mean over the held-out slides that have both kinds of patch.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    kinds = split.kinds
    known = [*split.parts["train"], *split.parts["val"]]
    x = np.concatenate([bag.features for bag in known])
    y = np.concatenate([kinds[bag.name] > 0 for bag in known])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    model.fit(x, y)
    areas = []
    for bag in split.parts["test"]:
        true, said = kinds[bag.name] > 0, model.decision_function(bag.features)
        areas.append(rank_auc(said[true], said[~true]))
    return float(np.nanmean(areas))


def judge(
    split: Split, config: TrainConfig, model: str, arm: Arm, runs: Path
) -> list[Seen]:
    """Train one arm on a split and look at its held-out slides once."""
    folder = runs / model / split.name
    classes = COLON_CLASSES
    bundle = train_arm(arm, split.parts, classes, config, folder)
    predictor = Predictor(bundle, "cpu")
    found = []
    for bag in split.parts["test"]:
        result, kinds = predictor.predict(bag), split.kinds[bag.name]
        group = 0 if not bag.label else 1 + int((kinds == KINDS["easy"]).any())
        found.append(
            Seen(
                model,
                arm.name,
                split.replicate,
                split.name,
                bag.name,
                group,
                result.score,
                look(result, kinds),
                result.mask_ratio_high,
            )
        )
    return found


def _write_slide(image: Path, label: int, folder: Path) -> CohortRow:
    path = folder / f"{image.stem}.tiff"
    if not path.exists():
        with Image.open(image) as opened:
            pixels = np.asarray(opened.convert("RGB"))
        write_pyramid(
            path, pixels, (COLON_MPP, COLON_MPP), quality=95, magnification=40
        )
    return CohortRow(path.stem, str(path), COLON_CLASSES[label], path.stem)


def _grid(bag: Bag) -> PatchGrid:
    assert bag.grid is not None  # features come from slides here
    return bag.grid


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("set", choices=["phantom", "colon"])
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--slides", type=Path, help="phantom cohorts; default in --out")
    parser.add_argument("--out", type=Path, default=Path("instances-benchmark"))
    parser.add_argument("--models", nargs="+", default=["abmil", "dsmil"])
    parser.add_argument(
        "--arms", nargs="+", default=["plain", "plain-long", "mhim", "mhim_v2"]
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5, 6])
    parser.add_argument("--epochs", type=int, default=TRAINING.epochs, help="a stage")
    parser.add_argument("--patch-px", type=int, default=64, help="of colon")
    parser.add_argument("--against", default="plain-long", help="arm to compare with")
    parser.add_argument("--told", action="store_true", help="the upper bound instead")
    parser.add_argument("--table", action="store_true", help="train nothing")
    return parser.parse_args()


def main() -> None:
    """Run what is missing, then print the tables."""
    args = arguments()
    claim(args.out, {"epochs": args.epochs})
    journal = args.out / f"{args.set}.jsonl"
    seen = read_seen(journal)
    done = {(one.model, one.arm, one.part) for one in seen}
    arms = [arm for arm in ARMS if arm.name in args.arms]
    if args.table:
        splits: Iterator[Split] = iter(())
    elif args.set == "phantom":
        splits = phantom_splits(args.slides or args.out / "phantom", args.seeds)
    else:
        weights = args.data / "weights" / "squeezenet1_0_imagenet.pth"
        images = args.data / "images" / "colon"
        home = args.out / "colon"
        splits = colon_splits(images, weights, home, args.seeds, args.patch_px)
    base = replace(TRAINING, epochs=args.epochs, device="cpu", threads=1)
    for split in splits:
        if args.told:
            print(f"{split.name}: told every patch, AUC {told(split):.3f}", flush=True)
            continue
        for model in args.models:
            config = replace(base, model=model, seed=split.replicate)
            for arm in arms:
                if (model, arm.name, split.name) in done:
                    continue
                found = judge(split, config, model, arm, args.out / args.set / "runs")
                with journal.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(vars(one)) + "\n" for one in found)
                seen += found
                print(f"{split.name} {model} {arm.name} done", flush=True)
    for model in args.models:
        mine = [one for one in seen if one.model == model and one.arm in args.arms]
        if not mine:
            continue
        print(f"\n{model}")
        print("\n".join(table(mine, args.against, draw_parts=args.set == "phantom")))


if __name__ == "__main__":
    main()
