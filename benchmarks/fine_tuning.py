"""What fine-tuning on a few slides of another stain changes, on that stain and on the old one.

    python benchmarks/fine_tuning.py --seeds 3 --judged 60 --out fine-tuning-benchmark

Each seed: a parent is trained on slides like the demo's; four slides whose haematoxylin
has faded are added, with and without the parent's own slides mixed in; parent and child
then score ``--judged`` slides of either stain that neither has seen. Changes of AUC are
paired; that of all seeds together is their mean, on the same draws of slides. All of it
stays in the output folder, and a second call goes on where the first stopped.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_mhim import pipeline, tuning
from napari_mhim.demo.stages import FEATURES, TRAINING
from napari_mhim.mil.bags import read_bag
from napari_mhim.mil.bootstrap import resample
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.mil.descent import before_after
from napari_mhim.mil.evaluate import aucs
from napari_mhim.mil.milestones import FitDone
from napari_mhim.mil.parent import tuned_config
from napari_mhim.mil.predict import Predictor
from napari_mhim.phantom import write_cohort
from napari_mhim.slide import open_slide
from napari_mhim.slide.write import write_pyramid
from napari_mhim.workspace import Workspace

SHIFT = np.array([0.3, 0.82, 1.18])
"""What the new stain multiplies the optical density of red, green and blue by."""
ADDED = 4


def made(folder: Path, n: int, seed: int, shifted: bool) -> list[CohortRow]:
    """Make slides of one stain; what is there already is taken as it is."""
    table, name = folder / "made.csv", "new" if shifted else "old"
    if table.is_file():
        return list(Cohort.read(table).rows)
    list(write_cohort(folder, n_slides=n, seed=seed))
    rows = []
    for number, row in enumerate(Cohort.read(folder / "cohort.csv").rows):
        path = folder / f"{name}-{seed}-{number}.tif"
        with open_slide(row.path) as slide:
            pixels, mpp = np.asarray(slide.levels[0]), slide.mpp
        if shifted:
            density = -np.log((pixels.astype(np.float32) + 1) / 256) * SHIFT
            pixels = np.clip(256 * np.exp(-density) - 1, 0, 255).astype(np.uint8)
        write_pyramid(path, pixels, mpp)
        Path(row.path).unlink()
        patient = f"{name}-{seed}-{number}"
        rows.append(CohortRow(path.stem, str(path), row.label, patient, site=name))
    Cohort.of(rows).write(table)
    return rows


def trained(events: Iterator[object]) -> str:
    """Run a training to its end, and give the model's folder."""
    *_, done = events
    assert isinstance(done, FitDone)
    return done.bundle_path


def judged(bundle: str, rows: list[CohortRow], place: Workspace) -> np.ndarray:
    """Give a model's probabilities of slides, (S, C)."""
    predictor = Predictor(Bundle.open(bundle), "cpu")
    slides = [row.path for row in rows]
    for event in pipeline.extract_slides(slides, str(place.root), FEATURES):
        assert not isinstance(event, pipeline.SlideFailed), event
    paths = [pipeline.features_path(place, slide, FEATURES) for slide in slides]
    return np.array([predictor.probabilities(read_bag(p)) for p in paths], np.float64)


def few_of_each(rows: list[CohortRow], n: int) -> list[CohortRow]:
    """Take the first slides of each class, ``n`` in all."""
    some = {name: [r for r in rows if r.label == name] for name in ("normal", "tumour")}
    return [row for name in some for row in some[name][: n // 2]]


def run_seed(out: Path, seed: int, args: argparse.Namespace) -> list[dict]:
    """Train parent and children, and judge them on both stains."""
    place, root = Workspace(out / "workspace"), str(out / "workspace")
    own = made(out / f"own-{seed}", args.slides, seed, shifted=False)
    fresh = made(out / f"added-{seed}", 12, seed + 1000, shifted=True)
    first = args.first
    sets = {
        name: made(out / f"judged-{first}-{name}", args.judged, number + first, shifted)
        for name, number, shifted in (("old", 2000, False), ("new", 3000, True))
    }
    Cohort.of(own).write(out / f"own-{seed}.csv")
    config = replace(TRAINING, device="cpu", threads=1, seed=seed)
    table = str(out / f"own-{seed}.csv")
    parent = trained(pipeline.train(root, table, config, FEATURES, f"parent-{seed}"))
    splits = str(place.run_dir(f"parent-{seed}") / "splits.csv")
    # four to train on; the parent's validation slides choose the epoch, two of the new stain too
    chosen = few_of_each(fresh, ADDED + 2)
    roles = ["train"] * (ADDED // 2) + ["val"]
    table = str(out / f"added-{seed}.csv")
    Cohort.of(
        CohortRow(**{**vars(row), "role": role})
        for row, role in zip(chosen, roles * 2, strict=True)
    ).write(table)
    before = {name: judged(parent, rows, place) for name, rows in sets.items()}
    found = []
    for tune in ("head", "all"):
        for mix in ("", splits):
            name = f"{tune}{'-mixed' if mix else ''}"
            given = {"device": "cpu", "threads": 1, "tune": tune, "seed": seed}
            given |= {"lr": args.lr} if args.lr else {}
            asked = tuned_config(Bundle.open(parent), given)
            run = f"{name}-{seed}-{asked.lr:g}"
            child = trained(tuning.fine_tune(root, table, asked, run, mix=mix))
            for stain, rows in sets.items():
                labels = np.array([row.label == "tumour" for row in rows], np.int64)
                after = judged(child, rows, place)
                patients = [row.patient for row in rows]
                change = before_after(labels, before[stain], after, patients, seed)
                scores = {
                    "label": labels.tolist(),
                    "before": before[stain].tolist(),
                    "after": after.tolist(),
                }
                kind = {"seed": seed, "child": name, "stain": stain}
                found.append({**kind, **change, **scores})
    return found


def mean_change(rows: list[dict]) -> tuple[float, float, float]:
    """Give the mean change of AUC over seeds judged on the same slides, low and high end."""
    labels = np.array(rows[0]["label"], np.int64)
    weights = resample(labels, 2, seed=0, resamples=2000)
    changes = np.mean(
        [
            aucs(labels, np.array(row["after"]), weights, 1)
            - aucs(labels, np.array(row["before"]), weights, 1)
            for row in rows
        ],
        axis=0,
    )
    low, high = np.nanquantile(changes[1:], [0.025, 0.975])
    return float(changes[0]), float(low), float(high)


def main() -> None:
    """Run all seeds, and print a line for each child and stain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--lr", type=float, default=0.0, help="0: the default")
    parser.add_argument("--slides", type=int, default=48, help="the parent's own")
    parser.add_argument("--judged", type=int, default=60, help="of each stain")
    parser.add_argument("--out", type=Path, default=Path("fine-tuning-benchmark"))
    args = parser.parse_args()
    found: list[dict] = []
    for seed in range(args.first, args.first + args.seeds):
        found += run_seed(args.out, seed, args)
        (args.out / "changes.json").write_text(json.dumps(found, indent=2))
    for row in found:
        before, after, change = (row[f"auc_{k}"] for k in ("before", "after", "change"))
        low, high = change["low"], change["high"]
        interval = "both alike" if low is None else f"{low:+.3f} to {high:+.3f}"
        print(
            f"seed {row['seed']}  {row['child']:<12} {row['stain']:<4} "
            f"{before['value']:.3f} -> {after['value']:.3f}  "
            f"({change['value']:+.3f}: {interval}, n = {change['n']})"
        )

    for child in dict.fromkeys(row["child"] for row in found):
        for stain in ("old", "new"):
            rows = [r for r in found if (r["child"], r["stain"]) == (child, stain)]
            value, low, high = mean_change(rows)
            print(
                f"mean    {child:<12} {stain:<4} {value:+.3f} ({low:+.3f} to {high:+.3f})"
            )


if __name__ == "__main__":
    main()
