"""Files damaged at random: refused in one sentence or shown, never a crash or a hang."""

import errno
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import vendors
from making import SLIDES, made_tissue
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from napari_mhim.errors import SlideError
from napari_mhim.slide import open_slide, write_pyramid
from napari_mhim.slide.formats._tiff_page import PositionedFile

FUZZING = Path(__file__).with_name("fuzzing.py")
FEW, MANY = 45, 2000
RGB, _ = made_tissue((330, 470))
linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux")


def pyramid(folder: Path) -> Path:
    write_pyramid(folder / "a.svs", RGB, (0.5, 0.4), min_px=128, magnification=20)
    return folder / "a.svs"


def ome_tiff(folder: Path) -> Path:
    path = folder / "a.ome.tiff"
    said = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.4}
    common = {"photometric": "rgb", "tile": (64, 64), "compression": "lzw"}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(RGB, subifds=1, metadata=said, **common)
        tiff.write(RGB[::2, ::2], subfiletype=1, **common)
    return path


def strips(folder: Path) -> Path:
    path = folder / "a.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", compression="zstd", rowsperstrip=16)
    return path


def picture(suffix: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / f"a{suffix}"
        Image.fromarray(RGB[:120, :150]).save(path)
        return path

    return write


def zarr(zarr_format: int) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        import zarr

        root = zarr.create_group(folder / "a.zarr", zarr_format=zarr_format)
        shape = RGB.shape
        array = root.create_array("0", shape=shape, dtype="u1", chunks=(128, 128, 3))
        array[:] = RGB
        axes = [{"name": axis, "unit": "micrometer"} for axis in "yxc"]
        step = [{"type": "scale", "scale": [0.5, 0.4, 1]}]
        levels = [{"path": "0", "coordinateTransformations": step}]
        said = {"multiscales": [{"axes": axes, "datasets": levels}]}
        root.attrs.update({"ome": said} if zarr_format == 3 else said)
        return folder / "a.zarr"

    return write


def vendor(name: str, suffix: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / f"a{suffix}"
        getattr(vendors, name)(path)
        return path

    return write


def real(name: str) -> Callable[[Path], Path]:
    def copy(folder: Path) -> Path:
        found = sorted(SLIDES.rglob(name))
        if not found:
            pytest.skip(f"no {name} at {SLIDES}")
        copied = folder / f"a{found[0].suffix}"
        if found[0].is_dir():
            shutil.copytree(found[0], copied, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(found[0], copied)
        return copied

    return copy


QUICK = {
    "svs": pyramid,
    "ome-tiff": ome_tiff,
    "strips": strips,
    "png": picture(".png"),
    "jpeg": picture(".jpg"),
    "zarr 2": zarr(2),
}
ALL = {
    **QUICK,
    "dicom": real("boxes_0.dcm"),
    "bmp": picture(".bmp"),
    "zarr 3": zarr(3),
    "dicom set": real("CMU-1-Small-Region"),
    "ndpi": real("*.ndpi"),
    "leica": vendor("scn", ".scn"),
    "philips": vendor("philips", ".tiff"),
    "ventana": vendor("bif", ".bif"),
    "trestle": vendor("trestle", ".tif"),
    "mirax": vendor("mirax", ".mrxs"),
    "qptiff": vendor("qptiff", ".qptiff"),
}


def fuzz(folder: Path, count: int, *families: str) -> list[str]:
    """Open so many damaged copies in a process of its own; give what it summed up."""
    copies = folder / "copies"
    copies.mkdir()
    seeds = []
    for number, family in enumerate(families):
        place = folder / str(number)
        place.mkdir()
        seeds.append(ALL[family](place))
    command = [sys.executable, "-X", "faulthandler", FUZZING, count, copies, *seeds]
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    said = done.stdout.splitlines()
    assert done.returncode == 0, f"{said[-1:]} of {seeds}; {done.stderr[-3000:]}"
    return [line for line in said if line.startswith("opened")]


@linux
def test_a_few_damaged_files_neither_crash_nor_hang(tmp_path):
    assert len(fuzz(tmp_path, FEW, *QUICK)) == len(QUICK)


@linux
def test_a_few_damaged_vendor_files_neither_crash_nor_hang(tmp_path):
    assert len(fuzz(tmp_path, FEW, "dicom", "mirax")) == 2


@linux
@pytest.mark.slow
@pytest.mark.parametrize("family", ALL)
def test_thousands_of_damaged_files_neither_crash_nor_hang(family, tmp_path):
    (said,) = fuzz(tmp_path, MANY, family)
    assert f"of {MANY}" in said


def test_a_file_that_disappears_while_it_is_read_is_an_error_or_read_on(tmp_path):
    path = pyramid(tmp_path)
    with open_slide(path) as slide:
        path.unlink()
        # the system keeps an open file; a later picture needs its name again
        np.testing.assert_array_equal(
            slide.read_region(0, 0, 330, 470).shape, RGB.shape
        )
        with pytest.raises(SlideError, match="cannot be read"):
            _ = slide.fingerprint


def test_a_file_that_shrinks_while_it_is_read_leaves_white_and_a_count(tmp_path):
    path = strips(tmp_path)
    with open_slide(path) as slide:
        os.truncate(path, 400)
        pixels = slide.read_region(0, 0, 330, 470)
        assert (pixels[:64] == 255).all()
        assert slide.missing_tiles > 0
        assert slide.missing_boxes[0].tolist() == [0, 0, 64, 470]


def test_a_share_that_drops_is_an_error_and_not_white(tmp_path, monkeypatch):
    def dropped(*_: object) -> bytes:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with open_slide(strips(tmp_path)) as slide:
        monkeypatch.setattr(PositionedFile, "_read", dropped)
        with pytest.raises(SlideError, match=r"'a\.tif' cannot be read"):
            slide.levels[0].compute()
        assert slide.missing_tiles == 0


@pytest.mark.parametrize("name", ["Schnitt ä 1.svs", "切片 (1).svs", "a'b [c].svs"])
def test_links_and_any_name_open(tmp_path, name):
    path = pyramid(tmp_path)
    (tmp_path / name).symlink_to(path)
    with open_slide(tmp_path / name) as link, open_slide(path) as slide:
        assert link.name == Path(name).stem
        assert link.fingerprint == slide.fingerprint
    (tmp_path / "gone.svs").symlink_to(tmp_path / "nowhere")
    with pytest.raises(SlideError, match="no file"):
        open_slide(tmp_path / "gone.svs")


def test_a_read_only_folder_is_enough(tmp_path):
    path = pyramid(tmp_path)
    path.chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        with open_slide(path) as slide:
            assert slide.shape == RGB.shape[:2]
    finally:
        tmp_path.chmod(0o700)


PATIENT = "Erika Mustermann"


def named(folder: Path) -> list[Path]:
    """Write files that hold a patient's name where files can, whole ones and damaged."""
    folder = folder / PATIENT
    folder.mkdir()
    tiff, hurt, png = folder / "1.svs", folder / "2.svs", folder / "3.png"
    said = f"Aperio x\r\nname|MPP = 0.5|Patient = {PATIENT}"
    tifffile.imwrite(
        tiff, RGB, photometric="rgb", tile=(64, 64), description=said, metadata=None
    )
    # tifffile tells of text that is none, and quotes it
    data = tiff.read_bytes()
    hurt.write_bytes(data.replace(b"x\r\nname", b"\xff\x81\x8d\x90\xff\xf7"))
    info = PngInfo()
    info.add_text("Patient", PATIENT)
    Image.fromarray(RGB).save(png, pnginfo=info)
    cut = folder / "4.png"
    cut.write_bytes(png.read_bytes()[:3000])
    none = folder / "5.svs"
    none.write_text(f"a letter about {PATIENT}")
    array = zarr(2)(folder)
    (array / "0" / "0.0.0").write_bytes(PATIENT.encode())
    (array / "0" / "1.1.0").write_bytes(PATIENT.encode())
    return [tiff, hurt, png, cut, none, array, folder, *folder.rglob("none.svs")]


def test_no_log_and_no_sentence_holds_a_patients_name(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    said = []
    for path in named(tmp_path):
        try:
            with open_slide(path) as slide:
                slide.levels[0].compute()
                said.append(" ".join(slide.notes))
        except SlideError as err:
            said.append("" if path.name == PATIENT else str(err))
    assert sum(bool(text) for text in said) >= 2
    for text in (*said, *(record.getMessage() for record in caplog.records)):
        assert "Mustermann" not in text
