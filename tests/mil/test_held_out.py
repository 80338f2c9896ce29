"""Which slides may judge a model: none it has learnt from, by name, patient or content."""

from dataclasses import replace

import numpy as np
import pytest

from napari_mhim.errors import CohortError, ConfigError
from napari_mhim.features.config import ExtractConfig
from napari_mhim.mil.bags import Bag
from napari_mhim.mil.bundle_config import BundleConfig, salted_roles
from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.mil.held_out import choose, refuse_known


def bag(name: str) -> Bag:
    return Bag(name, np.ones((2, 3), np.float32), fingerprint=f"print of {name}")


def model(**by_role: list[str]) -> BundleConfig:
    bags = {role: [bag(name) for name in names] for role, names in by_role.items()}
    salt, roles = salted_roles(bags)
    return BundleConfig(
        name="made",
        model="abmil",
        in_dim=3,
        classes=("normal", "tumour"),
        encoder_id="texture#made",
        extract=ExtractConfig(),
        salt=salt,
        roles=roles,
    )


def table(*names: str, **changes: str) -> Cohort:
    rows = [CohortRow(name, label="tumour", **changes) for name in names]
    return Cohort.of(rows, ("normal", "tumour"))


KNOWN = model(train=["a", "b"], val=["c"], test=["d"])


def chosen(cohort: Cohort, asked: str = "test", config: BundleConfig = KNOWN) -> list:
    return [row.slide for row in choose(cohort, config, asked).rows]


def test_a_table_without_roles_is_sorted_by_what_the_model_knows() -> None:
    cohort = table("a", "b", "c", "d", "new")
    assert chosen(cohort) == ["d", "new"]
    assert chosen(cohort, "val") == ["c"]
    assert chosen(cohort, "train") == ["a", "b"]
    assert chosen(cohort, "all") == ["a", "b", "c", "d", "new"]
    assert "3 slides that are not held out" in choose(cohort, KNOWN).notes[0]


def test_slides_of_a_trained_patient_are_not_held_out() -> None:
    rows = [
        CohortRow("a", label="tumour", patient="p"),
        CohortRow("later", label="tumour", patient="p"),
        CohortRow("new", label="normal", patient="q"),
    ]
    assert chosen(Cohort.of(rows)) == ["new"]
    assert chosen(Cohort.of(rows), "train") == ["a", "later"]


@pytest.mark.parametrize(
    "rows",
    [
        [CohortRow("a", label="tumour", role="test")],
        [
            CohortRow("a", label="tumour", patient="p", role="test"),
            CohortRow("x", label="tumour", patient="p", role="test"),
        ],
    ],
)
def test_a_table_that_calls_a_training_slide_held_out_is_refused(rows: list) -> None:
    cohort = Cohort.of([*rows, CohortRow("new", label="normal", role="test")])
    with pytest.raises(CohortError, match=r"calls 'a'.* held out, .*training slide"):
        choose(cohort, KNOWN)
    assert "a" in chosen(cohort, "train")


def test_the_tables_roles_count_for_slides_the_model_does_not_know() -> None:
    rows = [
        CohortRow(name, label="normal", role=role)
        for name, role in (("x", "train"), ("y", "val"), ("z", "test"))
    ]
    assert chosen(Cohort.of(rows)) == ["z"]


@pytest.mark.parametrize("asked", ["train", "val", "all"])
def test_slides_the_model_has_seen_are_called_flattering(asked: str) -> None:
    notes = choose(table("a", "c"), KNOWN, asked).notes
    assert any("say nothing about new slides" in note for note in notes)


def test_a_model_that_names_no_slides_is_told() -> None:
    notes = choose(table("a"), replace(KNOWN, roles={})).notes
    assert "cannot be checked" in notes[-1]


def test_none_left_says_what_there_is() -> None:
    with pytest.raises(CohortError, match=r"\(there are: 2 train, 1 val\)"):
        choose(table("a", "b", "c"), KNOWN)


def test_slides_without_a_class_are_left_out_and_counted() -> None:
    rows = [
        CohortRow("x", label="tumour"),
        CohortRow("y", label="uncertain"),
        CohortRow("z"),
    ]
    found = choose(Cohort.of(rows), KNOWN)
    assert [row.slide for row in found.rows] == ["x"]
    assert found.notes == ("2 slides without a class to judge by are left out.",)


def test_a_label_the_model_does_not_know_is_one_sentence() -> None:
    rows = [CohortRow("x", label="metastasis"), CohortRow("y", label="metastasis")]
    with pytest.raises(
        CohortError,
        match=r"'x' and 1 more is labelled 'metastasis', .* knows normal, tumour",
    ):
        choose(Cohort.of(rows), KNOWN)


def test_a_renamed_training_slide_is_known_by_its_fingerprint() -> None:
    renamed = replace(bag("a"), name="another")
    with pytest.raises(CohortError, match="'another' is a training slide of model"):
        refuse_known(renamed, KNOWN, "test")
    refuse_known(renamed, KNOWN, "train")
    refuse_known(bag("d"), KNOWN, "test")
    refuse_known(replace(bag("new"), fingerprint=""), KNOWN, "test")


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(ConfigError, match="test, val, train, all; got 'testing'"):
        choose(table("d"), KNOWN, "testing")
