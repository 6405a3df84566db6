"""Gives the tests the images for this machine's own architecture."""

from __future__ import annotations

import pytest

from tests.images import building


@pytest.fixture(scope="session")
def built_images() -> dict[str, str]:
    """Return the references of the images by name (postgis, lizmap)."""
    return building.images("images.json")


@pytest.fixture(scope="session")
def postgis_image(built_images: dict[str, str]) -> str:
    """Return the reference of the PostGIS image."""
    return built_images["postgis"]


@pytest.fixture(scope="session")
def lizmap_image(built_images: dict[str, str]) -> str:
    """Return the reference of the map server's image, with the map page."""
    return built_images["lizmap"]
