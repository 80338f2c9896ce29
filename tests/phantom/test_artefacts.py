from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

import napari_mhim
from napari_mhim.errors import ConfigError
from napari_mhim.phantom import PhantomConfig, read_truth, render
from napari_mhim.phantom.fields import CELL_PX
from napari_mhim.phantom.write import is_written, write_phantom
from napari_mhim.slide import open_slide

CLEAN = PhantomConfig(shape=(1500, 1900), mpp=(0.5, 0.45), seed=4)
ARTEFACTS = ("fold", "blur", "bubble", "pen")


@pytest.fixture(scope="module")
def clean():
    return render(CLEAN)


def at_nodes(changed: np.ndarray) -> np.ndarray:
    """Give where anything changed round each node of a mask."""
    return ndimage.maximum_filter(changed, CELL_PX)[::CELL_PX, ::CELL_PX]


@pytest.mark.parametrize("name", ARTEFACTS)
def test_an_artefact_changes_its_own_place_and_nothing_else(name, clean):
    spoilt = render(replace(CLEAN, **{name: True}))
    changed = at_nodes((spoilt.rgb != clean.rgb).any(axis=2))
    mask = spoilt.masks[name][: changed.shape[0], : changed.shape[1]]
    # soft edges reach a little further than the truth
    assert not (changed & ~ndimage.binary_dilation(mask, iterations=8)).any()
    assert changed[mask].mean() > 0.95
    assert 0.003 < mask.mean() < 0.3


@pytest.mark.parametrize("name", ARTEFACTS)
def test_a_slide_without_it_has_no_truth_of_it(name, clean):
    assert not clean.masks[name].any()


def test_the_tissue_of_the_truth_is_what_absorbs(clean):
    dark = clean.rgb[::CELL_PX, ::CELL_PX].min(axis=2) < 225
    tissue = clean.masks["tissue"][: dark.shape[0], : dark.shape[1]]
    assert tissue[dark].mean() > 0.95


def test_a_fold_lets_less_light_through_and_blur_loses_detail(clean):
    spoilt = render(replace(CLEAN, fold=True, blur=True))
    nodes = tuple(n // CELL_PX for n in CLEAN.shape)
    at = {
        name: np.kron(spoilt.masks[name][: nodes[0], : nodes[1]], np.ones((8, 8))) > 0
        for name in ("fold", "blur")
    }
    before, after = (
        one.rgb[: nodes[0] * 8, : nodes[1] * 8].mean(axis=2) for one in (clean, spoilt)
    )
    assert after[at["fold"]].mean() < 0.9 * before[at["fold"]].mean()
    detail = [
        np.abs(ndimage.laplace(one))[at["blur"]].mean() for one in (before, after)
    ]
    assert detail[1] < 0.3 * detail[0]


@pytest.mark.parametrize("ink", ["blue", "green", "black", "red"])
def test_the_pen_has_the_ink_asked_for(ink, clean):
    drawn = render(replace(CLEAN, pen=True, ink=ink))
    nodes = drawn.masks["pen"][:-1, :-1]
    seen = drawn.rgb[::CELL_PX, ::CELL_PX][: nodes.shape[0], : nodes.shape[1]]
    red, green, blue = np.median(seen[nodes[: seen.shape[0], : seen.shape[1]]], axis=0)
    strongest = {"red": red, "green": green, "blue": blue}
    if ink == "black":
        assert max(strongest.values()) < 90
    else:
        assert max(strongest, key=strongest.get) == ink


def test_a_pale_stain_lets_more_light_through(clean):
    pale = render(replace(CLEAN, stain=(0.3, 0.3)))
    assert pale.rgb.mean() > clean.rgb.mean() + 10


@pytest.mark.parametrize("wrong", [{"ink": "violet"}, {"stain": (0.0, 1.0)}])
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        PhantomConfig(**wrong)


def test_a_slide_written_before_there_were_artefacts_is_kept(tmp_path):
    import json

    config = PhantomConfig(shape=(300, 400), seed=2)
    path = tmp_path / "old.tif"
    write_phantom(path, config)
    truth = tmp_path / "old.truth.json"
    content = json.loads(truth.read_text())
    for name in ("ink", "blur", "bubble", "fold", "stain"):
        del content["made_from"][name]
    truth.write_text(json.dumps(content))
    assert is_written(path, config)
    assert not is_written(path, replace(config, fold=True))


@pytest.mark.slow
def test_the_shipped_sample_is_made_again_from_its_settings():
    path = Path(napari_mhim.__file__).parent / "sample" / "hard.tiff"
    made = read_truth(path).made_from
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in made.items()}
    with open_slide(path) as slide:
        shipped = slide.read_region(0, 0, *slide.shape).astype(int)
    assert np.abs(shipped - render(PhantomConfig(**values)).rgb).mean() < 6
