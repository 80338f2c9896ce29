"""Regions drawn on a slide: polygons with a kind and a reason, and which patches they hold.

Coordinates are level-0 pixels, (y, x), counted from the corner of the slide: the centre
of the first pixel is at (0.5, 0.5). Files are GeoJSON as QuPath has it, where (x, y) is
turned round at the door (:mod:`napari_mhim.slide.geojson`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from napari_mhim.errors import RegionError
from napari_mhim.slide.slide import Slide
from napari_mhim.slide.tiling import PatchGrid
from napari_mhim.workspace import writing

if TYPE_CHECKING:
    import shapely

KINDS = ("exclude", "hint", "note")
"""What a region is for: left out of a prediction, holds a class, or only says something."""
REASONS = ("pen", "fold", "out of focus", "other tissue", "other")
"""Why a region is left out."""


@dataclass(frozen=True, eq=False)
class Polygon:
    """One outline and the holes in it; none crosses itself or another."""

    outline: NDArray[np.float64]
    """Corners, shape (V, 2), (y, x), level-0 px; the last is joined to the first."""
    holes: tuple[NDArray[np.float64], ...] = ()
    """Outlines of what is cut out, as ``outline``."""


@dataclass(frozen=True, eq=False)
class Region:
    """What was drawn in one go; made by :func:`region`."""

    polygons: tuple[Polygon, ...]
    """Its parts, at least one, that do not overlap."""
    kind: str = "exclude"
    """One of ``KINDS``."""
    class_name: str = ""
    """Class that a hint says is there, "" where none is named."""
    reason: str = ""
    """Why it is left out, "" where nobody said; the window offers ``REASONS``."""
    name: str = ""
    """Its name, as given by whoever drew it."""
    is_locked: bool = False
    """Whether a viewer should keep it from being moved."""
    id: str = ""
    """UUID that stays with it from file to file."""
    other: Mapping[str, Any] = field(default_factory=dict)
    """What else a file said of it (QuPath's properties); written back as it came."""

    @property
    def area_px(self) -> float:
        """Give its area, in level-0 pixels."""
        return float(_geometry(self).area)


@dataclass(frozen=True)
class SlideIdentity:
    """Which slide a file of regions is about."""

    name: str
    """Slide's name, "" where it is not to be told."""
    fingerprint: str
    """Slide's fingerprint, "" when unknown."""
    shape: tuple[int, int]
    """Height and width, level-0 px."""
    origin_px: tuple[float, float] = (0.0, 0.0)
    """Corner that files count from, (y, x), level-0 px: that of the scanned bounds, which
    is where QuPath's picture of the slide begins."""

    @classmethod
    def of(cls, slide: Slide) -> "SlideIdentity":
        """Give the identity of an open slide."""
        bounds = tuple(
            _number(slide.properties.get(f"openslide.bounds-{axis}")) for axis in "yx"
        )
        return cls(slide.name, slide.fingerprint, slide.shape, bounds)  # type: ignore[arg-type]


@dataclass(frozen=True)
class RegionsRead:
    """What a file of regions came to."""

    regions: tuple[Region, ...]
    """Regions inside the slide."""
    notes: tuple[str, ...] = ()
    """One sentence for each thing that was left out or cut."""


def region(
    outline: NDArray[np.float64],
    holes: Sequence[NDArray[np.float64]] = (),
    *,
    kind: str = "exclude",
    class_name: str = "",
    reason: str = "",
    name: str = "",
) -> Region:
    """Make a region of what was drawn.

    Parameters
    ----------
    outline : ndarray, shape (V, 2)
        Corners, (y, x), level-0 px; it may cross itself, as a lasso does, and lie partly
        outside the slide (:func:`clipped`).
    holes : sequence of ndarray, shape (H, 2)
        What is cut out.
    kind : str
        One of ``KINDS``.
    class_name, reason, name : str
        As in :class:`Region`.

    Returns
    -------
    Region
        Its polygons do not cross themselves; loops of a lasso are all inside.

    Raises
    ------
    RegionError
        If the outline encloses nothing, a corner is no number, or there is no such kind.
    """
    if kind not in KINDS:
        raise RegionError(f"a region is {', '.join(KINDS)}, not {kind!r}")
    return Region(
        polygons=polygons_of([(outline, holes)]),
        kind=kind,
        class_name=class_name,
        reason=reason,
        name=name,
        id=str(uuid4()),
    )


def polygons_of(
    rings: Iterable[tuple[NDArray[np.float64], Sequence[NDArray[np.float64]]]],
) -> tuple[Polygon, ...]:
    """Mend outlines that cross themselves or each other.

    Parameters
    ----------
    rings : iterable of (outline, holes)
        Arrays of shape (V, 2), (y, x), level-0 px.

    Returns
    -------
    tuple of Polygon
        At least one.

    Raises
    ------
    RegionError
        If nothing is enclosed, or a corner is no number.
    """
    import shapely

    parts = [
        _enclosed(outline).difference(shapely.union_all([_enclosed(h) for h in holes]))
        for outline, holes in rings
    ]
    return _polygons(shapely.union_all(parts))


def clipped(one: Region, shape: tuple[int, int]) -> Region | None:
    """Cut a region at the slide's edge.

    Parameters
    ----------
    one : Region
        The region.
    shape : tuple of int
        Height and width of the slide, level-0 px.

    Returns
    -------
    Region or None
        The same object where it lies inside; None where it lies outside altogether.
    """
    import shapely

    slide = shapely.box(0, 0, shape[1], shape[0])
    whole = _geometry(one)
    if slide.covers(whole):
        return one
    inside = shapely.intersection(whole, slide)
    return replace(one, polygons=_polygons(inside)) if inside.area else None


def cells_inside(one: Region, grid: PatchGrid) -> NDArray[np.bool_]:
    """Tell which patches lie in a region, by their centres.

    Parameters
    ----------
    one : Region
        The region.
    grid : PatchGrid
        The slide's patches.

    Returns
    -------
    ndarray, shape (N,), bool
        True where a patch's centre is inside or on the edge.
    """
    import shapely

    whole = _geometry(one)
    y, x = (grid.corners + grid.patch_px / 2).T
    left, top, right, bottom = whole.bounds
    # most patches are nowhere near: a box tells, and only the rest is asked of shapely
    near = np.flatnonzero((x >= left) & (x <= right) & (y >= top) & (y <= bottom))
    inside = np.zeros(len(grid), bool)
    shapely.prepare(whole)
    inside[near] = shapely.intersects_xy(whole, x[near], y[near])
    return inside


def cells_excluded(regions: Iterable[Region], grid: PatchGrid) -> NDArray[np.bool_]:
    """Tell which patches the regions of kind "exclude" leave out, shape (N,), bool."""
    excluded = np.zeros(len(grid), bool)
    for one in regions:
        if one.kind == "exclude":
            excluded |= cells_inside(one, grid)
    return excluded


def read_regions(path: Path, slide: SlideIdentity) -> RegionsRead:
    """Read the regions of a slide: a file of ours, or one exported by QuPath.

    Parameters
    ----------
    path : Path
        GeoJSON file.
    slide : SlideIdentity
        The slide they should be of.

    Returns
    -------
    RegionsRead
        The regions, cut at the slide's edge, and what was left out.

    Raises
    ------
    RegionError
        If there is no such file, it is no GeoJSON, names another slide, or all that it
        holds lies outside this one.
    """
    from napari_mhim.slide.geojson import parsed

    found, notes = parsed(path, slide)
    kept = []
    for one in found:
        inside = clipped(one, slide.shape)
        called = f"Region {one.name!r}" if one.name else "A region"
        if inside is None:
            notes.append(f"{called} lies outside the slide and was left out.")
            continue
        if inside is not one:
            notes.append(f"{called} reaches past the slide and was cut at its edge.")
        kept.append(inside)
    if found and not kept:
        raise RegionError(
            f"none of the {len(found)} regions in {path.name!r} lies on slide "
            f"{slide.name!r} ({_size(slide.shape)}); they are of another slide, or were "
            "not drawn in full-resolution pixels"
        )
    return RegionsRead(tuple(kept), tuple(notes))


def write_regions(path: Path, regions: Iterable[Region], slide: SlideIdentity) -> None:
    """Write the regions of a slide, whole or not at all; QuPath opens the file.

    Parameters
    ----------
    path : Path
        GeoJSON file; an older one is replaced.
    regions : iterable of Region
        The regions; none is allowed.
    slide : SlideIdentity
        The slide they are of.

    Raises
    ------
    RegionError
        If a region lies outside the slide altogether.
    WorkspaceError
        If the folder cannot be written or the disk is full.
    """
    from napari_mhim.slide.geojson import as_text

    inside = []
    for one in regions:
        cut = clipped(one, slide.shape)
        if cut is None:
            raise RegionError(
                f"region {one.name or one.kind!r} lies outside slide {slide.name!r} "
                f"({_size(slide.shape)}); draw it on the slide"
            )
        inside.append(cut)
    with writing(path) as part:
        part.write_text(as_text(inside, slide), encoding="utf-8", newline="\n")


def _enclosed(outline: NDArray[np.float64]) -> "shapely.Geometry":
    """Give what an outline encloses, (x, y): a lasso's loops all count."""
    import shapely

    points = np.asarray(outline, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise RegionError(
            f"a region's outline is (y, x) pairs of numbers, got shape {points.shape}"
        )
    if len(np.unique(points, axis=0)) < 3:
        raise RegionError(
            f"a region needs 3 corners or more, got {len(points)}; draw round an area"
        )
    return shapely.make_valid(shapely.Polygon(points[:, ::-1]), method="structure")


def _polygons(geometry: "shapely.Geometry") -> tuple[Polygon, ...]:
    """Turn shapely's (x, y) into ours; lines and points that mending left are dropped."""
    import shapely

    # in shapely's order of corners, so that a file read and written again stays as it is
    parts = [
        shapely.orient_polygons(part)
        for part in shapely.get_parts(shapely.get_parts(shapely.normalize(geometry)))
        if part.geom_type == "Polygon" and part.area > 0
    ]
    if not parts:
        raise RegionError(
            "a region must enclose an area; draw round what it is to hold"
        )
    return tuple(
        Polygon(_ring(part.exterior), tuple(_ring(hole) for hole in part.interiors))
        for part in parts
    )


def _ring(line: "shapely.Geometry") -> NDArray[np.float64]:
    import shapely

    return np.ascontiguousarray(shapely.get_coordinates(line)[:-1, ::-1])


def _geometry(one: Region) -> "shapely.Geometry":
    import shapely

    return shapely.MultiPolygon(
        [
            (polygon.outline[:, ::-1], [hole[:, ::-1] for hole in polygon.holes])
            for polygon in one.polygons
        ]
    )


def _size(shape: tuple[int, int]) -> str:
    return f"{shape[1]} × {shape[0]} px"


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
