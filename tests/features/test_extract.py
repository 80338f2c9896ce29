import errno
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from made_kills import MOMENTS, extract_slowly, extract_until
from made_slides import damage_tiles, picture, write_blank, write_slide
from made_weights import TINY, squeezenet_file, tiny_file, tiny_state
from safetensors.torch import save_file

from napari_mhim.errors import (
    ConfigError,
    FeatureMismatchError,
    MhimError,
    NoTissueError,
    SlideError,
    StoreError,
    UnknownMppError,
    WorkspaceError,
)
from napari_mhim.events import Note, Progress
from napari_mhim.features._part import part_path
from napari_mhim.features.config import ExtractConfig
from napari_mhim.features.encoder import build_encoder
from napari_mhim.features.extract import ExtractDone, extract, scale_of
from napari_mhim.features.store import FeatureStore
from napari_mhim.slide import open_slide, read_patches, write_pyramid
from napari_mhim.slide.source import TileSource

PRELOAD = [
    "torch",
    "napari_mhim.features.extract",
    "napari_mhim.features.encoders.texture",
    "napari_mhim.slide.formats.openslide",
    "napari_mhim.slide.formats.tiff",
    "scipy.ndimage",
    "skimage.filters",
]
CONFIG = ExtractConfig(
    mpp=1.0, patch_model_px=32, batch_size=4, threads=1, device="cpu"
)


@pytest.fixture(scope="module")
def slide(tmp_path_factory) -> Path:
    return write_slide(tmp_path_factory.mktemp("slides") / "case-07.tiff")


@pytest.fixture(scope="module")
def whole(slide, tmp_path_factory) -> Path:
    """The features of an extraction that nothing disturbed."""
    path = tmp_path_factory.mktemp("whole") / "features" / "case-07.h5"
    list(extract(slide, path, CONFIG))
    return path


def features(path: Path) -> np.ndarray:
    with FeatureStore.open(path) as store:
        return store.features()


# what comes out


def test_each_row_is_the_vector_of_its_patch(slide, whole) -> None:
    encoder = build_encoder("texture")
    with FeatureStore.open(whole) as store, open_slide(slide) as opened:
        store.check(opened, encoder.id)
        for batch in read_patches(opened, store.grid, 1):
            wanted = encoder(torch.from_numpy(batch.pixels)).numpy()
            row = int(batch.index[0])
            found = store.features(row, row + 1)
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_patches_lie_where_the_slides_scale_puts_them(whole) -> None:
    with FeatureStore.open(whole) as store:
        np.testing.assert_allclose(store.grid.patch_px, [64, 32 / 0.55])
        assert store.slide_shape == (550, 750)
        assert store.slide_mpp == pytest.approx((0.5, 0.55), rel=1e-3)
        assert 10 < len(store) < np.prod(store.grid.shape)


def test_progress_counts_patches_to_the_last(slide, tmp_path) -> None:
    *events, done = extract(slide, tmp_path / "a.h5", CONFIG)
    counts = [e.done for e in events if isinstance(e, Progress) and e.total]
    assert counts == sorted(counts)
    assert counts[-1] == done.n_patches
    assert done == ExtractDone(str(tmp_path / "a.h5"), "case-07", counts[-1])


def test_what_is_counted_is_on_disk(slide, tmp_path) -> None:
    path = tmp_path / "a.h5"
    row_bytes = 16 + 4 * build_encoder("texture").dim
    for event in extract(slide, path, CONFIG):
        if isinstance(event, Progress) and event.done < event.total:
            assert part_path(path).stat().st_size == event.done * row_bytes


@pytest.mark.parametrize(
    "changes", [{"batch_size": 1}, {"batch_size": 1000}, {"threads": 3}], ids=str
)
def test_batch_and_threads_change_nothing(slide, whole, tmp_path, changes) -> None:
    list(extract(slide, tmp_path / "a.h5", replace(CONFIG, **changes)))
    found = features(tmp_path / "a.h5")
    np.testing.assert_allclose(found, features(whole), rtol=1e-4, atol=1e-4)


def test_torchs_threads_are_left_as_they_were(slide, tmp_path) -> None:
    before = torch.get_num_threads()
    list(extract(slide, tmp_path / "a.h5", replace(CONFIG, threads=before + 1)))
    assert torch.get_num_threads() == before


def test_events_reach_a_process_without_torch(whole) -> None:
    event = pickle.dumps(ExtractDone(str(whole), "case-07", 3))
    code = (
        "import pickle, sys; "
        f"print(pickle.loads({event!r}).n_patches); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr


def test_real_weights_on_a_made_slide(slide, tmp_path) -> None:
    config = replace(CONFIG, encoder="squeezenet", weights=squeezenet_file(tmp_path))
    list(extract(slide, tmp_path / "a.h5", config))
    with FeatureStore.open(tmp_path / "a.h5") as store:
        assert store.dim == 512
        assert store.encoder_id.startswith("squeezenet#")
        assert store.features().std(axis=0).max() > 0


# the encoder's own scale


def test_scale_is_the_encoders_own_where_none_is_asked_for(tmp_path) -> None:
    tiny = ExtractConfig(encoder=f"timm_hub:{TINY}", weights=tiny_file(tmp_path))
    assert scale_of(tiny) == (0.5, 160)
    assert scale_of(replace(tiny, mpp=1.0)) == (1.0, 160)
    assert scale_of(replace(tiny, patch_model_px=64)) == (0.5, 64)


def test_a_scale_asked_for_needs_no_encoder() -> None:
    nowhere = ExtractConfig(
        encoder="resnet50", weights="/nowhere", mpp=0.25, patch_model_px=512
    )
    assert scale_of(nowhere) == (0.25, 512)


def test_weights_replaced_under_one_name_are_noticed(slide, tmp_path) -> None:
    config = replace(CONFIG, encoder=f"timm_hub:{TINY}", mpp=2.0)
    config = replace(config, weights=tiny_file(tmp_path, seed=0))
    list(extract(slide, tmp_path / "a.h5", config))
    time.sleep(0.01)
    tiny_file(tmp_path, seed=1)
    with pytest.raises(FeatureMismatchError, match="timm_hub:test_vit#"):
        list(extract(slide, tmp_path / "a.h5", config))


# done before, or of something else


def test_what_is_done_is_skipped(slide, whole) -> None:
    before = whole.read_bytes(), whole.stat().st_mtime_ns
    *_, done = extract(slide, whole, CONFIG)
    assert done.skipped
    assert done.n_patches == len(features(whole))
    assert (whole.read_bytes(), whole.stat().st_mtime_ns) == before


def test_features_of_another_slide_are_refused(whole, tmp_path) -> None:
    other = write_slide(tmp_path / "case-08.tiff", seed=1)
    with pytest.raises(FeatureMismatchError, match=r"'case-07'.*'case-08'"):
        list(extract(other, whole, CONFIG))


def test_features_of_another_encoder_are_refused(slide, whole, tmp_path) -> None:
    config = replace(CONFIG, encoder="squeezenet", weights=squeezenet_file(tmp_path))
    with pytest.raises(FeatureMismatchError, match=r"'texture.*'squeezenet#"):
        list(extract(slide, whole, config))


@pytest.mark.parametrize(
    "changes",
    [
        {"mpp": 0.7},
        {"patch_model_px": 96},
        {"overlap": 0.5},
        {"min_tissue": 0.5},
        {"slide_mpp": 0.25},
    ],
    ids=str,
)
def test_features_of_another_cut_are_refused(slide, whole, changes) -> None:
    with pytest.raises(FeatureMismatchError, match="wanted are those of"):
        list(extract(slide, whole, replace(CONFIG, **changes)))


def test_an_unfinished_extraction_of_something_else_is_refused(slide, tmp_path) -> None:
    path = tmp_path / "a.h5"
    abandon(slide, path, CONFIG)
    with pytest.raises(FeatureMismatchError, match=r"unfinished.*overlap 0\b.*0\.5"):
        list(extract(slide, path, replace(CONFIG, overlap=0.5)))


# bad input: one sentence, and nothing left behind


def refused(error: type[Exception], match: str, slide: Path, config=CONFIG) -> None:
    """A refusal leaves no file, not even the folder."""
    folder = slide.parent / "features"
    with pytest.raises(error, match=match):
        list(extract(slide, folder / "a.h5", config))
    assert not folder.exists()


def test_a_file_that_is_no_slide_is_refused(tmp_path) -> None:
    (tmp_path / "notes.svs").write_text("not a slide")
    refused(SlideError, "notes.svs", tmp_path / "notes.svs")


def test_a_missing_slide_is_refused(tmp_path) -> None:
    refused(SlideError, "case-99", tmp_path / "case-99.svs")


def test_a_truncated_slide_is_refused(slide, tmp_path) -> None:
    path = tmp_path / "cut.tiff"
    path.write_bytes(slide.read_bytes()[:2000])
    refused(SlideError, "cut.tiff", path)


def test_a_slide_without_scale_is_refused_unless_it_is_given(tmp_path) -> None:
    path = write_slide(tmp_path / "bare.tiff", mpp=None)
    refused(UnknownMppError, "--mpp", path)
    given = replace(CONFIG, slide_mpp=0.5)
    *_, done = extract(path, tmp_path / "a.h5", given)
    assert done.n_patches > 10


def test_a_slide_without_tissue_is_refused(tmp_path) -> None:
    refused(NoTissueError, "tissue", write_blank(tmp_path / "blank.tiff"))


def test_weights_that_are_not_there_are_refused(slide, tmp_path) -> None:
    config = replace(CONFIG, encoder="resnet50", weights="/nowhere/r.pth")
    folder = tmp_path / "features"
    with pytest.raises(ConfigError, match=r"r\.pth"):
        list(extract(slide, folder / "a.h5", config))
    assert not folder.exists()


def test_an_encoder_that_gives_nan_is_refused_with_the_slides_name(
    slide, tmp_path
) -> None:
    state = tiny_state()
    state["norm.weight"][:] = float("nan")
    save_file(state, tmp_path / "nan.safetensors")
    config = replace(
        CONFIG,
        encoder=f"timm_hub:{TINY}",
        weights=str(tmp_path / "nan.safetensors"),
        mpp=2.0,
    )
    with pytest.raises(StoreError, match="not numbers for slide 'case-07'"):
        list(extract(slide, tmp_path / "a.h5", config))
    assert not (tmp_path / "a.h5").exists()


def test_a_damaged_store_is_refused_and_not_replaced(slide, tmp_path) -> None:
    (tmp_path / "a.h5").write_bytes(b"damaged")
    with pytest.raises(StoreError, match="damaged"):
        list(extract(slide, tmp_path / "a.h5", CONFIG))
    assert (tmp_path / "a.h5").read_bytes() == b"damaged"


def small_memory(monkeypatch, most: int, error: Exception) -> list[int]:
    """Have the encoder run out of memory beyond so many patches; list what it was given."""
    encoder_class = type(build_encoder("texture"))
    call, given = encoder_class.__call__, []

    def encode(self, patches: torch.Tensor) -> torch.Tensor:
        given.append(len(patches))
        if len(patches) > most:
            raise error
        return call(self, patches)

    monkeypatch.setattr(encoder_class, "__call__", encode)
    return given


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 17 GiB)"),
    ],
    ids=["cuda", "mps"],
)
def test_a_batch_too_large_is_halved_and_said(
    slide, whole, tmp_path, monkeypatch, error
) -> None:
    given = small_memory(monkeypatch, 3, error)
    config = replace(CONFIG, batch_size=16)
    events = list(extract(slide, tmp_path / "a.h5", config))
    told = [e.text for e in events if isinstance(e, Note)]
    assert [text.rpartition("goes on with ")[2][:1] for text in told] == ["8", "4", "2"]
    # once it is known, no larger batch is tried again
    assert given[:3] == [16, 8, 4]
    assert set(given[3:]) <= {1, 2}
    np.testing.assert_allclose(
        features(tmp_path / "a.h5"), features(whole), rtol=1e-4, atol=1e-4
    )


def test_a_device_too_small_for_one_patch_says_so(slide, tmp_path, monkeypatch) -> None:
    small_memory(monkeypatch, 0, torch.OutOfMemoryError("tried to allocate 2 GiB"))
    with pytest.raises(ConfigError, match=r"not even one patch .*'cpu'"):
        list(extract(slide, tmp_path / "a.h5", CONFIG))


def test_another_error_of_the_encoder_is_not_taken_for_one_of_memory(
    slide, tmp_path, monkeypatch
) -> None:
    small_memory(monkeypatch, 0, RuntimeError("mat1 and mat2 cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1"):
        list(extract(slide, tmp_path / "a.h5", CONFIG))


def most_ahead(folder: Path, rows: int, monkeypatch) -> int:
    """Give how many tiles at most were decoded before the encoder got to them."""
    rgb = np.tile(picture((256, 512)), (rows, 1, 1))
    path = folder / f"{rows}.tiff"
    write_pyramid(path, rgb, (0.5, 0.5), tile=64)
    decoded, encoded, ahead = 0, 0, []
    decode = TileSource.tile_pixels
    encoder_class = type(build_encoder("texture"))
    call = encoder_class.__call__

    def tile_pixels(self, row: int, col: int) -> np.ndarray:
        nonlocal decoded
        # finding the tissue reads tiles as well, and keeps none
        decoded += threading.current_thread().name.startswith("patches")
        ahead.append(decoded - encoded)
        return decode(self, row, col)

    def encode(self, patches: torch.Tensor) -> torch.Tensor:
        nonlocal encoded
        time.sleep(0.01)
        encoded += len(patches)
        return call(self, patches)

    config = replace(CONFIG, mpp=0.5, patch_model_px=64, min_tissue=0, threads=2)
    with monkeypatch.context() as patch:
        # a patch is a tile: what is decoded and not encoded lies in memory
        patch.setattr(TileSource, "tile_pixels", tile_pixels)
        patch.setattr(encoder_class, "__call__", encode)
        list(extract(path, folder / f"{rows}.h5", config))
    assert encoded > 20 * rows
    return max(ahead)


def test_what_is_read_ahead_does_not_grow_with_the_slide(tmp_path, monkeypatch) -> None:
    bound = 8 * CONFIG.batch_size + 8
    assert most_ahead(tmp_path, 1, monkeypatch) <= bound
    assert most_ahead(tmp_path, 8, monkeypatch) <= bound


def test_damaged_tiles_are_counted_and_told(tmp_path) -> None:
    path = write_slide(tmp_path / "hurt.tiff")
    damage_tiles(path, (7, 8))
    *_, note, _done = extract(path, tmp_path / "a.h5", CONFIG)
    assert isinstance(note, Note)
    assert "2 tiles of slide 'hurt'" in note.text
    with FeatureStore.open(tmp_path / "a.h5") as store, open_slide(path) as hurt:
        assert store.missing_tiles == 2
        for index in range(len(hurt.levels)):
            hurt.levels[index].compute()
        assert 0 < len(store.missing_boxes) == 2
        assert set(map(tuple, store.missing_boxes)) <= set(
            map(tuple, hurt.missing_boxes)
        )
        for y, x, height, width in store.missing_boxes:
            assert (hurt.read_region(y, x, height, width) == 255).all()


def test_a_resumed_extraction_forgets_no_damaged_tile(tmp_path) -> None:
    path = write_slide(tmp_path / "hurt.tiff")
    damage_tiles(path, (7, 8, 20))
    abandon(path, tmp_path / "a.h5", CONFIG, batches=8)
    list(extract(path, tmp_path / "a.h5", CONFIG))
    with FeatureStore.open(tmp_path / "a.h5") as store:
        assert store.missing_tiles >= 3
        assert len(store.missing_boxes) == 3
    assert [one.name for one in tmp_path.iterdir() if "missing" in one.name] == []


# stopping and going on


def abandon(slide: Path, path: Path, config: ExtractConfig, batches: int = 3) -> None:
    """Stop an extraction as a caller does who asks for no more events."""
    events = extract(slide, path, config)
    for event in events:
        if isinstance(event, Progress) and event.done >= batches * config.batch_size:
            break
    events.close()


def test_a_stopped_extraction_goes_on(slide, whole, tmp_path) -> None:
    path = tmp_path / "features" / "case-07.h5"
    abandon(slide, path, CONFIG)
    events = list(extract(slide, path, CONFIG))
    assert any(isinstance(e, Note) and "patch 12 of" in e.text for e in events)
    assert path.read_bytes() == whole.read_bytes()


def test_a_stopped_extraction_holds_no_file_open(slide, tmp_path) -> None:
    abandon(slide, tmp_path / "a.h5", CONFIG)
    held = {Path(file.path).name for file in psutil.Process().open_files()}
    assert not held & {"case-07.tiff", "a.h5.part"}


def test_a_full_disk_keeps_what_is_done(slide, whole, tmp_path, monkeypatch) -> None:
    path = tmp_path / "features" / "case-07.h5"
    real, calls = os.write, 0

    def write(file: int, data: object) -> int:
        nonlocal calls
        calls += isinstance(data, memoryview)
        if calls > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(file, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(WorkspaceError, match=r"disk of .*features' is full"):
            list(extract(slide, path, CONFIG))
    events = list(extract(slide, path, CONFIG))
    assert any(isinstance(e, Note) and "patch 20 of" in e.text for e in events)
    assert path.read_bytes() == whole.read_bytes()


@pytest.fixture(scope="module")
def killable():
    if not hasattr(signal, "SIGKILL"):
        pytest.skip("this system has no kill -9")
    context = multiprocessing.get_context("forkserver")
    # torch takes seconds to import: once for all who die
    context.set_forkserver_preload(PRELOAD)
    return context


def assert_killed(process: multiprocessing.Process) -> None:
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_at_any_moment_loses_and_changes_nothing(
    killable, slide, whole, tmp_path, moment
) -> None:
    path = tmp_path / "features" / "case-07.h5"
    args = (moment, str(slide), str(path), CONFIG)
    process = killable.Process(target=extract_until, args=args)
    process.start()
    assert_killed(process)
    *_, done = extract(slide, path, CONFIG)
    assert done.skipped == MOMENTS[moment].__name__.startswith(("after", "between"))
    assert path.read_bytes() == whole.read_bytes()


def test_kills_again_and_again_lose_and_change_nothing(
    killable, slide, whole, tmp_path
) -> None:
    path = tmp_path / "features" / "case-07.h5"
    row_bytes = 16 + 4 * build_encoder("texture").dim
    for share in (0.2, 0.5, 0.8):
        least = share * len(features(whole)) * row_bytes
        process = killable.Process(
            target=extract_slowly, args=(str(slide), str(path), CONFIG)
        )
        process.start()
        while not part_path(path).exists() or part_path(path).stat().st_size < least:
            time.sleep(0.001)
            assert process.is_alive()
        process.kill()
        assert_killed(process)
        assert not path.exists()
    list(extract(slide, path, CONFIG))
    assert path.read_bytes() == whole.read_bytes()
    assert os.listdir(path.parent) == [path.name]


# real slides


def refusal(slide: Path, store: Path, config: ExtractConfig) -> str:
    """Give the sentence an extraction is refused with, empty where it is not."""
    try:
        list(extract(slide, store, config))
    except MhimError as err:
        return str(err)
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["texture", "squeezenet"])
def test_every_real_slide_gives_features_or_one_sentence(
    test_data, tmp_path, encoder
) -> None:
    weights = test_data / "data" / "weights" / "squeezenet1_0_imagenet.pth"
    config = ExtractConfig(
        encoder=encoder,
        weights=str(weights) if encoder == "squeezenet" else "",
        slide_mpp=0.5,
        device="cpu",
    )
    found = (test_data / "data" / "slides").rglob("*.*")
    slides = [p for p in found if p.suffix in (".svs", ".tif", ".tiff", ".ndpi")]
    stores = {p: tmp_path / f"{p.name}.h5" for p in slides}
    said = {p: refusal(p, store, config) for p, store in stores.items()}
    assert not any("\n" in text for text in said.values())
    assert {p for p in slides if stores[p].exists()} == {
        p for p in slides if not said[p]
    }
    done = [store for store in stores.values() if store.exists()]
    assert done
    assert all(np.isfinite(features(store)).all() for store in done)
    # and nothing half-written
    assert len(os.listdir(tmp_path)) == len(done)
