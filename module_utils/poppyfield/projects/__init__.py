"""QGIS projects: what is wrong with one, what of it is published, and whether it draws."""
