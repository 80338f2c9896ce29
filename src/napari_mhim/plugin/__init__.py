"""Everything napari sees; the only room that may import napari, Qt, magicgui or superqt."""
