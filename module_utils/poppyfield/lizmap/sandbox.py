"""What the map server's container may do: the same wherever it is run. Pure."""

from __future__ import annotations

CAPABILITIES = ("KILL", "SETGID", "SETUID")
"""What its supervisor needs to run each service as a user of its own, without any capability, and to end it."""
TMPFS = {
    "/tmp": "gid=33",  # noqa: S108 - inside the container
    "/run": "gid=33",
    "/var/lib/qgis-server": "uid=8081,gid=8081,mode=0700,size=128m",
}
"""Where it may write besides Lizmap's state: nginx and PHP, in the group 33, in the first two; QGIS Server, 8081, in
the last one alone, which holds less than the container's memory."""
QGIS_USER_LABEL = "fr.poppyfield.qgis-server-user"
"""Of the image: the user that QGIS Server runs as."""
QGIS_USER_BEFORE = "www-data"
"""That of images without the label."""
