"""What `inspect` says of a container: of a recorded one, with only that changed which its request changes. Pure."""

from __future__ import annotations

import copy
import posixpath

from tests.doubles.recording import Json

FROM_IMAGE = ("Cmd", "Entrypoint", "Healthcheck", "StopSignal", "User", "Volumes", "WorkingDir")


def keep_networks(container: Json, settings: Json) -> None:
    """Put what the container was told of its networks and ports in the place of what the recorded one was told."""
    before = container["NetworkSettings"]["Networks"]
    for name, endpoint in list(settings["Networks"].items()):
        if name not in before:
            del settings["Networks"][name]
            continue
        own = [alias for alias in before[name].get("Aliases") or [] if alias != container["Id"][:12]]
        for key in ("Aliases", "DNSNames"):
            if endpoint.get(key):
                endpoint[key] = [a for alias in endpoint[key] for a in (own if alias == "<alias>" else [alias])]
    if settings["Ports"]:
        settings["Ports"] = published(container)


def published(container: Json) -> Json:
    """Give the bindings of each port that is exposed: others are not published, whatever the request says."""
    bindings = container["HostConfig"].get("PortBindings") or {}
    return {port: copy.deepcopy(bindings.get(port)) for port in container["Config"].get("ExposedPorts") or {}}


def apply(request: Json, container: Json, image: Json) -> None:
    """Change what the request changes, and what the image brings, in the description of a plain container."""
    base = image["Config"]
    config = container["Config"]
    config |= {key: base.get(key) for key in FROM_IMAGE if key in config or base.get(key)}
    config |= {key: value for key, value in request.items() if value and key not in ("HostConfig", "NetworkingConfig")}
    names = {line.partition("=")[0] for line in request.get("Env") or []}
    inherited = [line for line in base.get("Env") or [] if line.partition("=")[0] not in names]
    config["Env"] = [*(request.get("Env") or []), *inherited]
    config["Labels"] = {**(base.get("Labels") or {}), **(request.get("Labels") or {})}
    if health := {**(base.get("Healthcheck") or {}), **(request.get("Healthcheck") or {})}:
        config["Healthcheck"] = health
    argv = [*(config.get("Entrypoint") or []), *(config["Cmd"] or [])]
    container |= {"Path": argv[0], "Args": argv[1:]}
    _apply_host(request["HostConfig"], container)
    for name, endpoint in request.get("NetworkingConfig", {}).get("EndpointsConfig", {}).items():
        container["NetworkSettings"]["Networks"][name]["Aliases"] = endpoint.get("Aliases")


def cleaned(path: str) -> str:
    """Give a path as Docker cleans it: for what is mounted, not in the request that it repeats."""
    return posixpath.normpath(path).replace("//", "/", 1)


def _apply_host(request: Json, container: Json) -> None:
    host = container["HostConfig"]
    host |= copy.deepcopy({key: value for key, value in request.items() if value or key in host})
    host["RestartPolicy"] = {"MaximumRetryCount": 0, **host["RestartPolicy"]}
    if host["Memory"] and not host["MemorySwap"]:
        host["MemorySwap"] = 2 * host["Memory"]
    mounts = host.get("Mounts") or []
    container["Mounts"] = sorted(
        (
            {
                "Type": mount["Type"],
                "Source": cleaned(mount["Source"]),
                "Destination": cleaned(mount["Target"]),
                "Mode": "",
                "RW": not mount.get("ReadOnly"),
                "Propagation": "rprivate",
            }
            for mount in mounts
        ),
        key=lambda mount: str(mount["Destination"]),
    )
    for mount in mounts:
        if not mount.get("ReadOnly"):
            mount.pop("ReadOnly", None)
