"""The one way to open a slide: by what the file holds, whichever reader can."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from napari_mhim import _parts
from napari_mhim.errors import SlideError
from napari_mhim.slide.address import url_of
from napari_mhim.slide.identity import file_fingerprint
from napari_mhim.slide.quiet import quiet
from napari_mhim.slide.slide import Slide, SlideFile
from napari_mhim.slide.source import TileSource

FORMATS = "napari_mhim.slide.formats"
"""The folder of readers, one file each."""

_HEAD_BYTES = 4096
# so many tiles of a level that fail, and none that decodes: the level is unreadable
_PROBES = 4
# so many absent ones are looked past, from the middle on: a web address has billions
_MOST_ABSENT = 256


class LeftToOthersError(SlideError):
    """A reader leaves a file to those after it; any other SlideError of its is final."""


def open_slide(path: str | Path, scene: int = 0, *, srgb: bool = False) -> Slide:
    """Open a slide by what the file holds, whatever its name.

    Parameters
    ----------
    path : str or Path
        A file, a folder of DICOM files, an OME-Zarr folder or its web address.
    scene : int
        Which of a file's scenes; ``Slide.scenes`` names them.
    srgb : bool
        Turn colours into sRGB by the file's ICC profile, where it has one: for looking
        at, not for features.

    Returns
    -------
    Slide
        To be closed, or used in a ``with`` block.

    Raises
    ------
    SlideError
        If no reader can open it, with each one's reason; if it cannot be read at all;
        if one of its levels does not decode; if there is no such scene.
    """
    path = Path(path)
    with quiet():
        return _opened(path, scene, srgb=srgb)


def fingerprint(path: Path) -> str:
    """Give what tells one slide's file from another's.

    Parameters
    ----------
    path : Path
        A file, a folder or a web address.

    Returns
    -------
    str
        ``Slide.fingerprint``, of the first scene; a file is not opened for it.

    Raises
    ------
    SlideError
        If it cannot be read; of a folder, if it is no slide.
    """
    if url_of(path) is None and not path.is_dir():
        return file_fingerprint(path)
    with open_slide(path) as slide:
        return slide.fingerprint


def refuse_scene(scene: int, scenes: tuple[str, ...]) -> None:
    """Refuse a scene that a file does not have.

    Parameters
    ----------
    scene : int
        The one asked for.
    scenes : tuple of str
        Names of those there are.

    Raises
    ------
    SlideError
        If there is none of that number; it names those there are.
    """
    if not 0 <= scene < len(scenes):
        named = ", ".join(f"{n} {name!r}" for n, name in enumerate(scenes))
        raise SlideError(f"it has no scene {scene}; there are: {named}")


def _opened(path: Path, scene: int, *, srgb: bool) -> Slide:
    head = _head(path)
    reasons = []
    parts = {name: _parts.load(FORMATS, name) for name in _parts.names(FORMATS)}
    for name, part in sorted(parts.items(), key=lambda item: item[1].RANK):
        reason = part.sniff(head, path)
        if reason is None:
            try:
                file: SlideFile = part.open_slide(path, scene)
                return _probed(_made(path, file, scene, srgb=srgb))
            except LeftToOthersError as err:
                reason = str(err)
            except SlideError as err:
                # not asked of others: they would show what is left of a damaged file
                raise SlideError(f"{path.name!r} cannot be opened: {err}") from err
        reasons.append(f"{name}: {reason}")
    raise SlideError(f"{path.name!r} cannot be opened ({'; '.join(reasons)})")


def _head(path: Path) -> bytes:
    if url_of(path) is not None or path.is_dir():
        return b""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError as err:
        raise SlideError(f"there is no file {str(path)!r}") from err
    except OSError as err:
        raise SlideError(f"{path.name!r} cannot be read: {err.strerror}") from err
    if not head:
        raise SlideError(f"{path.name!r} is empty; copy it again")
    return head


def _made(path: Path, file: SlideFile, scene: int, *, srgb: bool) -> Slide:
    """Make a slide of what a format gave, closed where that fails."""
    from napari_mhim.slide.colour import to_srgb

    try:
        refuse_scene(scene, tuple(file.scenes))
        if srgb and file.icc:
            turned = [to_srgb(level, file.icc) for level in file.levels]
            file = replace(file, levels=turned)
        return Slide(path, file, scene=scene)
    except BaseException:
        file.close()
        raise


def _probed(slide: Slide) -> Slide:
    """Give the slide back if each of its levels decodes somewhere, else close it."""
    try:
        for index, source in enumerate(slide.sources):
            errors = list(islice(_failures(source), _PROBES))
            if errors and errors[-1] is not None:
                raise SlideError(
                    f"none of the tiles tried on level {index} decodes ({errors[-1]}); "
                    "the file is damaged: copy or scan it again"
                ) from errors[-1]
    except BaseException:
        slide.close()
        raise
    return slide


def _failures(source: TileSource) -> Iterator[SlideError | None]:
    """Give the error of each tile that fails; ends with None at one that decodes."""
    rows, cols = source.tiles
    middle = rows // 2 * cols + cols // 2
    has_failed = False
    # outward from the middle, where the tissue is; absent tiles tell nothing
    for step in range(min(rows * cols, _MOST_ABSENT)):
        row, col = divmod((middle + step) % (rows * cols), cols)
        try:
            if source.decode_tile(row, col) is not None:
                yield None
                return
        except SlideError as err:
            has_failed = True
            yield err
    if not has_failed and rows * cols <= _MOST_ABSENT:
        yield SlideError("the file holds no tile of it")
