"""Gives the scanners the sites: the map page, and Lizmap as tests/lizmap has it."""

from __future__ import annotations

from tests.lizmap.conftest import built_images, lizmap_image, network  # noqa: F401
