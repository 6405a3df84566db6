"""A fleet of four Pis as the modules tell of it: one gone, one whose map does not draw, one old, one well."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

from ansible.module_utils.poppyfield.containers import spec
from ansible.module_utils.poppyfield.host import stack_status
from ansible.module_utils.poppyfield.host.stack_status import DockerAnswers, FolderOnDisk, HostAnswers
from PIL import Image

Json = dict[str, Any]

MAP = "sample/france"
GB = 1024**3
FLEET = ["pi-marsh", "pi-orchard", "pi-spare", "pi-vineyard"]


def container(service: str, version: str = "2", **changes: Any) -> Json:
    """What Docker says of one of ours; a container that was made in the `version` of the month is on its image."""
    labels = {spec.MANAGED: "true", spec.RESOURCE: service, "fr.poppyfield.version.lizmap-web-client": "3.9.1"}
    state = {
        "Status": "running",
        "Running": True,
        "StartedAt": "2026-11-20T08:00:00Z",
        "Health": {"Status": "healthy", "Log": [{"Output": "all well"}]},
        **changes.pop("State", {}),
    }
    return {
        "Id": service,
        "Name": f"/websig-{service}",
        "Created": f"2026-11-1{version}T08:00:00.123456789Z",
        "Image": f"sha256:{version}",
        "Config": {"Image": f"poppyfield/{service}:trixie-arm64-00000000000{version}", "Labels": labels},
        "State": state,
        **changes,
    }


HOST: Json = {
    "model": "Raspberry Pi 4 Model B Rev 1.4",
    "os_release": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n',
    "kernel": "6.12.47+rpt-rpi-v8",
    "architecture": "arm64",
    "millidegrees": "48686\n",
    "throttled": "throttled=0x0",
    "voltage_alarm": "",
    "uptime": "864000.21 1.0\n",
    "load": "0.10 0.20 0.30 1/123 4567\n",
    "memory": "MemTotal:        4096000 kB\nMemFree:          100000 kB\nMemAvailable:    3072000 kB\n",
    "busy": ("cpu  100 0 100 700 100 0 0 0 0 0", "cpu  150 0 150 1000 200 0 0 0 0 0"),
    "cores": 4,
    "clock": 1_000_003.0,
    "upgrades": "Inst openssl [1] (2 Debian-Security:13/stable-security [arm64])\n",
    "upgrades_as_of": 1_700_000_000.0,
}


def look(*containers: Json, disk: Any = 20, on_card: Any = (), **host: Any) -> Json:
    """What stack_info returns of a Pi, by its own code."""
    own = containers or (container("postgis"), container("lizmap"))
    docker = DockerAnswers(
        info={"ServerVersion": "26.1.5"},
        containers=[{"ImageID": one["Image"], "Labels": one["Config"]["Labels"]} for one in own],
        own_containers=own,
    )
    folders = [FolderOnDisk("/var/lib/docker", 1, 29 * GB, int(disk * GB), 1000, 900)]
    now = datetime(2026, 11, 29, tzinfo=UTC)
    found: Json = stack_status.describe(
        HostAnswers(**{**HOST, **host}), docker, folders, "7", now, laptop_clock=1_000_000, card=on_card
    )
    return {"changed": False, **found}


def asked(*, draws: bool = True, detail: str = "800 colours", name: str = MAP) -> Json:
    """What a loop of published_map returns."""
    check = {"check": "picture", "ok": draws, "detail": detail}
    return {"results": [{"item": name, "verified": draws, "checks": [check], "map_url": "http://pi/"}]}


GONE: Json = {"unreachable": True, "msg": "Failed to connect to the host via ssh: No route to host"}
LOOKS: Json = {
    "pi-marsh": look(),
    "pi-orchard": look(),
    "pi-spare": look(container("postgis", "1"), container("lizmap", "1")),
    "pi-vineyard": GONE,
}
MAPS: Json = {
    "pi-marsh": asked(),
    "pi-orchard": asked(draws=False, detail="The layer rivers has features, but nothing is drawn where they are."),
    "pi-spare": asked(),
}
DRIFT: Json = {
    "pi-marsh": {"at": "2026-11-29T09:00:00+00:00", "would": []},
    "pi-spare": {"at": "2026-11-29T09:00:00+00:00", "would": ["Deploy the PostGIS container"]},
}
"""What `site.yml --check` found out before."""
LEVELS = {"pi-vineyard": "unreachable", "pi-orchard": "broken", "pi-spare": "attention", "pi-marsh": "fine"}


def png(width: int = 800, height: int = 400) -> bytes:
    """A picture as of a map."""
    stream = io.BytesIO()
    Image.radial_gradient("L").resize((width, height)).convert("RGB").save(stream, "PNG")
    return stream.getvalue()
