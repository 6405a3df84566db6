"""Stand-ins for archives: as much of them as tells what they are."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path


def archive(path: Path, files: Mapping[str, str]) -> Path:
    """Write an archive that holds these files."""
    with zipfile.ZipFile(path, "w") as written:
        for name, text in files.items():
            written.writestr(name, text)
    return path


def lizmap_files(version: str, top: str = "lizmap-web-client", plugin: str = "2.13.0") -> dict[str, str]:
    """Give the files of a release of Lizmap Web Client that tell what it is, and which plugin it needs."""
    return {
        f"{top}/lizmap/project.xml": (
            '<?xml version="1.0" encoding="UTF-8"?>\n<project xmlns="http://jelix.org/ns/project/1.0">'
            f'<info id="lizmap"><version date="2026-01-01">{version}</version><!-- X.Y.Z --></info></project>'
        ),
        f"{top}/lizmap/install/installer.php": "<?php",
        f"{top}/lizmap/vendor/autoload.php": "<?php",
        f"{top}/lizmap/app/system/mainconfig.ini.php": (
            ";<?php exit(''); ?>\nlocale=en_US\n[minimumRequiredVersion]\n; comment\n"
            f'lizmapServerPlugin="{plugin}"\n[modules]\njelix.installparam[wwwfiles]=copy\n'
        ),
    }


def plugin_files(name: str, version: str, qgis: str = "3.10", server: str = "True") -> dict[str, str]:
    """Give the files of a plugin for QGIS Server that tell what it is, and which QGIS it needs."""
    metadata = f"version={version}\nqgisMinimumVersion={qgis}\nserver={server}\n"
    return {f"{name}/metadata.txt": f"[general]\nname=A plugin\nchangelog=1.0:\n * Fix: a thing\n\n{metadata}"}
