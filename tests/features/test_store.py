import errno
import os
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_stores import DIM, made_meta

from napari_mhim.errors import FeatureMismatchError, StoreError, WorkspaceError
from napari_mhim.features import _layout
from napari_mhim.features._part import journal_path, part_path
from napari_mhim.features.store import FeatureStore, StoreMeta, StoreWriter
from napari_mhim.slide.tiling import GridConfig

ROWS = np.arange(50)


def write(path: Path, meta: StoreMeta, vectors: np.ndarray, order=ROWS) -> Path:
    with StoreWriter(path, meta) as writer:
        writer.append(order, vectors[order])
        writer.finish()
    return path


@pytest.fixture
def written(store_path: Path, meta: StoreMeta, vectors: np.ndarray) -> Path:
    return write(store_path, meta, vectors)


# what is written is read


def test_rows_come_back_in_the_grids_order(store_path, meta, vectors) -> None:
    write(store_path, meta, vectors, np.random.default_rng(2).permutation(50))
    with FeatureStore.open(store_path) as store:
        np.testing.assert_array_equal(store.features(), vectors)
        np.testing.assert_array_equal(store.features(7, 20), vectors[7:20])


def test_everything_known_of_the_slide_comes_back(written, meta) -> None:
    with FeatureStore.open(written) as store:
        found = store.meta
        assert len(store) == 50
    assert found.identity() == meta.identity()
    np.testing.assert_array_equal(found.grid.corners, meta.grid.corners)
    for name in ("slide_name", "slide_shape", "slide_mpp", "overlap", "min_tissue"):
        assert getattr(found, name) == getattr(meta, name)


def test_nothing_but_the_store_remains(written) -> None:
    assert os.listdir(written.parent) == [written.name]


def test_coordinates_are_tridents(written, meta) -> None:
    with h5py.File(written) as file:
        coords, attrs = file["coords"][:], dict(file["coords"].attrs)
        assert file["features"].attrs["encoder"] == meta.encoder_id
    assert coords.dtype == np.int64
    np.testing.assert_array_equal(coords, np.rint(meta.grid.corners[:, ::-1]))
    assert attrs["level0_width"] == 7001
    assert attrs["level0_height"] == 9000
    assert attrs["patch_size"] == 256
    assert attrs["overlap"] == 128
    assert attrs["name"] == "case-07"
    # 0.5 µm per pixel is 20-fold
    assert attrs["target_magnification"] == 20


def test_tridents_downsample_gives_the_patch_at_level_0(written, meta) -> None:
    with h5py.File(written) as file:
        attrs = dict(file["coords"].attrs)
    downsample = attrs["level0_magnification"] / attrs["target_magnification"]
    wanted = meta.grid.patch_model_px * 0.5 / np.mean(meta.slide_mpp)
    assert attrs["patch_size"] * downsample == pytest.approx(wanted)
    assert attrs["patch_size_level0"] == 231


def test_no_folder_above_its_own_is_told(written) -> None:
    with h5py.File(written) as file:
        assert file["coords"].attrs["savetodir"] == "features"


# resuming


def test_goes_on_after_a_stop(store_path, meta, vectors) -> None:
    with StoreWriter(store_path, meta) as writer:
        writer.append(ROWS[:20], vectors[:20])
    with StoreWriter(store_path, meta) as writer:
        assert writer.n_rows == 20
        writer.append(ROWS[20:], vectors[20:])
        writer.finish()
    with FeatureStore.open(store_path) as store:
        np.testing.assert_array_equal(store.features(), vectors)


def test_goes_on_at_a_whole_batch(store_path, meta, vectors) -> None:
    with StoreWriter(store_path, meta) as writer:
        writer.append(ROWS[:20], vectors[:20])
    with StoreWriter(store_path, meta, batch_size=16) as writer:
        assert writer.n_rows == 16


def test_keeps_the_last_short_batch_of_a_full_bag(store_path, meta, vectors) -> None:
    with StoreWriter(store_path, meta, batch_size=16) as writer:
        writer.append(ROWS, vectors)
    with StoreWriter(store_path, meta, batch_size=16) as writer:
        assert writer.n_rows == 50


@given(keep=st.integers(0, 50 * (16 + 4 * DIM)), junk=st.binary(max_size=100))
def test_any_torn_end_keeps_only_whole_rows(tmp_path_factory, keep, junk) -> None:
    path = tmp_path_factory.mktemp("torn") / "a.h5"
    meta = made_meta()
    vectors = np.arange(50 * DIM, dtype=np.float32).reshape(50, DIM)
    with StoreWriter(path, meta) as writer:
        writer.append(ROWS, vectors)
    part = part_path(path)
    whole = part.read_bytes()
    assert len(whole) == 50 * (16 + 4 * DIM)
    part.write_bytes(whole[:keep] + junk)
    with StoreWriter(path, meta) as writer:
        done = writer.n_rows
        # junk may by chance be what was cut off, and then it is whole
        assert keep // (16 + 4 * DIM) <= done <= 50
        writer.append(ROWS[done:], vectors[done:])
        writer.finish()
    with FeatureStore.open(path) as store:
        np.testing.assert_array_equal(store.features(), vectors)


def test_zeros_after_a_power_cut_are_no_rows(store_path, meta, vectors) -> None:
    with StoreWriter(store_path, meta) as writer:
        writer.append(ROWS[:10], vectors[:10])
    with part_path(store_path).open("ab") as file:
        file.write(bytes(5 * (16 + 4 * DIM)))
    with StoreWriter(store_path, meta) as writer:
        assert writer.n_rows == 10


def test_rows_without_a_journal_are_not_believed(store_path, meta, vectors) -> None:
    with StoreWriter(store_path, meta) as writer:
        writer.append(ROWS[:10], vectors[:10])
    journal_path(store_path).unlink()
    with StoreWriter(store_path, meta) as writer:
        assert writer.n_rows == 0


def test_a_draft_left_by_a_kill_is_cleared(store_path, meta, vectors) -> None:
    store_path.parent.mkdir()
    draft = store_path.with_name(f".{store_path.name}.99999.part")
    other = store_path.with_name(".case-08.h5.99999.part")
    draft.write_bytes(b"half")
    other.write_bytes(b"another slide's")
    write(store_path, meta, vectors)
    assert not draft.exists()
    assert other.exists()


def test_missing_tiles_outlive_a_stop(store_path, meta, vectors) -> None:
    with StoreWriter(store_path, meta) as writer:
        writer.note_missing(np.array([[0, 256, 256, 200]]))
        writer.append(ROWS[:20], vectors[:20], 3)
    with StoreWriter(store_path, meta) as writer:
        assert writer.missing_tiles == 3
        writer.note_missing(np.array([[0, 256, 256, 200], [0, 0, 256, 256]]))
        writer.append(ROWS[20:], vectors[20:], 5)
        writer.finish()
    with FeatureStore.open(store_path) as store:
        assert store.missing_tiles == 5
        assert store.missing_boxes.tolist() == [[0, 0, 256, 256], [0, 256, 256, 200]]


def test_places_of_another_slides_part_are_forgotten(store_path, meta, vectors) -> None:
    left = store_path.with_name(f"{store_path.name}.part.missing")
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_text("1 2 3 4\n5 6")
    with StoreWriter(store_path, meta) as writer:
        writer.append(ROWS, vectors, 0)
        writer.finish()
    with FeatureStore.open(store_path) as store:
        assert store.missing_boxes.shape == (0, 4)


# refusals


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder_id": "resnet50#ffffffffffff"},
        {"fingerprint": "cd" * 32},
        {"grid": made_meta(seed=9).grid},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_rows_of_something_else_are_not_added_to(
    store_path, meta, vectors, changes
) -> None:
    with StoreWriter(store_path, meta) as writer:
        writer.append(ROWS[:20], vectors[:20])
    before = part_path(store_path).read_bytes()
    with pytest.raises(FeatureMismatchError, match=r"unfinished.*wanted is"):
        StoreWriter(store_path, made_meta(**changes))
    assert part_path(store_path).read_bytes() == before


def test_two_writers_of_one_store_are_one_too_many(store_path, meta) -> None:
    with (
        StoreWriter(store_path, meta),
        pytest.raises(StoreError, match="another process"),
    ):
        StoreWriter(store_path, meta)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_refused(store_path, meta, bad) -> None:
    features = np.zeros((2, DIM), np.float32)
    features[1, 3] = bad
    with (
        StoreWriter(store_path, meta) as writer,
        pytest.raises(StoreError, match="not numbers for slide 'case-07'"),
    ):
        writer.append(ROWS[:2], features)
    assert part_path(store_path).stat().st_size == 0


def test_features_of_another_length_are_refused(store_path, meta) -> None:
    with (
        StoreWriter(store_path, meta) as writer,
        pytest.raises(StoreError, match=r"\(2, 8\) for 2 patches of 7"),
    ):
        writer.append(ROWS[:2], np.zeros((2, 8), np.float32))


@pytest.mark.parametrize("order", [ROWS[:49], np.append(ROWS[:49], 0)])
def test_a_bag_with_a_hole_is_not_finished(store_path, meta, vectors, order) -> None:
    with pytest.raises(StoreError, match="49 of 50 patches"):
        write(store_path, meta, vectors, order)
    assert not store_path.exists()


def test_a_missing_store_is_told(tmp_path) -> None:
    with pytest.raises(StoreError, match="no features at"):
        FeatureStore.open(tmp_path / "a.h5")


def test_an_unfinished_store_is_told_from_a_missing_one(
    store_path, meta, vectors
) -> None:
    with StoreWriter(store_path, meta) as writer:
        writer.append(ROWS[:20], vectors[:20])
    with pytest.raises(StoreError, match=r"unfinished \(slide case-07"):
        FeatureStore.open(store_path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_store_is_refused(written, share) -> None:
    whole = written.read_bytes()
    written.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(StoreError, match="damaged"):
        FeatureStore.open(written)


def test_another_programs_file_is_refused(tmp_path) -> None:
    path = tmp_path / "trident.h5"
    with h5py.File(path, "w") as file:
        file["features"] = np.zeros((3, 4))
        file["coords"] = np.zeros((3, 2))
    with pytest.raises(StoreError, match="not written by napari-mhim"):
        FeatureStore.open(path)


def test_a_file_of_the_future_is_refused(written) -> None:
    with h5py.File(written, "r+") as file:
        file.attrs["mhim_version"] = 99
    with pytest.raises(StoreError, match="layout 99"):
        FeatureStore.open(written)


@pytest.mark.parametrize(
    "entry", ["mhim_origin", "mhim_slide_shape", "mhim_encoder", "mhim_mpp"]
)
def test_a_file_that_lost_an_entry_is_refused(written, entry) -> None:
    with h5py.File(written, "r+") as file:
        del file.attrs[entry]
    with pytest.raises(StoreError, match="damaged"):
        FeatureStore.open(written)


@pytest.mark.parametrize("dataset", ["features", "mhim_grid"])
def test_a_file_that_lost_a_dataset_is_refused(written, dataset) -> None:
    with h5py.File(written, "r+") as file:
        del file[dataset]
    with pytest.raises(StoreError, match="damaged"):
        FeatureStore.open(written)


def test_fewer_features_than_patches_are_refused(written) -> None:
    with h5py.File(written, "r+") as file:
        rows = file["features"][:49]
        del file["features"]
        file["features"] = rows
    with pytest.raises(StoreError, match="damaged"):
        FeatureStore.open(written)


def test_a_damaged_journal_is_told(store_path, meta) -> None:
    StoreWriter(store_path, meta).close()
    journal_path(store_path).write_text("{", encoding="utf-8")
    with pytest.raises(StoreError, match="journal"):
        StoreWriter(store_path, meta)


# what features are of


def test_features_of_another_slide_name_both(written) -> None:
    other = SimpleNamespace(name="case-08", fingerprint="cd" * 32)
    with (
        FeatureStore.open(written) as store,
        pytest.raises(FeatureMismatchError, match=r"'case-07'.*'case-08'"),
    ):
        store.check(slide=other)


def test_a_renamed_slide_is_the_same(written) -> None:
    renamed = SimpleNamespace(name="case-08", fingerprint="ab" * 32)
    with FeatureStore.open(written) as store:
        store.check(slide=renamed, encoder_id=store.encoder_id)


def test_features_of_another_encoder_name_both(written) -> None:
    with (
        FeatureStore.open(written) as store,
        pytest.raises(FeatureMismatchError, match=r"'texture#.*'resnet50#1'"),
    ):
        store.check(encoder_id="resnet50#1")


@pytest.mark.parametrize(
    "cut",
    [
        GridConfig(0.25, 256, 0.5, 0.25),
        GridConfig(0.5, 224, 0.5, 0.25),
        GridConfig(0.5, 256, 0.0, 0.25),
        GridConfig(0.5, 256, 0.5, 0.1),
    ],
)
def test_another_cut_is_refused(written, cut) -> None:
    with FeatureStore.open(written) as store:
        store.check(grid=GridConfig(0.5, 256, 0.5, 0.25))
        store.check(grid=GridConfig(0.5000000001, 256, 0.5, 0.1 + 0.15))
        with pytest.raises(FeatureMismatchError, match=r"patches of 256 px at 0\.5"):
            store.check(grid=cut)


def test_another_slide_mpp_is_refused(written) -> None:
    with FeatureStore.open(written) as store:
        store.check(slide_mpp=(0.532, 0.578))
        with pytest.raises(FeatureMismatchError, match=r"0\.532 × 0\.578"):
            store.check(slide_mpp=(0.578, 0.532))


# a full disk


def full(*_args: object, **_kwargs: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_fills_keeps_the_rows_so_far(
    store_path, meta, vectors, monkeypatch
) -> None:
    with StoreWriter(store_path, meta) as writer:
        writer.append(ROWS[:20], vectors[:20])
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(WorkspaceError, match=r"disk .* is full"):
                writer.append(ROWS[20:], vectors[20:])
    with StoreWriter(store_path, meta) as writer:
        assert writer.n_rows == 20


def test_a_disk_that_fills_within_a_row_keeps_those_before(
    store_path, meta, vectors, monkeypatch
) -> None:
    real, room = os.write, 3 * (16 + 4 * DIM) + 5

    def nearly_full(file: int, data: memoryview) -> int:
        nonlocal room
        if room == 0:
            full()
        written = real(file, data[:room])
        room -= written
        return written

    with StoreWriter(store_path, meta) as writer, monkeypatch.context() as patch:
        patch.setattr(os, "write", nearly_full)
        with pytest.raises(WorkspaceError, match="full"):
            writer.append(ROWS, vectors)
    with StoreWriter(store_path, meta) as writer:
        assert writer.n_rows == 3


@pytest.mark.parametrize(
    "err",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        # what HDF5 says on closing
        RuntimeError("Can't decrement id ref count (file write failed: errno = 28)"),
    ],
)
def test_a_disk_that_fills_at_the_end_loses_nothing(
    store_path, meta, vectors, monkeypatch, err
) -> None:
    def fail(*_args: object) -> None:
        raise err

    with monkeypatch.context() as patch:
        patch.setattr(_layout, "_write_own", fail)
        with pytest.raises(WorkspaceError, match="full"):
            write(store_path, meta, vectors)
    assert not store_path.exists()
    with StoreWriter(store_path, meta) as writer:
        assert writer.n_rows == 50
        writer.finish()
    with FeatureStore.open(store_path) as store:
        np.testing.assert_array_equal(store.features(), vectors)


def test_a_folder_that_is_a_file_is_told(tmp_path, meta) -> None:
    (tmp_path / "features").write_bytes(b"")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        StoreWriter(tmp_path / "features" / "a.h5", meta)
