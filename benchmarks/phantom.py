"""AB-MIL against MHIM on phantom slides, over several seeds.

    python benchmarks/phantom.py --seeds 5 --slides 60 --out /tmp/phantom-benchmark

For each seed: a cohort of its own is written, encoded, split by patient, both models are
trained, and the held-out slides are compared with their truth. All of it stays in the
output folder, and a second call goes on where the first one stopped.

Checkpoints and cut-offs come from validation slides only. Intervals are a bootstrap in
two steps: seeds are drawn first, then slides within each, each label for itself; the
difference is paired, both models are judged on the same draws.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_mhim import pipeline
from napari_mhim.features.config import ExtractConfig
from napari_mhim.features.store import FeatureStore
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.result import SlideResult, hard_instances
from napari_mhim.mil.train import FitDone
from napari_mhim.phantom import DEMO, KINDS, read_truth, write_cohort
from napari_mhim.workspace import Workspace

MODELS = ("AB-MIL", "MHIM")
RESAMPLES = 2000


@dataclass(frozen=True)
class SlideFigures:
    """One model on one held-out slide; NaN where a figure is not defined."""

    score: float
    """Probability of tumour."""
    n_easy: int
    n_hard: int
    attention_auc: float
    """Lesion patches against the others of the slide, by attention."""
    evidence_auc: float
    """The same by evidence."""
    hard_attention_auc: float
    """Hard-lesion patches against lesion-free ones, by attention."""
    hard_evidence_auc: float
    """The same by evidence."""
    precision: float
    """Share of the hard set that lies on hard lesions."""
    recall: float
    """Share of the hard-lesion patches that are in the hard set, at most what fits in it."""
    easy_hidden: float
    """Share of the easy patches that the teacher's mask hides."""
    hard_hidden: float
    """Share of the hard patches that it hides."""
    n_rings: float
    """Patches in the hard set of a slide without lesions."""


def auc(positive: NDArray, negative: NDArray) -> float:
    """Share of the pairs that are in order, ties count half; NaN without pairs."""
    if not len(positive) or not len(negative):
        return float("nan")
    pairs = positive[:, None] - negative[None]
    return float((pairs > 0).mean() + 0.5 * (pairs == 0).mean())


def judge(result: SlideResult, kinds: NDArray[np.int8]) -> SlideFigures:
    """Compare one result with the truth of its patches."""
    evidence = result.evidence[:, result.target]
    attention = result.attention.mean(axis=0)
    clean, hard, easy = kinds == 0, kinds == KINDS["hard"], kinds == KINDS["easy"]
    chosen = hard_instances(result).index
    right = float(hard[chosen].sum())
    nan = float("nan")
    return SlideFigures(
        score=result.score,
        n_easy=int(easy.sum()),
        n_hard=int(hard.sum()),
        attention_auc=auc(attention[~clean], attention[clean]),
        evidence_auc=auc(evidence[~clean], evidence[clean]),
        hard_attention_auc=auc(attention[hard], attention[clean]),
        hard_evidence_auc=auc(evidence[hard], evidence[clean]),
        precision=(right / max(len(chosen), 1)) if hard.any() else nan,
        recall=right / hard.sum() if hard.any() else nan,
        easy_hidden=float(result.mask[easy].mean()) if easy.any() else nan,
        hard_hidden=float(result.mask[hard].mean()) if hard.any() else nan,
        n_rings=nan if not clean.all() else float(len(chosen)),
    )


def run_seed(
    folder: Path, seed: int, args: argparse.Namespace
) -> tuple[dict[str, list[SlideFigures]], dict[str, float]]:
    """Make, train and judge one cohort; also the patch AUC of a supervised probe."""
    place = Workspace(folder)
    extract = ExtractConfig(
        encoder=DEMO.encoder, mpp=DEMO.mpp, patch_model_px=DEMO.patch_model_px
    )
    for _ in write_cohort(folder, args.slides, seed):
        pass
    rows = Cohort.read(place.cohort_path).rows
    slides = [str(row.path) for row in rows]
    exhaust(pipeline.extract_slides(slides, str(folder), extract))
    options = {"mask_ratio_high": args.mask_ratio_high}
    train = TrainConfig(epochs=args.epochs, seed=seed, recipe_options=options)
    run = f"{args.epochs}-{args.mask_ratio_high}"
    done = exhaust(
        pipeline.train(str(folder), str(place.cohort_path), train, extract, run)
    )
    assert isinstance(done, FitDone)
    bundles = {"AB-MIL": done.baseline_path, "MHIM": done.bundle_path}
    held_out = [row for row in rows if row.role == "test"]
    judged = {
        name: _judge_all(place, bundle, held_out) for name, bundle in bundles.items()
    }
    return judged, _probe(place, rows, extract)


def exhaust(events: object) -> object:
    """Run a job to its end and give its last event; a slide that fails ends it all."""
    last: object = None
    for last in events:  # type: ignore[attr-defined]
        if isinstance(last, pipeline.SlideFailed):
            raise SystemExit(f"{last.slide}: {last.reason}")
    return last


def _judge_all(
    place: Workspace, bundle: str, rows: Sequence[CohortRow]
) -> list[SlideFigures]:
    exhaust(
        pipeline.predict_slides(
            [str(row.path) for row in rows], bundle, str(place.root)
        )
    )
    name = Bundle.open(bundle).name
    found = []
    for row in rows:
        result = SlideResult.load(place.result_path(name, row.slide))
        found.append(judge(result, read_truth(row.path).patch_labels(result.grid)))
    return found


def _probe(
    place: Workspace, rows: Sequence[CohortRow], extract: ExtractConfig
) -> dict[str, float]:
    """Give the patch AUC of a classifier that is told every patch: the upper bound."""
    from sklearn.linear_model import LogisticRegression

    parts: dict[bool, list[tuple[NDArray, NDArray]]] = {True: [], False: []}
    for row in rows:
        path = pipeline.features_path(place, str(row.path), extract)
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
        found[kind] = auc(scores[is_kind], scores[~is_kind])
    return found


# -- figures over seeds ------------------------------------------------------------------

Statistic = Callable[[Sequence[SlideFigures]], float]


def slide_auc(slides: Sequence[SlideFigures], hard_only: bool = False) -> float:
    """Slides with lesions (or with hard ones only) against slides without."""
    scores = np.array([slide.score for slide in slides])
    has_easy = np.array([slide.n_easy > 0 for slide in slides], bool)
    has_hard = np.array([slide.n_hard > 0 for slide in slides], bool)
    positive = has_hard & ~has_easy if hard_only else has_hard | has_easy
    return auc(scores[positive], scores[~(has_hard | has_easy)])


def mean_of(name: str) -> Statistic:
    """Mean of one figure over the slides on which it is defined."""

    def mean(slides: Sequence[SlideFigures]) -> float:
        values = np.array([getattr(slide, name) for slide in slides])
        values = values[~np.isnan(values)]
        return float(values.mean()) if len(values) else float("nan")

    return mean


STATISTICS: dict[str, Statistic] = {
    "slide AUC": slide_auc,
    "slide AUC, hard lesions only": lambda slides: slide_auc(slides, True),
    "patch AUC, attention": mean_of("attention_auc"),
    "patch AUC, evidence": mean_of("evidence_auc"),
    "  hard patches, attention": mean_of("hard_attention_auc"),
    "  hard patches, evidence": mean_of("hard_evidence_auc"),
    "hard set, precision": mean_of("precision"),
    "hard set, recall": mean_of("recall"),
    "mask hides of the easy": mean_of("easy_hidden"),
    "mask hides of the hard": mean_of("hard_hidden"),
    "hard set on a normal slide": mean_of("n_rings"),
}


def group(slide: SlideFigures) -> int:
    """Give what a slide holds: nothing, hard lesions only, both."""
    return int(slide.n_easy > 0) + int(slide.n_hard + slide.n_easy > 0)


def draws(
    seeds: Sequence[Sequence[SlideFigures]], rng: np.random.Generator
) -> list[tuple[int, NDArray[np.int64]]]:
    """Draw seeds, then slides within each, each kind of slide for itself."""
    drawn = []
    for seed in rng.integers(0, len(seeds), len(seeds)):
        groups = np.array([group(slide) for slide in seeds[seed]])
        picks = [
            rng.choice(np.flatnonzero(groups == g), (groups == g).sum())
            for g in np.unique(groups)
        ]
        drawn.append((int(seed), np.concatenate(picks)))
    return drawn


def table(judged: Sequence[dict[str, list[SlideFigures]]]) -> list[str]:
    """Give the rows of the table: mean over seeds, 95 % interval, paired difference."""
    rng = np.random.default_rng(0)
    resampled = [
        draws([one[MODELS[0]] for one in judged], rng) for _ in range(RESAMPLES)
    ]
    lines = []
    for name, statistic in STATISTICS.items():
        cells, samples, means = [], [], []
        for model in MODELS:
            values = [statistic(one[model]) for one in judged]
            sample = [
                np.nanmean(
                    [statistic([judged[s][model][i] for i in at]) for s, at in drawn]
                )
                for drawn in resampled
            ]
            means.append(float(np.nanmean(values)))
            samples.append(np.array(sample))
            cells.append(_cell(means[-1], samples[-1], float(np.nanstd(values))))
        gain = _cell(means[1] - means[0], samples[1] - samples[0])
        lines.append(f"{name:30s}{cells[0]:30s}{cells[1]:30s}{gain}")
    return lines


def _cell(value: float, sample: NDArray, deviation: float | None = None) -> str:
    low, high = np.nanquantile(sample, [0.025, 0.975])
    spread = "" if deviation is None else f" sd {deviation:.2f}"
    return f"{value:.3f} ({low:.2f} to {high:.2f}){spread}"


def show_seed(
    seed: int, judged: dict[str, list[SlideFigures]], probe: dict[str, float]
) -> None:
    """Print one seed's line."""
    parts = []
    for name in MODELS:
        slides = judged[name]
        parts.append(
            f"{name} {slide_auc(slides):.3f}, hard only {slide_auc(slides, True):.3f}"
        )
    told = ", ".join(f"{kind} {value:.3f}" for kind, value in probe.items())
    print(f"seed {seed}: {'; '.join(parts)}; told every patch: {told}", flush=True)


def show_table(judged: Sequence[dict[str, list[SlideFigures]]]) -> None:
    """Print the table over seeds."""
    slides = [slide for one in judged for slide in one[MODELS[0]]]
    counts = np.bincount([group(slide) for slide in slides], minlength=3)
    print(
        f"\n{len(judged)} seeds, {len(slides)} held-out slides: {counts[0]} normal, "
        f"{counts[1]} with hard lesions only, {counts[2]} with both kinds\n"
        f"mean over seeds (95 % interval) and deviation between seeds\n"
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
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--slides", type=int, default=DEMO.n_slides, help="a cohort")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument(
        "--mask-ratio-high",
        type=lambda text: text if text == "auto" else float(text),
        default="auto",
    )
    parser.add_argument("--out", type=Path, default=Path("phantom-benchmark"))
    args = parser.parse_args()
    judged = []
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        one, probe = run_seed(args.out / f"seed-{seed}-{args.slides}", seed, args)
        show_seed(seed, one, probe)
        judged.append(one)
    show_table(judged)
    plain = [
        {name: [vars(slide) for slide in slides] for name, slides in one.items()}
        for one in judged
    ]
    (args.out / "figures.json").write_text(json.dumps(plain), encoding="utf-8")


if __name__ == "__main__":
    main()
