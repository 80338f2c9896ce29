"""How well tissue and artefacts are found: Dice on made slides, pictures of real ones.

    python benchmarks/tissue.py --out tissue
    python benchmarks/tissue.py --out tissue --pictures ../shared/data/slides ../shared/data/images

Made slides know their tissue and artefacts. Each is written as a pyramid and read as any
slide is, with the default settings: in six stains, with a pen of each colour, a fold, a
region out of focus and an air bubble; and once more without any, where all that is called
an artefact is wrong. ``--pictures`` writes contact sheets of real slides and images with
the outlines drawn, and a table of the share of their tissue that each artefact takes.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from napari_mhim.errors import MhimError
from napari_mhim.phantom import Phantom, PhantomConfig, render
from napari_mhim.phantom.config import INKS
from napari_mhim.phantom.fields import CELL_PX
from napari_mhim.slide import Slide, TissueMask, open_slide, tissue_mask
from napari_mhim.slide.files import slide_files
from napari_mhim.slide.tissue import ARTEFACTS
from napari_mhim.slide.write import write_pyramid

STAINS = {
    "usual": (1.0, 1.0),
    "pale": (0.35, 0.35),
    "dark": (1.8, 1.8),
    "blue": (1.5, 0.6),
    "pink": (0.6, 1.5),
    "faded blue": (0.35, 0.9),
}
TRUTH = {"pen": "pen", "blur": "blur", "bubbles": "bubble", "folds": "fold"}
SHAPE = (2560, 3328)
COLOURS = {
    "tissue": (20, 160, 60),
    "pen": (0, 90, 255),
    "blur": (255, 140, 0),
    "bubbles": (150, 0, 200),
    "folds": (230, 0, 0),
}
TILE_PX = 420
PICTURES = (".webp", ".jpg", ".png")
# the folders of images say nothing of their scale: 20 x is what their authors state or
# what nuclei of a usual size come to
IMAGE_MPP = 0.5


@dataclass(frozen=True)
class Judged:
    """One made slide's figures."""

    stain: str
    ink: str
    """Colour of its pen, "" on a slide without artefacts."""
    dice: dict[str, float]
    """By class; of a slide without artefacts tissue alone."""
    wrong: dict[str, float]
    """Share of the true tissue that is wrongly called each artefact."""


def cases(seeds: int) -> Iterator[tuple[str, PhantomConfig]]:
    """Give each stain with and without artefacts, so many times."""
    inks = tuple(INKS)
    for number, (stain, strengths) in enumerate(STAINS.items()):
        for seed in range(seeds):
            lesions = bool(seed % 2)
            clean = PhantomConfig(
                SHAPE,
                easy=lesions,
                hard=lesions,
                stain=strengths,
                seed=900 + 10 * number + seed,
            )
            yield stain, clean
            ink = inks[(number + seed) % len(inks)]
            yield (
                stain,
                replace(clean, pen=True, ink=ink, blur=True, bubble=True, fold=True),
            )


def judge(stain: str, config: PhantomConfig, path: Path) -> Judged:
    """Make a slide, find its tissue and hold it against the truth."""
    made = render(config)
    write_pyramid(path, made.rgb, config.mpp)
    with open_slide(path) as slide:
        found = tissue_mask(slide)
    truth = {name: at_pixels(made, name, found) for name in made.masks}
    spoilt = np.logical_or.reduce([truth[name] for name in TRUTH.values()])
    dice = {"tissue": overlap(found.mask, truth["tissue"] & ~spoilt)}
    if config.pen:
        for name, of_truth in TRUTH.items():
            dice[name] = overlap(found.artefacts[name], truth[of_truth])
    fine = truth["tissue"] & ~spoilt
    wrong = {name: float(found.artefacts[name][fine].mean()) for name in ARTEFACTS}
    return Judged(stain, config.ink, dice, wrong)


def at_pixels(made: Phantom, name: str, found: TissueMask) -> NDArray[np.bool_]:
    """Give a truth at the pixels of a mask."""
    mask = made.masks[name]
    at = [
        np.round((np.arange(n) + 0.5) * px / CELL_PX).astype(int).clip(0, last - 1)
        for n, px, last in zip(found.mask.shape, found.px, mask.shape, strict=True)
    ]
    return np.asarray(mask[np.ix_(*at)])


def overlap(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Give Dice: 1 where two masks are the same, 0 where they do not meet."""
    total = mask.sum() + truth.sum()
    return float(2 * (mask & truth).sum() / total) if total else 1.0


def tables(judged: Sequence[Judged]) -> list[str]:
    """Give both tables: Dice by class and stain, and what is wrongly left out."""
    spoilt = [one for one in judged if one.ink]
    clean = [one for one in judged if not one.ink]
    head = "| Dice, mean (least) | n | " + " | ".join(("tissue", *TRUTH)) + " |"
    lines = [head, "|" + "---|" * (len(TRUTH) + 3)]
    for stain in (*STAINS, "all"):
        of = [one for one in spoilt if stain in ("all", one.stain)]
        cells = [_mean_least([one.dice[c] for one in of]) for c in ("tissue", *TRUTH)]
        lines.append(f"| {stain} | {len(of)} | " + " | ".join(cells) + " |")
    lines += ["", "| pen | n | Dice, mean (least) |", "|---|---|---|"]
    for ink in INKS:
        dice = [one.dice["pen"] for one in spoilt if one.ink == ink]
        if dice:
            lines.append(f"| {ink} | {len(dice)} | {_mean_least(dice)} |")
    lines += [
        "",
        "| share of sound tissue taken, mean (most) | n | " + " | ".join(TRUTH) + " |",
        "|" + "---|" * (len(TRUTH) + 2),
    ]
    for name, of in (("without artefacts", clean), ("beside artefacts", spoilt)):
        cells = [_mean_most([one.wrong[c] for one in of]) for c in TRUTH]
        lines.append(f"| {name} | {len(of)} | " + " | ".join(cells) + " |")
    dice = [one.dice["tissue"] for one in clean]
    lines += ["", f"Tissue of slides without artefacts: Dice {_mean_least(dice)}."]
    return lines


def _mean_least(values: Sequence[float]) -> str:
    return f"{np.mean(values):.2f} ({np.min(values):.2f})" if values else "–"


def _mean_most(values: Sequence[float]) -> str:
    return f"{np.mean(values):.2%} ({np.max(values):.2%})" if values else "–"


def draw_sheets(folders: Iterable[Path], out: Path) -> None:
    """Write contact sheets of real slides and images, twelve on each, and their table."""
    tiles, rows = [], ["file,tissue," + ",".join(ARTEFACTS)]
    for path in _pictures(folders):
        try:
            with _opened(path, out) as slide:
                found = tissue_mask(slide, mpp=slide.mpp or (IMAGE_MPP, IMAGE_MPP))
                tiles.append(_tile(slide, found, path.name))
        except MhimError as err:
            print(f"{path.name}: {err}")
            continue
        whole = np.logical_or.reduce([found.mask, *found.artefacts.values()])
        shares = [
            found.artefacts[name].sum() / max(whole.sum(), 1)
            if name in found.artefacts
            else float("nan")
            for name in ARTEFACTS
        ]
        cells = ",".join(f"{share:.4f}" for share in shares)
        rows.append(f"{path.name},{found.share:.4f},{cells}")
    (out / "real.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    for first in range(0, len(tiles), 12):
        sheet = Image.new("RGB", (4 * TILE_PX, 3 * TILE_PX), "white")
        for at, tile in enumerate(tiles[first : first + 12]):
            sheet.paste(tile, (at % 4 * TILE_PX, at // 4 * TILE_PX))
        sheet.save(out / f"sheet-{first // 12 + 1:02d}.png")


def _pictures(folders: Iterable[Path]) -> Iterator[Path]:
    """Give the slides of folders; pictures, which are no slide's suffix, too."""
    for folder in folders:
        pictures = {p for p in folder.rglob("*") if p.suffix.lower() in PICTURES}
        slides = set()
        for sub in (folder, *sorted(p for p in folder.rglob("*") if p.is_dir())):
            try:
                slides |= {Path(p) for p in slide_files([sub])}
            except MhimError:
                continue
        yield from sorted(pictures | slides)


def _opened(path: Path, out: Path) -> Slide:
    """Open a slide; a plain picture is made one first."""
    if path.suffix.lower() not in PICTURES:
        return open_slide(path)
    made = out / "picture.tif"
    pixels = np.asarray(Image.open(path).convert("RGB"))
    write_pyramid(made, pixels, (IMAGE_MPP, IMAGE_MPP), quality=95)
    return open_slide(made)


def _tile(slide: Slide, found: TissueMask, name: str) -> Image.Image:
    picture = Image.fromarray(slide.thumbnail(found.mask.shape[1] + 8))
    share = (TILE_PX - 24) / max(picture.size)
    size = tuple(max(1, round(n * share)) for n in picture.size)
    seen = np.array(picture.resize(size, Image.Resampling.BOX))
    for part, mask in {"tissue": found.mask, **found.artefacts}.items():
        small = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
        edge = small & ~_shrunk(small)
        seen[edge] = COLOURS[part]
    tile = Image.new("RGB", (TILE_PX, TILE_PX), "white")
    tile.paste(Image.fromarray(seen), (2, 20))
    ImageDraw.Draw(tile).text((4, 4), name[:48], fill="black")
    return tile


def _shrunk(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    return np.asarray(ndimage.binary_erosion(mask, iterations=2))


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--seeds", type=int, default=4, help="slides of each stain")
    parser.add_argument(
        "--pictures", type=Path, nargs="*", help="folders of real slides"
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.pictures:
        draw_sheets(args.pictures, args.out)
        return
    judged = []
    for stain, config in cases(args.seeds):
        one = judge(stain, config, args.out / "case.tif")
        judged.append(one)
        figures = ", ".join(f"{name} {value:.2f}" for name, value in one.dice.items())
        print(f"{stain}, {config.ink or 'no artefacts'}: {figures}", flush=True)
    (args.out / "case.tif").unlink()
    text = "\n".join(tables(judged)) + "\n"
    (args.out / "tables.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
