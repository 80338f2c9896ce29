"""The three slides under *File → Open Sample*, taken from a demo that was run.

``python -m napari_mhim.demo.sample DEMO-FOLDER`` writes them into the package. Which
slides they are is a rule, so that none is picked for its looks: of the held-out slides,
by name, the first with both kinds of lesion, the first with hard lesions only on which
the model rings something, and the first without any on which it rings nothing. How often
it does, and where it misses, is in the demo's figures.
"""

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from napari_mhim.demo.stages import RUN
from napari_mhim.errors import ConfigError
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.cohort import Cohort
from napari_mhim.mil.result import SlideResult, hard_instances
from napari_mhim.phantom import PhantomTruth, read_truth, truth_path
from napari_mhim.pipeline import features_path
from napari_mhim.workspace import Workspace

FOLDER = Path(__file__).parents[1] / "sample"
"""Where the package keeps them."""

Rule = Callable[[PhantomTruth, SlideResult], bool]


def _has(truth: PhantomTruth, kind: str) -> bool:
    return bool(truth.polygons.get(kind))


RULES: dict[str, Rule] = {
    "both": lambda truth, _: _has(truth, "easy") and _has(truth, "hard"),
    "hard": lambda truth, result: (
        not _has(truth, "easy")
        and _has(truth, "hard")
        and len(hard_instances(result)) > 0
    ),
    "negative": lambda truth, result: (
        not _has(truth, "easy")
        and not _has(truth, "hard")
        and len(hard_instances(result)) == 0
    ),
}
"""File name of each sample, and which slide it is."""


def write_samples(demo: Path, folder: Path = FOLDER) -> list[Path]:
    """Copy slides, truths, results and the model of a demo that was run.

    Parameters
    ----------
    demo : Path
        The demo's folder.
    folder : Path
        Where to; what is there is replaced.

    Returns
    -------
    list of Path
        The slides written.

    Raises
    ------
    ConfigError
        If no held-out slide fits one of the rules.
    """
    place = Workspace(demo)
    held_out = Cohort.read(place.cohort_path).with_role("test")
    rows = sorted(held_out, key=lambda row: row.slide)
    mhim, baseline = (
        Bundle.open(place.run_dir(RUN) / part) for part in ("bundle", "baseline/bundle")
    )
    chosen: dict[str, str] = {}
    for row in rows:
        truth = read_truth(row.path)
        result = SlideResult.load(place.result_path(mhim.name, row.slide))
        for name, fits in RULES.items():
            if fits(truth, result):
                chosen.setdefault(name, str(row.path))
    if missing := RULES.keys() - chosen.keys():
        raise ConfigError(
            f"no held-out slide of {str(demo)!r} fits {', '.join(sorted(missing))}; "
            "run the demo with another seed"
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copytree(mhim.path, folder / "bundle")
    for name, slide in chosen.items():
        _copy(Path(slide), name, folder)
        features = features_path(place, slide, mhim.config.extract)
        shutil.copyfile(features, folder / f"{name}.features.h5")
        for suffix, bundle in ((".h5", mhim), (".baseline.h5", baseline)):
            stored = place.result_path(bundle.name, Path(slide).stem)
            renamed = replace(SlideResult.load(stored), slide=name, path="")
            renamed.save(folder / f"{name}{suffix}")
    return [folder / f"{name}.tiff" for name in chosen]


def _copy(slide: Path, name: str, folder: Path) -> None:
    shutil.copyfile(slide, folder / f"{name}.tiff")
    shutil.copyfile(truth_path(slide), folder / f"{name}.truth.json")


if __name__ == "__main__":
    write_samples(Path(sys.argv[1]))
