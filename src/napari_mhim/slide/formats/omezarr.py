"""OME-Zarr (NGFF 0.1 to 0.5, Zarr 2 and 3) and plain Zarr arrays, local or on the web."""

import hashlib
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mhim.errors import SlideError
from napari_mhim.slide.address import url_of
from napari_mhim.slide.formats._tiff_names import beside
from napari_mhim.slide.formats._zarr_array import (
    DAMAGE,
    MARKS,
    Place,
    array_level,
    plane_notes,
)
from napari_mhim.slide.opening import refuse_scene
from napari_mhim.slide.scale import Mpp, checked, to_um
from napari_mhim.slide.slide import SlideFile
from napari_mhim.slide.source import DamagedTileError, NativeLevel, Pixels, read_whole

if TYPE_CHECKING:
    from zarr import Array, Group

RANK = 12
"""Asked before the readers of DICOM and of OpenSlide, for folders of its own alone."""

# of versions before 0.3, whose axes have no names
_OLD_AXES = ("t", "c", "z", "y", "x")
_RED_GREEN_BLUE = ("FF0000", "00FF00", "0000FF")
_SECONDS = 30


@dataclass(frozen=True)
class _Image:
    """One picture of a Zarr: its arrays, the finest first, and what is said of them."""

    name: str
    arrays: tuple["Array", ...]
    axes: tuple[str, ...]
    scale: Mapping[str, float | None]
    """Micrometres per pixel of the first array, by axis."""
    scale_reason: str
    """Where the scale is looked for, or why there is none."""


def sniff(head: bytes, path: Path) -> str | None:
    """Say why a folder or address is no Zarr, or None where it may be one.

    Parameters
    ----------
    head : bytes
        The file's first bytes; empty for a folder or a web address.
    path : Path
        The folder, or the address.

    Returns
    -------
    str or None
        The reason.
    """
    if url_of(path) is not None:
        return None
    if not path.is_dir():
        return "it is no folder"
    is_zarr = any((path / name).is_file() for name in MARKS)
    return None if is_zarr else "the folder holds no Zarr metadata"


def open_slide(path: Path, scene: int = 0) -> SlideFile:
    """Open an OME-Zarr.

    Parameters
    ----------
    path : Path
        The folder, or its web address.
    scene : int
        Which of its images.

    Returns
    -------
    SlideFile
        Levels are read chunk by chunk.

    Raises
    ------
    SlideError
        If it is no image of 8-bit RGB or grey, is damaged, or has no such scene.
    """
    import zarr

    store = _store(path)
    place = Place(path, store)
    try:
        images = list(_images(zarr.open(store, mode="r")))
        return _read(_titled(images, path), scene, place)
    except SlideError:
        place.close()
        raise
    except (OSError, *DAMAGE) as err:
        place.close()
        where = "at its address" if url_of(path) else "in the folder"
        said = " ".join(str(err).replace(str(path.parent), "").split())
        raise SlideError(f"no Zarr {where} can be read: {said}") from err


def _store(path: Path) -> Any:
    from imagecodecs.numcodecs import register_codecs

    from napari_mhim.slide.formats._zarr_store import CarefulStore

    # the codecs of arrays written with imagecodecs: JPEG, JPEG 2000, ...
    register_codecs(verbose=False)
    if (url := url_of(path)) is None:
        from zarr.storage import LocalStore

        return CarefulStore(LocalStore(path, read_only=True))
    from aiohttp import ClientTimeout
    from zarr.storage import FsspecStore

    patience = {"timeout": ClientTimeout(total=_SECONDS)}
    options = {"client_kwargs": patience}
    return CarefulStore(
        FsspecStore.from_url(url, storage_options=options, read_only=True)
    )


def _titled(images: list[_Image], path: Path) -> list[_Image]:
    """Name images by the OME-XML beside them, where it names as many."""
    if url_of(path) is not None:
        return images
    try:
        root = ET.parse(path / "OME" / "METADATA.ome.xml").getroot()
    except (OSError, ET.ParseError):
        return images
    names = [image.get("Name", "") for image in root.findall("{*}Image")]
    if len(names) != len(images):
        return images
    pairs = zip(images, names, strict=True)
    return [replace(image, name=name or image.name) for image, name in pairs]


def _read(images: Sequence[_Image], scene: int, place: Place) -> SlideFile:
    others = {name: image for image in images if (name := beside(image.name))}
    scenes = [image for image in images if not beside(image.name)]
    if not scenes:
        raise SlideError("it holds no image")
    names = tuple(image.name for image in scenes)
    refuse_scene(scene, names)
    image = scenes[scene]
    levels = [array_level(array, image.axes, place) for array in image.arrays]
    mpp, reason = _mpp(image)
    return SlideFile(
        levels=levels,
        close=place.close,
        mpp=mpp,
        mpp_reason=reason,
        vendor="ome-zarr",
        properties={"zarr.format": str(image.arrays[0].metadata.zarr_format)},
        associated={name: _whole(picture, place) for name, picture in others.items()},
        scenes=names,
        notes=plane_notes(image.axes, image.arrays[0].shape),
        fingerprint=lambda: _fingerprint(image, levels),
    )


def _whole(image: _Image, place: Place) -> Callable[[], Pixels]:
    return lambda: read_whole(array_level(image.arrays[0], image.axes, place))


def _images(root: "Array | Group") -> Iterator[_Image]:
    from zarr import Array

    if isinstance(root, Array):
        yield _plain((root,))
        return
    attrs = _ome(root)
    if "plate" in attrs or "well" in attrs:
        raise SlideError("it is a plate of wells; open one well's image instead")
    if "multiscales" in attrs:
        yield from _multiscales(root, attrs, "")
    elif (groups := list(_series(root, attrs))) and "multiscales" in _ome(groups[0][1]):
        for name, group in groups:
            yield from _multiscales(group, _ome(group), name)
    else:
        yield _plain(_numbered_arrays(root))


def _ome(group: "Group") -> Mapping[str, Any]:
    # from 0.5 on under a key of its own
    attrs = dict(group.attrs)
    inner = attrs.get("ome")
    return {**attrs, **inner} if isinstance(inner, dict) else attrs


def _series(root: "Group", attrs: Mapping[str, Any]) -> Iterator[tuple[str, "Group"]]:
    """Give the images of the layout that bioformats2raw writes, with their names."""
    listed = _child(root, "OME")
    names = [] if _is_array(listed) else _ome(listed).get("series", [])
    for name in names or _numbers():
        child = _child(root, str(name))
        if _is_array(child):
            return
        yield str(name), child


def _numbers() -> Iterator[str]:
    yield from map(str, range(10_000))


def _is_array(child: "Array | Group | None") -> bool:
    from zarr import Group

    return not isinstance(child, Group)


def _child(group: "Group", name: str) -> Any:
    try:
        return group[name]
    except (KeyError, FileNotFoundError):
        return None


def _numbered_arrays(root: "Group") -> tuple["Array", ...]:
    from zarr import Array

    found = []
    for name in _numbers():
        child = _child(root, name)
        if not isinstance(child, Array):
            break
        found.append(child)
    if not found:
        raise SlideError("the Zarr names no image, and has no array called '0'")
    return tuple(found)


def _plain(arrays: tuple["Array", ...]) -> _Image:
    """Take arrays without metadata as what can be meant: (y, x) or (y, x, rgb)."""
    shape = arrays[0].shape
    if len(shape) == 3 and shape[0] == 3 and shape[2] != 3:
        axes: tuple[str, ...] = ("c", "y", "x")
    else:
        axes = ("y", "x", "c")[: len(shape)]
    reason = "Zarr metadata, which is not OME's"
    return _Image("", _reductions(arrays, axes), axes, {}, reason)


def _multiscales(
    group: "Group", attrs: Mapping[str, Any], name: str
) -> Iterator[_Image]:
    from zarr import Array

    _refuse_colours(attrs)
    for multiscale in attrs["multiscales"]:
        datasets = multiscale["datasets"]
        arrays = [_child(group, str(dataset["path"])) for dataset in datasets]
        if not arrays or not all(isinstance(array, Array) for array in arrays):
            raise SlideError("its metadata names an array that is not there")
        axes, units = _axes(multiscale, arrays[0].ndim)
        factors = [_scales(one, len(axes)) for one in (multiscale, datasets[0])]
        scale = {
            axis: to_um(str(whole * own), unit)
            for axis, unit, whole, own in zip(axes, units, *factors, strict=True)
            if unit
        }
        reason = "axes" if any(units) else "axes, which name no unit of length"
        title = str(multiscale.get("name") or name)
        title = title if title not in ("/", "") else name
        yield _Image(title, _reductions(arrays, axes), axes, scale, reason)


def _axes(
    multiscale: Mapping[str, Any], ndim: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the axes' names and units; a unit is empty where there is none."""
    axes = multiscale.get("axes", _OLD_AXES[-ndim:] if ndim == 5 else ())
    named = [axis if isinstance(axis, dict) else {"name": axis} for axis in axes]
    names = tuple(str(axis.get("name", "")).lower() for axis in named)
    return names, tuple(str(axis.get("unit") or "") for axis in named)


def _scales(said: Mapping[str, Any], ndim: int) -> list[float]:
    factors = [1.0] * ndim
    for one in said.get("coordinateTransformations", ()):
        if one.get("type") == "scale":
            given = [float(n) for n in one["scale"]]
            factors = [a * b for a, b in zip(factors, given, strict=True)]
    return factors


def _refuse_colours(attrs: Mapping[str, Any]) -> None:
    channels = attrs.get("omero", {}).get("channels", ())
    colours = tuple(str(channel.get("color", "")).upper() for channel in channels)
    is_stain = len(colours) == 3 and len(set(colours)) > 1
    if is_stain and colours != _RED_GREEN_BLUE:
        raise SlideError(
            f"its channels are shown as {', '.join(colours)}, stains of their own; a "
            "slide here is RGB"
        )


def _reductions(arrays: Sequence["Array"], axes: Sequence[str]) -> tuple["Array", ...]:
    """Keep the arrays that show the same view, each smaller than the one before."""
    if "y" not in axes or "x" not in axes or arrays[0].ndim != len(axes):
        return (arrays[0],)
    y, x = axes.index("y"), axes.index("x")
    kept = [arrays[0]]
    for array in arrays[1:]:
        if array.ndim != len(axes):
            continue
        (tall, wide), (height, width) = (
            (one.shape[y], one.shape[x]) for one in (arrays[0], array)
        )
        is_same_view = abs(height * wide - width * tall) <= max(tall, wide)
        is_smaller = height < kept[-1].shape[y] or width < kept[-1].shape[x]
        if is_same_view and is_smaller:
            kept.append(array)
    return tuple(kept)


def _mpp(image: _Image) -> tuple[Mpp, str]:
    if not image.scale:
        return None, f"the file gives no scale in its {image.scale_reason}"
    return checked(image.scale.get("y"), image.scale.get("x"), image.scale_reason)


def _fingerprint(image: _Image, levels: Sequence[NativeLevel]) -> str:
    """Digest what is said of the image, and the middle tile of each level."""
    said = [image.axes, {k: image.scale[k] for k in sorted(image.scale)}]
    shapes = [(array.shape, array.chunks) for array in image.arrays]
    digest = hashlib.sha256(json.dumps([said, shapes]).encode())
    for level in levels:
        rows, cols = (-(-n // t) for n, t in zip(level.shape, level.tile, strict=True))
        try:
            tile = level.decode(rows // 2, cols // 2)
        except DamagedTileError:
            tile = None
        digest.update(b"" if tile is None else tile.tobytes())
    return digest.hexdigest()
