import threading

import numpy as np
import pytest
import torch

from napari_mhim.errors import ConfigError
from napari_mhim.features.encoder import Encoder, build_encoder
from napari_mhim.features.encoders import texture
from napari_mhim.phantom import PhantomConfig, render


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return build_encoder("texture")


def cut(phantom, px: int) -> torch.Tensor:
    rows, cols = (n // px for n in phantom.rgb.shape[:2])
    blocks = phantom.rgb[: rows * px, : cols * px].reshape(rows, px, cols, px, 3)
    return torch.from_numpy(
        np.ascontiguousarray(blocks.swapaxes(1, 2).reshape(-1, px, px, 3))
    )


@pytest.fixture(scope="module")
def phantom():
    return render(PhantomConfig(shape=(1024, 1280), easy=True, hard=True, seed=3))


@pytest.fixture(scope="module")
def patches(phantom) -> torch.Tensor:
    return cut(phantom, 128)


@pytest.mark.parametrize(
    "size", [(32, 32), (64, 98), (128, 128), (224, 224), (250, 33)]
)
def test_any_size_from_32_px_on_gives_finite_numbers(encoder, size) -> None:
    for value in (0, 128, 255):
        flat = torch.full((2, *size, 3), value, dtype=torch.uint8)
        assert encoder(flat).shape == (2, encoder.dim)
        assert encoder(flat).isfinite().all()


def test_noise_of_any_size_gives_finite_numbers(encoder) -> None:
    torch.manual_seed(0)
    for size in (32, 47, 256):
        noise = torch.randint(0, 256, (3, size, size, 3), dtype=torch.uint8)
        found = encoder(noise)
        assert found.dtype == torch.float32
        assert found.isfinite().all()


def test_a_patch_does_not_depend_on_its_batch(encoder, patches) -> None:
    together = encoder(patches)
    alone = torch.cat([encoder(patch[None]) for patch in patches[::7]])
    torch.testing.assert_close(together[::7], alone, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(encoder(patches.flip(0)).flip(0), together)


@pytest.mark.parametrize("size", [(32, 32), (47, 33), (98, 64), (128, 128), (250, 233)])
def test_the_cpus_loops_measure_what_torch_does(encoder, phantom, size) -> None:
    pixels = torch.from_numpy(phantom.rgb[200 : 200 + size[0], 300 : 300 + size[1]])
    torch.manual_seed(0)
    noise = torch.randint(0, 256, (*size, 3), dtype=torch.uint8)
    flat = torch.full((*size, 3), 201, dtype=torch.uint8)
    patches = torch.stack([pixels, noise, flat, pixels.flip(1)])
    by_torch = (encoder._by_torch(patches) - encoder._mean) / encoder._scale
    torch.testing.assert_close(
        encoder(patches), by_torch.clamp(-6, 6), rtol=1e-3, atol=4e-3
    )


def test_an_empty_batch_gives_no_rows(encoder) -> None:
    none = torch.empty((0, 64, 64, 3), dtype=torch.uint8)
    assert encoder(none).shape == (0, encoder.dim)


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_quarter_turns_change_nothing(encoder, patches, turn) -> None:
    turned = torch.rot90(patches, turn, (1, 2))
    torch.testing.assert_close(encoder(turned), encoder(patches), rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("axis", [1, 2])
def test_flips_change_nothing(encoder, patches, axis) -> None:
    torch.testing.assert_close(
        encoder(patches.flip(axis)), encoder(patches), rtol=1e-3, atol=2e-3
    )


def test_tissue_comes_to_about_mean_0_and_deviation_1(
    encoder, phantom, patches
) -> None:
    is_tissue = (patches.amin(dim=3) < 222).float().mean(dim=(1, 2)) > 0.5
    found = encoder(patches[is_tissue])
    assert found.mean(dim=0).abs().median() < 1
    assert 0.3 < found.std(dim=0).median() < 2
    assert found.abs().max() <= 6


def test_no_number_says_the_same_as_another(encoder, patches) -> None:
    found = encoder(patches)
    distinct = torch.unique((found * 1e3).round(), dim=1)
    assert distinct.shape[1] == encoder.dim


def test_the_stains_of_a_patch_are_told_apart(encoder) -> None:
    stains = torch.nn.functional.normalize(torch.tensor(texture.STAINS), dim=1)
    for number in range(3):
        light = 256 * 10 ** (-0.6 * stains[number]) - 1
        patch = light.round().to(torch.uint8).expand(1, 64, 64, 3)
        found = encoder._stains(patch).mean(dim=(0, 2, 3))
        expected = torch.zeros(3)
        expected[number] = 0.6
        torch.testing.assert_close(found, expected, atol=0.03, rtol=0)


def test_openings_equal_those_of_a_slow_oracle() -> None:
    torch.manual_seed(1)
    image = torch.rand(2, 1, 40, 37)
    for side, opened in zip(texture.OPENINGS, texture._openings(image), strict=True):
        half = side // 2
        pad = torch.nn.functional.pad
        low = pad(image, [half] * 4, value=np.inf)
        low = low.unfold(2, side, 1).unfold(3, side, 1).amin(dim=(4, 5))
        high = pad(low, [half] * 4, value=-np.inf)
        high = high.unfold(2, side, 1).unfold(3, side, 1).amax(dim=(4, 5))
        torch.testing.assert_close(opened, high)


def test_lesions_are_told_from_the_rest_by_a_line(encoder) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    from napari_mhim.slide.tiling import GridConfig, patch_grid

    rows: dict[bool, list] = {True: [], False: []}
    for seed in range(3):
        made = render(PhantomConfig((1536, 1792), easy=True, hard=True, seed=seed))
        grid = patch_grid(made.truth.shape, made.truth.mpp, None, GridConfig(0.5, 128))
        features = encoder(cut(made, 128)).numpy()
        rows[seed == 2].append((features, made.truth.patch_labels(grid) > 0))
    x, y = (np.concatenate(column) for column in zip(*rows[False], strict=True))
    model = LogisticRegression(C=0.05, max_iter=500).fit(x, y)
    x, y = rows[True][0]
    assert roc_auc_score(y, model.decision_function(x)) > 0.85


def test_the_id_names_the_encoder_and_its_constants(encoder, monkeypatch) -> None:
    assert encoder.id.startswith("texture#")
    assert encoder.id == build_encoder("texture").id
    monkeypatch.setattr(texture, "LEVELS", (0.1, 0.2))
    assert texture._fingerprint() not in encoder.id


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_neither_the_numbers_nor_torch(
    patches, encoder, threads
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    other = build_encoder("texture")
    torch.testing.assert_close(other(patches), encoder(patches))
    assert torch.get_num_threads() == threads
    torch.set_num_threads(before)


def test_it_may_be_called_from_any_thread(patches, encoder) -> None:
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(encoder(patches)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in found:
        torch.testing.assert_close(other, encoder(patches))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (torch.zeros(2, 64, 64, 3), "float32"),
        (torch.zeros(2, 3, 64, 64, dtype=torch.uint8), r"\(2, 3, 64, 64\)"),
        (torch.zeros(64, 64, 3, dtype=torch.uint8), r"\(64, 64, 3\)"),
        (torch.zeros(2, 31, 64, 3, dtype=torch.uint8), "32 px or more"),
    ],
)
def test_what_is_no_batch_of_patches_is_refused(encoder, wrong, words) -> None:
    with pytest.raises(ConfigError, match=words):
        encoder(wrong)


def test_too_small_a_patch_is_refused_when_built() -> None:
    with pytest.raises(ConfigError, match="32 px or more, got 16"):
        build_encoder("texture", patch_model_px=16)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_the_same_numbers(encoder, patches) -> None:
    other = build_encoder("texture", "cuda")
    found = other(patches.cuda())
    assert found.device.type == "cuda"
    torch.testing.assert_close(found.cpu(), encoder(patches), rtol=1e-2, atol=1e-2)
