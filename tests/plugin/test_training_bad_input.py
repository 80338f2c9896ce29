"""What cannot be trained on is refused before the start, in words that say what to do."""

from dataclasses import replace
from pathlib import Path

import pytest

from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.plugin import sample_data
from napari_mhim.plugin import training_words as said
from napari_mhim.plugin.state.training import CUTOFF, NEW, TUNE, TrainingState
from napari_mhim.workspace import Workspace

LEARNT = "case-02"
"""A slide the sample model was trained on."""


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    found = Bundle.open(sample_data.folder() / "bundle")
    assert found.config.role_of(LEARNT) == "train"
    return found


def rows(n: int = 24, **changes: str) -> list[CohortRow]:
    labels = ("normal", "tumour")
    made = (CohortRow(f"new-{i}", label=labels[i % 2]) for i in range(n))
    return [replace(row, **changes) for row in made]


def refused(
    found: list[CohortRow], place: Path, bundle: Bundle, way: str = TUNE, **more: str
) -> str:
    state = TrainingState(way=way, table="t.csv", run="r", **more)
    state.look(Cohort.of(found), Workspace(place), bundle)
    reason = state.can_start(True, False)
    assert reason is None or state.split is None
    return reason or ""


def test_slides_without_fault_are_not_refused(tmp_path: Path, bundle: Bundle) -> None:
    for way in (CUTOFF, TUNE, NEW):
        assert refused(rows(site="B"), tmp_path, bundle, way) == ""


def test_a_new_scanner_of_one_class_is_refused_with_its_table(
    tmp_path: Path, bundle: Bundle
) -> None:
    mixed = [replace(row, site="A" if row.label == "normal" else "B") for row in rows()]
    reason = refused(mixed, tmp_path, bundle)
    assert "would learn the scanner" in reason
    assert "add slides of another class from 'A'" in reason


def test_old_slides_of_that_scanner_make_one_class_enough(
    tmp_path: Path, bundle: Bundle
) -> None:
    added = [replace(row, site="A" if row.label == "normal" else "B") for row in rows()]
    old = [
        CohortRow(LEARNT, label="tumour", site="A"),
        CohortRow(f"{LEARNT}-b", label="normal", site="B", role="train"),
    ]
    Cohort.of(old, bundle.config.classes).write(tmp_path / "old.csv")
    reason = refused(added, tmp_path, bundle, mix=str(tmp_path / "old.csv"))
    assert reason == ""


def test_a_new_class_of_few_patients_is_refused_with_what_to_do_instead(
    tmp_path: Path, bundle: Bundle
) -> None:
    few = [*rows(), *(CohortRow(f"x-{i}", label="lymphoma") for i in range(9))]
    assert "yes / no model (lymphoma or not)" in refused(few, tmp_path, bundle)


@pytest.mark.parametrize(
    ("checked", "word"), [("no", "no"), ("unknown", "unknown"), ("yes", "")]
)
def test_old_slides_must_have_been_checked_for_a_new_class(
    tmp_path: Path, bundle: Bundle, checked: str, word: str
) -> None:
    added = [*rows(), *(CohortRow(f"x-{i}", label="lymphoma") for i in range(12))]
    old = [CohortRow(LEARNT, label="tumour")]
    Cohort.of(old, bundle.config.classes).write(tmp_path / "old.csv")
    asked = {"mix": str(tmp_path / "old.csv"), "old_checked": checked}
    reason = refused(added, tmp_path, bundle, **asked)
    assert (f"checked for it: {word}" in reason) == bool(word)


def test_a_slide_the_model_learnt_from_judges_no_child(
    tmp_path: Path, bundle: Bundle
) -> None:
    own = CohortRow(LEARNT, label="tumour", role="val")
    reason = refused([*rows(role="train"), own], tmp_path, bundle)
    assert f"Slide {LEARNT!r} cannot be a val slide" in reason


@pytest.mark.parametrize("way", [TUNE, NEW])
def test_one_class_only_is_refused(tmp_path: Path, bundle: Bundle, way: str) -> None:
    assert refused(rows(label="tumour"), tmp_path, bundle, way) != ""


def test_a_cutoff_of_one_class_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    reason = refused(rows(label="tumour"), tmp_path, bundle, CUTOFF)
    assert "needs slides of both classes" in reason


def test_a_cutoff_is_not_chosen_on_what_was_learnt_from(
    tmp_path: Path, bundle: Bundle
) -> None:
    state = TrainingState(way=CUTOFF)
    own = CohortRow(LEARNT, label="tumour")
    state.look(Cohort.of([*rows(), own]), Workspace(tmp_path), bundle)
    assert state.split.counts == {"val": ((12, 12), (12, 12))}


def test_a_model_of_an_encoder_we_do_not_have_wants_its_features(
    tmp_path: Path, bundle: Bundle
) -> None:
    config = replace(
        bundle.config, extract=replace(bundle.config.extract, encoder="uni2")
    )
    foreign = Bundle(bundle.path, config, bundle.id)
    for way in (CUTOFF, TUNE):
        reason = refused(rows(site="B"), tmp_path, foreign, way)
        assert "wants features of encoder 'uni2'" in reason
        assert "texture" in reason
        given = {"features": str(tmp_path)}
        assert refused(rows(site="B"), tmp_path, foreign, way, **given) == ""


def test_slides_of_each_site_and_class_are_shown(
    tmp_path: Path, bundle: Bundle
) -> None:
    some = rows()
    found = [replace(row, site="AB"[i // 12]) for i, row in enumerate(some)]
    found.append(CohortRow("odd", label="normal", site="C <b>"))
    state = TrainingState(way=NEW)
    state.look(Cohort.of(found), Workspace(tmp_path), None)
    assert state.split.sites == {"A": (6, 6), "B": (6, 6), "C <b>": (1, 0)}
    text = said.split_table(state.split)
    assert "C &lt;b&gt;" in text
    assert f"are of one class: {said.CONFOUNDED}" in text
    state.look(Cohort.of(some), Workspace(tmp_path), None)
    assert "Slides by site" not in said.split_table(state.split)
