"""The same as ``napari-mhim``, for ``python -m napari_mhim.cli``."""

from napari_mhim.cli import main

main()
