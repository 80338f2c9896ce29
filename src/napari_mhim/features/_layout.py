"""The HDF5 file of one slide's features: what is in it, and how it is read and written."""

import errno
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_mhim import __version__
from napari_mhim.errors import StoreError
from napari_mhim.features._part import read_journal
from napari_mhim.slide.tiling import PatchGrid

LAYOUT = 1
"""Version of the ``mhim_*`` entries; a file of a later one is refused."""

_BLOCK_ROWS = 4096
_MISSING = "mhim_missing"


@dataclass(frozen=True, eq=False)
class StoreMeta:
    """Whose features these are, and where its patches lie."""

    slide_name: str
    """The slide's file name without suffix."""
    fingerprint: str
    """Hash of the slide's file."""
    slide_shape: tuple[int, int]
    """Height and width of level 0, (y, x), px."""
    slide_mpp: tuple[float, float]
    """Micrometres per level-0 pixel, (y, x), as the grid was laid with."""
    encoder_id: str
    """``name[:source@revision]#hash``."""
    dim: int
    """Length of a vector."""
    grid: PatchGrid
    """Where the patches lie, in the bag's order."""
    overlap: float = 0.0
    """Share of a patch that it has in common with the next one."""
    min_tissue: float = 0.0
    """Least share of a patch that had to be tissue."""
    tissue: str = ""
    """Tissue settings in force, as JSON; "" where they were not noted."""

    def grid_hash(self) -> str:
        """Give a short hash of the grid: two grids that differ anywhere differ in it."""
        grid = self.grid
        digest = hashlib.sha256()
        for array in (grid.origin, grid.stride_px, grid.patch_px):
            digest.update(np.ascontiguousarray(array, "<f8").tobytes())
        digest.update(np.ascontiguousarray(grid.cells, "<i4").tobytes())
        digest.update(repr((grid.shape, grid.mpp, grid.patch_model_px)).encode())
        return digest.hexdigest()[:16]

    def identity(self) -> dict[str, Any]:
        """Give what must agree for rows to belong together, in a reader's words."""
        return {
            "slide": f"{self.slide_name} (file {self.fingerprint[:16]})",
            "encoder": self.encoder_id,
            "vector length": self.dim,
            "patches": _describe_grid(self.grid, self.overlap),
            "grid": self.grid_hash(),
        }


def write_store(
    draft: Path,
    path: Path,
    meta: StoreMeta,
    vectors: NDArray[np.float32],
    order: NDArray[np.int64],
    missing: tuple[int, NDArray[np.int64]],
) -> None:
    """Write a store.

    Parameters
    ----------
    draft : Path
        Where to write.
    path : Path
        What the file will be called afterwards.
    meta : StoreMeta
        Whose features they are.
    vectors : ndarray, shape (N, dim), float32
        The vectors in any order; may be mapped from a file.
    order : ndarray, shape (N,), int64
        Which of them belongs to each patch of the grid.
    missing : tuple
        How many tiles of the slide could not be read, and where they lie, (n, 4): y, x,
        height, width in level-0 pixels.

    Raises
    ------
    OSError
        If the disk is full or gone.
    """
    try:
        with h5py.File(draft, "w") as file:
            _write_features(file, meta, vectors, order)
            _write_coords(file, path, meta)
            _write_own(file, meta, *missing)
        _sync(draft)
    except (OSError, RuntimeError) as err:
        # HDF5 gives the system's reason in its text only, and on closing a RuntimeError
        if "No space left" in str(err) or f"errno = {errno.ENOSPC}" in str(err):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from err
        raise


def open_store(path: Path) -> h5py.File:
    """Open a store's file for reading.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    h5py.File
        To be closed by the caller.

    Raises
    ------
    StoreError
        If there is none, or it is unfinished or no HDF5.
    """
    if not path.is_file():
        raise StoreError(_why_absent(path))
    try:
        # a store never changes once it has its name, and network drives often refuse
        # the lock that HDF5 asks for
        return h5py.File(path, "r", locking=False)
    except OSError as err:
        raise StoreError(damaged(path, err)) from err


def read_meta(file: h5py.File, path: Path) -> tuple[StoreMeta, int]:
    """Read whose features a store holds.

    Parameters
    ----------
    file : h5py.File
        The open file.
    path : Path
        Where it lies, for messages.

    Returns
    -------
    meta : StoreMeta
        Whose features they are.
    missing_tiles : int
        Tiles of the slide that could not be read.

    Raises
    ------
    StoreError
        If it is damaged, of another program, or of a later version of this one.
    """
    _refuse_foreign(file, path)
    try:
        meta, missing_tiles = _parse(file)
    except (KeyError, ValueError, TypeError, IndexError, OSError) as err:
        raise StoreError(damaged(path, err)) from err
    wanted = (len(meta.grid), meta.dim)
    if (shape := file["features"].shape) != wanted:
        raise StoreError(
            f"{str(path)!r} is damaged: it holds features of shape {shape} for "
            f"{wanted[0]} patches of {wanted[1]} values; delete it and extract again"
        )
    return meta, missing_tiles


def damaged(path: Path, err: Exception) -> str:
    """Say in one sentence that a store cannot be read, and the way out."""
    return (
        f"features {str(path)!r} are damaged or no HDF5 file ({err}); "
        "delete them and extract again"
    )


def _write_features(
    file: h5py.File,
    meta: StoreMeta,
    vectors: NDArray[np.float32],
    order: NDArray[np.int64],
) -> None:
    dataset = file.create_dataset("features", (len(order), meta.dim), "<f4")
    # by blocks: a bag may be larger than the memory
    for start in range(0, len(order), _BLOCK_ROWS):
        block = order[start : start + _BLOCK_ROWS]
        dataset[start : start + len(block)] = vectors[block]
    dataset.attrs["encoder"] = meta.encoder_id
    dataset.attrs["name"] = meta.slide_name


def _write_coords(file: h5py.File, path: Path, meta: StoreMeta) -> None:
    """Write what TRIDENT's readers look for; its lengths are one number for both axes."""
    grid = meta.grid
    slide_mpp = float(np.mean(meta.slide_mpp))
    coords = np.rint(grid.corners[:, ::-1]).astype(np.int64)  # (N, 2), x before y
    dataset = file.create_dataset("coords", data=coords)
    dataset.attrs.update(
        {
            "patch_size": grid.patch_model_px,
            "patch_size_level0": round(float(grid.patch_px.mean())),
            # 10 µm per pixel is what TRIDENT calls one-fold; its readers take the
            # ratio of the two for the downsample, so neither is rounded to 20 or 40
            "level0_magnification": _plain(10 / slide_mpp),
            "target_magnification": _plain(10 / grid.mpp),
            "overlap": round(grid.patch_model_px * meta.overlap),
            "name": meta.slide_name,
            # the folder alone: a path may name a patient
            "savetodir": path.parent.name,
            "level0_width": meta.slide_shape[1],
            "level0_height": meta.slide_shape[0],
        }
    )


def missing_boxes(file: h5py.File) -> NDArray[np.int64]:
    """Read where tiles were missing, (n, 4): y, x, height, width in level-0 pixels.

    Empty also in stores of earlier versions, which know only how many there were.
    """
    if _MISSING not in file:
        return np.empty((0, 4), np.int64)
    return np.asarray(file[_MISSING][:], np.int64).reshape(-1, 4)


def _write_own(
    file: h5py.File, meta: StoreMeta, missing_tiles: int, boxes: NDArray[np.int64]
) -> None:
    grid = meta.grid
    if len(boxes):
        file.create_dataset(_MISSING, data=boxes.astype("<i8"))
    file.create_dataset("mhim_grid", data=grid.cells.astype("<i4"))
    file.attrs.update(
        {
            "mhim_version": LAYOUT,
            "mhim_written_by": f"napari-mhim {__version__}",
            "mhim_slide": meta.slide_name,
            "mhim_fingerprint": meta.fingerprint,
            "mhim_slide_shape": np.array(meta.slide_shape, "<i8"),
            "mhim_slide_mpp": np.array(meta.slide_mpp, "<f8"),
            "mhim_encoder": meta.encoder_id,
            "mhim_mpp": float(grid.mpp),
            "mhim_patch_model_px": grid.patch_model_px,
            "mhim_overlap": float(meta.overlap),
            "mhim_min_tissue": float(meta.min_tissue),
            "mhim_tissue": meta.tissue,
            "mhim_origin": np.asarray(grid.origin, "<f8"),
            "mhim_stride": np.asarray(grid.stride_px, "<f8"),
            "mhim_patch": np.asarray(grid.patch_px, "<f8"),
            "mhim_grid_shape": np.array(grid.shape, "<i8"),
            "mhim_missing_tiles": missing_tiles,
        }
    )


def _parse(file: h5py.File) -> tuple[StoreMeta, int]:
    attrs = file.attrs
    grid = PatchGrid(
        origin=_floats(attrs["mhim_origin"]),
        stride_px=_floats(attrs["mhim_stride"]),
        patch_px=_floats(attrs["mhim_patch"]),
        shape=_ints(attrs["mhim_grid_shape"]),
        cells=np.asarray(file["mhim_grid"][:], np.int32).reshape(-1, 2),
        mpp=float(attrs["mhim_mpp"]),
        patch_model_px=int(attrs["mhim_patch_model_px"]),
    )
    if (grid.cells < 0).any() or (grid.cells >= grid.shape).any():
        raise ValueError("patches lie outside their grid")
    mpp = _floats(attrs["mhim_slide_mpp"])
    meta = StoreMeta(
        slide_name=str(attrs["mhim_slide"]),
        fingerprint=str(attrs["mhim_fingerprint"]),
        slide_shape=_ints(attrs["mhim_slide_shape"]),
        slide_mpp=(float(mpp[0]), float(mpp[1])),
        encoder_id=str(attrs["mhim_encoder"]),
        dim=int(file["features"].shape[1]),
        grid=grid,
        overlap=float(attrs["mhim_overlap"]),
        min_tissue=float(attrs["mhim_min_tissue"]),
        tissue=str(attrs.get("mhim_tissue", "")),
    )
    return meta, int(attrs["mhim_missing_tiles"])


def _refuse_foreign(file: h5py.File, path: Path) -> None:
    version = file.attrs.get("mhim_version")
    if version is None:
        raise StoreError(
            f"{str(path)!r} was not written by napari-mhim, and lacks what is needed to "
            "place its patches exactly; extract the slide again"
        )
    if int(version) > LAYOUT:
        raise StoreError(
            f"{str(path)!r} is of layout {int(version)}, and this version reads up to "
            f"{LAYOUT}; update napari-mhim"
        )


def _why_absent(path: Path) -> str:
    journal = read_journal(path)
    if journal is not None:
        return (
            f"features {str(path)!r} are unfinished (slide {journal.get('slide')}); "
            "start their extraction again and it goes on where it stopped"
        )
    return f"there are no features at {str(path)!r}; extract the slide first"


def _describe_grid(grid: PatchGrid, overlap: float) -> str:
    return (
        f"{len(grid)} of {grid.patch_model_px} px at {grid.mpp:g} µm per pixel, "
        f"overlap {overlap:g}"
    )


def _floats(values: Any) -> NDArray[np.float64]:
    pair = np.asarray(values, np.float64)
    if pair.shape != (2,) or not np.isfinite(pair).all():
        raise ValueError(f"two numbers wanted, got {values}")
    return pair


def _ints(values: Any) -> tuple[int, int]:
    height, width = _floats(values)
    return int(height), int(width)


def _plain(value: float) -> int | float:
    """Give whole numbers as such: TRIDENT's own files hold integers."""
    return round(value) if abs(value - round(value)) < 1e-6 else value


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
