"""A table of patches as CSV; its first line, after ``#``, is the notice."""

from collections.abc import Iterator
from pathlib import Path

from napari_mhim.events import Progress
from napari_mhim.export.source import Source
from napari_mhim.export.tables import patch_table, write_table

SUFFIX = ".csv"
ABOUT = "A row for each patch, for a spreadsheet or pandas (comment='#')."


def write(source: Source, path: Path) -> Iterator[Progress]:
    """Write the patches asked for; yields nothing, it is quick."""
    options = source.options
    table = patch_table(
        source.result, source.class_index, options.top, source.excluded
    ).iloc[source.rows]
    write_table(table, source.result, path)
    yield from ()
