import csv
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from napari_mhim.errors import ConfigError, WorkspaceError
from napari_mhim.events import Progress
from napari_mhim.phantom import (
    DEMO,
    CohortConfig,
    PhantomConfig,
    cohort_plan,
    read_truth,
    render,
    write_cohort,
)
from napari_mhim.slide.tiling import GridConfig, patch_grid

TINY = CohortConfig(slide=PhantomConfig(shape=(400, 560)))
ROLES = {"train", "val", "test"}


def kind(slide) -> str:
    return "+".join(k for k in ("easy", "hard") if getattr(slide.config, k))


@pytest.mark.parametrize("n_slides", [12, 13, 24, 37, 60, 200])
@pytest.mark.parametrize("seed", [0, 1, 5])
def test_every_role_has_every_kind_of_slide(n_slides, seed) -> None:
    plan = cohort_plan(n_slides, seed)
    assert len(plan) == n_slides
    found = {(slide.role, kind(slide)) for slide in plan}
    assert found == {(role, k) for role in ROLES for k in ("", "hard", "easy+hard")}


@pytest.mark.parametrize("seed", range(8))
def test_a_patient_has_one_role_one_label_and_at_most_two_slides(seed) -> None:
    of = defaultdict(list)
    for slide in cohort_plan(60, seed):
        of[slide.patient].append(slide)
    assert max(map(len, of.values())) == 2
    for slides in of.values():
        assert len({slide.role for slide in slides}) == 1
        assert len({slide.config.label for slide in slides}) == 1


def test_half_of_the_slides_are_positive_and_a_quarter_of_those_hard_only() -> None:
    kinds = [kind(slide) for slide in cohort_plan(DEMO.n_slides, 0)]
    positive = [k for k in kinds if k]
    assert len(positive) == len(kinds) / 2
    assert 0.15 <= positive.count("hard") / len(positive) <= 0.27


def test_enough_slides_are_held_out() -> None:
    held_out = [s for s in cohort_plan(DEMO.n_slides, 0) if s.role == "test"]
    assert len(held_out) >= 16
    assert sum(kind(slide) == "hard" for slide in held_out) >= 2


def test_names_and_patients_do_not_give_the_label_away() -> None:
    agree = []
    for seed in range(20):
        labels = np.array([s.config.label == "tumour" for s in cohort_plan(40, seed)])
        agree.append(np.corrcoef(np.arange(40), labels)[0, 1])
    assert abs(np.mean(agree)) < 0.15


def test_a_plan_depends_on_its_seed_alone() -> None:
    assert cohort_plan(20, 7) == cohort_plan(20, 7)
    assert cohort_plan(20, 7) != cohort_plan(20, 8)


def test_no_two_slides_share_a_seed() -> None:
    seeds = [s.config.seed for cohort in range(4) for s in cohort_plan(60, cohort)]
    assert len(set(seeds)) == len(seeds)


def test_pens_are_on_slides_of_both_labels() -> None:
    drawn = {
        s.config.label
        for seed in range(5)
        for s in cohort_plan(60, seed)
        if s.config.pen
    }
    assert drawn == {"normal", "tumour"}


def test_too_few_slides_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"12 slides or more.*got 11"):
        cohort_plan(11, 0)


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_lesions_fill_the_shares_they_should(seed) -> None:
    config = PhantomConfig(CohortConfig().slide.shape, easy=True, hard=True, seed=seed)
    phantom = render(config)
    grid = patch_grid(
        config.shape, config.mpp, None, GridConfig(DEMO.mpp, DEMO.patch_model_px)
    )
    rows, cols = (n // DEMO.patch_model_px for n in config.shape)
    tissue = (phantom.rgb.min(axis=2) < 222)[: rows * 128, : cols * 128]
    share = tissue.reshape(rows, 128, cols, 128).mean(axis=(1, 3))
    n_patches = (share >= 0.25).sum()
    labels = phantom.truth.patch_labels(grid)
    assert 0.02 <= (labels == 1).sum() / n_patches <= 0.105
    # above the share of the area: the last focus overshoots, and edges count from 1/4 on
    assert 0.02 <= (labels == 2).sum() / n_patches <= 0.09
    assert 200 <= n_patches <= 500


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    return folder, list(write_cohort(folder, 12, 1, TINY))


def table(folder) -> list[dict[str, str]]:
    with (folder / "cohort.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_progress_counts_the_slides(cohort) -> None:
    events = cohort[1]
    assert all(isinstance(event, Progress) for event in events)
    assert [event.done for event in events] == list(range(1, 13))
    assert {event.total for event in events} == {12}


def test_the_table_names_slides_that_are_there(cohort) -> None:
    folder = cohort[0]
    rows = table(folder)
    assert [row["slide"] for row in rows] == [f"case-{n:02d}" for n in range(1, 13)]
    for row in rows:
        assert (folder / row["path"]).is_file()
        has_lesion = any(read_truth(folder / row["path"]).polygons.values())
        assert has_lesion == (row["label"] == "tumour")
    assert {row["role"] for row in rows} == ROLES


def test_the_table_is_there_before_the_last_event(tmp_path, cohort) -> None:
    events = write_cohort(cohort[0], 12, 1, TINY)
    for _ in range(12):
        next(events)
    assert (cohort[0] / "cohort.csv").is_file()
    events.close()


def test_slides_that_are_there_are_kept(cohort) -> None:
    slides = sorted((cohort[0] / "slides").glob("*.tif"))
    before = [path.stat().st_mtime_ns for path in slides]
    list(write_cohort(cohort[0], 12, 1, TINY))
    assert [path.stat().st_mtime_ns for path in slides] == before


def test_slides_of_other_settings_are_replaced(tmp_path) -> None:
    list(write_cohort(tmp_path, 12, 1, TINY))
    first = (tmp_path / "slides" / "case-01.tif").read_bytes()
    other = replace(TINY, slide=PhantomConfig(shape=(400, 512)))
    list(write_cohort(tmp_path, 12, 1, other))
    assert (tmp_path / "slides" / "case-01.tif").read_bytes() != first


def test_stopping_leaves_whole_slides_and_no_table(tmp_path) -> None:
    events = write_cohort(tmp_path, 12, 1, TINY)
    next(events)
    events.close()
    assert not (tmp_path / "cohort.csv").exists()
    names = {path.name.split(".")[0] for path in (tmp_path / "slides").iterdir()}
    for name in names:
        assert (tmp_path / "slides" / f"{name}.tif").is_file()
        read_truth(tmp_path / "slides" / f"{name}.tif")


def test_a_folder_that_cannot_be_written_is_named(tmp_path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(WorkspaceError, match="taken"):
        list(write_cohort(tmp_path / "taken", 12, 1, TINY))
