"""The file without which QGIS Server is not started."""
