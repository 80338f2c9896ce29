"""Damages files and opens them, in a process of its own with little time and memory.

``python fuzzing.py COUNT FOLDER SEED...`` prints the number of each damaged copy before it is
opened; the last number is the culprit where the process dies.
"""

import random
import resource
import shutil
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_mhim.slide import Slide

MEMORY = 3 << 29
"""Bytes that opening and reading may take beyond what the process has at its start."""
SECONDS = 20
"""Time for one damaged copy, after which the process is killed."""
_HEADER = 600
_WINDOW = 700


def spans(seed: Path) -> list[tuple[int, int]]:
    """Give the parts of a file to be hurt: its header, its tables, all of it."""
    size = seed.stat().st_size
    found = [(0, min(_HEADER, size)), (0, size)]
    if seed.read_bytes()[:2] in (b"II", b"MM") and seed.suffix != ".dcm":
        import tifffile

        with tifffile.TiffFile(seed) as tiff:
            for page in tiff.pages:
                found.append((page.offset, min(page.offset + 260, size)))
                tables = [tag for tag in page.tags if tag.valuebytecount > 8]
                found += [
                    (tag.valueoffset, tag.valueoffset + tag.valuebytecount)
                    for tag in tables
                ]
    return found


def damaged(data: bytes, where: list[tuple[int, int]], number: int) -> bytes:
    """Give the damaged copy of that number: the first nine are cut short."""
    if number < 9:
        return data[: len(data) * (number + 1) // 10]
    rng = random.Random(number)
    hurt = bytearray(data)
    low, high = rng.choice(where)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        length = rng.choice((1, 1, 2, 4, 8))
        at = rng.randrange(low, max(high, low + 1))
        value = rng.choice((0, 255, 127, None))
        for place in range(at, min(at + length, len(hurt))):
            hurt[place] = rng.randrange(256) if value is None else value
    return bytes(hurt)


def copies(seed: Path, folder: Path, count: int) -> Iterator[Path]:
    """Write the damaged copies of a file or a folder, one at a time."""
    # a file may be a name only, and the slide the folder beside it
    beside = seed.with_suffix("")
    body = beside if beside.is_dir() else seed
    members = [one for one in body.rglob("*") if one.is_file()] or [body]
    members.sort(key=lambda one: (one.stat().st_size, one.name))
    for number in range(count):
        copy = folder / f"hurt {number}{seed.suffix}"
        hurt = copy.with_suffix("") if body is beside else copy
        if body is beside:
            shutil.copyfile(seed, copy)
        member, target, step = body, hurt, number
        if body.is_dir():
            shutil.copytree(body, hurt)
            member = members[number % len(members)]
            target = hurt / member.relative_to(body)
            step = number // len(members)
        target.write_bytes(damaged(member.read_bytes(), spans(member), step))
        _say(str(number))
        yield copy
        for one in {copy, hurt}:
            shutil.rmtree(one) if one.is_dir() else one.unlink()


def use(path: Path) -> bool:
    """Open a slide and look at it as a viewer does; False where it is refused."""
    from napari_mhim.errors import SlideError
    from napari_mhim.slide import open_slide

    try:
        with open_slide(path) as slide:
            _look_at(slide)
    except SlideError as err:
        said = str(err)
    else:
        return True
    assert "\n" not in said, repr(said)
    assert len(said) < 700, said
    return False


def _look_at(slide: "Slide") -> None:
    from napari_mhim.errors import SlideError

    for index, level in enumerate(slide.levels):
        height, width = (min(n, _WINDOW) for n in level.shape[:2])
        middle = [n // 2 - 300 for n in level.shape[:2]]
        for y, x in ((0, 0), middle):
            slide.read_region(y, x, height, width, index)
    assert len(slide.missing_boxes) <= slide.missing_tiles
    assert len(slide.fingerprint) == 64
    for name in slide.associated:
        # a label that does not decode costs the slide nothing
        with suppress(SlideError):
            slide.associated_image(name)


def limit() -> None:
    """Bound the memory of this process, as it is now, where the system can."""
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Open the damaged copies that the command line asks for."""
    warnings.simplefilter("ignore")
    count, folder, *seeds = sys.argv[1:]
    # everything is loaded before memory is counted
    for seed in seeds:
        assert use(Path(seed)), f"{seed} itself does not open"
    limit()
    for seed in seeds:
        opened = 0
        for copy in copies(Path(seed), Path(folder), int(count)):
            signal.alarm(SECONDS)
            opened += use(copy)
            signal.alarm(0)
        _say(f"opened {opened} of {count}: {Path(seed).name}")


if __name__ == "__main__":
    main()
