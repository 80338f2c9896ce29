"""Fine-tuning and the cut-off alone, from slide files, on phantoms the model has not seen."""

import csv
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_mhim import cli, pipeline, tuning
from napari_mhim.errors import BundleError, CohortError, ConfigError, TrainingError
from napari_mhim.events import Note
from napari_mhim.features.config import ExtractConfig
from napari_mhim.features.extract import ExtractDone
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.parent import tuned_config
from napari_mhim.mil.run_lock import held
from napari_mhim.mil.train import FitDone
from napari_mhim.slide import open_slide
from napari_mhim.slide.regions import SlideIdentity, region, write_regions
from napari_mhim.training import SlideWatched
from napari_mhim.workspace import Workspace

runner = CliRunner()
GENTLE = {"epochs": 1, "device": "cpu", "threads": 1}


@pytest.fixture
def added(added_slides, tmp_path_factory) -> Path:
    """Table of eight slides of another scanner, with roles."""
    rows = [{**row, "site": "scanner B"} for row in added_slides.rows[:8]]
    folder = tmp_path_factory.mktemp("tables")
    return added_slides.write(folder / "added.csv", _split(rows))


@pytest.fixture
def place(small_run, added_slides, tmp_path: Path) -> Path:
    """Give a workspace where those slides have their features."""
    config = Bundle.open(small_run.bundle).config
    added_slides.give_features(tmp_path, config.extraction("cpu"))
    return tmp_path


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _split(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Give a slide of each class to validation, the rest to training."""
    seen: set[str] = set()
    for row in rows:
        row["role"] = "train" if row["label"] in seen else "val"
        seen.add(row["label"])
    return rows


def changed(added: Path, table: Path, **changes: str) -> Path:
    """Write the table again with the first slide changed."""
    rows = _rows(added)
    rows[0].update(changes)
    return _write(table, rows)


def tuned(small_run, table: Path, place: Path, **more: object) -> list[object]:
    config = tuned_config(Bundle.open(small_run.bundle), GENTLE)
    return list(tuning.fine_tune(str(place), str(table), config, **more))


def test_a_model_goes_on_with_slides_of_another_scanner(
    small_run, added: Path, tmp_path: Path
) -> None:
    *events, done = tuned(small_run, added, tmp_path, watch=_rows(added)[0]["path"])
    assert isinstance(done, FitDone)
    child, parent = Bundle.open(done.bundle_path), Bundle.open(small_run.bundle)
    # the encoder's settings are the parent's, though nobody gave them
    assert child.config.extract.mpp == parent.config.extract.mpp == 1.0
    assert child.config.trained["parent"]["id"] == parent.id
    seen = [event for event in events if isinstance(event, SlideWatched)]
    assert [event.epoch for event in seen] == [1]
    assert seen[0].result.slide == "new-0"
    assert seen[0].result.classes == parent.config.classes
    assert len(seen[0].result.attention[0]) == len(seen[0].result.grid)


def test_a_head_learns_from_regions_of_the_new_slides(
    small_run, added: Path, place: Path
) -> None:
    learns = next(row for row in _rows(added) if row["role"] == "train")
    with open_slide(learns["path"]) as slide:
        half = np.array([[0, 0], [0, 1536], [512, 1536], [512, 0]])
        drawn = region(half, kind="hint", class_name=learns["label"])
        path = Workspace(place).regions_path(slide.name)
        path.parent.mkdir(parents=True)
        write_regions(path, [drawn], SlideIdentity.of(slide))
    given = {**GENTLE, "hint_weight": 1.0, "tune": "head"}
    config = tuned_config(Bundle.open(small_run.bundle), given)
    *events, done = tuning.fine_tune(str(place), str(added), config)
    notes = [event.text for event in events if isinstance(event, Note)]
    assert any(note.startswith("1 region joins the training") for note in notes)
    hints = Bundle.open(done.bundle_path).config.trained["hints"]
    assert list(hints["patches"]) == [learns["label"]]


def test_old_slides_are_mixed_in_where_their_features_are(
    small_run, added: Path, place: Path, added_slides
) -> None:
    splits = Path(small_run.bundle).parent / "splits.csv"
    old = {row["role"] for row in _rows(splits)}
    assert old == {"train", "val", "test"}
    # nothing of the old cohort is extracted here
    *events, done = tuned(small_run, added, place, mix=str(splits))
    notes = [event.text for event in events if isinstance(event, Note)]
    assert any(
        note.startswith("0 slides of the model's own cohort are mixed in; 12 are left")
        for note in notes
    )
    theirs, config = Path(small_run.workspace), Bundle.open(small_run.bundle).config
    added_slides.give_features(theirs, config.extraction("cpu"))
    *events, done = tuned(small_run, added, theirs, mix=str(splits), run="mixed")
    assert isinstance(done, FitDone)
    said = Bundle.open(done.bundle_path).config.trained["parent"]
    assert said["old"]["train"] == sum(row["role"] == "train" for row in _rows(splits))
    assert "test" not in said["old"]


def test_a_renamed_training_slide_of_the_parent_is_refused(
    small_run, added: Path, place: Path
) -> None:
    splits = _rows(Path(small_run.bundle).parent / "splits.csv")
    learnt = next(row["slide"] for row in splits if row["role"] == "train")
    source = next(path for path in small_run.slides if Path(path).stem == learnt)
    (place / "renamed.tif").write_bytes(Path(source).read_bytes())
    table = changed(
        added,
        place / "t.csv",
        slide="renamed",
        patient="renamed",
        path=str(place / "renamed.tif"),
    )
    assert _rows(table)[0]["role"] == "val"
    with pytest.raises(CohortError, match="'renamed' cannot be a val slide"):
        tuned(small_run, table, place)


def test_a_slide_deleted_meanwhile_is_named_and_back_again_goes_on(
    small_run, added: Path, place: Path
) -> None:
    rows = _rows(added)
    for row in rows[-2:]:
        kept, slide = Path(row["path"]), place / "slides" / Path(row["path"]).name
        slide.parent.mkdir(exist_ok=True)
        slide.write_bytes(kept.read_bytes())
        row["path"] = str(slide)
        next(place.rglob(f"{kept.stem}.h5")).unlink()
    table = _write(place / "t.csv", rows)
    lost = Path(rows[-1]["path"])
    config = tuned_config(Bundle.open(small_run.bundle), GENTLE)
    job = tuning.fine_tune(str(place), str(table), config)
    while not isinstance(next(job), ExtractDone):
        pass
    away = lost.rename(lost.with_suffix(".away"))
    with pytest.raises(CohortError, match=f"slide .*{lost.name}' cannot be used"):
        list(job)
    assert not (place / "runs" / "fine-tune" / "settings.json").exists()
    away.rename(lost)
    *_, done = tuned(small_run, table, place)
    assert isinstance(done, FitDone)


def test_a_run_another_process_is_at_work_in_is_refused_before_any_extraction(
    small_run, added: Path, tmp_path: Path
) -> None:
    with (
        held(Workspace(tmp_path).run_dir("fine-tune")),
        pytest.raises(TrainingError, match="'fine-tune' is being trained by process"),
    ):
        tuned(small_run, added, tmp_path)
    assert not list(tmp_path.rglob("*.h5"))


def test_a_locked_slide_does_not_train(small_run, added: Path, place: Path) -> None:
    Workspace(place).locked_path.write_text("# for the last test\nnew-0\n")
    with pytest.raises(
        CohortError, match="'new-0' cannot be a val slide: it is on the l"
    ):
        tuned(small_run, added, place)
    table = changed(added, place / "t.csv", role="")
    tuned(small_run, table, place)
    splits = _rows(place / "runs" / "fine-tune" / "splits.csv")
    assert {row["slide"]: row["role"] for row in splits}["new-0"] == "test"


def test_a_site_of_one_class_is_refused_before_any_extraction(
    small_run, added: Path, tmp_path: Path
) -> None:
    rows = [{**row, "site": row["label"]} for row in _rows(added)]
    table = _write(tmp_path / "t.csv", rows)
    with pytest.raises(CohortError, match="would learn the scanner"):
        tuned(small_run, table, tmp_path)
    assert not list(tmp_path.rglob("*.h5"))


def test_a_new_class_of_few_patients_is_refused(
    small_run, added: Path, tmp_path: Path
) -> None:
    rows = _rows(added)
    rows[-1]["label"] = "lymphoma"
    with pytest.raises(CohortError, match="yes / no model"):
        tuned(small_run, _write(tmp_path / "t.csv", rows), tmp_path)


def test_fine_tuning_needs_a_model() -> None:
    with pytest.raises(ConfigError, match="name it in start_from"):
        list(tuning.fine_tune("", "", TrainConfig()))


def test_the_command_line_fine_tunes(small_run, added: Path, place: Path) -> None:
    arguments = ["train", str(added), "--from", small_run.bundle, "--tune", "head"]
    arguments += ["--workspace", str(place), "--epochs", "1", "--device", "cpu"]
    done = runner.invoke(cli.app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    child = Bundle.open(place / "runs" / "fine-tune" / "bundle")
    assert child.config.trained["parent"]["tuned"] == "head"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--encoder", "resnet50"], "--encoder"),
        (["--preset", "recommended"], "a preset"),
        (["--cv", "5"], "a study"),
        (["--model", "transmil"], "cannot change"),
        (["--old-checked", "perhaps"], "old_checked"),
    ],
)
def test_what_cannot_change_is_refused(
    small_run, added: Path, more: list[str], said: str
) -> None:
    arguments = ["train", str(added), "--from", small_run.bundle, *more]
    with pytest.raises(ConfigError, match=said):
        runner.invoke(cli.app, arguments, catch_exceptions=False)


def adjusted(small_run, table: Path, out: Path, place: Path) -> tuning.CutoffDone:
    *_, done = tuning.adjust_cutoff(
        small_run.bundle, str(table), str(out), str(place), "cpu"
    )
    assert isinstance(done, tuning.CutoffDone)
    return done


def test_the_cutoff_alone_is_chosen_on_the_slides_given(
    small_run, added: Path, place: Path
) -> None:
    done = adjusted(small_run, added, place / "site-b", place)
    new, old = Bundle.open(done.bundle_path), Bundle.open(small_run.bundle)
    assert (new.config.cutoff.n, new.config.cutoff.where) == (8, "scanner B")
    assert new.config.cutoff.value != old.config.cutoff.value
    weights = "model.safetensors"
    ours, theirs = new.tensors(), old.tensors()
    assert all((ours[name] == theirs[name]).all() for name in theirs), weights
    # these slides can judge the new model no more, and the old ones still cannot
    assert new.config.role_of("new-0") == "val"
    assert set(old.config.roles.items()) <= set(new.config.roles.items())
    assert "The cut-off alone is new; nothing was trained" in new.card
    assert "set on 8 scanner B slides" in new.card


def test_a_cutoff_is_not_written_over_a_model(
    small_run, added: Path, place: Path
) -> None:
    before = (Path(small_run.bundle) / "config.json").read_bytes()
    with pytest.raises(BundleError, match="there is a model"):
        adjusted(small_run, added, Path(small_run.bundle), place)
    assert (Path(small_run.bundle) / "config.json").read_bytes() == before


def test_a_cutoff_is_not_chosen_on_training_slides(small_run, tmp_path: Path) -> None:
    splits = _rows(Path(small_run.bundle).parent / "splits.csv")
    table = _write(
        tmp_path / "t.csv", [row for row in splits if row["role"] == "train"]
    )
    with pytest.raises(CohortError, match="not trained on, and none is"):
        adjusted(small_run, table, tmp_path / "out", Path(small_run.workspace))


def test_a_cutoff_needs_both_classes(small_run, added: Path, place: Path) -> None:
    rows = [row for row in _rows(added) if row["label"] == "normal"]
    with pytest.raises(CohortError, match="none is 'tumour'"):
        adjusted(small_run, _write(place / "t.csv", rows), place / "o", place)


def test_the_command_line_adjusts_a_cutoff(small_run, added: Path, place: Path) -> None:
    arguments = ["cutoff", small_run.bundle, str(added), "--out", str(place / "new")]
    done = runner.invoke(
        cli.app, [*arguments, "--workspace", str(place)], catch_exceptions=False
    )
    assert done.exit_code == 0
    assert Bundle.open(place / "new").config.name == "new"


def test_training_anew_watches_a_slide_and_can_be_ended(
    small_run, tmp_path: Path
) -> None:
    config = TrainConfig(epochs=4, device="cpu", threads=1, recipe="plain")
    extract = ExtractConfig(mpp=1.0, patch_model_px=64, device="cpu")
    place = Path(small_run.workspace)
    table, run = str(place / "cohort.csv"), tmp_path.name
    events = []
    for event in pipeline.train(
        str(place), table, config, extract, run, watch=small_run.slides[0]
    ):
        events.append(event)
        if isinstance(event, SlideWatched) and event.epoch == 2:
            break
    limits = [e.result.evidence_limits for e in events if isinstance(e, SlideWatched)]
    assert (limits[0] <= limits[1]).all()
    *_, done = pipeline.train(str(place), table, config, extract, run, finish="last")
    assert isinstance(done, FitDone)
    # what was watched comes before its epoch's own event, so the second epoch is kept
    assert Bundle.open(done.bundle_path).config.trained["epochs"] == 2


def test_a_slide_that_cannot_be_watched_stops_no_training(
    small_run, tmp_path: Path
) -> None:
    config = TrainConfig(epochs=1, device="cpu", threads=1, recipe="plain")
    extract = ExtractConfig(mpp=1.0, patch_model_px=64, device="cpu")
    place = Path(small_run.workspace)
    *events, done = pipeline.train(
        str(place),
        str(place / "cohort.csv"),
        config,
        extract,
        tmp_path.name,
        watch=str(tmp_path / "gone.tif"),
    )
    assert isinstance(done, FitDone)
    assert any(isinstance(e, Note) and "is not watched" in e.text for e in events)
