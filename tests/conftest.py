"""Fixtures that every room uses."""

import os
from pathlib import Path

import pytest


def shared_data() -> Path:
    """Where real slides, features and golden numbers lie, if they do."""
    default = Path(__file__).resolve().parents[2] / "shared"
    return Path(os.environ.get("NAPARI_MHIM_TEST_DATA", default))


@pytest.fixture(scope="session")
def test_data() -> Path:
    root = shared_data()
    if not root.is_dir():
        pytest.skip(f"no test data at {root}: set NAPARI_MHIM_TEST_DATA")
    return root
