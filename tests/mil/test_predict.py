"""Prediction: the student's view of the whole bag, the teacher's mask, honest about both."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_bags import CLASSES, make_bag, make_bags, small_config

from napari_mhim.errors import BundleError, FeatureMismatchError, StoreError
from napari_mhim.features.store import FeatureStore, StoreMeta, StoreWriter
from napari_mhim.mil.bags import Bag
from napari_mhim.mil.bundle import Bundle, save_bundle
from napari_mhim.mil.evaluate import auc
from napari_mhim.mil.predict import Predictor, predict
from napari_mhim.mil.result import SlideResult
from napari_mhim.mil.train import fit


@pytest.fixture
def bag() -> Bag:
    return make_bag(21, 1, n=47)


def test_probabilities_are_the_students_on_the_whole_bag(
    bundle: Bundle, bag: Bag
) -> None:
    result = predict(bundle, bag, "cpu")
    student = bundle.student()
    output = student(torch.from_numpy(bag.features))
    expected = output.logits.softmax(dim=-1).numpy()
    np.testing.assert_allclose(result.probabilities, expected, rtol=1e-5)
    assert result.probabilities.sum() == pytest.approx(1)
    assert len(result) == 47


def test_the_mask_is_the_teachers_top_share(bundle: Bundle, bag: Bag) -> None:
    result = predict(bundle, bag, "cpu")
    scores = bundle.teacher()(torch.from_numpy(bag.features)).scores[0].numpy()
    assert result.mask_ratio_high == 0.1
    assert result.mask.sum() == 5  # ceil(0.1 * 47)
    assert set(np.flatnonzero(result.mask)) == set(np.argsort(-scores)[:5])
    assert result.score_source == "teacher"


def test_exact_evidence_sums_to_the_logits(bundle: Bundle, bag: Bag) -> None:
    result = predict(bundle, bag, "cpu")
    student = bundle.student()
    logits = student(torch.from_numpy(bag.features)).logits - student.head.bias
    centred = (logits - logits.mean()).numpy()
    assert result.evidence_kind == "exact"
    np.testing.assert_allclose(result.contribution.mean(axis=0), centred, atol=1e-5)


def test_predictions_repeat(bundle: Bundle, bag: Bag) -> None:
    first, second = predict(bundle, bag, "cpu"), predict(bundle, bag, "cpu")
    np.testing.assert_array_equal(first.attention, second.attention)
    np.testing.assert_array_equal(first.mask, second.mask)


def test_the_order_of_patches_does_not_matter(bundle: Bundle, bag: Bag) -> None:
    turned = replace(
        bag,
        features=bag.features[::-1],
        grid=replace(bag.grid, cells=bag.grid.cells[::-1]),
    )
    first, second = predict(bundle, bag, "cpu"), predict(bundle, turned, "cpu")
    np.testing.assert_allclose(first.probabilities, second.probabilities, rtol=1e-5)
    np.testing.assert_allclose(first.evidence, second.evidence[::-1], atol=1e-6)
    np.testing.assert_array_equal(first.mask, second.mask[::-1])


def test_a_model_without_teacher_says_so(trained_run: Path, bag: Bag) -> None:
    baseline = Bundle.open(trained_run / "baseline" / "bundle")
    result = predict(baseline, bag, "cpu")
    assert result.score_source == "own scores"
    np.testing.assert_array_equal(result.teacher_scores, result.student_scores)
    assert not result.mask.any()  # plain training hides nothing, so all of it remains
    np.testing.assert_array_equal(result.remaining, result.probabilities)


def test_what_remains_is_the_student_on_the_patches_left(
    bundle: Bundle, bag: Bag
) -> None:
    result = predict(bundle, bag, "cpu")
    assert 0 < result.mask.sum() < len(result)
    student = bundle.student()
    left = torch.from_numpy(bag.features[~result.mask])
    with torch.no_grad():
        expected = student.probabilities(student(left)).numpy()
    np.testing.assert_allclose(result.remaining, expected, rtol=1e-5)


def test_one_patch_is_never_hidden(bundle: Bundle) -> None:
    result = predict(bundle, make_bag(3, 1, n=1), "cpu")
    assert result.mask.tolist() == [False]
    assert result.attention.tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("bag", "role"),
    [
        (make_bag(0, 0), "train"),
        (make_bag(9, 1), "val"),
        (make_bag(70, 1), "not in the cohort"),
    ],
)
def test_the_role_in_training_is_told(bundle: Bundle, bag: Bag, role: str) -> None:
    assert predict(bundle, bag, "cpu").role == role


def test_limits_and_cutoff_are_the_bundles(bundle: Bundle, bag: Bag) -> None:
    result = predict(bundle, bag, "cpu")
    np.testing.assert_allclose(result.evidence_limits, bundle.config.evidence_limits)
    assert (result.cutoff, result.calibrated) == (bundle.config.cutoff, False)
    assert result.provenance["encoder"] == "texture#made"
    assert "4 val slides" in result.provenance["evidence limits"]


def test_limits_are_the_99th_percentile_over_validation_slides(bundle: Bundle) -> None:
    """Oracle: all patches of all validation slides in one heap."""
    heap = np.concatenate(
        [np.abs(predict(bundle, bag, "cpu").contribution) for bag in make_bags(4, 8)]
    )
    np.testing.assert_allclose(
        bundle.config.evidence_limits, np.percentile(heap, 99, axis=0), rtol=1e-5
    )


def test_a_bundle_without_limits_takes_the_slides_own(
    bundle: Bundle, bag: Bag, tmp_path: Path
) -> None:
    tensors = {f"student.{k}": v for k, v in bundle.student().state_dict().items()}
    config = replace(
        bundle.config, has_teacher=False, evidence_limits=(), evidence_limits_from=""
    )
    bare = save_bundle(tmp_path / "bare", config, tensors, "")
    result = predict(bare, bag, "cpu")
    expected = np.percentile(np.abs(result.contribution), 99, axis=0)
    np.testing.assert_allclose(result.evidence_limits, expected, rtol=1e-5)
    assert result.provenance["evidence limits"] == "this slide alone"


def test_a_result_from_disk_is_the_result(
    bundle: Bundle, bag: Bag, tmp_path: Path
) -> None:
    result = predict(bundle, bag, "cpu", slide_path="/slides/a.svs")
    result.save(tmp_path / "r.h5")
    loaded = SlideResult.load(tmp_path / "r.h5")
    np.testing.assert_array_equal(loaded.evidence, result.evidence)
    assert (loaded.path, loaded.bundle_id) == ("/slides/a.svs", bundle.id)


def test_a_store_gives_what_its_bag_gives(
    bundle: Bundle, bag: Bag, tmp_path: Path
) -> None:
    meta = StoreMeta(
        slide_name=bag.name,
        fingerprint=bag.fingerprint,
        slide_shape=bag.slide_shape,
        slide_mpp=(0.25, 0.2),
        encoder_id=bag.encoder_id,
        dim=bag.dim,
        grid=bag.grid,
    )
    with StoreWriter(tmp_path / "s.h5", meta) as writer:
        writer.append(np.arange(len(bag)), bag.features)
        writer.finish()
    with FeatureStore.open(tmp_path / "s.h5") as store:
        stored = predict(bundle, store, "cpu")
    ours = predict(bundle, bag, "cpu")
    np.testing.assert_allclose(stored.probabilities, ours.probabilities, atol=1e-3)


def test_probabilities_alone_need_no_positions(bundle: Bundle, bag: Bag) -> None:
    predictor = Predictor(bundle, "cpu")
    np.testing.assert_array_equal(
        predictor.probabilities(replace(bag, grid=None)),
        predictor.predict(bag).probabilities,
    )
    with pytest.raises(FeatureMismatchError, match="have no patch positions"):
        predictor.predict(replace(bag, grid=None))


def test_features_of_another_encoder_are_refused(bundle: Bundle) -> None:
    with pytest.raises(FeatureMismatchError, match=r"'uni2-h#y', .*'texture#made'"):
        predict(bundle, make_bag(1, 1, encoder="uni2-h#y"), "cpu")


def test_nan_features_name_the_slide(bundle: Bundle, bag: Bag) -> None:
    bag.features[4, 2] = np.nan
    with pytest.raises(StoreError, match="features of slide 'slide-21' hold NaN"):
        predict(bundle, bag, "cpu")


def test_weights_of_another_shape_are_refused(
    bundle: Bundle, bag: Bag, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(bundle.path, tmp_path / "copy"))
    text = (copy / "config.json").read_text().replace('"hidden": 16', '"hidden": 32')
    (copy / "config.json").write_text(text)
    with pytest.raises(BundleError, match="are not of a 'abmil'"):
        predict(Bundle.open(copy), bag, "cpu")


def test_trained_models_know_slides_and_lesions_they_never_saw(tmp_path: Path) -> None:
    bags = make_bags(80)
    config = small_config(epochs=12, lr=0.01)
    list(fit(bags[:48], bags[48:64], CLASSES, config, tmp_path / "run"))
    unseen = bags[64:]
    labels = np.array([bag.label for bag in unseen])
    baseline = Predictor(Bundle.open(tmp_path / "run" / "baseline" / "bundle"), "cpu")
    assert auc(labels, np.array([baseline.probabilities(b) for b in unseen])) > 0.95
    mhim = Predictor(Bundle.open(tmp_path / "run" / "bundle"), "cpu")
    is_lesion = (np.arange(60) < 8).astype(int)
    for bag in unseen[1::4]:  # easy lesions fill rows 0 to 5, hard ones 6 and 7
        evidence = mhim.predict(bag).evidence
        assert auc(is_lesion, evidence) > 0.9
