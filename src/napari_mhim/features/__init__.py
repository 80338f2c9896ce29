"""Vectors: encode patches and keep the result."""
