"""What the map server's container may do: the same wherever it is run. Pure."""

from __future__ import annotations

CAPABILITIES = ("KILL", "SETGID", "SETUID")
"""What its supervisor needs to run each service as a user of its own, without any capability, and to end it."""
TMPFS = {
    "/tmp": "gid=33,size=112m",  # noqa: S108 - inside the container
    "/tmp/log": "uid=33,gid=33,mode=0700,size=4m",  # noqa: S108
    "/tmp/pictures": "uid=8082,gid=33,mode=1770,size=48m",  # noqa: S108
    "/tmp/sessions": "uid=33,gid=33,mode=0700,size=32m",  # noqa: S108
    "/tmp/uploads": "uid=8082,gid=33,mode=1770,size=96m",  # noqa: S108
    "/run": "gid=33,size=16m",
    "/var/lib/qgis-server": "uid=8081,gid=8081,mode=0700,size=128m",
}
"""Where it may write besides Lizmap's state: nginx, 8082, and PHP, 33, both in the group 33, in the first six; QGIS
Server, 8081, in the last one alone. Images whose nginx is 33, too, can write where that group can. What is in them is
the container's memory, so each has a size, and all together hold less than the memory of a container on a Pi with 1 GB.
/tmp/uploads has room for an upload of 64 MB and three photos, which nginx holds until they are there, /tmp for what PHP
then holds of them, and /tmp/pictures for the 32 MB that nginx keeps and what it has not put away yet."""
QGIS_USER_LABEL = "fr.poppyfield.qgis-server-user"
"""Of the image: the user that QGIS Server runs as."""
QGIS_USER_BEFORE = "www-data"
"""That of images without the label."""
