"""What holds between a model and the one that goes on from it."""

from dataclasses import replace
from typing import get_args

import pytest

from napari_mhim.errors import CohortError, ConfigError
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.bundle_config import BundleConfig, salted
from napari_mhim.mil.cohort import Cohort, CohortRow
from napari_mhim.mil.config import Tune
from napari_mhim.mil.parent import (
    GENTLE_RATE,
    HEAD_RATE,
    child_classes,
    mixed,
    refuse_confounded,
    refuse_learnt,
    refuse_new_class,
    tuned_config,
    with_known_roles,
)


@pytest.fixture
def parent(bundle: Bundle) -> BundleConfig:
    return bundle.config  # slides 0 to 7 train, 8 to 11 validate


def row(index: int, label: str = "normal", **more: str) -> CohortRow:
    values = {"patient": f"patient-{index:02d}", **more}
    return CohortRow(slide=f"slide-{index:02d}", label=label, **values)


def test_the_parent_gives_model_recipe_and_the_share_it_hides(bundle: Bundle) -> None:
    config = tuned_config(bundle)
    assert (config.model, dict(config.model_options)) == (
        bundle.config.model,
        dict(bundle.config.model_options),
    )
    assert config.recipe_options["mask_ratio_high"] == bundle.config.mask_ratio_high
    assert config.fine_tune
    assert config.start_from == str(bundle.path)
    assert config.lr < 2e-4
    assert config.epochs < 100


def test_a_head_alone_learns_faster_than_a_whole_model(bundle: Bundle) -> None:
    rates = [tuned_config(bundle, {"tune": t}).lr for t in get_args(Tune)]
    assert rates == [HEAD_RATE if t == "head" else GENTLE_RATE for t in get_args(Tune)]
    assert HEAD_RATE > 10 * GENTLE_RATE


def test_what_is_asked_for_goes_over_the_parents_settings(bundle: Bundle) -> None:
    asked = {"lr": 1e-3, "tune": "head", "recipe_options": {"consistency_weight": 0.5}}
    config = tuned_config(bundle, asked)
    assert (config.lr, config.tune) == (1e-3, "head")
    assert config.recipe_options["consistency_weight"] == 0.5
    assert config.recipe_options["mask_ratio_high"] == bundle.config.mask_ratio_high


@pytest.mark.parametrize(
    "asked", [{"model": "transmil"}, {"model_options": {"hidden": 32}}]
)
def test_model_and_width_cannot_change(bundle: Bundle, asked: dict) -> None:
    with pytest.raises(ConfigError, match=r"cannot change to .*train a new model"):
        tuned_config(bundle, asked)


def test_dropout_can_change(bundle: Bundle) -> None:
    config = tuned_config(bundle, {"model_options": {"dropout": 0.5}})
    assert config.model_options == {**bundle.config.model_options, "dropout": 0.5}


def test_new_classes_come_before_the_class_of_interest(parent: BundleConfig) -> None:
    labels = ["tumour", "normal", "uncertain", "", "lymphoma", "adenoma"]
    assert child_classes(parent, labels) == ("normal", "adenoma", "lymphoma", "tumour")
    assert child_classes(parent, ["tumour"]) == parent.classes


def test_a_class_is_not_added_behind_another_class_of_interest(
    parent: BundleConfig,
) -> None:
    with pytest.raises(CohortError, match="class of interest is not its last"):
        child_classes(replace(parent, target=0), ["lymphoma"])


def test_a_new_class_needs_ten_patients(parent: BundleConfig) -> None:
    def table(n: int) -> Cohort:
        rows = [row(20 + i, "lymphoma") for i in range(n)]
        return Cohort.of([*rows, row(40)], ("normal", "lymphoma", "tumour"))

    refuse_new_class(table(10), parent, 0)
    with pytest.raises(CohortError, match=r"has 9 patients.*separate yes / no model"):
        refuse_new_class(table(9), parent, 0)


def test_two_slides_of_a_patient_are_one_patient(parent: BundleConfig) -> None:
    rows = [row(20 + i, "lymphoma", patient=f"p{i % 9}") for i in range(12)]
    with pytest.raises(CohortError, match="has 9 patients"):
        refuse_new_class(Cohort.of(rows, ("normal", "lymphoma", "tumour")), parent, 0)


@pytest.mark.parametrize("checked", ["no", "unknown"])
def test_old_slides_must_be_checked_for_a_new_class(
    parent: BundleConfig, checked: str
) -> None:
    rows = [row(20 + i, "lymphoma") for i in range(10)]
    table = Cohort.of(rows, ("normal", "lymphoma", "tumour"))
    with pytest.raises(CohortError, match="may hold 'lymphoma' unlabelled"):
        refuse_new_class(table, parent, 3, checked)
    refuse_new_class(table, parent, 3, "yes")


@pytest.mark.parametrize("role", ["val", "test"])
def test_a_training_slide_of_the_parent_judges_no_child(
    parent: BundleConfig, role: str
) -> None:
    with pytest.raises(CohortError, match=rf"'slide-03' cannot be a {role} slide"):
        refuse_learnt([row(20, role="train"), row(3, role=role)], parent)
    refuse_learnt([row(3, role="train")], parent)


def test_nor_does_another_slide_of_its_patient(parent: BundleConfig) -> None:
    other = row(20, role="val", patient="patient-03")
    with pytest.raises(
        CohortError, match=r"'slide-20'.*trained on 'slide-03' of the same"
    ):
        refuse_learnt([row(3, role="train"), other], parent)


def test_nor_does_a_renamed_file(parent: BundleConfig) -> None:
    with pytest.raises(CohortError, match="'slide-20' cannot be a val slide"):
        refuse_learnt([row(20, role="val")], parent, {"slide-20": f"{3:064x}"})


def test_a_validation_slide_of_the_parent_tests_no_child(parent: BundleConfig) -> None:
    with pytest.raises(CohortError, match="was chosen on it"):
        refuse_learnt([row(9, role="test")], parent)
    refuse_learnt([row(9, role="val")], parent)


def test_known_training_slides_stay_so_where_the_role_is_open(
    parent: BundleConfig,
) -> None:
    rows = [row(3), row(20, patient="patient-03"), row(21), row(4, role="val")]
    found = with_known_roles(Cohort.of(rows), parent)
    assert [r.role for r in found.rows] == ["train", "train", "", "val"]


def test_a_site_of_one_class_is_refused_with_the_table() -> None:
    added = [row(i, "normal", site="A") for i in range(3)]
    added += [row(9, "tumour", site="A"), row(10, "tumour", site="B")]
    with pytest.raises(
        CohortError, match=r"of site 'B'.*A: 3 normal, 1 tumour; B: 1 tum"
    ):
        refuse_confounded(added, [])
    refuse_confounded(added[:4], [])


def test_a_site_the_old_slides_have_may_add_one_class() -> None:
    old = [row(i, label, site="A") for i, label in enumerate(("normal", "tumour"))]
    refuse_confounded([row(9, "tumour", site="A")], old)


def test_added_slides_of_one_class_without_a_site_are_refused() -> None:
    old = [row(0, "normal"), row(1, "tumour")]
    with pytest.raises(CohortError, match="fill in the column 'site'"):
        refuse_confounded([row(9, "tumour"), row(10, "tumour")], old)


def test_old_slides_keep_their_roles(parent: BundleConfig) -> None:
    table = Cohort.of([row(20, role="train")], parent.classes)
    old = Cohort.of([row(0, role="val"), row(9), row(30), row(20, "tumour")])
    whole, names = mixed(table, old, parent)
    assert names == ("slide-00", "slide-09", "slide-30")
    roles = {r.slide: (r.role, r.label) for r in whole.rows}
    assert roles["slide-00"] == ("train", "normal")  # what the model says goes first
    assert roles["slide-09"] == ("val", "normal")
    assert roles["slide-20"] == ("train", "normal")  # of both tables, the child's


def test_the_parents_slides_are_known_by_salted_names(parent: BundleConfig) -> None:
    assert parent.roles[salted("slide-03", parent.salt)] == "train"
