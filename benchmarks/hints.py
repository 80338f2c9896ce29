"""What do a few regions teach? Phantom slides, with and without hints.

    python benchmarks/hints.py --out hints --seeds 1 2 3

Each seed is a cohort of its own, of which half the positive slides hold hard lesions
only. A reader is made up who draws on four training slides: round each hard lesion of
three of them, half a patch too wide, named "tumour"; and round half of a slide without
lesions, named "normal". The same slides are trained on with these regions as hints
(``hint_weight``) and without; nothing else differs, seeds included. MHIM starts from the
same baseline, which is not told. Validation and held-out slides have no regions.

Judged on held-out slides, as ``benchmarks/instances.py`` judges: AUC of slides with hard
lesions only, and of patches inside positive slides by class evidence and by attention.
Intervals: a bootstrap over cohorts and slides; both arms are judged on the same draws.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from instances import ARMS, Split, judge, phantom_splits
from judged import Seen, read_seen, table
from trials import claim

from napari_mhim.demo.stages import TRAINING
from napari_mhim.mil.bags import Bag
from napari_mhim.mil.hints import hint_counts, hinted_bags
from napari_mhim.phantom import CohortConfig, read_truth
from napari_mhim.slide.regions import Region, SlideIdentity, region, write_regions

CLASSES = ("normal", "tumour")
DRAWN_ON = 3
"""Training slides whose hard lesions are drawn round."""
MADE_UP = CohortConfig(role_shares=(0.4, 0.15, 0.45), hard_only_share=0.5)
"""More held-out slides with hard lesions only than the demo has: they are what counts."""
HINTED = " + hints"


def widened(outline: np.ndarray, by_px: float) -> np.ndarray:
    """Draw an outline too wide, as a quick hand does, (V, 2), (y, x)."""
    import shapely

    wide = shapely.Polygon(outline).buffer(by_px, quad_segs=4)
    return shapely.get_coordinates(wide.exterior)


def read_hard(bag: Bag) -> list[Region]:
    """Give the reader's regions round a slide's hard lesions."""
    assert bag.grid is not None  # features come from slides here
    half_px = float(np.mean(bag.grid.patch_px)) / 2
    return [
        region(widened(outline, half_px), kind="hint", class_name=CLASSES[1])
        for outline in read_truth(bag.path).polygons["hard"]
    ]


def read_normal(bag: Bag) -> list[Region]:
    """Give the reader's region on a slide without lesions: its left half."""
    height, width = bag.slide_shape
    half = np.array([[0, 0], [0, width / 2], [height, width / 2], [height, 0]])
    return [region(half, kind="hint", class_name=CLASSES[0])]


def with_regions(split: Split, folder: Path) -> Split:
    """Draw on four training slides, and give them the hints as training does."""
    train = split.parts["train"]
    hard = [bag for bag in train if (split.kinds[bag.name] == 2).any()][:DRAWN_ON]
    clean = next(bag for bag in train if not bag.label)
    paths = {bag.name: folder / f"{bag.name}.geojson" for bag in train}
    folder.mkdir(parents=True, exist_ok=True)
    for bag, drawn in (*((b, read_hard(b)) for b in hard), (clean, read_normal(clean))):
        identity = SlideIdentity(bag.name, bag.fingerprint, bag.slide_shape)
        write_regions(paths[bag.name], drawn, identity)
    bags, _ = hinted_bags({b.name: b for b in train}, paths, CLASSES, paths)
    said = hint_counts(bags.values(), CLASSES).text
    print(f"{split.name}: {said}", flush=True)
    return replace(split, parts={**split.parts, "train": list(bags.values())})


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("hints-benchmark"))
    parser.add_argument("--model", default="abmil")
    parser.add_argument("--arms", nargs="+", default=["plain", "mhim"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--weight", type=float, default=0.5, help="hint_weight")
    parser.add_argument("--epochs", type=int, default=TRAINING.epochs, help="a stage")
    parser.add_argument("--table", action="store_true", help="train nothing")
    return parser.parse_args()


def main() -> None:
    """Run what is missing, then print a table for each arm."""
    args = arguments()
    claim(args.out, {"epochs": args.epochs, "weight": args.weight})
    journal = args.out / "seen.jsonl"
    seen = read_seen(journal)
    done = {(one.model, one.arm, one.part) for one in seen}
    arms = [arm for arm in ARMS if arm.name in args.arms]
    seeds = () if args.table else args.seeds
    for split in phantom_splits(args.out / "phantom", seeds, MADE_UP):
        drawn = with_regions(split, args.out / "regions" / split.name)
        config = replace(
            TRAINING, epochs=args.epochs, device="cpu", threads=1, model=args.model
        )
        config = replace(config, seed=split.replicate)
        for some, weight, suffix in ((split, 0.0, ""), (drawn, args.weight, HINTED)):
            for kind in arms:
                arm = replace(kind, name=kind.name + suffix)
                if (args.model, arm.name, split.name) in done:
                    continue
                settings = replace(config, hint_weight=weight)
                found = judge(some, settings, args.model, arm, args.out / "runs")
                with journal.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(vars(one)) + "\n" for one in found)
                seen += found
                print(f"{split.name} {arm.name} done", flush=True)
    for arm in arms:
        pair = (arm.name, arm.name + HINTED)
        mine: list[Seen] = [one for one in seen if one.arm in pair]
        print("", *table(mine, arm.name, draw_parts=True), sep="\n")


if __name__ == "__main__":
    main()
