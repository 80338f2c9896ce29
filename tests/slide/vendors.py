"""Files in the structure of makers of whom no real file is at hand, written by tifffile."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from making import made_tissue

SHAPE = (1024, 1536)
RGB, _ = made_tissue(SHAPE)
TILED: dict[str, Any] = {
    "photometric": "rgb",
    "tile": (256, 256),
    "compression": "jpeg",
    "compressionargs": {"level": 95},
    "metadata": None,
}
PER_CM = {"resolutionunit": "CENTIMETER", "resolution": (20_000, 20_000)}


def write(path: Path, pages: Sequence[tuple[np.ndarray, dict[str, Any]]], **options):
    """Write pages one after the other, each with its own options."""
    with tifffile.TiffWriter(path, **options) as tiff:
        for pixels, own in pages:
            tiff.write(pixels, **{**TILED, **own})


def scn(path: Path, areas: int = 1) -> None:
    """Leica: a macro and areas of a collection, their places in nanometres."""
    nm = 500
    collection = (2_400, 4_000)
    macro = RGB[::18, ::16]
    small = RGB[:256, :512]
    pictures = [(RGB, (400, 200)), (small, (1_800, 3_000))][:areas]
    images = [_scn_image("macro", [macro.shape], 0, collection, (0, 0), nm)]
    pages: list[tuple[np.ndarray, dict[str, Any]]] = [(macro, {})]
    for number, (pixels, corner) in enumerate(pictures):
        shapes = [pixels.shape, pixels[::2, ::2].shape]
        images.append(
            _scn_image(f"area {number}", shapes, len(pages), pixels.shape, corner, nm)
        )
        pages += [(pixels, PER_CM), (pixels[::2, ::2], {})]
    pages[0][1]["description"] = (
        '<?xml version="1.0"?>'
        '<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
        f'<collection name="c" sizeX="{collection[1] * nm}" sizeY="{collection[0] * nm}">'
        f"<barcode>none</barcode>{''.join(images)}</collection></scn>"
    )
    write(path, pages)


def _scn_image(
    name: str,
    shapes: Sequence[tuple[int, ...]],
    first: int,
    view: tuple[int, ...],
    corner: tuple[int, int],
    nm: int,
) -> str:
    levels = "".join(
        f'<dimension sizeX="{w}" sizeY="{h}" r="{number}" ifd="{first + number}"/>'
        for number, (h, w, *_) in enumerate(shapes)
    )
    height, width = shapes[0][:2]
    return (
        f'<image name="{name}"><creationDate>2020-01-01T00:00:00</creationDate>'
        '<device model="Leica SCN400" version="1.5"/>'
        f'<pixels sizeX="{width}" sizeY="{height}">{levels}</pixels>'
        f'<view sizeX="{view[1] * nm}" sizeY="{view[0] * nm}" '
        f'offsetX="{corner[1] * nm}" offsetY="{corner[0] * nm}"/>'
        "<scanSettings><objectiveSettings><objective>20</objective></objectiveSettings>"
        "<illuminationSettings><numericalAperture>0.4</numericalAperture>"
        "<illuminationSource>brightfield</illuminationSource></illuminationSettings>"
        "</scanSettings></image>"
    )


def philips(path: Path) -> None:
    """Philips: levels padded to whole tiles, spacings in millimetres in the XML."""

    def said(name: str, kind: str, value: str) -> str:
        place = 'Group="0x0028" Element="0x0030"'
        return f'<Attribute Name="{name}" {place} PMSVR="{kind}">{value}</Attribute>'

    def spacing(mm: float) -> str:
        value = f"&quot;{mm}&quot; &quot;{mm}&quot;"
        return said("DICOM_PIXEL_SPACING", "IDoubleArray", value)

    levels = "".join(
        '<DataObject ObjectType="PixelDataRepresentation">'
        f"{spacing(mm)}"
        f"{said('PIIM_PIXEL_DATA_REPRESENTATION_NUMBER', 'IUInt16', str(number))}"
        "</DataObject>"
        for number, mm in enumerate((0.0005, 0.001))
    )
    sequence = said(
        "PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE",
        "IDataObjectArray",
        f"<Array>{levels}</Array>",
    )
    image = (
        '<DataObject ObjectType="DPScannedImage">'
        f"{said('PIM_DP_IMAGE_TYPE', 'IString', 'WSI')}{spacing(0.0005)}{sequence}"
        "</DataObject>"
    )
    images = said(
        "PIM_DP_SCANNED_IMAGES", "IDataObjectArray", f"<Array>{image}</Array>"
    )
    xml = f'<DataObject ObjectType="DPUfsImport">{images}</DataObject>'
    own = {"software": "Philips DP v1.0"}
    pages = [(RGB, {**own, "description": xml}), (RGB[::2, ::2], {**own})]
    pages[1][1]["subfiletype"] = 1
    write(path, pages)


def trestle(path: Path) -> None:
    """Trestle: tiles that overlap, scale in the resolution tag as it stands."""
    own = {"software": "MedScan 1.0"}
    said = "Objective Power=20;JPEG Quality=95;OverlapsXY= 0 0 0 0"
    first = {**own, "description": said, "resolution": (0.5, 0.5)}
    write(path, [(RGB, first), (RGB[::2, ::2], own)])


def bif(path: Path) -> None:
    """Ventana: how tiles join, numbered in a serpentine from the lower left one."""
    rows, cols = SHAPE[0] // 256, SHAPE[1] // 256

    def number(row: int, col: int) -> int:
        return row * cols + (col if row % 2 == 0 else cols - 1 - col) + 1

    def joint(direction: str, one: int, other: int) -> str:
        return (
            f'<TileJointInfo FlagJoined="1" Confidence="99" Direction="{direction}" '
            f'Tile1="{one}" Tile2="{other}" OverlapX="0" OverlapY="0"/>'
        )

    joints = [
        joint("RIGHT", number(row, col), number(row, col + 1))
        for row in range(rows)
        for col in range(cols - 1)
    ]
    joints += [
        joint("UP", number(row, col), number(row + 1, col))
        for row in range(rows - 1)
        for col in range(cols)
    ]
    scan = '<iScan Magnification="20" ScanRes="0.5" UnitNumber="1"/>'
    stitch = (
        f'<ImageInfo AOIScanned="1" AOIIndex="0" NumRows="{rows}" NumCols="{cols}" '
        f'Width="256" Height="256" Pos-X="0" Pos-Y="0">{"".join(joints)}</ImageInfo>'
    )
    encode = (
        f'<EncodeInfo Ver="2"><SlideInfo>{scan}</SlideInfo>'
        f"<SlideStitchInfo>{stitch}</SlideStitchInfo>"
        '<AoiOrigin><AOI0 OriginX="0" OriginY="0"/></AoiOrigin></EncodeInfo>'
    )

    def level(number: int, xmp: str = "") -> dict[str, Any]:
        said = {"description": f"level={number} mag={20 >> number} quality=95"}
        return {**said, **(_xmp(xmp) if xmp else {})}

    label = {
        "tile": None,
        "description": "Label Image",
        **_xmp(f"<Metadata>{scan}</Metadata>"),
    }
    write(
        path,
        [
            (RGB[::16, ::16], label),
            (RGB, level(0, encode)),
            (RGB[::2, ::2], level(1)),
        ],
        bigtiff=True,
    )


def _xmp(text: str) -> dict[str, Any]:
    data = text.encode()
    return {"extratags": [(700, 1, len(data), data, True)]}


def qptiff(path: Path) -> None:
    """PerkinElmer: each page says what it is; label and macro are tiled pages, too."""

    def page(kind: str) -> dict[str, Any]:
        xml = (
            '<?xml version="1.0" encoding="utf-16"?><PerkinElmer-QPI-ImageDescription>'
            f"<ImageType>{kind}</ImageType><Objective>20x</Objective>"
            "</PerkinElmer-QPI-ImageDescription>"
        )
        software = "PerkinElmer-QPI"
        return {**PER_CM, "description": xml, "software": software}

    write(
        path,
        [
            (RGB, page("FullResolution")),
            (RGB[::8, ::8], {**page("Thumbnail"), "tile": None}),
            (RGB[::2, ::2], page("ReducedResolution")),
            (RGB[::4, ::4], page("ReducedResolution")),
            (RGB[::3, ::3] // 2, page("Overview")),
            (RGB[:400, :300], page("Label")),
        ],
    )
