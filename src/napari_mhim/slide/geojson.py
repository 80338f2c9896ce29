"""GeoJSON in QuPath's dialect, the door of regions: (x, y) outside, (y, x) inside.

A file of ours says under ``"napari_mhim"`` which slide it is of. QuPath passes over that,
and keeps the kind and the reason of a region among its metadata.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import RegionError
from napari_mhim.slide.regions import (
    KINDS,
    Polygon,
    Region,
    SlideIdentity,
    polygons_of,
)

MEMBER = "napari_mhim"
"""Our own member of a FeatureCollection."""
VERSION = 1
IGNORE = "Ignore*"
"""QuPath's class of what is to be left out; any class of its that ends in * is."""
COLOURS = {"exclude": (120, 120, 120), "hint": (184, 61, 0), "note": (41, 120, 219)}
"""Red, green, blue of each kind of region."""
_KIND, _REASON = "MHIM kind", "MHIM reason"
_TYPES, _CHILDREN = ("objectType", "object_type", "type"), ("childObjects", "children")


def collection(
    slide: SlideIdentity, features: Iterable[str], **ours: Any
) -> Iterator[str]:
    """Put features into a FeatureCollection, piece by piece.

    Parameters
    ----------
    slide : SlideIdentity
        The slide they are of.
    features : iterable of str
        Each a feature's JSON.
    ours : plain values
        What else our member of the file should say.

    Yields
    ------
    str
        Pieces of text; joined, they are the file.
    """
    member = {
        "version": VERSION,
        "slide": slide.name,
        "fingerprint": slide.fingerprint,
        "shape_yx_px": list(slide.shape),
        "origin_xy_px": [slide.origin_px[1], slide.origin_px[0]],
        **ours,
    }
    yield '{"type":"FeatureCollection",'
    yield f'"{MEMBER}":{json.dumps(member, ensure_ascii=False)},"features":['
    for number, feature in enumerate(features):
        yield f"{',' if number else ''}\n{feature}"
    yield "\n]}\n"


def as_text(regions: Iterable[Region], slide: SlideIdentity) -> str:
    """Give regions as a FeatureCollection.

    Parameters
    ----------
    regions : iterable of Region
        The regions.
    slide : SlideIdentity
        The slide they are of.

    Returns
    -------
    str
        GeoJSON.
    """
    return "".join(collection(slide, (feature(one, slide) for one in regions)))


def feature(one: Region, slide: SlideIdentity) -> str:
    """Give a region as one feature: an annotation of QuPath's.

    Parameters
    ----------
    one : Region
        The region.
    slide : SlideIdentity
        The slide, for the corner that files count from.

    Returns
    -------
    str
        JSON without a line break.
    """
    rings = [_rings(polygon, slide) for polygon in one.polygons]
    is_single = len(rings) == 1
    content = {
        "type": "Feature",
        "id": one.id or str(uuid4()),
        "geometry": {
            "type": "Polygon" if is_single else "MultiPolygon",
            "coordinates": rings[0] if is_single else rings,
        },
        "properties": _properties(one),
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def parsed(path: Path, slide: SlideIdentity) -> tuple[list[Region], list[str]]:
    """Read regions, wherever on the slide or beside it they lie.

    Parameters
    ----------
    path : Path
        GeoJSON file.
    slide : SlideIdentity
        The slide they should be of.

    Returns
    -------
    tuple of two lists
        The regions, and a sentence for each thing that is none.

    Raises
    ------
    RegionError
        If there is no such file, it is no GeoJSON, or names another slide.
    """
    content = _content(path)
    member = content.get(MEMBER) if isinstance(content, dict) else None
    origin = slide.origin_px
    if isinstance(member, dict):
        origin = _checked(member, slide, path)
    regions: list[Region] = []
    left_out: dict[str, int] = {}
    for item in _with_children(_features(content, path)):
        why = _why_none(item)
        if why:
            left_out[why] = left_out.get(why, 0) + 1
            continue
        try:
            regions.append(_region(item, origin))
        except RegionError:
            why = "enclose nothing"
            left_out[why] = left_out.get(why, 0) + 1
    notes = [
        f"{n} of {path.name!r} left out: they {why}." for why, n in left_out.items()
    ]
    return regions, notes


def hint_classes(path: Path) -> list[str]:
    """List the class of each hint in a file, without a look at its shape or its slide.

    Parameters
    ----------
    path : Path
        GeoJSON file.

    Returns
    -------
    list of str
        In the file's order; "" for a hint that names no class.

    Raises
    ------
    RegionError
        If there is no such file, or it is no GeoJSON.
    """
    found = []
    for item in _with_children(_features(_content(path), path)):
        if not _why_none(item):
            properties = _mapping(item.get("properties"))
            label, kind = _named(properties, _mapping(properties.get("metadata")))
            if kind == "hint":
                found.append(label)
    return found


def _properties(one: Region) -> dict[str, Any]:
    colour = list(COLOURS[one.kind])
    label = one.class_name or (IGNORE if one.kind == "exclude" else "")
    metadata = {**_mapping(one.other.get("metadata")), _KIND: one.kind}
    if one.reason:
        metadata[_REASON] = one.reason
    properties: dict[str, Any] = {
        "objectType": "annotation",
        **one.other,
        "isLocked": one.is_locked,
        "metadata": metadata,
    }
    if one.name:
        properties["name"] = one.name
    if label:
        # a class keeps the colour it came with
        kept = _mapping(one.other.get("classification"))
        properties["classification"] = {"color": colour, **kept, "name": label}
    return properties


def _rings(polygon: Polygon, slide: SlideIdentity) -> list[list[list[float]]]:
    shift = np.asarray(slide.origin_px)
    rings = (polygon.outline, *polygon.holes)
    return [(np.vstack([r, r[:1]]) - shift)[:, ::-1].tolist() for r in rings]


def _content(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as err:
        raise RegionError(f"there is no file {str(path)!r}") from err
    except OSError as err:
        raise RegionError(f"{path.name!r} cannot be read: {err.strerror}") from err
    except (ValueError, RecursionError) as err:
        raise RegionError(
            f"{path.name!r} is not GeoJSON ({err}); export the regions again"
        ) from err


def _features(content: Any, path: Path) -> list[Any]:
    """List the features: QuPath also writes a bare list, or one feature alone."""
    if isinstance(content, list):
        return content
    if isinstance(content, dict):
        if isinstance(items := content.get("features"), list):
            return items
        if content.get("type") == "Feature":
            return [content]
    raise RegionError(
        f"{path.name!r} holds no GeoJSON features; export annotations as GeoJSON"
    )


def _checked(
    member: Mapping[str, Any], slide: SlideIdentity, path: Path
) -> tuple[float, float]:
    """Refuse regions of another slide; give the corner their file counts from."""
    try:
        version = int(member["version"])
        name, mark = str(member["slide"]), str(member["fingerprint"])
        height, width = (int(n) for n in member["shape_yx_px"])
        x, y = (float(n) for n in member["origin_xy_px"])
    except (KeyError, ValueError, TypeError) as err:
        raise RegionError(
            f"{path.name!r} does not say which slide it is of ({err}); export it again"
        ) from err
    if version > VERSION:
        raise RegionError(
            f"{path.name!r} is of version {version}, this program reads up to {VERSION}; "
            "update napari-mhim"
        )
    if mark and slide.fingerprint:
        is_same = mark == slide.fingerprint
    else:
        is_same = not name or not slide.name or name == slide.name
    if not is_same or (height, width) != slide.shape:
        whose = "another slide" if name in ("", slide.name) else f"slide {name!r}"
        raise RegionError(
            f"{path.name!r} holds regions of {whose} ({width} × {height} px), not of "
            f"{slide.name!r} ({slide.shape[1]} × {slide.shape[0]} px); choose the file "
            "of this slide"
        )
    return y, x


def _with_children(items: Iterable[Any]) -> Iterator[Any]:
    """List features and those inside them: QuPath can export a hierarchy."""
    for item in items:
        yield item
        properties = _mapping(_mapping(item).get("properties"))
        for key in _CHILDREN:
            if isinstance(children := properties.get(key), list):
                yield from _with_children(children)


def _object_type(item: Mapping[str, Any]) -> str:
    """Give QuPath's type of an object; older versions had other words for it."""
    properties = _mapping(item.get("properties"))
    given = next((properties[key] for key in _TYPES if key in properties), None)
    if given is None and str(item.get("id")).startswith("Path"):
        given = item["id"]
    text = str(given or "annotation").removeprefix("Path").removesuffix("Object")
    text = text[:1].lower() + text[1:]
    return "annotation" if text == "unknown" else text


def _why_none(item: Any) -> str:
    """Say why a feature is no region, "" where it may be one."""
    if not isinstance(item, dict):
        return "are no features"
    kind = _object_type(item)
    if kind != "annotation":
        return f"are {kind}s, not annotations"
    shape = _mapping(item.get("geometry")).get("type")
    if shape not in ("Polygon", "MultiPolygon"):
        return f"are of shape {shape}, which holds no area"
    return ""


def _region(item: Mapping[str, Any], origin: tuple[float, float]) -> Region:
    geometry, properties = item["geometry"], _mapping(item.get("properties"))
    is_single = geometry["type"] == "Polygon"
    found = geometry.get("coordinates")
    polygons = [found] if is_single else found
    try:
        rings = [[_points(ring, origin) for ring in polygon] for polygon in polygons]
        parts = polygons_of((outline, holes) for outline, *holes in rings)
    except (TypeError, ValueError, IndexError) as err:
        raise RegionError("a region's coordinates are no polygon") from err
    metadata = dict(_mapping(properties.get("metadata")))
    label, kind = _named(properties, metadata)
    metadata.pop(_KIND, None)
    reason = str(metadata.pop(_REASON, ""))
    other = {
        key: value
        for key, value in properties.items()
        if key not in ("name", "isLocked", "metadata", *_CHILDREN)
    }
    if metadata:
        other["metadata"] = metadata
    return Region(
        polygons=parts,
        kind=kind,
        class_name="" if label == IGNORE else label,
        reason=reason,
        name=str(properties.get("name") or ""),
        is_locked=bool(properties.get("isLocked")),
        id=_uuid(item),
        other=other,
    )


def _named(
    properties: Mapping[str, Any], metadata: Mapping[str, Any]
) -> tuple[str, str]:
    """Give the class and the kind of a region."""
    label = _class_of(properties)
    kind = metadata.get(_KIND, _kind_of(label))
    return label, kind if kind in KINDS else "note"


def _class_of(properties: Mapping[str, Any]) -> str:
    """Give the class's name; newer QuPath lists the parts of a derived one."""
    given = _mapping(properties.get("classification"))
    if isinstance(names := given.get("names"), list):
        return ": ".join(str(name) for name in names)
    return str(given.get("name") or "")


def _kind_of(label: str) -> str:
    if label.endswith("*"):
        return "exclude"
    return "hint" if label else "note"


def _points(ring: Any, origin: tuple[float, float]) -> NDArray[np.float64]:
    points: NDArray[np.float64] = np.asarray(ring, np.float64)[:, 1::-1]
    shifted: NDArray[np.float64] = points + np.asarray(origin)
    return shifted


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _uuid(item: Mapping[str, Any]) -> str:
    """Give the feature's id, or one made of its geometry: read twice, it is the same."""
    try:
        return str(UUID(str(item.get("id"))))
    except ValueError:
        return str(uuid5(NAMESPACE_OID, json.dumps(item["geometry"])))
