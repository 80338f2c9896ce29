"""Checkpoints of the authors' code: a real one, and ones in every layout they use."""

import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_checkpoints import DSMIL, GATED, LAYOUTS, PLAIN, TRANSMIL, tensors
from safetensors.torch import save_file
from torch import Tensor

from napari_mhim import _parts
from napari_mhim.errors import BundleError
from napari_mhim.mil.config import MODELS
from napari_mhim.mil.official import known_models, look, read_official


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[Any], Path]:
    def save(content: Any) -> Path:
        path = tmp_path / "fold_0_model_best_auc.pt"
        torch.save(content, path)
        return path

    return save


def predict(checkpoint: Any, x: Tensor) -> Tensor:
    built = _parts.load(MODELS, checkpoint.model).build(**checkpoint.options)
    built.load_state_dict(checkpoint.student)
    return built.eval()(x).logits


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("act", ["relu", "gelu"])
def test_reads_every_layout(layout: str, act: str, saved: Callable[[Any], Path]):
    content = tensors(LAYOUTS[layout])
    checkpoint = read_official(saved(content), act=act)
    assert checkpoint.model == "abmil"
    assert checkpoint.teacher is None
    x = torch.randn(9, 12)
    expected = written_out(content, x, act)
    torch.testing.assert_close(predict(checkpoint, x), expected, atol=1e-4, rtol=1e-4)


def written_out(content: dict[str, Tensor], x: Tensor, act: str) -> Tensor:
    """Oracle: the authors' AB-MIL from the tensors under their names."""
    by_end = {
        key.removeprefix("online_encoder.attention."): v for key, v in content.items()
    }
    stem = "patch_to_emb" if "patch_to_emb.0.bias" in content else "feature"
    hidden = x @ content[f"{stem}.0.weight"].T + content[f"{stem}.0.bias"]
    h = {"relu": torch.relu, "gelu": torch.nn.functional.gelu}[act](hidden)
    first = by_end.get("attention.0.weight", by_end.get("attention_a.0.weight"))
    inner = torch.relu(h @ first.T)
    gate = by_end.get("attention_b.0.weight")
    inner = inner if gate is None else inner * torch.sigmoid(h @ gate.T)
    last = by_end.get("attention.2.weight", by_end.get("attention_c.weight"))
    weights = (inner @ last.T).softmax(dim=0)
    pooled = (weights * h).sum(dim=0)
    return content["predictor.weight"] @ pooled + content["predictor.bias"]


def test_recognises_dsmil_and_drops_the_head_it_never_uses(
    saved: Callable[[Any], Path],
):
    checkpoint = read_official(saved(tensors(DSMIL)), act="relu")
    assert checkpoint.model == "dsmil"
    assert checkpoint.options["n_classes"] == 3
    assert predict(checkpoint, torch.randn(9, 12)).shape == (3,)


def test_recognises_transmil_with_its_heads(saved: Callable[[Any], Path]):
    checkpoint = read_official(saved(tensors(TRANSMIL)), act="gelu")
    assert checkpoint.model == "transmil"
    assert (checkpoint.options["heads"], checkpoint.options["head_dim"]) == (2, 4)
    assert predict(checkpoint, torch.randn(9, 12)).shape == (3,)


def test_refuses_a_student_and_a_teacher_of_two_models(saved: Callable[[Any], Path]):
    path = saved({"model": tensors(PLAIN), "teacher": tensors(DSMIL)})
    with pytest.raises(
        BundleError, match="student of 'abmil' and a teacher of 'dsmil'"
    ):
        read_official(path, act="relu")


def test_reads_student_and_teacher(saved: Callable[[Any], Path]):
    student, teacher = tensors(PLAIN, 1), tensors(PLAIN, 2)
    checkpoint = read_official(
        saved({"model": student, "teacher": teacher}), act="relu"
    )
    assert checkpoint.student["head.bias"].equal(student["predictor.bias"])
    assert checkpoint.teacher is not None
    assert checkpoint.teacher["head.bias"].equal(teacher["predictor.bias"])


def test_a_file_without_teacher_has_none(saved: Callable[[Any], Path]):
    path = saved({"model": tensors(PLAIN), "teacher": None})
    assert read_official(path, act="relu").teacher is None


def test_a_file_of_a_teacher_alone_predicts_with_it(saved: Callable[[Any], Path]):
    teacher = tensors(PLAIN)
    checkpoint = read_official(saved({"teacher": teacher, "epoch": 7}), act="relu")
    assert checkpoint.student["head.bias"].equal(teacher["predictor.bias"])


def test_names_of_parallel_training_are_read(saved: Callable[[Any], Path]):
    content = {f"module.{key}": value for key, value in tensors(PLAIN).items()}
    assert read_official(saved(content), act="relu").model == "abmil"


def test_weights_saved_on_a_gpu_are_read_without_one(
    saved: Callable[[Any], Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("torch.serialization.location_tag", lambda _: "cuda:0")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    path = saved(tensors(PLAIN))
    with pytest.raises(RuntimeError, match="deserialize object on a CUDA device"):
        torch.load(path)
    weights = read_official(path, act="relu").student
    assert {value.device.type for value in weights.values()} == {"cpu"}


def test_half_precision_becomes_single(saved: Callable[[Any], Path]):
    content = {key: value.half() for key, value in tensors(PLAIN).items()}
    weights = read_official(saved(content), act="relu").student
    assert {value.dtype for value in weights.values()} == {torch.float32}


def test_safetensors_are_read_too(tmp_path: Path):
    save_file(tensors(GATED), tmp_path / "best.safetensors")
    checkpoint = read_official(tmp_path / "best.safetensors", act="relu")
    assert checkpoint.options["gated"]
    assert checkpoint.options["n_classes"] == 3


@pytest.mark.parametrize(
    ("layout", "usual"), [("plain", "relu"), ("version 2", "gelu")]
)
def test_asks_for_the_activation(layout: str, usual: str, saved: Callable[[Any], Path]):
    with pytest.raises(BundleError, match=rf"give act \(usually {usual}, one of"):
        read_official(saved(tensors(LAYOUTS[layout])))


def test_refuses_weights_of_no_model_and_names_those_there_are(
    saved: Callable[[Any], Path],
):
    with pytest.raises(
        BundleError, match=r"no layout known.*'conv1.weight'.*MHIM-MIL \(patch_to_emb"
    ):
        read_official(saved({"conv1.weight": torch.ones(3)}), act="relu")


def test_refuses_weights_with_a_layer_missing(saved: Callable[[Any], Path]):
    content = tensors(PLAIN)
    del content["online_encoder.attention.attention.2.weight"]
    with pytest.raises(BundleError, match="no layout known here, or in part"):
        read_official(saved(content), act="relu")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, torch.ones(3)])
def test_refuses_a_file_without_named_tensors(
    content: object, saved: Callable[[Any], Path]
):
    with pytest.raises(BundleError, match="holds no tensors by name"):
        read_official(saved(content), act="relu")


class Anything:
    """What a pickle may bring along and ours must not run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("was-run"),))


@pytest.mark.parametrize("form", ["archive", "legacy", "bare pickle"])
@pytest.mark.parametrize("place", ["beside", "inside", "alone"])
def test_never_runs_what_a_pickle_brings(
    form: str, place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    weights: dict[str, Any] = tensors(PLAIN)
    content: Any = {"model": weights, "extra": Anything()}
    if place == "inside":
        content = {**weights, "patch_to_emb.0.bias": Anything()}
    elif place == "alone":
        content = Anything()
    path = tmp_path / "best.pt"
    if form == "bare pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        archive(content, path, form == "legacy")
    with pytest.raises(BundleError, match="holds more than tensors"):
        read_official(path, act="relu")
    assert not Path("was-run").exists()
    # the trap does work: whoever loads the file as it is runs what it brings
    as_it_is = {"bare pickle": lambda: pickle.loads(path.read_bytes())}
    as_it_is.get(form, lambda: torch.load(path, weights_only=False))()
    assert Path("was-run").exists()


@pytest.mark.parametrize("content", [b"", b"no checkpoint", pickle.dumps("text")])
def test_refuses_a_file_that_is_no_checkpoint(content: bytes, tmp_path: Path):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(BundleError, match=r"'a\.pt'"):
        read_official(tmp_path / "a.pt", act="relu")


def test_refuses_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(BundleError, match=r"'gone\.pt' cannot be read as weights"):
        read_official(tmp_path / "gone.pt", act="relu")


def test_reads_the_authors_files(test_data: Path):
    paths = sorted((test_data / "data" / "weights" / "mhim_v1").glob("*.pt"))
    assert paths
    for path in paths:
        checkpoint = read_official(path, act="relu")
        assert checkpoint.model in path.name
        x = torch.rand(20, checkpoint.options["in_dim"])
        assert predict(checkpoint, x).isfinite().all()


def test_the_authors_ab_mil_gives_the_authors_numbers(test_data: Path):
    paths = sorted((test_data / "data" / "weights" / "mhim_v1").glob("*abmil*.pt"))
    assert paths
    for path in paths:
        content = torch.load(path, map_location="cpu", weights_only=True)
        x = torch.rand(50, 1024, generator=torch.Generator().manual_seed(0))
        expected = written_out(content, x, "relu")
        logits = predict(read_official(path, act="relu"), x)
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)


def test_every_model_with_official_names_is_known():
    assert "abmil" in known_models()


def archive(content: Any, path: Path, is_legacy: bool) -> bytes:
    torch.save(content, path, _use_new_zipfile_serialization=not is_legacy)
    return path.read_bytes()


@pytest.mark.parametrize("is_legacy", [True, False])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_refuses_a_truncated_file(is_legacy: bool, share: float, tmp_path: Path):
    path = tmp_path / "a.pt"
    whole = archive(tensors(PLAIN), path, is_legacy)
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BundleError, match=r"'a\.pt'"):
        read_official(path, act="relu")


def test_refuses_a_file_in_which_one_number_has_changed(tmp_path: Path):
    path = tmp_path / "a.pt"
    content = tensors(PLAIN)
    whole = archive(content, path, is_legacy=False)
    number = content["patch_to_emb.0.weight"][3, 3].numpy().tobytes()
    assert whole.count(number) == 1
    path.write_bytes(whole.replace(number, number[::-1]))
    with pytest.raises(
        BundleError, match="is not as it was written; copy the file again"
    ):
        read_official(path, act="relu")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@settings(max_examples=200)
@given(data=st.data(), is_legacy=st.booleans())
def test_whatever_is_changed_the_file_is_read_or_refused(
    data: st.DataObject, is_legacy: bool, tmp_path_factory: pytest.TempPathFactory
):
    path = tmp_path_factory.getbasetemp() / "changed.pt"
    changed = bytearray(archive(tensors(PLAIN), path, is_legacy))
    places = st.integers(0, len(changed) - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=9)):
        changed[place] = data.draw(st.integers(0, 255))
    path.write_bytes(changed)
    with suppress(BundleError):
        assert read_official(path, act="relu").student


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"model": torch.ones(3), "teacher": 4},
        {"model": {}, "teacher": {}},
        {3: torch.ones(2)},
        {"optimizer": {"state": {0: {"step": torch.ones(1)}}}, "epoch": 3},
        {"patch_to_emb.0.weight": torch.ones(3)},
        {"patch_to_emb.0.weight": torch.tensor(1.0)},
        {"b_classifier.fcc.weight": torch.ones(1, 1, 4)},
        {"_fc1.0.weight": torch.ones(2, 2), "attention_net.0.weight": torch.ones(1)},
        {"dim_reduction": {"fc1.weight": torch.ones(2, 2)}},
    ],
)
def test_refuses_foreign_content(content: Any, saved: Callable[[Any], Path]):
    with pytest.raises(BundleError, match=r"holds no tensors by name|no layout known"):
        read_official(saved(content))


def test_refuses_weights_that_are_not_numbers(saved: Callable[[Any], Path]):
    content = tensors(PLAIN)
    content["predictor.bias"][1] = torch.nan
    with pytest.raises(BundleError, match=r"NaN or infinite numbers in 'head\.bias'"):
        read_official(saved(content), act="relu")


@pytest.mark.parametrize("kind", ["meta", "sparse"])
def test_refuses_tensors_without_their_numbers(kind: str, saved: Callable[[Any], Path]):
    content = tensors(PLAIN)
    weight = content["predictor.weight"]
    content["predictor.weight"] = (
        weight.to("meta") if kind == "meta" else weight.to_sparse()
    )
    with pytest.raises(BundleError, match="does not hold the numbers of"):
        read_official(saved(content), act="relu")


def test_refuses_a_setting_the_file_settles(saved: Callable[[Any], Path]):
    with pytest.raises(BundleError, match=r"no hidden to choose \(it is 16\).*act"):
        read_official(saved(tensors(PLAIN)), act="relu", hidden=4)


def test_refuses_an_activation_there_is_not(saved: Callable[[Any], Path]):
    with pytest.raises(BundleError, match="act must be one of relu, gelu"):
        read_official(saved(tensors(PLAIN)), act="swish")


def test_says_what_it_takes_for_granted(saved: Callable[[Any], Path]):
    path = saved(tensors(PLAIN))
    assert any("attention_act" in note for note in look(path).notes)
    given = look(path, attention_act="tanh")
    assert not given.notes
    assert given.options["attention_act"] == "tanh"
