"""Bundles: whole or refused, tied to their features, without names of slides."""

import errno
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_bags import make_bag, make_bags, make_grid

from napari_mhim.errors import BundleError, FeatureMismatchError, WorkspaceError
from napari_mhim.mil.bundle import Bundle, save_bundle
from napari_mhim.mil.bundle_config import from_json, to_json
from napari_mhim.mil.card import card


@pytest.fixture
def copied(bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle.path, tmp_path / "copy"))


def change(folder: Path, edit: Callable[[dict], object]) -> None:
    values = json.loads((folder / "config.json").read_text())
    edit(values)
    (folder / "config.json").write_text(json.dumps(values))


def tensors_of(bundle: Bundle) -> dict[str, torch.Tensor]:
    student, teacher = bundle.student(), bundle.teacher()
    return {
        **{f"student.{k}": v for k, v in student.state_dict().items()},
        **{f"teacher.{k}": v for k, v in teacher.state_dict().items()},
    }


def test_saved_then_opened_is_the_same(bundle: Bundle, tmp_path: Path) -> None:
    saved = save_bundle(tmp_path / "b", bundle.config, tensors_of(bundle), "a card\n")
    opened = Bundle.open(tmp_path / "b")
    assert (opened.config, opened.id, opened.card) == (
        bundle.config,
        saved.id,
        "a card\n",
    )
    for name, tensor in tensors_of(bundle).items():
        assert torch.equal(tensor, tensors_of(opened)[name]), name


def test_student_and_teacher_are_different_models(bundle: Bundle) -> None:
    x = torch.from_numpy(make_bag(1, 1).features)
    first, second = bundle.student()(x).logits, bundle.teacher()(x).logits
    assert not torch.equal(first, second)


def test_models_are_built_to_predict_not_to_train(bundle: Bundle) -> None:
    student = bundle.student()
    assert not student.training
    assert not any(parameter.requires_grad for parameter in student.parameters())


def test_config_survives_json(bundle: Bundle) -> None:
    again = from_json(to_json(bundle.config).encode(), bundle.path)
    assert again == bundle.config


def test_config_has_the_keys_of_wsinfer_mil(bundle: Bundle) -> None:
    values = json.loads((bundle.path / "config.json").read_text())
    assert values["spec_version"] == "1.0"
    assert values["type"] == "abmil"
    assert values["patch_size_um"] == 128
    assert values["feature_extractor"] == "texture#made"
    assert (values["num_classes"], values["class_names"]) == (2, ["normal", "tumour"])


def test_statistics_are_of_the_training_features(bundle: Bundle) -> None:
    mean, deviation = bundle.statistics()
    together = np.concatenate([bag.features for bag in make_bags(8)])
    np.testing.assert_allclose(mean, together.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(deviation, together.std(axis=0), rtol=1e-4)


def test_two_models_have_two_ids(bundle: Bundle, copied: Path) -> None:
    assert Bundle.open(copied).id == bundle.id
    change(copied, lambda values: values["napari_mhim"].update(mask_ratio_high=0.2))
    assert Bundle.open(copied).id != bundle.id


def test_roles_are_known_by_name_and_by_fingerprint(bundle: Bundle) -> None:
    assert bundle.config.role_of("slide-00") == "train"
    assert bundle.config.role_of("slide-09") == "val"
    assert bundle.config.role_of("renamed", make_bag(9, 1).fingerprint) == "val"
    assert bundle.config.role_of("slide-99") == "not in the cohort"
    assert replace(bundle.config, roles={}).role_of("slide-00") == "unknown"


def test_no_name_leaves_with_a_bundle(bundle: Bundle) -> None:
    for path in bundle.path.iterdir():
        content = path.read_bytes()
        assert b"slide-0" not in content
        assert b"patient-0" not in content


def test_the_card_says_what_must_be_said(bundle: Bundle) -> None:
    text = bundle.card
    assert text.startswith("---\n")
    assert "Research use only. Not for diagnosis." in text
    assert "| train | 8 | 4 | 4 |" in text
    assert "texture#made: BSD-3-Clause" in text
    assert "not calibrated" in text
    assert f"{bundle.config.cutoff.value:.3f}, set on 4 validation slides" in text
    assert "optimistic" in text
    assert "| 4 slides |" in text


def test_the_card_of_a_bare_model_says_what_it_does_not_know(bundle: Bundle) -> None:
    bare = replace(bundle.config, metrics={}, trained={}, cutoff=None)
    text = card(bare)
    assert "Not assessed." in text
    assert "Not stated." in text
    assert "No cut-off was chosen." in text


def test_a_bundle_is_never_overwritten(bundle: Bundle, copied: Path) -> None:
    with pytest.raises(BundleError, match=r"there is a model at .* already"):
        save_bundle(copied, bundle.config, tensors_of(bundle), "")


def test_a_full_disk_leaves_nothing(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(WorkspaceError, match="is full"):
        save_bundle(tmp_path / "b", bundle.config, tensors_of(bundle), "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(BundleError, match=f"has no {name}"):
        Bundle.open(copied)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no model folder at"):
        Bundle.open(tmp_path / "none")


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda v: v.pop("class_names"), "does not name its classes"),
        (lambda v: v.update(class_names=[]), "does not name its classes"),
        (lambda v: v.pop("napari_mhim"), "made by another program"),
        (lambda v: v["napari_mhim"].update(version=99), "version 99, .* up to 1"),
        (lambda v: v["napari_mhim"].pop("model"), "cannot be understood"),
        (lambda v: v["napari_mhim"].update(colour=1), "cannot be understood"),
        (lambda v: v["napari_mhim"]["extract"].update(mpp=900), "cannot be understood"),
    ],
)
def test_settings_that_will_not_do_are_refused(
    copied: Path, edit: Callable[[dict], object], sentence: str
) -> None:
    change(copied, edit)
    with pytest.raises(BundleError, match=sentence):
        Bundle.open(copied)


def test_settings_that_are_no_json_are_refused(copied: Path) -> None:
    (copied / "config.json").write_text('{"class_names": [')
    with pytest.raises(BundleError, match="is damaged"):
        Bundle.open(copied)


def test_truncated_weights_are_refused(copied: Path) -> None:
    path = copied / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BundleError, match="are damaged"):
        Bundle.open(copied)


def test_a_teacher_that_is_missing_is_noticed(bundle: Bundle, tmp_path: Path) -> None:
    students = {k: v for k, v in tensors_of(bundle).items() if k.startswith("student.")}
    with pytest.raises(BundleError, match="says it has a teacher"):
        save_bundle(tmp_path / "b", bundle.config, students, "")


def test_weights_of_another_model_are_refused(copied: Path) -> None:
    change(copied, lambda v: v["napari_mhim"].update(model_options={"hidden": 8}))
    with pytest.raises(BundleError, match=r"not of a 'abmil' with 12 features"):
        Bundle.open(copied).student()


def test_a_model_this_program_does_not_have_is_refused(copied: Path) -> None:
    change(copied, lambda v: v["napari_mhim"].update(model="quantum"))
    with pytest.raises(BundleError, match="no model named 'quantum'"):
        Bundle.open(copied).student()


@pytest.mark.parametrize(
    ("bag", "sentence"),
    [
        (
            make_bag(1, 1, encoder="resnet50#x"),
            "'slide-01' are of encoder 'resnet50#x', model 'made' wants 'texture#made'",
        ),
        (make_bag(1, 1, dim=7), "of length 7, model 'made' wants 12"),
        (
            replace(make_bag(1, 1), grid=replace(make_grid(60), mpp=1.0)),
            "of µm per pixel 1.0, model 'made' wants 0.5",
        ),
        (
            replace(make_bag(1, 1), grid=replace(make_grid(60), patch_model_px=224)),
            "patch width in pixels 224, model 'made' wants 256",
        ),
    ],
)
def test_other_features_are_refused_naming_both_sides(
    bundle: Bundle, bag: object, sentence: str
) -> None:
    with pytest.raises(FeatureMismatchError, match=sentence):
        bundle.check(bag)


def test_its_own_features_are_taken(bundle: Bundle) -> None:
    bundle.check(make_bag(50, 1, n=1))


def test_opening_imports_no_torch(bundle: Bundle) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from napari_mhim.mil.bundle import Bundle\n"
        "b = Bundle.open(sys.argv[1]); b.card; b.statistics(); b.config.role_of('x')\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(bundle.path)])
    assert done.returncode == 0
