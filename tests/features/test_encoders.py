import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import timm
import torch
import torchvision
from made_weights import (
    TINY,
    resnet50_file,
    squeezenet_file,
    tiny_file,
    tiny_folder,
    tiny_state,
)

from napari_mhim.errors import ConfigError, UnknownPartError
from napari_mhim.features import _network
from napari_mhim.features._network import digest
from napari_mhim.features.encoder import (
    Encoder,
    build_encoder,
    encoder_names,
    licence_of,
)

SETTINGS: dict[str, Callable[[Path], dict[str, str]]] = {
    "resnet50": lambda folder: {"weights": resnet50_file(folder)},
    "squeezenet": lambda folder: {"weights": squeezenet_file(folder)},
    "timm_hub": lambda folder: {"weights": tiny_folder(folder)},
}
"""What an encoder needs that has no weights of its own; those without need nothing."""


def patches(
    n: int = 5, height: int = 64, width: int = 64, seed: int = 0
) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    # unlike noise, fields of one colour differ after pooling too
    colour = rng.integers(0, 256, (n, 1, 1, 3))
    noise = rng.integers(-40, 40, (n, height, width, 3))
    return torch.from_numpy((colour + noise).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module", params=encoder_names())
def encoder(request, tmp_path_factory) -> Encoder:
    need = SETTINGS.get(request.param, lambda _folder: {})
    return build_encoder(request.param, "cpu", **need(tmp_path_factory.mktemp("w")))


# what every encoder promises


def test_an_encoder_says_what_it_is(encoder) -> None:
    assert isinstance(encoder, Encoder)
    assert encoder.id.startswith(encoder.name)
    assert encoder.device == "cpu"
    name, _, weights_hash = encoder.id.rpartition("#")
    assert name.partition(":")[0].partition("@")[0] in encoder_names()
    assert len(weights_hash) >= 8
    assert 0.02 <= encoder.mpp <= 20
    assert encoder.patch_model_px >= 32


def test_a_patch_gives_one_vector(encoder) -> None:
    vectors = encoder(patches(3))
    assert vectors.shape == (3, encoder.dim)
    assert vectors.dtype == torch.float32
    assert vectors.isfinite().all()


def test_a_patchs_vector_does_not_hang_on_its_batch(encoder) -> None:
    batch = patches(7)
    alone = torch.cat([encoder(batch[i : i + 1]) for i in range(7)])
    torch.testing.assert_close(encoder(batch), alone, rtol=1e-4, atol=1e-4)


def test_order_of_patches_is_kept(encoder) -> None:
    batch = patches(5)
    flipped = encoder(batch.flip(0)).flip(0)
    torch.testing.assert_close(encoder(batch), flipped, rtol=1e-4, atol=1e-4)


def test_different_patches_give_different_vectors(encoder) -> None:
    vectors = encoder(patches(6))
    apart = torch.cdist(vectors, vectors)[~torch.eye(6, dtype=torch.bool)]
    assert apart.min() > 1e-3


def test_the_same_patches_give_the_same_bits(encoder) -> None:
    assert torch.equal(encoder(patches()), encoder(patches()))


def test_its_own_patch_size_is_taken(encoder) -> None:
    side = encoder.patch_model_px
    assert encoder(patches(1, side, side)).shape == (1, encoder.dim)


def test_names_are_listed_without_torch() -> None:
    code = (
        "import sys; from napari_mhim.features import encoder_names; "
        "print(encoder_names()); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "resnet50" in done.stdout


# resnet50


def test_resnet50_is_cut_after_layer_3_and_pooled(tmp_path) -> None:
    path = resnet50_file(tmp_path)
    net = torchvision.models.resnet50(weights=None)
    net.load_state_dict(torch.load(path, weights_only=True))
    net.eval()
    batch = patches(2, 96, 64)
    x = batch.permute(0, 3, 1, 2) / 255
    x = torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])(
        x
    )
    with torch.no_grad():
        for layer in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3"):
            x = getattr(net, layer)(x)
    encoder = build_encoder("resnet50", weights=path)
    assert encoder.dim == 1024
    torch.testing.assert_close(encoder(batch), x.mean((2, 3)), rtol=1e-4, atol=1e-4)


def test_what_is_cut_off_does_not_count(tmp_path) -> None:
    whole = resnet50_file(tmp_path / "whole")
    other = resnet50_file(tmp_path / "other", **{"fc.bias": torch.ones(1000)})
    encoder = build_encoder("resnet50", weights=whole)
    assert encoder.id == build_encoder("resnet50", weights=other).id


def test_a_layer_in_use_counts(tmp_path) -> None:
    whole = resnet50_file(tmp_path / "whole")
    other = resnet50_file(tmp_path / "other", **{"bn1.bias": torch.ones(64)})
    encoder = build_encoder("resnet50", weights=whole)
    assert encoder.id != build_encoder("resnet50", weights=other).id


def test_weights_in_torchs_own_folder_are_found(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    file = resnet50_file(tmp_path / "checkpoints")
    os.rename(file, tmp_path / "checkpoints" / "resnet50-0676ba61.pth")
    found = build_encoder("resnet50")
    named = str(tmp_path / "checkpoints" / "resnet50-0676ba61.pth")
    assert found.id == build_encoder("resnet50", weights=named).id


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("resnet50", "resnet50-0676ba61.pth"),
        ("squeezenet", "squeezenet1_0-b66bff10.pth"),
    ],
)
def test_no_weights_and_no_network_names_the_file_expected(
    tmp_path, monkeypatch, name, file
) -> None:
    def no_network(*_args: object, **_kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    with pytest.raises(ConfigError, match=f"{file}.*no route to host.*put it there"):
        build_encoder(name)


# half precision, as on a GPU


def test_half_precision_changes_no_more_than_its_digits(tmp_path, monkeypatch) -> None:
    weights = squeezenet_file(tmp_path)
    whole = build_encoder("squeezenet", weights=weights)
    monkeypatch.setitem(_network.HALF, "cpu", torch.float16)
    half = build_encoder("squeezenet", weights=weights)
    batch = patches(2, 96, 64)
    assert half.id == whole.id
    assert half(batch).dtype == torch.float32
    assert not torch.equal(half(batch), whole(batch))
    scale = whole(batch).abs().max().item()
    torch.testing.assert_close(half(batch), whole(batch), rtol=0, atol=0.01 * scale)


class Loud(torch.nn.Module):
    """A product beyond 65504, the largest number of 16 bits."""

    def __init__(self) -> None:
        super().__init__()
        self.last = torch.nn.Linear(3, 2)
        self.last.weight.data.fill_(1e6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(x.mean((2, 3)) + 1)


def test_what_half_precision_cannot_hold_is_taken_whole(monkeypatch) -> None:
    monkeypatch.setitem(_network.HALF, "cpu", torch.float16)
    encoder = _network.NetworkEncoder(Loud(), "loud", "cpu", mpp=1, patch_model_px=8)
    white, black = (torch.full((1, 8, 8, 3), v, dtype=torch.uint8) for v in (255, 0))
    both = encoder(torch.cat([white, black]))
    assert both[0].min() > 65504
    torch.testing.assert_close(both, torch.cat([encoder(white), encoder(black)]))


def test_convolutions_take_pixels_as_they_lie(tmp_path) -> None:
    encoder = build_encoder("squeezenet", weights=squeezenet_file(tmp_path))
    weights = [p for p in encoder._net.parameters() if p.ndim == 4]
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


# squeezenet


def test_squeezenet_is_a_tenth_of_its_pooled_features(tmp_path) -> None:
    path = squeezenet_file(tmp_path)
    net = torchvision.models.squeezenet1_0(weights=None)
    net.load_state_dict(torch.load(path, weights_only=True))
    batch = patches(2, 96, 64)
    x = batch.permute(0, 3, 1, 2) / 255
    x = torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])(
        x
    )
    with torch.no_grad():
        wanted = net.features(x).mean((2, 3)) / 10
    encoder = build_encoder("squeezenet", weights=path)
    torch.testing.assert_close(encoder(batch), wanted, rtol=1e-4, atol=1e-4)


# timm and the hub


def test_a_timm_model_is_prepared_as_its_config_says(tmp_path) -> None:
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    folder = tiny_folder(tmp_path, mean=mean, std=std, interpolation="bicubic")
    encoder = build_encoder("timm_hub", weights=folder)
    assert encoder.patch_model_px == 160
    net = timm.create_model(TINY, pretrained=False, num_classes=0).eval()
    head = "head."
    net.load_state_dict({k: v for k, v in tiny_state().items() if head not in k})
    batch = patches(2, 90, 90)
    x = torch.nn.functional.interpolate(
        batch.permute(0, 3, 1, 2).float(), (160, 160), mode="bicubic", antialias=True
    )
    prepare = torchvision.transforms.Normalize(mean, std)
    with torch.no_grad():
        wanted = net(prepare(x.clamp(0, 255) / 255))
    torch.testing.assert_close(encoder(batch), wanted, rtol=1e-4, atol=1e-4)


def test_one_files_weights_are_one_encoder_wherever_they_lie(tmp_path) -> None:
    by_folder = build_encoder("timm_hub", weights=tiny_folder(tmp_path / "a"))
    by_file = build_encoder(f"timm_hub:{TINY}", weights=tiny_file(tmp_path / "b"))
    torch.save({"state_dict": tiny_state()}, tmp_path / "c.pth")
    by_pth = build_encoder(f"timm_hub:{TINY}", weights=str(tmp_path / "c.pth"))
    assert by_folder.id == by_file.id == by_pth.id
    assert by_folder.id.startswith(f"timm_hub:{TINY}#")


def test_other_weights_are_another_encoder(tmp_path) -> None:
    one = build_encoder(f"timm_hub:{TINY}", weights=tiny_file(tmp_path, seed=0))
    two = build_encoder(f"timm_hub:{TINY}", weights=tiny_file(tmp_path, seed=1))
    assert one.id != two.id


def test_another_mean_is_another_encoder(tmp_path) -> None:
    one = build_encoder("timm_hub", weights=tiny_folder(tmp_path / "a"))
    folder = tiny_folder(tmp_path / "b", mean=(0.1, 0.2, 0.3))
    assert one.id != build_encoder("timm_hub", weights=folder).id


def test_no_model_named_says_how(tmp_path) -> None:
    with pytest.raises(ConfigError, match="timm_hub:hf-hub:owner/model"):
        build_encoder("timm_hub")


def test_a_file_that_does_not_say_its_model_asks_for_it(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"no config.json .* name the model"):
        build_encoder("timm_hub", weights=tiny_file(tmp_path))


def test_a_model_timm_does_not_know_is_told(tmp_path) -> None:
    with pytest.raises(ConfigError, match="'resnet1234'"):
        build_encoder("timm_hub:resnet1234", weights=tiny_file(tmp_path))
    with pytest.raises(ConfigError, match=r"'resnet1234' could not be had"):
        build_encoder("timm_hub:resnet1234")


def test_a_folder_without_weights_names_the_files(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"model\.safetensors or pytorch_model\.bin"):
        build_encoder("timm_hub", weights=str(tmp_path))


def test_a_hub_that_is_not_there_tells_the_way_out(monkeypatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    match = "'hf-hub:nobody/nothing' could not be had.*name a folder"
    with pytest.raises(ConfigError, match=match):
        build_encoder("timm_hub:hf-hub:nobody/nothing")


# weights that cannot be


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_a_missing_file_is_named(name) -> None:
    with pytest.raises(ConfigError, match=r"wants its weights in '/nowhere/w\.pth'"):
        build_encoder(name, weights="/nowhere/w.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"no weights at all", b"PK\x03\x04" + bytes(99)]
)
def test_a_file_that_holds_something_else_is_refused(tmp_path, name, content) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read as weights"):
        build_encoder("squeezenet", weights=str(path))


def test_a_truncated_file_is_refused(tmp_path) -> None:
    path = Path(squeezenet_file(tmp_path))
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ConfigError, match="cannot be read as weights"):
        build_encoder("squeezenet", weights=str(path))


class Trap:
    """What a pickle can do: run a command when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_wants_more_than_tensors_is_not_run(tmp_path) -> None:
    torch.save({"w": Trap(tmp_path / "sprung")}, tmp_path / "w.pth")
    with pytest.raises(ConfigError, match="more than tensors"):
        build_encoder("squeezenet", weights=str(tmp_path / "w.pth"))
    assert not (tmp_path / "sprung").exists()


def test_numbers_without_names_are_no_weights(tmp_path) -> None:
    torch.save(torch.zeros(3), tmp_path / "w.pth")
    with pytest.raises(ConfigError, match="holds no weights"):
        build_encoder("squeezenet", weights=str(tmp_path / "w.pth"))


def test_weights_of_another_network_are_named(tmp_path) -> None:
    weights = squeezenet_file(tmp_path)
    with pytest.raises(ConfigError, match=r"lack 'conv1\.weight'.*also hold 'features"):
        build_encoder("resnet50", weights=weights)


def test_a_layer_of_another_width_is_named(tmp_path) -> None:
    weights = resnet50_file(tmp_path, **{"conv1.weight": torch.zeros(8, 3, 7, 7)})
    with pytest.raises(ConfigError, match=r"another shape of 'conv1\.weight'"):
        build_encoder("resnet50", weights=weights)


# settings


def test_an_unknown_encoder_lists_the_known_ones() -> None:
    with pytest.raises(UnknownPartError, match=r"'uni'; there are: .*resnet50"):
        build_encoder("uni")


def test_a_setting_an_encoder_does_not_take_is_named() -> None:
    with pytest.raises(ConfigError, match="'texture' takes no weights"):
        build_encoder("texture", weights="w.pth")


def test_a_patch_too_small_for_the_network_is_told(tmp_path) -> None:
    encoder = build_encoder("squeezenet", weights=squeezenet_file(tmp_path))
    with pytest.raises(ConfigError, match=r"8 × 8 px, it is made for 224 × 224"):
        encoder(patches(2, 8, 8))


# the hash


def test_a_hash_sees_every_bit_and_name() -> None:
    state = {"a": torch.zeros(3), "b": torch.ones(2)}
    others = (
        {"a": torch.zeros(3), "c": torch.ones(2)},
        {"a": torch.tensor([0.0, -0.0, 0.0]), "b": torch.ones(2)},
        {"a": torch.zeros(1, 3), "b": torch.ones(2)},
        {"a": torch.zeros(3, dtype=torch.int32), "b": torch.ones(2)},
    )
    assert digest(state) == digest(dict(reversed(state.items())))
    assert digest(state) not in {digest(other) for other in others}
    assert digest(state) != digest(state, "another mean")


def test_a_count_of_training_steps_does_not_count() -> None:
    state = {"a": torch.zeros(3)}
    assert digest(state) == digest({**state, "bn.num_batches_tracked": torch.tensor(7)})


# real weights


def test_real_squeezenet_tells_tissue_from_glass(test_data) -> None:
    weights = test_data / "data" / "weights" / "squeezenet1_0_imagenet.pth"
    encoder = build_encoder("squeezenet", weights=str(weights))
    assert encoder.dim == 512
    pink = patches(8, 224, 224, seed=1)
    glass = torch.full((1, 224, 224, 3), 240, dtype=torch.uint8)
    assert (encoder(pink) - encoder(glass)).norm(dim=1).min() > 0.5


def test_a_licence_is_known_only_where_the_encoder_brings_its_own_numbers() -> None:
    assert licence_of("texture#3959a9345b86").startswith("BSD-3")
    assert licence_of("timm_hub:resnet18.a1_in1k@1#2") == ""
    assert licence_of("an encoder of another program") == ""
