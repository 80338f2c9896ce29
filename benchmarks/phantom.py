"""AB-MIL against MHIM on phantom slides, over several seeds.

    python benchmarks/phantom.py --seeds 5 --out phantom-benchmark

Each seed is the demo once more: a cohort of its own is written, encoded, split by
patient, both models are trained, and the held-out slides are held against their truth.
All of it stays in the output folder, and a second call goes on where the first stopped.

Checkpoints and cut-offs come from validation slides only. Intervals are a bootstrap in
two steps: seeds are drawn first, then slides within each, each kind for itself; the
difference is paired, both models are judged on the same draws.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_mhim import pipeline
from napari_mhim.demo.figures import (
    RESAMPLES,
    STATISTICS,
    Judged,
    draw,
    rank_auc,
    slide_auc,
)
from napari_mhim.demo.stages import BASELINE, FEATURES, MHIM, TRAINING, DemoDone, run
from napari_mhim.features.store import FeatureStore
from napari_mhim.mil.cohort import Cohort
from napari_mhim.phantom import DEMO, KINDS, read_truth
from napari_mhim.workspace import Workspace

MODELS = (BASELINE, MHIM)


def run_seed(folder: Path, seed: int, args: argparse.Namespace) -> DemoDone:
    """Make, train and judge one cohort."""
    options = {"mask_ratio_high": args.mask_ratio_high}
    training = replace(TRAINING, epochs=args.epochs, recipe_options=options)
    *_, done = run(str(folder), seed, args.slides, training)
    assert isinstance(done, DemoDone)
    return done


def probe(folder: Path) -> dict[str, float]:
    """Give the patch AUC of a classifier that is told every patch: the upper bound."""
    from sklearn.linear_model import LogisticRegression

    place = Workspace(folder)
    parts: dict[bool, list[tuple[NDArray, NDArray]]] = {True: [], False: []}
    for row in Cohort.read(place.cohort_path).rows:
        path = pipeline.features_path(place, row.path, FEATURES)
        with FeatureStore.open(path) as store:
            kinds = read_truth(row.path).patch_labels(store.grid)
            parts[row.role == "test"].append((store.features(), kinds))
    seen, new = (
        [np.concatenate(column) for column in zip(*parts[is_test], strict=True)]
        for is_test in (False, True)
    )
    found = {}
    for kind, number in KINDS.items():
        use, test = np.isin(seen[1], (0, number)), np.isin(new[1], (0, number))
        model = LogisticRegression(C=0.05, max_iter=500)
        model.fit(seen[0][use], seen[1][use] == number)
        scores = model.decision_function(new[0][test])
        is_kind = new[1][test] == number
        found[kind] = rank_auc(scores[is_kind], scores[~is_kind])
    return found


def table(judged: Sequence[dict[str, list[Judged]]]) -> list[str]:
    """Give the rows of the table: mean over seeds, 95 % interval, paired difference."""
    rng = np.random.default_rng(0)
    resampled = []
    for _ in range(RESAMPLES):
        seeds = rng.integers(0, len(judged), len(judged))
        resampled.append([(s, draw(judged[s][MODELS[0]], rng)) for s in seeds])
    lines = []
    for name, statistic in STATISTICS.items():
        means, samples, cells = [], [], []
        for model in MODELS:
            values = np.array([statistic(one[model]) for one in judged])
            sample = [
                _mean([statistic([judged[s][model][i] for i in at]) for s, at in drawn])
                for drawn in resampled
            ]
            means.append(_mean(values))
            samples.append(np.array(sample))
            cells.append(_cell(means[-1], samples[-1], float(np.nanstd(values))))
        gain = _cell(means[1] - means[0], samples[1] - samples[0])
        lines.append(f"{name:30s}{cells[0]:30s}{cells[1]:30s}{gain}")
    return lines


def _mean(values: Sequence[float] | NDArray) -> float:
    defined = np.asarray(values)[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _cell(value: float, sample: NDArray, deviation: float | None = None) -> str:
    low, high = np.nanquantile(sample, [0.025, 0.975])
    spread = "" if deviation is None else f" sd {deviation:.2f}"
    return f"{value:.3f} ({low:.2f} to {high:.2f}){spread}"


def show_seed(seed: int, done: DemoDone, told: dict[str, float]) -> None:
    """Print one seed's line."""
    parts = [
        f"{name} {slide_auc(slides):.3f}, hard only {slide_auc(slides, True):.3f}"
        for name, slides in done.judged.items()
    ]
    bound = ", ".join(f"{kind} {value:.3f}" for kind, value in told.items())
    print(f"seed {seed}: {'; '.join(parts)}; told every patch: {bound}", flush=True)


def show_table(judged: Sequence[dict[str, list[Judged]]]) -> None:
    """Print the table over seeds."""
    slides = [slide for one in judged for slide in one[MODELS[0]]]
    counts = np.bincount([slide.group for slide in slides], minlength=3)
    print(
        f"\n{len(judged)} seeds, {len(slides)} held-out slides: {counts[0]} normal, "
        f"{counts[1]} with hard lesions only, {counts[2]} with both kinds\n"
        "mean over seeds (95 % interval) and deviation between seeds\n"
    )
    print(f"{'':30s}{MODELS[0]:30s}{MODELS[1]:30s}difference")
    print("\n".join(table(judged)))
    print("\nSynthetic slides: shows the method, not clinical performance.")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seeds", type=int, default=5, help="cohorts, each of its seed"
    )
    parser.add_argument(
        "--first-seed", type=int, default=1, help="0 set the phantom up"
    )
    parser.add_argument("--slides", type=int, default=DEMO.n_slides, help="a cohort")
    parser.add_argument("--epochs", type=int, default=TRAINING.epochs)
    parser.add_argument(
        "--mask-ratio-high",
        type=lambda text: text if text == "auto" else float(text),
        default="auto",
    )
    parser.add_argument("--out", type=Path, default=Path("phantom-benchmark"))
    args = parser.parse_args()
    judged = []
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        folder = args.out / f"seed-{seed}-{args.slides}"
        done = run_seed(folder, seed, args)
        show_seed(seed, done, probe(folder))
        judged.append(done.judged)
    show_table(judged)
    plain = [
        {name: [vars(slide) for slide in slides] for name, slides in one.items()}
        for one in judged
    ]
    (args.out / "figures.json").write_text(json.dumps(plain), encoding="utf-8")


if __name__ == "__main__":
    main()
