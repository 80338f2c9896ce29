"""Which tiles of a slide its features went without, kept over sittings of an extraction."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import WorkspaceError
from napari_mhim.workspace import why_unwritable


class MissingTiles:
    """Boxes of tiles that could not be read, a line each beside the rows.

    Parameters
    ----------
    store_path : Path
        The store that is to come of it.
    goes_on : bool
        Whether an earlier sitting's boxes count; they are forgotten otherwise.
    """

    def __init__(self, store_path: Path, *, goes_on: bool) -> None:
        self._store_path = store_path
        self.path = store_path.with_name(f"{store_path.name}.part.missing")
        if not goes_on:
            self.delete()
        self._boxes = set(_read(self.path))

    @property
    def boxes(self) -> NDArray[np.int64]:
        """Give them, (n, 4): y, x, height, width in level-0 pixels, sorted."""
        return np.array(sorted(self._boxes), np.int64).reshape(-1, 4)

    def add(self, boxes: NDArray[np.int64]) -> None:
        """Note boxes; those noted before are left as they are.

        Parameters
        ----------
        boxes : ndarray, shape (n, 4), int64
            y, x, height, width in level-0 pixels.

        Raises
        ------
        WorkspaceError
            If the disk is full or gone.
        """
        new = {tuple(box) for box in boxes.tolist()} - self._boxes
        if not new:
            return
        try:
            with self.path.open("a", encoding="ascii") as file:
                file.writelines(f"{' '.join(map(str, box))}\n" for box in sorted(new))
        except OSError as err:
            raise WorkspaceError(why_unwritable(self._store_path, err)) from err
        self._boxes |= new

    def delete(self) -> None:
        """Remove the file, once the store holds them."""
        self.path.unlink(missing_ok=True)


def _read(path: Path) -> list[tuple[int, ...]]:
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        numbers = line.split()
        # a kill can leave half a line, the last one
        if len(numbers) == 4 and all(number.isdecimal() for number in numbers):
            found.append(tuple(int(number) for number in numbers))
    return found
