"""Files in the structure of makers of whom no real file is at hand, written by tifffile."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from imagecodecs import jpeg8_encode
from making import made_tissue
from PIL import Image

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


ADVANCE = (192, 160)
"""Between two of MIRAX's photographs, (y, x) px, each 256 a side."""
MARGIN = 2
"""Photographs of bare glass that were not kept, before the tissue on each axis."""


def mirax(path: Path) -> None:
    """3DHISTECH: a folder of photographs that overlap, each at a place of its own."""
    folder = path.with_suffix("")
    folder.mkdir()
    Image.fromarray(RGB[::16, ::16]).save(path, format="JPEG")
    rows, cols = ((n - 256) // step + 1 for n, step in zip(SHAPE, ADVANCE, strict=True))
    frame = (rows + 2 * MARGIN, cols + 2 * MARGIN)
    data = bytearray(b"01.02" + _MIRAX_ID)
    photographs = {}
    for row, col in np.ndindex(rows, cols):
        y, x = row * ADVANCE[0], col * ADVANCE[1]
        photographs[row + MARGIN, col + MARGIN] = RGB[y : y + 256, x : x + 256]
    levels = [
        _mirax_level(photographs, data, frame),
        _mirax_level(_by_four(photographs), data, frame),
    ]
    positions = b"".join(
        struct.pack("<Bii", 0, col * ADVANCE[1], row * ADVANCE[0])
        for row, col in np.ndindex(*frame)
    )
    place = (len(data), len(positions), 0)
    data += positions
    (folder / "Data0000.dat").write_bytes(data)
    (folder / "Index.dat").write_bytes(_mirax_index(levels, place))
    (folder / "Slidedat.ini").write_text(_mirax_said(frame), encoding="utf-8-sig")


_MIRAX_ID = b"0123456789ABCDEF0123456789ABCDEF"


def _by_four(
    photographs: dict[tuple[int, int], np.ndarray],
) -> dict[tuple[int, int], np.ndarray]:
    """Put four halved photographs into one; where they overlap, both stay."""
    found: dict[tuple[int, int], np.ndarray] = {}
    for (row, col), pixels in photographs.items():
        first = (row // 2 * 2, col // 2 * 2)
        whole = found.setdefault(first, np.full((256, 256, 3), 255, np.uint8))
        y, x = 128 * (row % 2), 128 * (col % 2)
        whole[y : y + 128, x : x + 128] = pixels[::2, ::2]
    return found


def _mirax_level(
    pictures: dict[tuple[int, int], np.ndarray], data: bytearray, frame: tuple[int, int]
) -> bytes:
    """Append pictures to the data; give their entries: number, place, length, file."""
    entries = b""
    for (row, col), pixels in sorted(pictures.items()):
        jpeg = jpeg8_encode(np.ascontiguousarray(pixels), level=95)
        number = row * frame[1] + col
        entries += struct.pack("<4i", number, len(data), len(jpeg), 0)
        data += jpeg
    return entries


def _mirax_index(levels: Sequence[bytes], place: tuple[int, int, int]) -> bytes:
    """Lay out the index: two roots, lists of lists, pages of entries."""
    out = bytearray(b"01.02" + _MIRAX_ID + bytes(8))

    def append(packed: bytes) -> int:
        out.extend(packed)
        return len(out) - len(packed)

    def listed(page: bytes) -> int:
        return append(struct.pack("<2i", 0, append(page)))

    pages = [struct.pack("<2i", len(one) // 16, 0) + one for one in levels]
    lists = [listed(page) for page in pages]
    table = append(struct.pack(f"<{len(lists)}i", *lists))
    record = listed(struct.pack("<4i", 1, 0, 0, 0) + struct.pack("<3i", *place))
    struct.pack_into("<2i", out, 37, table, append(struct.pack("<i", record)))
    return bytes(out)


def _mirax_said(frame: tuple[int, int]) -> str:
    sections = "".join(
        f"HIER_0_VAL_{level}_SECTION = LAYER_0_LEVEL_{level}_SECTION\n"
        for level in range(2)
    )
    levels = "".join(
        f"[LAYER_0_LEVEL_{level}_SECTION]\nIMAGE_CONCAT_FACTOR = {level}\n"
        f"OVERLAP_X = {(256 - ADVANCE[1]) >> level}\n"
        f"OVERLAP_Y = {(256 - ADVANCE[0]) >> level}\n"
        f"MICROMETER_PER_PIXEL_X = {0.5 * 2**level}\n"
        f"MICROMETER_PER_PIXEL_Y = {0.5 * 2**level}\n"
        "IMAGE_FORMAT = JPEG\nIMAGE_FILL_COLOR_BGR = 16777215\n"
        "DIGITIZER_WIDTH = 256\nDIGITIZER_HEIGHT = 256\n"
        for level in range(2)
    )
    return (
        f"[GENERAL]\nSLIDE_VERSION = 01.02\nSLIDE_ID = {_MIRAX_ID.decode()}\n"
        f"IMAGENUMBER_X = {frame[1]}\nIMAGENUMBER_Y = {frame[0]}\n"
        "OBJECTIVE_MAGNIFICATION = 20\nCameraImageDivisionsPerSide = 1\n"
        "[HIERARCHICAL]\nINDEXFILE = Index.dat\nHIER_COUNT = 1\n"
        f"HIER_0_NAME = Slide zoom level\nHIER_0_COUNT = 2\n{sections}"
        "NONHIER_COUNT = 1\nNONHIER_0_NAME = VIMSLIDE_POSITION_BUFFER\n"
        "NONHIER_0_COUNT = 1\nNONHIER_0_VAL_0 = default\n"
        "[DATAFILE]\nFILE_COUNT = 1\nFILE_0 = Data0000.dat\n"
        f"{levels}"
    )
