"""A slide's result as HDF5: written whole or not at all, checked when read."""

import json
from pathlib import Path
from typing import Any

import h5py

from napari_mhim.errors import StoreError
from napari_mhim.mil.cutoff import Cutoff
from napari_mhim.mil.result import SlideResult
from napari_mhim.slide.tiling import PatchGrid
from napari_mhim.workspace import writing

_KIND = "napari-mhim slide result"
_VERSION = 1

_ARRAYS = (
    "probabilities",
    "remaining",
    "attention",
    "evidence",
    "evidence_limits",
    "student_scores",
    "teacher_scores",
    "mask",
)
_OPTIONAL = ("excluded", "excluding")
_TEXTS = (
    "slide",
    "path",
    "fingerprint",
    "bundle",
    "bundle_id",
    "evidence_kind",
    "score_source",
    "role",
)


def write(path: Path, result: SlideResult) -> None:
    """Write a result; errors as ``SlideResult.save``."""
    with writing(path) as part, h5py.File(part, "w") as file:
        _write(file, result)


def read(path: Path) -> SlideResult:
    """Read a result; errors as ``SlideResult.load``."""
    if not Path(path).is_file():
        raise StoreError(f"no result at {str(path)!r}; run the model on the slide")
    try:
        with h5py.File(path, "r") as file:
            check_kind(file, path)
            result = _read(file)
    except StoreError:
        raise
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as err:
        raise StoreError(
            f"result file {str(path)!r} is damaged ({err}); run the model again"
        ) from err
    _check_shapes(result, path)
    return result


def _write(file: h5py.File, result: SlideResult) -> None:
    file.attrs["kind"] = _KIND
    file.attrs["version"] = _VERSION
    for name in _TEXTS:
        file.attrs[name] = getattr(result, name)
    file.attrs["plain"] = json.dumps(_plain(result))
    for name in _ARRAYS:
        file.create_dataset(name, data=getattr(result, name))
    for name in _OPTIONAL:
        if (values := getattr(result, name)) is not None:
            file.create_dataset(name, data=values)
    grid = file.create_group("grid")
    for name in ("origin", "stride_px", "patch_px", "cells"):
        grid.create_dataset(name, data=getattr(result.grid, name))
    grid.attrs["shape"] = result.grid.shape
    grid.attrs["mpp"] = result.grid.mpp
    grid.attrs["patch_model_px"] = result.grid.patch_model_px


def _plain(result: SlideResult) -> dict[str, Any]:
    cutoff = result.cutoff
    return {
        "slide_shape": list(result.slide_shape),
        "slide_mpp": None if result.slide_mpp is None else list(result.slide_mpp),
        "classes": list(result.classes),
        "branches": list(result.branches),
        "target": result.target,
        "mask_ratio_high": result.mask_ratio_high,
        "calibrated": result.calibrated,
        "cutoff": None if cutoff is None else [cutoff.value, cutoff.n, cutoff.where],
        "provenance": dict(result.provenance),
    }


def _read(file: h5py.File) -> SlideResult:
    plain = json.loads(file.attrs["plain"])
    mpp = plain["slide_mpp"]
    return SlideResult(
        **{name: str(file.attrs[name]) for name in _TEXTS},  # type: ignore[arg-type]
        **{name: file[name][()] for name in _ARRAYS},
        **{name: file[name][()] for name in _OPTIONAL if name in file},
        slide_shape=(plain["slide_shape"][0], plain["slide_shape"][1]),
        slide_mpp=None if mpp is None else (mpp[0], mpp[1]),
        grid=_read_grid(file["grid"]),
        classes=tuple(plain["classes"]),
        branches=tuple(plain["branches"]),
        target=plain["target"],
        mask_ratio_high=plain["mask_ratio_high"],
        calibrated=plain["calibrated"],
        cutoff=None if plain["cutoff"] is None else Cutoff(*plain["cutoff"]),
        provenance=plain["provenance"],
    )


def _read_grid(group: h5py.Group) -> PatchGrid:
    rows, columns = (int(value) for value in group.attrs["shape"])
    return PatchGrid(
        origin=group["origin"][()],
        stride_px=group["stride_px"][()],
        patch_px=group["patch_px"][()],
        shape=(rows, columns),
        cells=group["cells"][()],
        mpp=float(group.attrs["mpp"]),
        patch_model_px=int(group.attrs["patch_model_px"]),
    )


def check_kind(file: h5py.File, path: Path) -> None:
    """Refuse what is no result of ours, or newer than this program: StoreError."""
    if file.attrs.get("kind") != _KIND:
        raise StoreError(
            f"{str(path)!r} is no result of this program; choose a file in results/"
        )
    if (version := int(file.attrs["version"])) > _VERSION:
        raise StoreError(
            f"result file {str(path)!r} is of version {version}, this program reads up "
            f"to {_VERSION}; update napari-mhim"
        )


def _check_shapes(result: SlideResult, path: Path) -> None:
    n, c, k = len(result.grid), len(result.classes), len(result.branches)
    wanted = {
        "probabilities": (c,),
        "remaining": (c,),
        "attention": (k, n),
        "evidence": (n, c),
        "evidence_limits": (c,),
        "student_scores": (n,),
        "teacher_scores": (n,),
        "mask": (n,),
        "excluded": (n,),
        "excluding": (c,),
    }
    for name, shape in wanted.items():
        values = getattr(result, name)
        if values is None and name in _OPTIONAL:
            continue
        if (found := values.shape) != shape:
            raise StoreError(
                f"result file {str(path)!r} is damaged: {name} is {found}, "
                f"not {shape}; run the model again"
            )
