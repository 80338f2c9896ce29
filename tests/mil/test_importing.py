"""Import of checkpoints: everything a bundle needs is said, or the import is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_bags import ENCODER, make_bag
from made_checkpoints import DTFD, PLAIN, VERSION_2, modules_of, tensors

from napari_mhim.errors import BundleError, ConfigError, FeatureMismatchError
from napari_mhim.events import Note
from napari_mhim.features.store import StoreMeta, StoreWriter
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.importing import ImportConfig, ImportDone, import_checkpoint
from napari_mhim.mil.predict import predict

CONFIG = ImportConfig(
    activation="relu",
    encoder=ENCODER,
    mpp=0.5,
    patch_px=256,
    classes=("a", "b", "c"),
)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., str]:
    def save(content: Any = None) -> str:
        path = tmp_path / "fold_0_model_best_auc.pt"
        torch.save(tensors(PLAIN) if content is None else content, path)
        return str(path)

    return save


def imported(path: str, config: ImportConfig = CONFIG) -> tuple[Bundle, list[str]]:
    out = Path(path).with_name("imported")
    *notes, done = import_checkpoint(path, str(out), config)
    assert isinstance(done, ImportDone)
    assert all(isinstance(note, Note) for note in notes)
    return Bundle.open(done.bundle_path), [note.text for note in notes]


def test_a_bundle_predicts_what_the_checkpoint_does(checkpoint: Callable[..., str]):
    content = tensors(PLAIN)
    bundle, _ = imported(checkpoint(content))
    bag = make_bag(3, 1)
    x = torch.from_numpy(bag.features)
    h = torch.relu(
        x @ content["patch_to_emb.0.weight"].T + content["patch_to_emb.0.bias"]
    )
    first, last = (
        content[f"online_encoder.attention.attention.{i}.weight"] for i in (0, 2)
    )
    weights = (torch.relu(h @ first.T) @ last.T).softmax(dim=0)
    logits = (
        content["predictor.weight"] @ (weights.T @ h)[0] + content["predictor.bias"]
    )
    result = predict(bundle, bag, "cpu")
    torch.testing.assert_close(
        torch.from_numpy(result.probabilities),
        logits.softmax(dim=0),
        atol=1e-5,
        rtol=1e-4,
    )
    assert result.classes == ("a", "b", "c")
    assert result.cutoff is None


def test_the_bundle_says_what_it_is_and_where_from(checkpoint: Callable[..., str]):
    config = replace(CONFIG, name="theirs", licence="CC-BY-4.0")
    bundle, _ = imported(checkpoint(), config)
    assert bundle.name == "theirs"
    assert bundle.config.target_index == 2
    assert bundle.config.encoder_id == ENCODER
    assert bundle.config.extract.encoder == "texture"
    assert bundle.config.origin["file"] == "fold_0_model_best_auc.pt"
    assert len(bundle.config.origin["sha256"]) == 64
    for words in (
        "No cut-off was chosen",
        "its authors', not ours",
        "CC-BY-4.0",
        "imported from fold_0_model_best_auc.pt (MHIM-MIL, version 1",
        "Research use only. Not for diagnosis.",
    ):
        assert words in bundle.card
    assert "best epoch" not in bundle.card


def test_an_unknown_licence_is_said_to_be_unknown(checkpoint: Callable[..., str]):
    bundle, _ = imported(checkpoint())
    assert "fold_0_model_best_auc.pt: not stated: ask its authors" in bundle.card


def test_the_teacher_comes_along(checkpoint: Callable[..., str]):
    student, teacher = tensors(PLAIN, 1), tensors(PLAIN, 2)
    path = checkpoint({"model": student, "teacher": teacher})
    bundle, _ = imported(path, replace(CONFIG, mask_ratio_high=0.1))
    assert bundle.config.recipe == "mhim"
    assert bundle.teacher().head.bias.equal(teacher["predictor.bias"])
    assert bundle.student().head.bias.equal(student["predictor.bias"])
    result = predict(bundle, make_bag(3, 1), "cpu")
    assert result.score_source == "teacher"
    assert result.mask.sum() == 6  # a tenth of 60


def test_a_model_alone_does_not_say_how_it_was_trained(checkpoint: Callable[..., str]):
    bundle, _ = imported(checkpoint())
    assert bundle.config.recipe == "unknown"
    assert not bundle.config.has_teacher


def test_what_is_left_out_is_told(checkpoint: Callable[..., str]):
    _, notes = imported(
        checkpoint(tensors(VERSION_2)), replace(CONFIG, activation="gelu")
    )
    assert any("recycle network" in note for note in notes)
    assert any("No cut-off" in note for note in notes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"activation": ""}, r"activation \(one of relu, gelu, .*, usually relu\)"),
        ({"activation": "selu"}, "act must be one of relu, gelu"),
        ({"classes": ()}, r"classes \(names of its 3, in its order"),
        ({"classes": ("a", "b")}, r"has 3 classes, and 2 were named \(a, b\)"),
        ({"classes": ("a", "b", "a")}, "must be different and not empty"),
        ({"encoder": ""}, r"give encoder \(it wants 12 numbers a patch"),
        ({"mpp": None}, "give mpp and patch_px too"),
        ({"model_options": {"hidden": 3}}, "leaves no hidden to choose"),
        ({"encoder": "texture", "mpp": 1.0}, r"gives \d+ numbers a patch, .* wants 12"),
    ],
)
def test_what_is_not_said_is_not_guessed(
    changes: dict[str, Any], words: str, checkpoint: Callable[..., str]
):
    path = checkpoint()
    with pytest.raises((ConfigError, BundleError, FeatureMismatchError), match=words):
        imported(path, replace(CONFIG, **changes))
    assert not Path(path).with_name("imported").exists()


def test_all_that_is_missing_is_named_at_once(checkpoint: Callable[..., str]):
    with pytest.raises(ConfigError, match=r"give activation .* classes .* encoder "):
        imported(checkpoint(), ImportConfig())


def test_says_which_encoder_the_authors_used(checkpoint: Callable[..., str]):
    shapes = {**PLAIN, "patch_to_emb.0.weight": (16, 1024)}
    with pytest.raises(ConfigError, match="'resnet50', cut after its third layer"):
        imported(checkpoint(tensors(shapes)), replace(CONFIG, encoder=""))


def test_pseudo_bags_and_distillation_are_asked_for(checkpoint: Callable[..., str]):
    path = checkpoint(modules_of(tensors(DTFD)))
    config = replace(CONFIG, activation="")
    with pytest.raises(ConfigError, match=r"model option distil \(one of aggregated"):
        imported(path, config)
    options = {"distil": "aggregated", "pseudo_bags": 4}
    bundle, _ = imported(path, replace(config, model_options=options))
    assert predict(bundle, make_bag(3, 1), "cpu").probabilities.shape == (3,)


def store_of(path: Path) -> str:
    bag = make_bag(1, 1)
    meta = StoreMeta(
        slide_name=bag.name,
        fingerprint=bag.fingerprint,
        slide_shape=bag.slide_shape,
        slide_mpp=(0.25, 0.2),
        encoder_id=bag.encoder_id,
        dim=bag.dim,
        grid=bag.grid,
    )
    with StoreWriter(path, meta) as writer:
        writer.append(np.arange(len(bag)), bag.features)
        writer.finish()
    return str(path)


def test_features_are_read_from_a_file_of_the_kind_wanted(
    checkpoint: Callable[..., str], tmp_path: Path
):
    config = ImportConfig(
        activation="relu",
        features=store_of(tmp_path / "s.h5"),
        classes=("a", "b", "c"),
    )
    bundle, _ = imported(checkpoint(), config)
    assert (bundle.config.encoder_id, bundle.config.mpp) == (ENCODER, 0.5)
    assert bundle.config.patch_model_px == 256


def test_features_and_encoder_are_not_both_given():
    with pytest.raises(ConfigError, match="give either the file or those"):
        ImportConfig(features="a.h5", encoder="texture")


def test_a_folder_that_is_there_is_left_alone(checkpoint: Callable[..., str]):
    path = checkpoint()
    Path(path).with_name("imported").mkdir()
    with pytest.raises(BundleError, match=r"there is something at .* already"):
        imported(path)


@pytest.mark.parametrize("ratio", [-0.1, 1.0])
def test_refuses_a_share_that_cannot_be(ratio: float):
    with pytest.raises(ConfigError, match=r"must be in \[0, 1\)"):
        ImportConfig(mask_ratio_high=ratio)


def test_the_authors_file_becomes_a_bundle(test_data: Path, tmp_path: Path):
    paths = sorted((test_data / "data" / "weights" / "mhim_v1").glob("*.pt"))
    assert paths
    config = replace(CONFIG, classes=("normal", "tumor"), encoder="resnet50#stated")
    *_, done = import_checkpoint(str(paths[0]), str(tmp_path / "b"), config)
    bundle = Bundle.open(done.bundle_path)
    assert bundle.config.in_dim == 1024
    assert bundle.student()(torch.rand(9, 1024)).logits.isfinite().all()
