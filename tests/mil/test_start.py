"""Training from weights that are there: of a bundle, or of the authors' checkpoint."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_bags import CLASSES, make_bag, make_bags, small_config
from made_checkpoints import PLAIN, VERSION_2, tensors

from napari_mhim.errors import (
    BundleError,
    CohortError,
    ConfigError,
    FeatureMismatchError,
    MhimError,
    TrainingError,
)
from napari_mhim.events import Note
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.config import TrainConfig
from napari_mhim.mil.parent import tuned_config
from napari_mhim.mil.run import RunFolder
from napari_mhim.mil.start import keep_still, read_start
from napari_mhim.mil.train import EpochDone, FitDone, fit

OPTIONS = {"hidden": 16, "attention_dim": 8}
TWO_CLASSES = {
    **PLAIN,
    "predictor.weight": (2, 16),
    "predictor.bias": (2,),
}


def config_from(path: Path, **options: object) -> TrainConfig:
    return small_config(
        start_from=str(path), model_options={**OPTIONS, "act": "relu", **options}
    )


def trained(run: Path, config: TrainConfig, stop: int = 99) -> list[object]:
    bags = make_bags(8)
    events: list[object] = []
    for event in fit(bags[:6], bags[6:], CLASSES, config, run):
        events.append(event)
        if sum(isinstance(event, EpochDone) for event in events) == stop:
            break
    return events


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "fold_0_model_best_auc.pt"
    torch.save(tensors(TWO_CLASSES), path)
    return path


def test_starts_from_a_bundle_and_trains_no_baseline(
    bundle: Bundle, tmp_path: Path
) -> None:
    config = replace(config_from(bundle.path), lr=1e-12)
    events = trained(tmp_path / "run", config)
    assert {e.stage for e in events if isinstance(e, EpochDone)} == {"mhim"}
    assert any(
        isinstance(e, Note) and f"starts from {str(bundle.path)!r}" in e.text
        for e in events
    )
    done = events[-1]
    assert isinstance(done, FitDone)
    assert done.baseline_path == ""
    # with hardly a step taken, student and teacher are the bundle's student still
    made, given = Bundle.open(done.bundle_path), bundle.student().state_dict()
    for model in (made.student(), made.teacher()):
        torch.testing.assert_close(dict(model.state_dict()), dict(given))
    assert made.config.trained["start_from"] == "bundle"


def test_starts_from_the_authors_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    config = replace(config_from(checkpoint), lr=1e-12)
    done = trained(tmp_path / "run", config)[-1]
    assert isinstance(done, FitDone)
    student = Bundle.open(done.bundle_path).student()
    wanted = torch.load(checkpoint)
    torch.testing.assert_close(student.head.weight, wanted["predictor.weight"])
    torch.testing.assert_close(
        student.projection[0].weight, wanted["patch_to_emb.0.weight"]
    )


def test_a_stopped_run_goes_on_to_the_same_bits(
    checkpoint: Path, tmp_path: Path
) -> None:
    config = config_from(checkpoint)
    whole = trained(tmp_path / "whole", config)[-1]
    trained(tmp_path / "stopped", config, stop=2)
    # the same file elsewhere is the same file
    moved = checkpoint.rename(tmp_path / "moved.pt")
    again = trained(tmp_path / "stopped", replace(config, start_from=str(moved)))
    assert sum(isinstance(e, EpochDone) for e in again) == 1
    assert isinstance(whole, FitDone)
    assert isinstance(again[-1], FitDone)
    one, two = (Bundle.open(done.bundle_path) for done in (whole, again[-1]))
    for name, tensor in one.student().state_dict().items():
        assert torch.equal(tensor, two.student().state_dict()[name]), name


def test_a_changed_file_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    config = config_from(checkpoint)
    trained(tmp_path / "run", config, stop=1)
    torch.save(tensors(TWO_CLASSES, seed=5), checkpoint)
    with pytest.raises(TrainingError, match=r"was begun from .* as it was then"):
        trained(tmp_path / "run", config)


@pytest.mark.parametrize("first", [True, False])
def test_a_run_does_not_change_what_it_starts_from(
    first: bool, checkpoint: Path, tmp_path: Path
) -> None:
    from_file = config_from(checkpoint)
    configs = [from_file, replace(from_file, start_from="")]
    trained(tmp_path / "run", configs[not first], stop=1)
    with pytest.raises(TrainingError, match="start from the same weights to go on"):
        trained(tmp_path / "run", configs[first])


def refusal(
    path: Path,
    classes: Sequence[str] = CLASSES,
    dim: int = 12,
    encoder: str = "texture#made",
    **changes: object,
) -> str:
    config = replace(config_from(path), **changes)
    with pytest.raises(MhimError) as caught:
        read_start(config, classes, make_bag(0, 0, dim=dim, encoder=encoder))
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_refuses_features_of_another_length(bundle: Bundle, checkpoint: Path) -> None:
    for path in (bundle.path, checkpoint):
        said = refusal(path, dim=9)
        assert "its length of features is 12, the run's is 9" in said


def test_refuses_another_number_of_classes(bundle: Bundle, checkpoint: Path) -> None:
    for path in (bundle.path, checkpoint):
        said = refusal(path, classes=("a", "b", "c"))
        assert "its number of classes is 2, the run's is 3" in said


def test_refuses_classes_of_other_names_or_order(bundle: Bundle) -> None:
    said = refusal(bundle.path, classes=CLASSES[::-1])
    assert "its classes is 'normal, tumour', the run's is 'tumour, normal'" in said


def test_refuses_features_of_another_encoder(bundle: Bundle) -> None:
    with pytest.raises(FeatureMismatchError, match=r"cannot start from .* encoder"):
        read_start(config_from(bundle.path), CLASSES, make_bag(0, 0, encoder="other#1"))


def test_refuses_another_model(bundle: Bundle, checkpoint: Path) -> None:
    for path in (bundle.path, checkpoint):
        said = refusal(path, model="mean", model_options={})
        assert "its model is 'abmil', the run's is 'mean'" in said


@pytest.mark.parametrize(
    ("option", "value", "theirs"),
    [("hidden", 8, 16), ("attention_act", "tanh", "relu"), ("gated", True, False)],
)
def test_refuses_other_settings(
    option: str, value: object, theirs: object, bundle: Bundle, checkpoint: Path
) -> None:
    for path in (bundle.path, checkpoint):
        options = {**OPTIONS, "act": "relu", option: value}
        said = refusal(path, model_options=options)
        assert (
            f"its model option {option!r} is {theirs!r}, the run's is {value!r}" in said
        )


def test_dropout_is_the_runs_own_choice(bundle: Bundle) -> None:
    config = config_from(bundle.path, dropout=0.5)
    assert read_start(config, CLASSES, make_bag(0, 0)).weights


def test_an_activation_the_file_does_not_say_is_not_guessed(checkpoint: Path) -> None:
    said = refusal(checkpoint, model_options=OPTIONS)
    assert "does not say its act; set model option 'act' (usually relu" in said


def test_the_run_says_what_the_file_leaves_open(tmp_path: Path) -> None:
    content = tensors({**VERSION_2, **{"predictor.weight": (2, 16)}})
    content["predictor.bias"] = torch.zeros(2)
    torch.save(content, tmp_path / "v2.pt")
    config = config_from(tmp_path / "v2.pt", act="gelu")
    assert read_start(config, CLASSES, make_bag(0, 0)).weights


def test_refuses_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"names .*gone\.pt', which is not there"):
        read_start(config_from(tmp_path / "gone.pt"), CLASSES, make_bag(0, 0))


def test_nothing_is_written_before_a_refusal(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        trained(tmp_path / "run", config_from(checkpoint, hidden=3))
    assert not (tmp_path / "run").exists()


def test_a_recipe_without_baseline_says_that_it_ignores_the_file(
    checkpoint: Path, tmp_path: Path
) -> None:
    config = replace(config_from(checkpoint), recipe="plain", recipe_options={})
    events = trained(tmp_path / "run", config)
    assert any(
        isinstance(e, Note) and "starts from no baseline, so not from" in e.text
        for e in events
    )
    assert RunFolder(tmp_path / "run").read_settings()["starts_from"]


# --- fine-tuning: student and teacher of a bundle go on


def tuned(
    bundle: Bundle, run: Path, stop: int = 99, finish: str = "", **changes: object
) -> list[object]:
    given = {"device": "cpu", "threads": 1, "epochs": 2, **changes}
    bags = make_bags(8, start=20)
    events: list[object] = []
    for event in fit(
        bags[:6], bags[6:], CLASSES, tuned_config(bundle, given), run, finish=finish
    ):
        events.append(event)
        if sum(isinstance(event, EpochDone) for event in events) == stop:
            break
    return events


def child_of(events: list[object]) -> Bundle:
    assert isinstance(events[-1], FitDone)
    return Bundle.open(events[-1].bundle_path)


def test_student_and_teacher_go_on_where_they_stood(
    bundle: Bundle, tmp_path: Path
) -> None:
    still = {"recipe_options": {"momentum": 1.0}, "lr": 1e-12}
    child = child_of(tuned(bundle, tmp_path / "run", **still))
    for made, given in (
        (child.student(), bundle.student()),
        (child.teacher(), bundle.teacher()),
    ):
        assert made is not None
        assert given is not None
        torch.testing.assert_close(dict(made.state_dict()), dict(given.state_dict()))
    ours, theirs = bundle.student().state_dict(), bundle.teacher().state_dict()
    assert any(not torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("tune", "still"),
    [
        ("head", ("projection.", "attention.")),
        ("aggregator", ("projection.",)),
        ("all", ()),
    ],
)
def test_only_what_is_tuned_changes(
    bundle: Bundle, tmp_path: Path, tune: str, still: tuple[str, ...]
) -> None:
    child = child_of(tuned(bundle, tmp_path / "run", lr=1e-2, tune=tune)).student()
    before = bundle.student().state_dict()
    for name, tensor in child.state_dict().items():
        assert torch.equal(tensor, before[name]) == name.startswith(still), name


def test_the_parent_is_left_as_it_was(bundle: Bundle, tmp_path: Path) -> None:
    files = {path: path.read_bytes() for path in bundle.path.iterdir()}
    tuned(bundle, tmp_path / "run")
    assert files == {path: path.read_bytes() for path in bundle.path.iterdir()}


def test_the_child_says_where_it_comes_from(bundle: Bundle, tmp_path: Path) -> None:
    child = child_of(tuned(bundle, tmp_path / "run", tune="head"))
    said = child.config.trained["parent"]
    assert (said["name"], said["id"], said["tuned"]) == ("made", bundle.id, "head")
    assert said["added"]["train"] == {"normal": 3, "tumour": 3}
    assert said["auc_before"]["n"] == said["auc_after"]["n"] == 2
    assert f"goes on from made ({bundle.id})" in child.card


def test_the_child_remembers_what_its_parent_learnt_from(
    bundle: Bundle, tmp_path: Path
) -> None:
    child = child_of(tuned(bundle, tmp_path / "run")).config
    assert child.role_of("slide-03") == "train"
    assert child.role_of("renamed", f"{3:064x}") == "train"
    assert child.role_of("slide-20") == "train"
    assert child.role_of("slide-27") == "val"


def test_a_slide_of_the_parents_training_cannot_judge_the_child(
    bundle: Bundle, tmp_path: Path
) -> None:
    old = replace(make_bag(3, 1), name="another-name", patient="another")
    config = tuned_config(bundle, {"device": "cpu", "threads": 1})
    bags = make_bags(6, start=20)
    with pytest.raises(CohortError, match="'another-name' cannot be a val slide"):
        list(fit(bags, [make_bag(30, 0), old], CLASSES, config, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_class_is_added_and_the_old_rows_are_kept(
    bundle: Bundle, tmp_path: Path
) -> None:
    classes = ("normal", "lymphoma", "tumour")
    bags = [replace(make_bag(20 + i, i % 2), label=i % 3) for i in range(12)]
    config = tuned_config(
        bundle, {"device": "cpu", "threads": 1, "epochs": 1, "lr": 1e-12}
    )
    run = tmp_path / "run"
    *_, done = fit(bags[:9], bags[9:], classes, config, run)
    child = Bundle.open(done.bundle_path)
    assert child.config.classes == classes
    assert child.config.trained["parent"]["auc_change"]["value"] is None
    head = child.student().state_dict()["head.weight"]
    torch.testing.assert_close(
        head[[0, 2]], bundle.student().state_dict()["head.weight"]
    )


def test_a_fine_tuning_that_was_stopped_goes_on_to_the_same_bits(
    bundle: Bundle, tmp_path: Path
) -> None:
    whole = child_of(tuned(bundle, tmp_path / "whole"))
    tuned(bundle, tmp_path / "stopped", stop=1)
    again = child_of(tuned(bundle, tmp_path / "stopped"))
    for name, tensor in whole.student().state_dict().items():
        assert torch.equal(tensor, again.student().state_dict()[name]), name


@pytest.mark.parametrize("finish", ["best", "last"])
def test_a_stopped_run_is_kept_as_it_is(
    bundle: Bundle, tmp_path: Path, finish: str
) -> None:
    run = tmp_path / "run"
    tuned(bundle, run, stop=2, epochs=9, lr=1e-2)
    kept = child_of(tuned(bundle, run, epochs=9, lr=1e-2, finish=finish))
    path = {"best": "best.pt", "last": "checkpoint.pt"}[finish]
    state = torch.load(run / path)["recipe"]
    for name, tensor in kept.student().state_dict().items():
        assert torch.equal(tensor, state[f"student.{name}"]), name
    assert kept.config.trained["epochs"] == 2


def test_a_run_without_an_epoch_has_nothing_to_keep(
    bundle: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="has not finished an epoch"):
        tuned(bundle, tmp_path / "run", finish="best")


def test_a_plain_recipe_goes_on_too(bundle: Bundle, tmp_path: Path) -> None:
    child = child_of(tuned(bundle, tmp_path / "run", recipe="plain", lr=1e-12))
    given = bundle.student().state_dict()
    torch.testing.assert_close(dict(child.student().state_dict()), dict(given))
    assert child.teacher() is None


def test_fine_tuning_refuses_a_file(checkpoint: Path) -> None:
    config = replace(config_from(checkpoint), fine_tune=True)
    with pytest.raises(BundleError, match="import it first"):
        read_start(config, CLASSES, make_bag(0, 0))


def test_fine_tuning_refuses_features_of_another_encoder(bundle: Bundle) -> None:
    with pytest.raises(FeatureMismatchError, match="cannot start from"):
        read_start(tuned_config(bundle), CLASSES, make_bag(0, 0, encoder="other#1"))


def test_a_model_that_hides_its_head_says_so(bundle: Bundle) -> None:
    model = bundle.student()
    model.deciding = ("judge",)
    with pytest.raises(ConfigError, match="does not say which part of it is the head"):
        keep_still(model, "head")
