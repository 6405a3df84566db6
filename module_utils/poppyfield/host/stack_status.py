"""What runs on a Pi and how it fares: what Docker and the host say -> one structured answer, and a summary. Pure.

Whatever Docker or the host does not tell is None, never 0: a Pi whose kernel does not account memory uses some.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ansible.module_utils.poppyfield.backup import state as backup_state
from ansible.module_utils.poppyfield.containers import health
from ansible.module_utils.poppyfield.containers.services import SERVICES
from ansible.module_utils.poppyfield.containers.spec import IMAGE_DIGEST, RESOURCE, Json, is_ours, name_of
from ansible.module_utils.poppyfield.host import card as of_card
from ansible.module_utils.poppyfield.host.architectures import PLATFORMS
from ansible.module_utils.poppyfield.host.requirements import parse_os_release
from ansible.module_utils.poppyfield.images import image_names as images
from ansible.module_utils.poppyfield.postgis import data_pages
from ansible.module_utils.poppyfield.postgis.postgres import VERSION_LABEL

MB = 1024 * 1024
NANOSECOND = 1e-9
INACTIVE_CACHE = ("total_inactive_file", "inactive_file")
"""Cached files that the kernel gives up first: the names in cgroup v1 and v2. v1 has the second one too, without what
the container's own cgroups hold."""

CONDITIONS = ("under_voltage", "frequency_capped", "throttled", "soft_temperature_limit")
"""What bits 0 to 3 of the firmware's answer say of this moment, and bits 16 to 19 of the time since the start."""
SINCE_START = 16

SECURITY_UPDATE = re.compile(r"^Inst \S+ [^(\n]*\([^)\n]*-[Ss]ecurity", re.MULTILINE)
"""A line of apt-get such as: Inst openssl [3.5.1-1] (3.5.1-1+deb13u1 Debian-Security:13/stable-security [arm64])."""
IDLE = slice(3, 5)
"""Where /proc/stat has the time without work, waiting for a disk included."""
LEAST_TICKS = 20
"""Hundredths of a second between two looks that tell how busy the cores are."""

UNHEALTHY_WORDS = 200
FOUND_EARLIER = "Found earlier: "
"""Begins what the health check of the map server tells when all is well again."""
LEFT_OUT = "Left out: "
"""Begins what it tells of layers that cannot be opened, and without which the maps go on."""
LITTLE_MB = 1024
LITTLE_SHARE = 0.1
"""A disk is nearly full with less than this free, whichever is less; PostgreSQL needs some room to start again."""


@dataclass(frozen=True)
class DockerAnswers:
    """What the engine answers, as it answers; empty when there is none."""

    info: Json = field(default_factory=dict)
    containers: Sequence[Json] = ()
    """Every container, as listed."""
    own_containers: Sequence[Json] = ()
    """Ours, inspected."""
    images: Sequence[Json] = ()
    """Every image, as listed."""
    own_images: Sequence[Json] = ()
    """Ours, inspected."""
    samples: Mapping[str, Json | None] = field(default_factory=dict)
    """By container id what it uses, for those that were measured."""
    why: str = ""
    """Why no engine answers."""


@dataclass(frozen=True)
class HostAnswers:
    """What the host's files and commands say, empty where it has none."""

    model: str
    os_release: str
    kernel: str
    architecture: str
    millidegrees: str
    throttled: str
    """What `vcgencmd get_throttled` prints."""
    voltage_alarm: str
    """What the kernel's voltage sensor says, 0 or 1."""
    uptime: str = ""
    load: str = ""
    memory: str = ""
    """These three are what /proc/uptime, /proc/loadavg and /proc/meminfo hold."""
    busy: tuple[str, str] = ("", "")
    """What /proc/stat held before and after the rest was looked at."""
    cores: int | None = None
    clock: float = 0.0
    """The time in seconds since 1970, when it was first looked at."""
    upgrades: str | None = None
    """What `apt-get --simulate dist-upgrade` prints; None where nobody asked, or there is no list of such updates."""
    upgrades_as_of: float | None = None
    """When the newest of these lists was made."""


@dataclass(frozen=True)
class FolderOnDisk:
    """A folder, and the file system that holds it."""

    path: str
    device: int
    total_bytes: int
    free_bytes: int
    inodes: int
    free_inodes: int


def describe(
    host: HostAnswers,
    docker: DockerAnswers,
    folders: Iterable[FolderOnDisk],
    sdk: str | None,
    now: datetime,
    *,
    laptop_clock: int = 0,
    backups: Sequence[Json] = (),
    data_check: Json | None = None,
    card: Sequence[str] = (),
    hotspot: Mapping[str, Any] | None = None,
) -> Json:
    """Give the whole answer; `sdk` is the version of Docker's Python SDK, a `laptop_clock` of 0 is not known.

    `backups` are as `backup.state` judges them, `data_check` is what `data_pages` finds written down, `card` are
    the codes of what is wrong with the card, and `hotspot` is what `hotspot.health` tells of a Wi-Fi of its own.
    """
    in_use = {listed["ImageID"] for listed in docker.containers}
    own = sorted(docker.own_containers, key=lambda container: str(container["Name"]))
    found: Json = {
        "host": describe_host(host, laptop_clock),
        "docker": {**describe_engine(docker), "sdk_version": sdk},
        "containers": [describe_container(c, docker.samples.get(c["Id"]), now) for c in own],
        "images": [row for image in docker.own_images for row in describe_image(image, in_use)],
        "others": {
            "containers": sum(not is_own_container(c) for c in docker.containers) if docker.info else None,
            "images": sum(not is_own_image(i) for i in docker.images) if docker.info else None,
        },
        "disks": describe_disks(folders),
        "card": list(card),
        "backups": list(backups),
        "data_check": data_check,
        "hotspot": hotspot,
    }
    told = [
        *summary(found),
        *of_card.summary(card),
        *backup_state.summary(found["backups"]),
        *data_pages.summary(data_check),
        *(hotspot or {}).get("wrong", []),
    ]
    return {**found, "summary": told}


# The host -----------------------------------------------------------------------------------------------------------


def describe_host(host: HostAnswers, laptop_clock: int = 0) -> Json:
    """Give what the host is, how busy and how warm it is, its power and its clock."""
    memory = dict(re.findall(r"^(\w+): +(\d+) kB$", host.memory, re.MULTILINE))
    load = host.load.split()[:3]
    return {
        "model": host.model or None,
        "os": parse_os_release(host.os_release).get("PRETTY_NAME"),
        "kernel": host.kernel,
        "architecture": host.architecture or None,
        "platform": PLATFORMS.get(host.architecture),
        "temperature_celsius": _celsius(host.millidegrees),
        "throttling": decode_throttled(host.throttled) or decode_voltage_alarm(host.voltage_alarm),
        "uptime_seconds": int(float(host.uptime.split()[0])) if host.uptime else None,
        "cores": host.cores,
        "load": [float(average) for average in load] or None,
        "cpu_percent": _busy_percent(*host.busy),
        "memory_total_mb": _megabytes(memory.get("MemTotal")),
        "memory_available_mb": _megabytes(memory.get("MemAvailable")),
        "clock_ahead_seconds": round(host.clock - laptop_clock) if laptop_clock else None,
        "security_updates": None if host.upgrades is None else len(SECURITY_UPDATE.findall(host.upgrades)),
        "security_updates_as_of": _iso(host.upgrades_as_of),
    }


def _megabytes(kilobytes: str | None) -> int | None:
    return int(kilobytes) // 1024 if kilobytes else None


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _busy_percent(before: str, after: str) -> float | None:
    """Give the share of all cores' time that was spent between two looks; None when they were too close together."""
    first, second = ([int(ticks) for ticks in text.split()[1:9]] for text in (before, after))
    spent = [later - earlier for earlier, later in zip(first, second, strict=False)]
    if len(spent) <= IDLE.stop or sum(spent) < LEAST_TICKS:
        return None
    return round(100 * (1 - sum(spent[IDLE]) / sum(spent)), 1)


def _celsius(millidegrees: str) -> float | None:
    return round(int(millidegrees) / 1000, 1) if re.fullmatch(r"-?\d+", millidegrees.strip()) else None


def decode_throttled(answer: str) -> dict[str, bool | None] | None:
    """Read the firmware's answer, such as throttled=0x50005; None when it is none."""
    match = re.fullmatch(r"throttled=0x([0-9a-fA-F]+)", answer.strip())
    if match is None:
        return None
    bits = int(match[1], 16)
    now = {name: bool(bits >> place & 1) for place, name in enumerate(CONDITIONS)}
    return {**now, **{f"{name}_occurred": bool(bits >> SINCE_START + p & 1) for p, name in enumerate(CONDITIONS)}}


def decode_voltage_alarm(alarm: str) -> dict[str, bool | None] | None:
    """Read the kernel's voltage sensor, which tells of the last two seconds and of nothing but the voltage."""
    if alarm.strip() not in ("0", "1"):
        return None
    unknown = {name: None for condition in CONDITIONS for name in (condition, f"{condition}_occurred")}
    return {**unknown, "under_voltage": alarm.strip() == "1"}


# Docker -------------------------------------------------------------------------------------------------------------


def is_own_container(container: Json) -> bool:
    """Tell whether a container is one of ours. One that somebody else made of our image inherits the image's labels."""
    return any(is_ours(container, service.name) for service in SERVICES)


def is_own_image(image: Json) -> bool:
    """Tell whether an image is one of ours."""
    return is_ours(image, "image")


def is_up(container: Json) -> bool:
    """Tell whether a container's process runs. Docker calls one that it is about to restart running too."""
    state = container["State"]
    return bool(state.get("Running") and not state.get("Restarting"))


def folders_in_use(docker: DockerAnswers) -> list[str]:
    """Give Docker's own folder and what our containers mount; the root of the file system when there is no Docker.

    What is mounted from /run is in memory.
    """
    mounted = {m["Source"] for c in docker.own_containers for m in c.get("Mounts") or [] if m["Type"] == "bind"}
    on_disk = sorted(path for path in mounted if not path.startswith("/run/"))
    return [docker.info.get("DockerRootDir", "/"), *on_disk]


def folders_written_to(docker: DockerAnswers) -> list[str]:
    """Give Docker's own folder, and what our containers write to."""
    mounted = {m["Source"] for c in docker.own_containers for m in c.get("Mounts") or [] if m.get("RW")}
    return [docker.info.get("DockerRootDir", "/"), *sorted(mounted)]


def describe_engine(docker: DockerAnswers) -> Json:
    """Give whether an engine runs, and which."""
    return {
        "running": bool(docker.info),
        "why": docker.why or None,
        "version": docker.info.get("ServerVersion"),
        "api_version": docker.info.get("ApiVersion"),
        "root_folder": docker.info.get("DockerRootDir"),
        "storage_driver": docker.info.get("Driver"),
        "cgroup_version": docker.info.get("CgroupVersion"),
    }


def describe_container(container: Json, sample: Json | None, now: datetime) -> Json:
    """Give how a container fares; `sample` is what it uses, where that was measured."""
    config, state = container["Config"], container["State"]
    labels = config.get("Labels") or {}
    up = is_up(container)
    started = _moment(state.get("StartedAt"))
    status = (state.get("Health") or {}).get("Status") or "none"
    ended = started is not None and not up
    said = health.last_words(state)
    return {
        "id": container["Id"],
        "name": name_of(container),
        "resource": labels.get(RESOURCE),
        "image": config["Image"],
        "digest": _digest(labels.get(IMAGE_DIGEST, "")),
        "state": state["Status"],
        "health": status,
        "health_output": None if status in ("healthy", "none") else said or None,
        "found_earlier": _line_of(said, FOUND_EARLIER),
        "left_out": _line_of(said, LEFT_OUT),
        "restarts": int(container.get("RestartCount") or 0),
        "created": container.get("Created"),
        "versions": _versions(labels),
        "started_at": state["StartedAt"] if started else None,
        "uptime_seconds": max(int((now - started).total_seconds()), 0) if started and up else None,
        "exit_code": state.get("ExitCode") if ended else None,
        "out_of_memory": bool(state.get("OOMKilled")) if ended else None,
        "error": state.get("Error") or None,
        "stats": describe_stats(sample) if sample else None,
    }


def _line_of(said: str, beginning: str) -> str | None:
    """Give the line of what a health check printed that begins so, without that; None when there is none."""
    return next((line.removeprefix(beginning) for line in said.splitlines() if line.startswith(beginning)), None)


def _versions(labels: Mapping[str, str]) -> dict[str, str]:
    postgresql = {"postgresql": labels[VERSION_LABEL]} if labels.get(VERSION_LABEL) else {}
    return {**postgresql, **images.versions(labels)}


def _digest(label: str) -> str | None:
    version, _, digest = label.partition(":")
    return digest if version == "v1" else None


def _moment(text: str | None) -> datetime | None:
    """Read a time of Docker's, to the microsecond; the year 1 stands for never."""
    return None if not text or text.startswith("0001-") else datetime.fromisoformat(text)


def describe_stats(sample: Json) -> Json | None:
    """Give what a container uses, from two looks that the engine took a second apart; None when it had ended."""
    if _moment(sample["read"]) is None:
        return None
    memory = sample.get("memory_stats") or {}
    return {
        "cpu_percent": _cpu_percent(sample),
        "memory_bytes": _memory_bytes(memory),
        "memory_limit_bytes": memory.get("limit") if memory.get("usage") else None,
        "block_read_bytes": _block_bytes(sample, "read"),
        "block_written_bytes": _block_bytes(sample, "write"),
        "network_received_bytes": _network_bytes(sample, "rx_bytes"),
        "network_sent_bytes": _network_bytes(sample, "tx_bytes"),
    }


def _cpu_percent(sample: Json) -> float | None:
    """Give the part of one processor core; by the clock, which is finer than the host's own count of busy time."""
    first, second = _moment(sample["preread"]), _moment(sample["read"])
    if not first or not second or second <= first:
        return None
    spent = sample["cpu_stats"]["cpu_usage"]["total_usage"] - sample["precpu_stats"]["cpu_usage"]["total_usage"]
    share = spent * NANOSECOND / (second - first).total_seconds()
    return round(100 * share, 1) if share >= 0 else None


def _memory_bytes(memory: Json) -> int | None:
    """Give the memory without the cache that can be had back at once, as `docker stats` does."""
    usage = memory.get("usage")
    if not usage:
        return None
    details = memory.get("stats") or {}
    cache = next((details[name] for name in INACTIVE_CACHE if name in details), 0)
    return int(usage - cache if cache < usage else usage)


def _block_bytes(sample: Json, operation: str) -> int | None:
    # cgroup v1 writes Read, v2 writes read.
    rows = (sample.get("blkio_stats") or {}).get("io_service_bytes_recursive")
    return sum(row["value"] for row in rows if row["op"].lower() == operation) if rows else None


def _network_bytes(sample: Json, counter: str) -> int | None:
    networks = sample.get("networks")
    return sum(network[counter] for network in networks.values()) if networks else None


def describe_image(image: Json, in_use: Iterable[str]) -> list[Json]:
    """Give a row for each name that an image has, or one without a name; `in_use` are ids of images of containers."""
    platforms = {short: platform for platform, short in images.ENGINE_ARCHITECTURES.items()}
    architecture = image["Architecture"]
    row = {
        "platform": platforms.get(architecture, f"{image['Os']}/{architecture}"),
        "bytes": image["Size"],
        "digest": images.digest_of(image) or None,
        "created": image.get("Created"),
        "postgresql": (image["Config"].get("Labels") or {}).get(VERSION_LABEL),
        "in_use": image["Id"] in in_use,
    }
    return [{"reference": reference, **row} for reference in image.get("RepoTags") or [None]]


# Disks --------------------------------------------------------------------------------------------------------------


def describe_disks(folders: Iterable[FolderOnDisk]) -> list[Json]:
    """Give a row for each file system, with the folders that it holds."""
    by_device: dict[int, list[FolderOnDisk]] = {}
    for folder in folders:
        by_device.setdefault(folder.device, []).append(folder)
    return [
        {
            "folders": [folder.path for folder in held],
            "total_mb": held[0].total_bytes // MB,
            "free_mb": held[0].free_bytes // MB,
            # A file system that makes inodes as it needs them counts none.
            "inodes": held[0].inodes or None,
            "free_inodes": held[0].free_inodes if held[0].inodes else None,
            "nearly_full": _is_nearly_full(held[0]),
        }
        for held in by_device.values()
    ]


def _is_nearly_full(folder: FolderOnDisk) -> bool:
    return (
        folder.free_bytes < min(LITTLE_MB * MB, LITTLE_SHARE * folder.total_bytes)
        or folder.free_inodes < LITTLE_SHARE * folder.inodes
    )


# In words -----------------------------------------------------------------------------------------------------------


def summary(found: Json) -> list[str]:
    """Tell the most important in sentences, for a person who does not know Docker."""
    return [
        *_system_words(found["host"], found["docker"]),
        *_containers_words(found["containers"], found["docker"]),
        *(_disk_words(disk) for disk in found["disks"]),
        *_health_of_host_words(found["host"]),
    ]


def _system_words(host: Json, docker: Json) -> list[str]:
    system = f"{host['model'] or 'This host'} with {host['os'] or 'an unknown system'}"
    return [f"{system} and Docker {docker['version']}."] if docker["running"] else [f"{system}.", docker["why"]]


def _containers_words(containers: Sequence[Json], docker: Json) -> list[str]:
    if docker["running"] and not containers:
        return [f"Neither {' nor '.join(service.title for service in SERVICES)} is installed."]
    return [_container_words(container) for container in containers]


def _container_words(container: Json) -> str:
    parts = [_state_words(container)]
    if container["health_output"] and container["uptime_seconds"] is not None:
        said = " ".join(container["health_output"].split())
        parts.append(f'its health check says "{said[-UNHEALTHY_WORDS:]}"')
    if container["found_earlier"]:
        parts.append(f'its health check found earlier "{container["found_earlier"]}"')
    if container["left_out"]:
        parts.append(f'its maps go on without layers that cannot be opened: "{container["left_out"]}"')
    if container["restarts"]:
        parts.append(f"restarted by Docker {container['restarts']} {'time' if container['restarts'] == 1 else 'times'}")
    stats = container["stats"] or {}
    if stats.get("cpu_percent") is not None:
        parts.append(f"uses {stats['cpu_percent']} % of a processor core")
    if stats.get("memory_bytes") is not None:
        parts.append(f"{stats['memory_bytes'] // MB} MB of memory")
    return f"{container['name']}: {', '.join(parts)}."


def _state_words(container: Json) -> str:
    if container["uptime_seconds"] is not None:
        words = {"healthy": "healthy", "none": "runs", "starting": "starting"}.get(container["health"], "not healthy")
        return f"{'paused' if container['state'] == 'paused' else words}, up for {_time_words(container)}"
    if container["exit_code"] is None:
        return f"was never started ({container['error']})" if container["error"] else "was never started"
    doing = "ends again and again" if container["state"] == "restarting" else "does not run"
    why = "it ran out of memory" if container["out_of_memory"] else f"exit code {container['exit_code']}"
    return f"{doing} ({why})"


def _time_words(container: Json) -> str:
    seconds = container["uptime_seconds"]
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} seconds"


def _disk_words(disk: Json) -> str:
    free, total = (disk[name] / 1024 for name in ("free_mb", "total_mb"))
    first, *more = disk["folders"]
    others = f" and {len(more)} more of the folders in use" if more else ""
    words = f"Disk with {first}{others}: {free:.1f} of {total:.1f} GB free."
    if not disk["nearly_full"]:
        return words
    return (
        f"{words} It is nearly full: remove what is not needed. On a full disk nothing can be changed in the database, "
        f"and no new release be brought."
    )


def _health_of_host_words(host: Json) -> Iterable[str]:
    if host["temperature_celsius"] is not None:
        yield f"Temperature: {host['temperature_celsius']} °C."
    told: Mapping[str, Any] = host["throttling"] or {}
    remedy = "Use the power supply made for this Pi, with a short cable."
    if told.get("under_voltage"):
        yield f"Power: the voltage is too low now. {remedy}"
    elif told.get("under_voltage_occurred"):
        yield f"Power: the voltage was too low at some time since the Pi started. {remedy}"
    elif told:
        yield f"Power: the voltage is good{' since the Pi started' if told['under_voltage_occurred'] is False else ''}."
    if told.get("throttled") or told.get("frequency_capped") or told.get("soft_temperature_limit"):
        yield "The processor is slowed down now, by heat or by low voltage."
