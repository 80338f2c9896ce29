"""Regions as hints: which patches they teach, what is said of the rest, how a run keeps them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_bags import CLASSES, make_bag

from napari_mhim.errors import (
    CohortError,
    FeatureMismatchError,
    RegionError,
    TrainingError,
)
from napari_mhim.mil.bags import Bag
from napari_mhim.mil.exclusions import without
from napari_mhim.mil.hints import hint_counts, hinted, hinted_bags, settled
from napari_mhim.slide.regions import Region, SlideIdentity, region, write_regions

CLASSES_3 = ("normal", "stroma", "tumour")


def over(bag: Bag, rows: range, class_name: str, kind: str = "hint") -> Region:
    """Draw round the patches of some rows of a grid with seven columns."""
    corners = bag.grid.corners[list(rows)]
    (top, left), (bottom, right) = corners.min(axis=0), corners.max(axis=0)
    height, width = bag.grid.patch_px
    bottom, right = bottom + height, right + width
    outline = np.array([[top, left], [top, right], [bottom, right], [bottom, left]])
    return region(outline, kind=kind, class_name=class_name)


def draw(folder: Path, bag: Bag, *regions: Region, **changes: object) -> Path:
    path = folder / f"{bag.name}.geojson"
    identity = SlideIdentity(bag.name, bag.fingerprint, bag.slide_shape)
    write_regions(path, regions, replace(identity, **changes))
    return path


def notes_of(bag: Bag, path: Path, classes: tuple[str, ...] = CLASSES) -> list[str]:
    _, said = hinted_bags({bag.name: bag}, {bag.name: path}, classes, [bag.name])
    return list(said)


def test_patches_inside_get_the_class_and_no_others(tmp_path: Path) -> None:
    bag = make_bag(1, 1)
    path = draw(tmp_path, bag, over(bag, range(7, 10), "tumour"))
    hints = hinted(bag, path, CLASSES).hints
    assert np.flatnonzero(hints == 1).tolist() == [7, 8, 9]
    assert (np.delete(hints, [7, 8, 9]) == -1).all()


def test_exclusions_and_notes_are_no_hints(tmp_path: Path) -> None:
    bag = make_bag(1, 1)
    others = [over(bag, range(3), "tumour", kind) for kind in ("exclude", "note")]
    assert hinted(bag, draw(tmp_path, bag, *others), CLASSES) is bag


def test_the_order_of_regions_and_of_classes_does_not_matter(tmp_path: Path) -> None:
    bag = make_bag(1, 1)
    drawn = [over(bag, range(7, 12), "tumour"), over(bag, range(10, 13), "normal")]
    one = hinted(bag, draw(tmp_path, bag, *drawn), CLASSES).hints
    two = hinted(bag, draw(tmp_path, bag, *drawn[::-1]), CLASSES[::-1]).hints
    names = [np.array([*order, "none"]) for order in (CLASSES, CLASSES[::-1])]
    assert (names[0][one] == names[1][two]).all()
    assert set(names[0][one]) == {"normal", "tumour", "none"}


def test_a_patch_in_regions_of_two_classes_is_a_hint_of_neither(tmp_path: Path) -> None:
    bag = make_bag(1, 1)
    drawn = [over(bag, range(7, 12), "tumour"), over(bag, range(10, 13), "normal")]
    path = draw(tmp_path, bag, *drawn)
    assert (hinted(bag, path, CLASSES).hints[10:12] == -1).all()
    assert any(
        "2 patches lie in regions of two classes" in n for n in notes_of(bag, path)
    )


def test_what_is_excluded_takes_its_hint_along(tmp_path: Path) -> None:
    bag = make_bag(1, 1)
    bag = hinted(bag, draw(tmp_path, bag, over(bag, range(7, 10), "tumour")), CLASSES)
    left = without(bag, np.arange(len(bag)) < 8)
    assert np.flatnonzero(left.hints == 1).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("class_name", "meant"),
    [("tumor", "is it 'tumour'"), ("gland", "no class of this model (normal, tumour)")],
)
def test_an_unknown_class_is_named_and_teaches_nothing(
    tmp_path: Path, class_name: str, meant: str
) -> None:
    bag = make_bag(1, 1)
    path = draw(tmp_path, bag, over(bag, range(7, 10), class_name))
    assert hinted(bag, path, CLASSES).hints is None
    joins, unknown = notes_of(bag, path)
    assert joins.startswith("No training slide has a region named with a class")
    assert repr(class_name) in unknown
    assert meant in unknown


def test_a_region_outside_the_tissue_is_told(tmp_path: Path) -> None:
    bag = make_bag(1, 1)
    apart = np.array([[0, 0], [0, 2.0], [2.0, 2.0], [2.0, 0]])
    nowhere = region(apart, kind="hint", class_name="tumour")
    path = draw(tmp_path, bag, nowhere, over(bag, range(2), "tumour"))
    said = notes_of(bag, path)
    assert said[0] == (
        "1 region joins the training as hints: 2 patches tumour on 1 slide."
    )
    assert "1 region of slide 'slide-01' held no patch" in said[1]


def test_regions_of_another_slide_are_refused(tmp_path: Path) -> None:
    bag = make_bag(1, 1)
    drawn = over(bag, range(3), "tumour")
    path = draw(tmp_path, bag, drawn, name="other", fingerprint="f" * 64)
    with pytest.raises(RegionError, match="regions of slide 'other'"):
        hinted(bag, path, CLASSES)


def test_slides_that_judge_are_never_hinted(tmp_path: Path) -> None:
    bags = {bag.name: bag for bag in (make_bag(1, 1), make_bag(3, 1))}
    paths = {
        name: draw(tmp_path, bag, over(bag, range(7, 10), "tumour"))
        for name, bag in bags.items()
    }
    made, said = hinted_bags(bags, paths, CLASSES, ["slide-01"])
    assert made["slide-01"].hints is not None
    assert made["slide-03"].hints is None
    assert "only training slides teach (slide-03)" in said[1]


def test_a_slide_that_judges_and_has_exclusions_alone_is_not_worth_a_word(
    tmp_path: Path,
) -> None:
    bag = make_bag(1, 1)
    path = draw(tmp_path, bag, over(bag, range(3), "", "exclude"))
    _, said = hinted_bags({bag.name: bag}, {bag.name: path}, CLASSES, [])
    assert len(said) == 1


def test_features_without_positions_have_no_hints_and_it_is_said(
    tmp_path: Path,
) -> None:
    bag = make_bag(1, 1)
    path = draw(tmp_path, bag, over(bag, range(3), "tumour"))
    bare = replace(bag, grid=None)
    assert hinted(bare, path, CLASSES) is bare
    assert any("without positions" in note for note in notes_of(bare, path))
    left_out = draw(tmp_path, bag, over(bag, range(3), "", "exclude"))
    assert len(notes_of(bare, left_out)) == 1


def test_a_region_that_denies_the_label_is_told(tmp_path: Path) -> None:
    normal, tumour = make_bag(0, 0), make_bag(1, 1)
    drawn = draw(tmp_path, normal, over(normal, range(3), "tumour"))
    assert any("one of the two is wrong" in note for note in notes_of(normal, drawn))
    healthy = draw(tmp_path, tumour, over(tumour, range(3), "normal"))
    assert len(notes_of(tumour, healthy)) == 1


def test_counts_add_up(tmp_path: Path) -> None:
    bag, other = make_bag(1, 1), make_bag(3, 1)
    bag = replace(bag, hints=np.repeat([2, 0, -1], 20).astype(np.int16))
    other = replace(other, hints=np.full(60, 1, np.int16))
    counts = hint_counts([bag, other, make_bag(5, 1)], CLASSES_3)
    assert counts.text == "20 patches tumour, 60 stroma, 20 normal on 2 slides"


def test_hints_are_one_for_each_patch() -> None:
    with pytest.raises(FeatureMismatchError, match="one class, or -1, for each row"):
        replace(make_bag(1, 1), hints=np.zeros(3, np.int16))


def with_hint(bag: Bag, rows: slice, place: int = 1) -> Bag:
    hints = np.full(len(bag), -1, np.int16)
    hints[rows] = place
    return replace(bag, hints=hints)


def test_a_run_goes_on_with_the_hints_it_began_with(tmp_path: Path) -> None:
    bags = [with_hint(make_bag(1, 1), slice(0, 5)), make_bag(3, 1)]
    assert settled(tmp_path, bags, CLASSES) == (bags, "")
    again, said = settled(tmp_path, bags, CLASSES)
    assert (said, again[0].hints is bags[0].hints) == ("", True)
    since = [make_bag(1, 1), with_hint(make_bag(3, 1), slice(4, 8), 0)]
    kept, said = settled(tmp_path, since, CLASSES)
    assert "goes on with the hints it began with" in said
    assert (kept[0].hints == bags[0].hints).all()
    assert kept[1].hints is None


def test_a_run_whose_slides_have_other_patches_now_is_refused(tmp_path: Path) -> None:
    bag = with_hint(make_bag(1, 1), slice(0, 5))
    settled(tmp_path, [bag], CLASSES)
    fewer = without(bag, np.arange(60) < 3)
    with pytest.raises(
        TrainingError, match="60 patches of slide 'slide-01', which has 57"
    ):
        settled(tmp_path, [fewer], CLASSES)


def test_a_hint_of_no_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"class 2, there are 2 \(normal, tumour\)"):
        settled(tmp_path, [with_hint(make_bag(1, 1), slice(2), 2)], CLASSES)
