"""Pictures of the window for the documentation, each state at 1366 × 768.

From the sample slides, and from one real slide where test data are there. On a machine
without a screen::

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py
"""

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import training_pictures
from at_the_window import sample, scroll_to, section, wait
from PIL import Image

from napari_mhim import pipeline
from napari_mhim.mil.bundle import Bundle
from napari_mhim.phantom import PhantomConfig, write_phantom
from napari_mhim.plugin import sample_data, show
from napari_mhim.plugin.overlays import ATTENTION, EVIDENCE, HIDDEN
from napari_mhim.plugin.state.labels import LABEL, Said
from napari_mhim.plugin.viewing import wait_until_sharp
from napari_mhim.workspace import Workspace

HERE = Path(__file__).resolve().parent
SIZE = (1366, 768)
MOST_BYTES = 450_000
REAL = "slides/aperio/CMU-1-Small-Region.svs"
"""Below the folder of test data; openslide.org's, CC0."""


def main() -> None:
    """Take all pictures, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(STATES)}; else all")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to")
    parser.add_argument("--light", action="store_true", help="napari's light theme")
    given = parser.parse_args()
    asked = given.names or list(STATES)
    with tempfile.TemporaryDirectory() as folder:
        # nothing of whoever takes the pictures is in them
        os.environ["NAPARI_MHIM_WORKSPACE"] = folder
        viewer = napari.Viewer()
        viewer.theme = "light" if given.light else "dark"
        viewer.window.resize(*SIZE)
        for name in asked:
            dock = show.open_dock(viewer)
            if STATES[name](viewer, dock, Path(folder)):
                save(viewer, given.out / f"{name}.png")
            viewer.window.remove_dock_widget(dock)
            viewer.layers.clear()
            wait(lambda: False, 0.5)
        viewer.close()


def save(viewer: Any, path: Path) -> None:
    """Write what the window shows, in 256 colours."""
    wait(lambda: False, 1.0)
    assert wait_until_sharp(viewer), f"{path.name}: the slide did not come"
    pixels = viewer.screenshot(canvas_only=False, flash=False)
    # other ways to choose the colours lose the few of a colour bar among those of tissue
    image = Image.fromarray(pixels[..., :3]).quantize(
        256, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE
    )
    image.save(path, optimize=True)
    size = path.stat().st_size
    assert size < MOST_BYTES, f"{path.name} has {size} bytes"


def first_screen(viewer: Any, dock: Any, folder: Path) -> bool:
    """Show what *File → Open Sample* gives."""
    sample(dock, "both")
    return True


def tour_truth(viewer: Any, dock: Any, folder: Path) -> bool:
    """Show the tour's fourth step: rings against the true lesions."""
    sample(dock, "both")
    dock.review.tour.steps[3].click()
    wait(lambda: False, 1.0)
    return True


def patches(viewer: Any, dock: Any, folder: Path) -> bool:
    """Show the gallery, and the patch it flew to."""
    sample(dock, "both")
    view = section(dock, "Patches")
    view.step(1)
    wait(lambda: False, 3)
    return True


def what_if(viewer: Any, dock: Any, folder: Path) -> bool:
    """Show the score without the six patches that speak loudest."""
    sample(dock, "hard")
    without_loudest(viewer, dock)
    return True


def without_loudest(viewer: Any, dock: Any) -> None:
    """Mark the six patches with the most evidence, and ask for the score without them."""
    view = section(dock, "What if")
    result = dock.state.result
    loudest = np.argsort(-result.contribution[:, result.target])[:6]
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    circle = np.stack([np.sin(turn), np.cos(turn)], axis=1)
    for row in loudest:
        middle = result.grid.corners[row] + result.grid.patch_px / 2
        view.lasso.click()
        viewer.layers["Marked area"].add_polygons(
            middle + 0.7 * result.grid.patch_px * circle
        )
    wait(lambda: view.state.score, 60)
    scroll_to(dock, dock.review.sections["What if"])


def method(viewer: Any, dock: Any, folder: Path) -> bool:
    """Show the mask explorer, the mask over the slide."""
    sample(dock, "both")
    dock.canvas.show_only("hidden")
    view = section(dock, "Method view")
    view.strategy.setCurrentText("LR-HAM")
    view.sliders["high"].setValue(0.1)
    wait(lambda: view.state.score and view.state.curve, 60)
    scroll_to(dock, dock.review.sections["Method view"])
    return True


def compare(viewer: Any, dock: Any, folder: Path) -> bool:
    """Show the slide with hard lesions only, which the baseline misses."""
    sample(dock, "hard")
    view = section(dock, "Compare")
    view.choose(view.state.others[0])
    view.minus.click()
    wait(lambda: False, 0.5)
    scroll_to(dock, dock.review.rows["difference"])
    return True


def report(viewer: Any, dock: Any, folder: Path) -> bool:
    """Show the files that an export has written."""
    sample(dock, "both")
    view = section(dock, "Report")
    view.kinds["geojson"].setChecked(True)
    view.folder.setText(str(folder / "exports"))
    view.write.click()
    wait(lambda: view.state.written and not dock.state.job.is_busy, 90)
    view.folder.setText("~/exports")
    scroll_to(dock, dock.review.sections["Report"])
    return True


def cohort(folder: Path) -> Path:
    """Lay out a workspace as the demo leaves it: table, slides, features, results, model."""
    from_, place = sample_data.folder(), Workspace(folder / "demo")
    shutil.copytree(from_ / "bundle", place.run_dir("demo") / "bundle")
    bundle = Bundle.open(from_ / "bundle")
    lines = ["slide,path,label,patient,role"]
    for name, label in (("both", "tumour"), ("hard", "tumour"), ("negative", "normal")):
        lines.append(f"{name},{from_ / name}.tiff,{label},patient {name[0]},test")
        features = pipeline.features_path(
            place, name, pipeline.extract_config(bundle.config)
        )
        for source, to in (
            (from_ / f"{name}.features.h5", features),
            (from_ / f"{name}.h5", place.result_path(bundle.name, name)),
        ):
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, to)
    place.cohort_path.write_text("\n".join(lines))
    return place.cohort_path


def slides(viewer: Any, dock: Any, folder: Path) -> bool:
    """Show the list; two readers differ on the slide on screen, which is seen closely."""
    table = folder / "demo" / "cohort.csv"
    dock.worklist.open([str(table if table.is_file() else cohort(folder))])
    state = dock.desk.slides
    for reader, said in (("AB", "tumour"), ("CD", "normal")):
        state.log.add(Said("hard", reader, LABEL, said))
    state.reader = "EF"
    dock.worklist.open_row(state.row_of["hard"], stays=True)
    dock.turn_to("Slides")
    viewer.scene.camera.zoom = 1.0
    wait(lambda: state.seen(state.current) > 0, 20)
    wait(lambda: False, 3)
    return True


def reading(viewer: Any, dock: Any, folder: Path) -> bool:
    """Show how one reads: who, label before score, hidden names, agreement."""
    slides(viewer, dock, folder)
    dock.worklist.list.hides_names = True
    dock.slides.reading.open()
    wait(lambda: False, 1.0)
    scroll_to(dock, dock.slides.reading)
    return True


def analyse(viewer: Any, dock: Any, folder: Path) -> bool:
    """Show what a run will cost, and the settings."""
    sample(dock, "both")
    dock.turn_to("Analyse")
    settings = dock.settings.open()
    wait(lambda: dock.state.n_patches, 30)
    settings.workspace.setText("~/napari-mhim")
    scroll_to(dock, dock.settings)
    return True


def tissue(viewer: Any, dock: Any, folder: Path) -> bool:
    """Show what is found and left out of a made slide with each artefact."""
    config = PhantomConfig(
        (2048, 2560), pen=True, ink="blue", blur=True, bubble=True, fold=True, seed=931
    )
    write_phantom(folder / "artefacts.tiff", config)
    dock.open_slide(str(folder / "artefacts.tiff"))
    dock.runs.choose_bundle(str(sample_data.folder() / "bundle"))
    dock.turn_to("Analyse")
    content = dock.tissue.open()
    wait(lambda: content.state.found, 60)
    wait(lambda: dock.state.device, 60)
    dock.canvas.look_at_all()
    scroll_to(dock, dock.tissue)
    return True


def look(viewer: Any, dock: Any, folder: Path) -> bool:
    """Show the controls of two layers."""
    sample(dock, "both")
    dock.canvas.show_only(EVIDENCE, ATTENTION)
    wait(lambda: False, 0.5)
    for part in (EVIDENCE, ATTENTION):
        dock.review.rows[part].more.setChecked(True)
    wait(lambda: False, 0.5)
    scroll_to(dock, dock.review.rows[ATTENTION])
    return True


def overview(viewer: Any, dock: Any, folder: Path) -> bool:
    """Show the map with a frame round what is in view."""
    sample(dock, "both")
    section(dock, "Map")
    viewer.scene.camera.zoom *= 4


def real(viewer: Any, dock: Any, folder: Path) -> bool:
    """Show the made slides' model on a real slide, where test data are there."""
    default = HERE.parents[1] / "shared"
    root = Path(os.environ.get("NAPARI_MHIM_TEST_DATA", default))
    slides = [root / REAL, root / "data" / REAL]
    slide = next((one for one in slides if one.is_file()), None)
    if slide is None:
        return False
    bundle = sample_data.folder() / "bundle"
    *_, done = pipeline.predict_slide(str(slide), str(bundle), str(folder), "cpu", None)
    features = next(Workspace(folder).root.glob(f"features/*/{slide.stem}.h5"))
    dock.show_layers(
        show.layers(slide, done.result_path, bundle_path=bundle, features_path=features)
    )
    wait(lambda: dock.state.device, 60)
    dock.canvas.look_at_all()
    dock.review.unlike.ask()
    wait(lambda: dock.review.unlike.found, 60)
    return True


def real_patches(viewer: Any, dock: Any, folder: Path) -> bool:
    """Show the gallery of the real slide."""
    if not real(viewer, dock, folder):
        return False
    section(dock, "Patches").step(1)
    wait(lambda: False, 3)
    return True


def real_method(viewer: Any, dock: Any, folder: Path) -> bool:
    """Show the mask explorer on the real slide."""
    if not real(viewer, dock, folder):
        return False
    dock.canvas.show_only(HIDDEN)
    view = section(dock, "Method view")
    view.sliders["high"].setValue(0.2)
    wait(lambda: view.state.score and view.state.curve, 60)
    scroll_to(dock, dock.review.sections["Method view"])
    return True


def real_what_if(viewer: Any, dock: Any, folder: Path) -> bool:
    """Show the real slide's score without the patches that speak loudest."""
    if not real(viewer, dock, folder):
        return False
    without_loudest(viewer, dock)
    return True


STATES: dict[str, Callable[[Any, Any, Path], bool]] = {
    "first-screen": first_screen,
    "tour-truth": tour_truth,
    "patches": patches,
    "what-if": what_if,
    "method-view": method,
    "compare": compare,
    "report": report,
    "look": look,
    "map": overview,
    "slides": slides,
    "reading": reading,
    "analyse": analyse,
    "train": training_pictures.form,
    "training": training_pictures.learning,
    "results": training_pictures.results,
    "hints": training_pictures.hints,
    "tissue": tissue,
    "real-slide": real,
    "real-patches": real_patches,
    "real-method": real_method,
    "real-what-if": real_what_if,
}
"""Name of the picture, and what makes its state; False where that cannot be made here."""

if __name__ == "__main__":
    main()
