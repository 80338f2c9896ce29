"""What lies where on a phantom: tissue, fat, glands, vessels, lesions, nuclei.

All of it on a coarse map, whose node (i, j) is the centre of level-0 pixel
(i, j) × ``CELL_PX``; lengths are µm. ``pixels`` brings it to full resolution.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, distance_transform_edt

from napari_mhim.phantom.config import PhantomConfig
from napari_mhim.phantom.fields import CELL_PX, coarse_shape, smooth_noise
from napari_mhim.phantom.nuclei import Float, Nuclei
from napari_mhim.phantom.shapes import Blob, Room, draw_blob


@dataclass(eq=False)
class Anatomy:
    """The coarse maps of one slide, filled in by the functions of this file."""

    config: PhantomConfig
    rng: np.random.Generator
    y: Float
    """µm from the slide's upper edge, shape (rows, 1)."""
    x: Float
    """µm from the slide's left edge, shape (1, cols)."""
    tissue: Float
    """About µm inside the tissue, negative on glass, shape (rows, cols)."""
    fat: Float
    """Above 0.5 where there is fat."""
    warp: tuple[Float, Float]
    """By how many px the fibres are pushed aside, (y, x)."""
    eosin: Float
    """Density of eosin, 0 to 1."""
    haematoxylin: Float
    """Density of haematoxylin outside nuclei, 0 to 1."""
    fibrous: Float
    """How much of the fibres' texture is seen, 0 to 1."""
    densities: dict[str, Float]
    """How likely each place on a jittered lattice holds a nucleus, by kind."""
    nuclei: list[Nuclei] = field(default_factory=list)
    """Nuclei that were placed one by one."""
    lesions: dict[str, list[Blob]] = field(default_factory=dict)
    """Lesions by kind."""

    def noise(self, wavelength_um: float) -> Float:
        """Draw a smooth field over the map; deviation of its Gaussian in µm."""
        mpp = self.config.mpp
        wavelength = (
            wavelength_um / mpp[0] / CELL_PX,
            wavelength_um / mpp[1] / CELL_PX,
        )
        return smooth_noise(self.tissue.shape, wavelength, self.rng)


def grow(config: PhantomConfig) -> Anatomy:
    """Decide what lies where.

    Parameters
    ----------
    config : PhantomConfig
        What the slide is to hold.

    Returns
    -------
    Anatomy
        All maps, and the lesions.
    """
    rng = np.random.default_rng(config.seed)
    body = _blank(config, rng)
    _spread_tissue(body)
    room = _room(body)
    _grow_easy(body, room)
    _grow_hard(body, room)
    _grow_glands(body, room)
    _grow_vessels(body, room)
    _grow_inflammation(body, room)
    return body


def _blank(config: PhantomConfig, rng: np.random.Generator) -> Anatomy:
    rows, cols = coarse_shape(config.shape)
    y = ((np.arange(rows) * CELL_PX + 0.5) * config.mpp[0]).astype(np.float32)
    x = ((np.arange(cols) * CELL_PX + 0.5) * config.mpp[1]).astype(np.float32)
    empty = np.zeros((rows, cols), np.float32)
    return Anatomy(
        config,
        rng,
        y[:, None],
        x[None],
        empty,
        empty,
        (empty, empty),
        empty,
        empty,
        empty,
        {},
    )


def _spread_tissue(body: Anatomy) -> None:
    """Lay one ragged piece of tissue with its fibres, its fat and its own nuclei."""
    rng, extent = body.rng, np.array([body.y[-1, 0], body.x[0, -1]])
    centre = extent * rng.uniform(0.46, 0.54, 2)
    half = extent * rng.uniform(0.43, 0.5, 2)
    around = np.hypot((body.y - centre[0]) / half[0], (body.x - centre[1]) / half[1])
    scale = float(half.min())
    body.tissue = (1 - around**1.5) * scale * 0.8
    body.tissue += 0.13 * scale * body.noise(scale * 0.22) + 9 * body.noise(16)
    px = [14 / m for m in body.config.mpp]
    body.warp = (
        4.2 * px[0] * body.noise(130) + 0.5 * px[0] * body.noise(28),
        3.0 * px[1] * body.noise(170),
    )
    cells = body.noise(90)
    body.fat = 0.5 + 0.4 * (body.noise(150) - rng.uniform(0.7, 1.5))
    body.eosin = 0.5 + 0.06 * body.noise(120) + 0.05 * cells
    body.haematoxylin = np.full_like(body.tissue, 0.05)
    body.fibrous = np.full_like(body.tissue, 1.0)
    spread = np.clip(0.42 + 0.16 * cells, 0.1, 0.85)
    # reactive stroma, plumper than its surroundings, is on every slide
    reactive = np.clip(body.noise(70) - 1.1, 0, 1)
    body.densities = {
        "spindle": spread * (1 - 0.5 * reactive),
        "plump": 0.05 + 0.4 * reactive,
        "lymphocyte": np.full_like(body.tissue, 0.012),
        "easy": np.zeros_like(body.tissue),
        "hard": np.zeros_like(body.tissue),
    }


def _room(body: Anatomy) -> Room:
    thin = 4
    # in fat, anything would stand out
    inside = (body.tissue[::thin, ::thin] > 12) & (body.fat[::thin, ::thin] < 0.45)
    pitch = (thin * CELL_PX * body.config.mpp[0], thin * CELL_PX * body.config.mpp[1])
    framed = np.zeros_like(inside)
    framed[1:-1, 1:-1] = inside[1:-1, 1:-1]
    return Room(
        distance_transform_edt(framed, sampling=pitch).astype(np.float32), pitch
    )


def tissue_room(body: Anatomy) -> Room:
    """Give where something large fits on the tissue: in fat nothing would be seen of it."""
    pitch = (CELL_PX * body.config.mpp[0], CELL_PX * body.config.mpp[1])
    inside = np.zeros_like(body.tissue, bool)
    # lumens and vessels are no edge of the tissue
    body_of_it = binary_closing(body.tissue > 0, iterations=4) & (body.fat < 0.5)
    inside[1:-1, 1:-1] = body_of_it[1:-1, 1:-1]
    return Room(
        distance_transform_edt(inside, sampling=pitch).astype(np.float32), pitch
    )


def _tissue_um2(body: Anatomy) -> float:
    node = CELL_PX**2 * body.config.mpp[0] * body.config.mpp[1]
    return float((body.tissue > 0).sum()) * node


def _inside(depth: Float, soft_um: float = 6.0) -> Float:
    """Turn depth in µm into a soft mask, 0 to 1."""
    return np.asarray(np.clip(depth / soft_um + 0.5, 0, 1), np.float32)


def _cover(body: Anatomy, mask: Float, **values: float) -> None:
    """Pull maps towards a value where the mask is 1."""
    for name, value in values.items():
        target = getattr(body, name)
        target += mask * (value - target)


def _thin_out(body: Anatomy, mask: Float, left: float, *kinds: str) -> None:
    for kind in kinds:
        body.densities[kind] *= 1 - mask * (1 - left)


def _grow_easy(body: Anatomy, room: Room) -> None:
    """Grow large nests of dark, crowded nuclei until their share is reached."""
    if not body.config.easy:
        return
    rng = body.rng
    wanted = rng.uniform(*body.config.easy_share) * _tissue_um2(body)
    nests = body.noise(17)
    blobs: list[Blob] = []
    share = wanted / rng.integers(1, 4)
    for _ in range(12):
        left = wanted - sum(np.pi * blob.radius**2 for blob in blobs)
        if left < 0.08 * wanted:
            break
        radius = float(np.sqrt(min(left, share) / np.pi))
        centre, radius = room.place(radius, rng, margin=12)
        if radius < 25:
            break
        blob = draw_blob(centre, radius, rng, wave=0.2)
        blobs.append(blob)
        inside = _inside(blob.depth(body.y, body.x))
        nest = inside * np.clip(1.5 * (nests + 1.5), 0, 1)
        _cover(body, inside, fat=0.0, eosin=0.46, fibrous=0.8)
        _cover(body, nest, eosin=0.36, haematoxylin=0.2, fibrous=0.3)
        _thin_out(body, nest, 0.04, "spindle", "plump", "lymphocyte")
        body.densities["easy"] = np.maximum(body.densities["easy"], 0.93 * nest)
    body.lesions["easy"] = blobs


def _grow_hard(body: Anatomy, room: Room) -> None:
    """Strew small foci of slightly plump pale cells, in files along the fibres."""
    if not body.config.hard:
        return
    rng, contrast = body.rng, body.config.hard_contrast
    wanted = rng.uniform(*body.config.hard_share) * _tissue_um2(body)
    blobs: list[Blob] = []
    while sum(np.pi * blob.radius**2 for blob in blobs) < wanted and len(blobs) < 40:
        centre, radius = room.place(rng.uniform(52, 78), rng, margin=4)
        if radius < 20:
            break
        blob = draw_blob(centre, radius, rng)
        blobs.append(blob)
        inside = _inside(blob.depth(body.y, body.x))
        _cover(body, inside, fat=0.0)
        _thin_out(body, inside, max(0.0, 1 - 0.45 * contrast), "spindle", "plump")
        body.densities["hard"] += inside * (0.34 * contrast - body.densities["hard"])
    body.lesions["hard"] = blobs


def _grow_glands(body: Anatomy, room: Room) -> None:
    """Set benign glands, alone and in lobules: vivid, crowded, and normal."""
    rng = body.rng
    count = rng.poisson(_tissue_um2(body) / 110_000)
    for _ in range(count):
        centre, radius = room.place(rng.uniform(24, 62), rng, margin=6)
        if radius < 18:
            return
        _set_gland(body, draw_blob(centre, radius, rng, wave=0.14, stretch=1.8))


def _set_gland(body: Anatomy, blob: Blob) -> None:
    rng = body.rng
    wall = rng.uniform(11, 14)
    depth = blob.depth(body.y, body.x)
    _cover(body, _inside(depth + 9, 10), fat=0.0, eosin=0.56)
    _cover(body, _inside(depth), eosin=0.4, haematoxylin=0.15, fibrous=0.25)
    _thin_out(body, _inside(depth + 3), 0.0, *body.densities)
    hollow = depth - wall if blob.radius > 22 else depth - 1e3
    np.minimum(body.tissue, -hollow, out=body.tissue, where=hollow > -8)
    for inset, kind, gap, keep in (
        (1.5, "spindle", 11.0, 0.7),
        (5.0, "epithelium", 5.8, 0.95),
        (9.5, "epithelium", 7.0, 0.55),
    ):
        _ring(body, blob, inset, kind, gap, keep)


def _ring(
    body: Anatomy, blob: Blob, inset: float, kind: str, gap: float, keep: float
) -> None:
    """Line nuclei up along the inside of an outline."""
    rng, mpp = body.rng, np.array(body.config.mpp)
    count = max(int(2 * np.pi * (blob.radius - inset) / gap), 5)
    ring = blob.outline(body.config.mpp, inset, count)
    along = np.roll(ring, -1, 0) - np.roll(ring, 1, 0)
    angle = np.arctan2(along[:, 0] * mpp[0], along[:, 1] * mpp[1])
    # the epithelium stands upright, the cells outside it lie along it
    angle += (kind == "epithelium") * np.pi / 2 + rng.normal(0, 0.25, count)
    centres = ring - 0.5 + rng.normal(0, 0.9, ring.shape) / mpp
    kept = rng.random(count) < keep
    body.nuclei.append(Nuclei(kind, centres[kept], angle[kept]))


def _grow_vessels(body: Anatomy, room: Room) -> None:
    """Set vessels with red blood cells in them."""
    rng = body.rng
    for _ in range(rng.poisson(_tissue_um2(body) / 260_000)):
        centre, radius = room.place(rng.uniform(14, 46), rng, margin=4)
        if radius < 10:
            return
        blob = draw_blob(centre, radius, rng, stretch=2.4)
        depth = blob.depth(body.y, body.x)
        wall = rng.uniform(4, 8)
        _cover(body, _inside(depth), fat=0.0, eosin=0.68, fibrous=0.5)
        _thin_out(body, _inside(depth), 0.1, *body.densities)
        np.minimum(body.tissue, wall - depth, out=body.tissue, where=depth > wall - 8)
        _ring(body, blob, 1.5, "spindle", 13.0, 0.9)
        blood = _inside(depth - wall - 3) * rng.uniform(0.2, 0.9)
        cells = body.densities.setdefault("red cell", np.zeros_like(depth))
        np.maximum(cells, blood, out=cells)


def _grow_inflammation(body: Anatomy, room: Room) -> None:
    """Gather lymphocytes in clusters: small, dark, crowded, and on any slide."""
    rng = body.rng
    for _ in range(rng.poisson(_tissue_um2(body) / 450_000)):
        centre, radius = room.place(rng.uniform(45, 120), rng)
        if radius < 20:
            return
        blob = draw_blob(centre, radius, rng, wave=0.25)
        cloud = _inside(blob.depth(body.y, body.x), blob.radius * 0.9)
        cloud *= np.clip(0.75 + 0.35 * body.noise(14), 0, 1)
        _cover(body, 0.6 * cloud, haematoxylin=0.12)
        _cover(body, cloud, fat=0.0)
        _thin_out(body, cloud, 0.5, "spindle", "plump")
        crowd = body.densities["lymphocyte"]
        np.maximum(crowd, 0.9 * cloud, out=crowd)


def lattice(body: Anatomy, kind: str) -> NDArray[np.float64]:
    """Scatter the nuclei of one kind on a jittered lattice by its density.

    Parameters
    ----------
    body : Anatomy
        The slide's maps.
    kind : str
        A name in ``body.densities``.

    Returns
    -------
    ndarray, shape (N, 2), float64
        Centres, (y, x), level-0 px.
    """
    mpp, rng = np.array(body.config.mpp), body.rng
    step = SPACING_UM[kind] / mpp
    rows, cols = np.ceil(body.config.shape / step).astype(int)
    nodes = np.stack(np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij"), -1)
    centres = ((nodes + rng.uniform(-0.4, 0.4, nodes.shape)) * step).reshape(-1, 2)
    last = np.array(body.tissue.shape) - 1
    at = tuple(np.clip(np.round(centres / CELL_PX).astype(int), 0, last).T)
    likely = body.densities[kind][at]
    if kind != "red cell":
        likely = likely * (body.tissue[at] > 4) * np.where(body.fat[at] > 0.5, 0.03, 1)
    return np.asarray(centres[rng.random(len(centres)) < likely])


SPACING_UM = {
    "spindle": 11.0,
    "plump": 12.0,
    "lymphocyte": 6.6,
    "easy": 10.2,
    "hard": 10.5,
    "red cell": 6.2,
}
"""Pitch of the lattice on which the nuclei of each kind lie."""
