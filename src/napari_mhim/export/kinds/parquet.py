"""A table of patches as Parquet; the notice is in its metadata."""

from napari_mhim.export.kinds.csv import write as write

SUFFIX = ".parquet"
ABOUT = "A row for each patch with its types, for pandas, R or DuckDB."
