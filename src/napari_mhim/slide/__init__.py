"""Pixels: open slides lazily, find tissue, lay the patch grid, read patches."""
