"""Features of one slide on disk: TRIDENT's HDF5 layout with exact geometry beside it.

``features`` (N, D) and ``coords`` (N, 2), level-0 (x, y), rounded, carry TRIDENT's
attributes, so that its readers take the file as their own. Ours are on the file itself,
named ``mhim_*``, with the dataset ``mhim_grid`` (row, col): nothing in them is rounded,
and lengths are (y, x). Imports without torch.
"""

from dataclasses import astuple
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import FeatureMismatchError, StoreError
from napari_mhim.features._layout import (
    StoreMeta,
    damaged,
    missing_boxes,
    open_store,
    read_meta,
    write_store,
)
from napari_mhim.features._missing import MissingTiles
from napari_mhim.features._part import Part
from napari_mhim.slide.tiling import GridConfig
from napari_mhim.workspace import writing

__all__ = ["FeatureStore", "StoreMeta", "StoreWriter"]


class SlideLike(Protocol):
    """What a store needs to know of a slide to tell it from another."""

    @property
    def name(self) -> str:
        """Give the file name without suffix."""
        ...

    @property
    def fingerprint(self) -> str:
        """Give the hash of the file."""
        ...


class StoreWriter:
    """Takes rows in any order and any number of sittings, and makes the store of them.

    Rows go to ``<store>.part``; the HDF5 file is written once, at the end, and renamed,
    so a store that exists is whole. Opening goes on where the last sitting ended.

    Parameters
    ----------
    path : Path
        The store that is to be.
    meta : StoreMeta
        Whose features they are.
    batch_size : int
        Rows are kept in whole batches, so that a resumed run encodes the very batches
        of an uninterrupted one and gives the same bits.

    Raises
    ------
    FeatureMismatchError
        If rows of another slide, encoder or grid lie there.
    StoreError
        If another process is writing the same store.
    WorkspaceError
        If the folder cannot be written.
    """

    def __init__(self, path: str | Path, meta: StoreMeta, batch_size: int = 1) -> None:
        self.path = Path(path)
        self.meta = meta
        self._part = Part(self.path, meta.identity(), meta.dim)
        if self._part.n_rows < len(meta.grid):
            self._part.truncate(self._part.n_rows // batch_size * batch_size)
        self._missing = MissingTiles(self.path, goes_on=self._part.n_rows > 0)

    @property
    def n_rows(self) -> int:
        """Give how many rows are safe."""
        return self._part.n_rows

    @property
    def missing_tiles(self) -> int:
        """Give how many tiles of the slide the rows so far went without."""
        return self._part.missing

    def note_missing(self, boxes: NDArray[np.int64]) -> None:
        """Note where tiles are missing; told again, a place counts once.

        Parameters
        ----------
        boxes : ndarray, shape (n, 4), int64
            y, x, height, width in level-0 pixels.

        Raises
        ------
        WorkspaceError
            If the disk is full or gone.
        """
        self._missing.add(boxes)

    def append(
        self,
        rows: NDArray[np.int64],
        features: NDArray[np.float32],
        missing_tiles: int = 0,
    ) -> None:
        """Add rows; they are safe from a kill when this returns.

        Parameters
        ----------
        rows : ndarray, shape (B,), int64
            Row of ``meta.grid.cells`` of each vector.
        features : ndarray, shape (B, dim), float32
            The vectors.
        missing_tiles : int
            Tiles of the slide that could not be read so far, in all sittings.

        Raises
        ------
        StoreError
            If a vector holds NaN or infinity, or has another length.
        WorkspaceError
            If the disk is full; rows so far are kept, and the next sitting goes on.
        """
        if features.shape != (len(rows), self.meta.dim):
            raise StoreError(
                f"encoder {self.meta.encoder_id!r} gave features of shape "
                f"{features.shape} for {len(rows)} patches of {self.meta.dim} values"
            )
        if not np.isfinite(features).all():
            raise StoreError(
                f"encoder {self.meta.encoder_id!r} gave features that are not numbers "
                f"for slide {self.meta.slide_name!r}; check its weights and the device"
            )
        self._part.append(rows, features, missing_tiles)

    def finish(self) -> None:
        """Make the store of the rows and remove the part.

        Raises
        ------
        StoreError
            If a row is missing or there twice.
        WorkspaceError
            If the disk is full; rows are kept, and the next sitting goes on.
        """
        records = self._part.records()
        order = self._order(records["row"])
        self._remove_drafts()
        with writing(self.path) as draft:
            write_store(
                draft,
                self.path,
                self.meta,
                records["vector"],
                order,
                (self.missing_tiles, self._missing.boxes),
            )
        # mapped memory must go before the file can, on windows
        del records
        self._part.delete()
        self._missing.delete()

    def close(self) -> None:
        """Let go of the part; its rows stay for the next sitting."""
        self._part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _order(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the record of each row of the bag, shape (N,)."""
        n_patches = len(self.meta.grid)
        order = np.argsort(rows, kind="stable")
        if not np.array_equal(rows[order], np.arange(n_patches)):
            raise StoreError(
                f"features of slide {self.meta.slide_name!r} hold "
                f"{len(np.unique(rows))} of {n_patches} patches; delete "
                f"{str(self._part.path)!r} and extract again"
            )
        return order

    def _remove_drafts(self) -> None:
        # a kill while the HDF5 was written leaves one; the part's lock says it is stale
        prefix = f".{self.path.name}."
        for path in self.path.parent.iterdir():
            if path.name.startswith(prefix) and path.suffix == ".part":
                path.unlink(missing_ok=True)


class FeatureStore:
    """Reads one slide's features; what is not whole and ours is refused.

    Made by :meth:`open`; a context manager.
    """

    def __init__(
        self, path: Path, file: h5py.File, meta: StoreMeta, missing_tiles: int
    ) -> None:
        self.path = path
        self.meta = meta
        self._file = file
        self.slide_name = meta.slide_name
        self.fingerprint = meta.fingerprint
        self.slide_shape = meta.slide_shape
        self.slide_mpp = meta.slide_mpp
        self.encoder_id = meta.encoder_id
        self.dim = meta.dim
        self.grid = meta.grid
        self.overlap = meta.overlap
        self.missing_tiles = missing_tiles
        self.missing_boxes = missing_boxes(file)

    @classmethod
    def open(cls, path: str | Path) -> "FeatureStore":
        """Open a store.

        Parameters
        ----------
        path : str or Path
            The HDF5 file.

        Returns
        -------
        FeatureStore
            To be closed, or used in a ``with`` block.

        Raises
        ------
        StoreError
            If there is none, or it is unfinished, damaged, of another program or of a
            later version of this one.
        """
        path = Path(path)
        file = open_store(path)
        try:
            meta, missing_tiles = read_meta(file, path)
        except BaseException:
            file.close()
            raise
        return cls(path, file, meta, missing_tiles)

    def features(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Read vectors, in the order of ``grid.cells``.

        Parameters
        ----------
        start, stop : int, optional
            First row, and one past the last; all rows where not given.

        Returns
        -------
        ndarray, shape (N, dim), float32
            The vectors.

        Raises
        ------
        StoreError
            If the file is damaged.
        """
        try:
            return np.asarray(self._file["features"][start:stop], np.float32)
        except OSError as err:
            raise StoreError(damaged(self.path, err)) from err

    def check(
        self,
        slide: SlideLike | None = None,
        encoder_id: str | None = None,
        grid: GridConfig | None = None,
        slide_mpp: tuple[float, float] | None = None,
    ) -> None:
        """Refuse features that are not of what they are wanted for.

        Parameters
        ----------
        slide : Slide, optional
            The slide they must be of, by its fingerprint: a renamed file is the same.
        encoder_id : str, optional
            The encoder they must be of, weights included.
        grid : GridConfig, optional
            How the slide must have been cut.
        slide_mpp : tuple of 2 floats, optional
            Micrometres per level-0 pixel, (y, x), the grid must have been laid with.

        Raises
        ------
        FeatureMismatchError
            If one differs; the message names both sides.
        """
        if slide is not None and slide.fingerprint != self.fingerprint:
            self._refuse(
                f"slide {self.slide_name!r} (file {self.fingerprint[:8]})",
                f"slide {slide.name!r} (file {slide.fingerprint[:8]})",
            )
        if encoder_id is not None and encoder_id != self.encoder_id:
            self._refuse(f"encoder {self.encoder_id!r}", f"encoder {encoder_id!r}")
        ours, meta = self.grid, self.meta
        cut = GridConfig(ours.mpp, ours.patch_model_px, meta.overlap, meta.min_tissue)
        # a setting may come back from a file or a sum: 0.3 as 0.30000000000000004
        if grid is not None and not np.allclose(astuple(cut), astuple(grid), 1e-6):
            self._refuse(_cut(cut), _cut(grid))
        if slide_mpp is not None and not np.allclose(slide_mpp, self.slide_mpp, 1e-6):
            self._refuse(
                "a slide of {:g} × {:g} µm per pixel".format(*self.slide_mpp),
                "a slide of {:g} × {:g}".format(*slide_mpp),
            )

    def _refuse(self, ours: str, wanted: str) -> None:
        raise FeatureMismatchError(
            f"features {str(self.path)!r} are of {ours}, wanted are those of {wanted}; "
            "choose another folder, or delete them and extract again"
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __len__(self) -> int:
        """Count the patches."""
        return len(self.grid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _cut(grid: GridConfig) -> str:
    return (
        f"patches of {grid.patch_model_px} px at {grid.mpp:g} µm per pixel, overlap "
        f"{grid.overlap:g}, tissue {grid.min_tissue:g}"
    )
