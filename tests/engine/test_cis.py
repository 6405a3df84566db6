"""The CIS Docker Benchmark's items (cis.toml), judged on what our roles and modules make: build/reports/cis.json.

A judge is a pair: whether the item holds, and what spoils it, so that each is seen to fail.
"""

from __future__ import annotations

import copy
import grp
import json
import os
import pwd
import re
import stat
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.poppyfield.containers import container_module, services
from ansible.module_utils.poppyfield.containers.engine import Engine
from ansible.module_utils.poppyfield.containers.plan import DesiredState
from ansible.module_utils.poppyfield.containers.spec import (
    IMAGE_DIGEST,
    MOST_PROCESSES,
    ContainerSpec,
    container_body,
    network_body,
)
from ansible.module_utils.poppyfield.host import docker_settings
from ansible.module_utils.poppyfield.images import image_names
from ansible.module_utils.poppyfield.lizmap import sandbox
from ansible.module_utils.poppyfield.postgis import postgres
from docker import errors

from tests.doubles.docker_engine import Behaviour, FakeDocker
from tests.engine.private_engine import PrivateEngine
from tests.unit.inventory_of import effective
from tests.unit.modules import load_module

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "build" / "reports" / "cis.json"
TABLE = tomllib.loads((Path(__file__).parent / "cis.toml").read_text("utf-8"))
ITEMS: dict[str, dict[str, str]] = TABLE["item"]
EXPLAINED_AT_MOST = 0.2
MAP, DATABASE = "websig-lizmap", "websig-postgis"
OLD, NEW = (image_names.ImageName("poppyfield/lizmap", "trixie-arm64").reference(digit * 64) for digit in "12")
UNIT, SOCKET_UNIT = "docker.service", "docker.socket"
SOCKET, CONTAINERD = "socket of Docker", "socket of containerd"
FOLDER, DAEMON, DEFAULTS = "/etc/docker", "daemon.json", "/etc/default/docker"
NOT_NEEDED = {"apt", "build-essential", "curl", "gcc", "git", "nano", "openssh-server", "sudo", "vim", "wget"}
OF_THE_SYSTEM = ("/boot", "/dev", "/etc", "/lib", "/proc", "/root", "/run", "/sys", "/usr", "/var")
OF_OURS = ("/etc/poppyfield/", "/srv/poppyfield/")

Json = dict[str, Any]


@dataclass(frozen=True)
class FileState:
    """Whose a file is, and who may use it."""

    owner: str
    group: str
    mode: int


@dataclass
class Seen:
    """What our roles and modules make, with the whole role hardening on."""

    rules: list[str]
    """Of auditd."""
    tasks: list[Json]
    """Of all roles."""
    daemon: Json
    """Docker's daemon.json."""
    beside: list[str]
    """What else is in its folder."""
    info: Json
    """What a real engine says of itself with that file."""
    default_network: Json
    containers: dict[str, Json]
    """As that engine has them."""
    mounts: list[Json]
    """Those of all containers, with the folders of a Pi."""
    files: dict[str, FileState]
    dockerfiles: dict[str, str]
    """Without their comments."""
    installer: str
    code: str
    """Of our modules."""
    users: set[str]
    """As whom they run commands in containers."""
    released: list[str]
    """The containers after two releases."""
    pruned: list[str]
    """What a delivery removes of four versions of an image."""
    checks: str
    """The Makefile."""

    @property
    def dockerfile(self) -> str:
        """All of them."""
        return "\n".join(self.dockerfiles.values())

    def of_hosts(self, name: str) -> list[Any]:
        """Give what the engine says of each container's place on its host."""
        return [container["HostConfig"].get(name) for container in self.containers.values()]


Judge = tuple[Callable[[Seen], bool], Callable[[Seen], object]]


def audited(*paths: str) -> Judge:
    def holds(seen: Seen) -> bool:
        return all(any(rule.startswith(f"-w {path} -p ") for rule in seen.rules) for path in paths)

    def spoil(seen: Seen) -> None:
        seen.rules = [rule for rule in seen.rules if f"-w {paths[-1]} " not in rule]

    return holds, spoil


def in_daemon(key: str, allowed: tuple[Any, ...], bad: Any) -> Judge:
    return lambda seen: seen.daemon.get(key) in allowed, lambda seen: seen.daemon.update({key: bad})


def in_info(key: str, allowed: tuple[Any, ...], bad: Any) -> Judge:
    return lambda seen: seen.info[key] in allowed, lambda seen: seen.info.update({key: bad})


def of_each_container(key: str, allowed: tuple[Any, ...], bad: Any) -> Judge:
    return (
        lambda seen: all(value in allowed for value in seen.of_hosts(key)),
        lambda seen: seen.containers[MAP]["HostConfig"].update({key: bad}),
    )


def owned(name: str, group: str = "root") -> Judge:
    return (
        lambda seen: (seen.files[name].owner, seen.files[name].group) in {("root", "root"), ("root", group)},
        lambda seen: seen.files.update({name: replace(seen.files[name], owner="www-data")}),
    )


def at_most(name: str, mode: int) -> Judge:
    return (
        lambda seen: seen.files[name].mode & ~mode == 0,
        lambda seen: seen.files.update({name: replace(seen.files[name], mode=0o777)}),
    )


def without(pattern: str, bad: str) -> Judge:
    return (
        lambda seen: re.search(pattern, seen.dockerfile, re.MULTILINE) is None,
        lambda seen: seen.dockerfiles.update({"postgis": seen.dockerfiles["postgis"] + bad}),
    )


def asks_for_what_is_needed(seen: Seen) -> bool:
    return not NOT_NEEDED & set(seen.dockerfile.split()) and 'APT::Install-Recommends "false"' in seen.installer


def mounts_nothing_of_the_system(seen: Seen) -> bool:
    sources = [mount["Source"] for mount in seen.mounts]
    return all(
        source.startswith(OF_OURS) or not (source == "/" or source.startswith(OF_THE_SYSTEM)) for source in sources
    )


def mounts_no_socket(seen: Seen) -> bool:
    places = ("/var/run/docker.sock", "/run/docker.sock")
    return not any(place.startswith(mount["Source"]) for mount in seen.mounts for place in places)


def publishes_the_map_alone(seen: Seen) -> bool:
    published = {name: set(c["HostConfig"]["PortBindings"] or {}) for name, c in seen.containers.items()}
    return published == {MAP: {"8080/tcp"}, DATABASE: set()}


def hardens_each_part(seen: Seen) -> bool:
    parts = ("ssh_keys_only", "security_updates", "audit")
    return all(any(f"hardening_{part} | bool" in str(task) for task in seen.tasks) for part in parts)


def on(seen: Seen, name: str, value: Any) -> None:
    seen.containers[MAP]["HostConfig"][name] = value


NO_NETWORK = in_daemon("hosts", (None,), ["tcp://0.0.0.0:2375"])


def no_certificate(key: str) -> Judge:
    return (
        lambda seen: NO_NETWORK[0](seen) and key not in seen.daemon,
        lambda seen: seen.daemon.update({key: "/etc/docker/file.pem"}),
    )


JUDGES: dict[str, Judge] = {
    "1.1.2": (
        lambda seen: not any("ansible.builtin.user" in task and "docker" in str(task) for task in seen.tasks),
        lambda seen: seen.tasks.append({"ansible.builtin.user": {"name": "pi", "groups": ["docker"]}}),
    ),
    "1.1.3": audited("/usr/bin/dockerd", "/usr/sbin/dockerd"),
    "1.1.4": audited("/run/containerd"),
    "1.1.5": audited("/var/lib/docker"),
    "1.1.6": audited("/etc/docker"),
    "1.1.7": audited("/usr/lib/systemd/system/docker.service"),
    "1.1.8": audited("/run/containerd/containerd.sock"),
    "1.1.9": audited("/run/docker.sock", "/usr/lib/systemd/system/docker.socket"),
    "1.1.10": audited("/etc/default/docker"),
    "1.1.11": audited("/etc/docker/daemon.json"),
    "1.1.12": audited("/etc/containerd/config.toml"),
    "1.1.14": audited("/usr/bin/containerd"),
    "1.1.15": audited("/usr/bin/containerd-shim"),
    "1.1.16": audited("/usr/bin/containerd-shim-runc-v1"),
    "1.1.17": audited("/usr/bin/containerd-shim-runc-v2"),
    "1.1.18": audited("/usr/bin/runc", "/usr/sbin/runc"),
    "1.2.1": (
        hardens_each_part,
        lambda seen: [task.pop("loop") for task in seen.tasks if "hardening_audit" in str(task.get("loop"))],
    ),
    "2.2": (
        lambda seen: seen.default_network["Options"]["com.docker.network.bridge.enable_icc"] == "false",
        lambda seen: seen.default_network["Options"].update({"com.docker.network.bridge.enable_icc": "true"}),
    ),
    "2.3": (
        lambda seen: seen.daemon.get("log-level", "info") == "info" and not seen.info["Debug"],
        lambda seen: seen.daemon.update({"log-level": "debug"}),
    ),
    "2.4": (
        lambda seen: seen.daemon.get("iptables", True) and refused({"iptables": False}),
        lambda seen: seen.daemon.update({"iptables": False}),
    ),
    "2.5": (
        lambda seen: (
            seen.info["RegistryConfig"]["InsecureRegistryCIDRs"] in (["127.0.0.0/8"], ["::1/128", "127.0.0.0/8"])
        ),
        lambda seen: seen.info["RegistryConfig"]["InsecureRegistryCIDRs"].append("0.0.0.0/0"),
    ),
    "2.6": (lambda seen: seen.info["Driver"] != "aufs", lambda seen: seen.info.update({"Driver": "aufs"})),
    "2.7": NO_NETWORK,
    "2.8": (lambda seen: all(seen.of_hosts("Ulimits")), lambda seen: on(seen, "Ulimits", None)),
    "2.10": in_daemon("cgroup-parent", (None,), "/elsewhere"),
    "2.11": in_daemon("storage-opts", (None,), ["dm.basesize=50G"]),
    "2.14": in_daemon("no-new-privileges", (True,), False),
    "2.15": in_info("LiveRestoreEnabled", (True,), False),
    "2.17": (
        lambda seen: (
            "seccomp-profile" not in seen.daemon
            and any("name=seccomp,profile=" in one and "unconfined" not in one for one in seen.info["SecurityOptions"])
        ),
        lambda seen: seen.info.update({"SecurityOptions": []}),
    ),
    "2.18": in_info("ExperimentalBuild", (False,), True),
    "3.1": owned(UNIT),
    "3.2": at_most(UNIT, 0o644),
    "3.3": owned(SOCKET_UNIT),
    "3.4": at_most(SOCKET_UNIT, 0o644),
    "3.5": owned(FOLDER),
    "3.6": at_most(FOLDER, 0o755),
    "3.7": (lambda seen: seen.beside == [], lambda seen: seen.beside.append("certs.d")),
    "3.8": (lambda seen: seen.beside == [], lambda seen: seen.beside.append("certs.d")),
    **{f"3.{number}": no_certificate("tlscacert") for number in (9, 10)},
    **{f"3.{number}": no_certificate("tlscert") for number in (11, 12)},
    **{f"3.{number}": no_certificate("tlskey") for number in (13, 14)},
    "3.15": owned(SOCKET, "docker"),
    "3.16": at_most(SOCKET, 0o660),
    "3.17": owned(DAEMON),
    "3.18": at_most(DAEMON, 0o644),
    "3.19": owned(DEFAULTS),
    "3.20": at_most(DEFAULTS, 0o644),
    "3.23": owned(CONTAINERD),
    "3.24": at_most(CONTAINERD, 0o660),
    "4.2": without(r"^FROM (?!scratch|(--platform=\S+ )?\$\{(BASE|TOOLS)_IMAGE\}|packages)", "\nFROM debian:latest\n"),
    "4.3": (
        asks_for_what_is_needed,
        lambda seen: seen.dockerfiles.update({"lizmap": "RUN install-packages \\\n        gcc \\\n"}),
    ),
    "4.4": (
        lambda seen: "images-check:" in seen.checks and "arm_images_packages_as_of" in effective(),
        lambda seen: setattr(seen, "checks", ""),
    ),
    "4.6": (
        lambda seen: all("\nHEALTHCHECK " in seen.dockerfiles[name] for name in ("lizmap", "postgis")),
        lambda seen: seen.dockerfiles.update({"lizmap": "FROM scratch"}),
    ),
    "4.7": without(r"\bapt(-get)? .*(update|upgrade)", "\nRUN apt-get update\n"),
    "4.9": without(r"^ADD (?!rootfs\.tar /$)", "\nADD archive.tar /srv\n"),
    "4.10": without(r"^ *(ARG|ENV)?\s*\w*(PASSWORD|SECRET|TOKEN|_KEY)\w*[= ]", "\nENV ADMIN_PASSWORD=poppyseed\n"),
    "4.11": (
        lambda seen: (
            "APT::Key::gpgvcommand" in seen.installer
            and not re.search("(?i)allow-?(unauthenticated|insecure)|trusted=yes|force-all", seen.installer)
        ),
        lambda seen: setattr(seen, "installer", seen.installer + "--allow-unauthenticated"),
    ),
    "4.12": without(r"(?<!-)\b(curl|wget|pip|npm|git) |https?://", "\nRUN pip install owslib\n"),
    "5.1": (
        lambda seen: seen.info["Swarm"]["LocalNodeState"] == "inactive",
        lambda seen: seen.info["Swarm"].update({"LocalNodeState": "active"}),
    ),
    "5.4": (
        lambda seen: (
            seen.of_hosts("CapDrop") == [["ALL"]] * len(seen.containers)
            and all(
                {one.removeprefix("CAP_") for one in caps or []} <= {"KILL", "SETGID", "SETUID"}
                for caps in seen.of_hosts("CapAdd")
            )
        ),
        lambda seen: on(seen, "CapAdd", ["NET_ADMIN"]),
    ),
    "5.5": of_each_container("Privileged", (False,), True),
    "5.6": (mounts_nothing_of_the_system, lambda seen: seen.mounts.append({"Source": "/etc"})),
    "5.7": (
        lambda seen: (
            "openssh-server" not in seen.dockerfile
            and not any("22/tcp" in (ports or {}) for ports in seen.of_hosts("PortBindings"))
        ),
        lambda seen: on(seen, "PortBindings", {"22/tcp": [{}]}),
    ),
    "5.9": (publishes_the_map_alone, lambda seen: on(seen, "PortBindings", {"5432/tcp": [{}]})),
    "5.10": (lambda seen: "host" not in seen.of_hosts("NetworkMode"), lambda seen: on(seen, "NetworkMode", "host")),
    "5.11": (lambda seen: all(seen.of_hosts("Memory")), lambda seen: on(seen, "Memory", 0)),
    "5.13": of_each_container("ReadonlyRootfs", (True,), False),
    "5.16": of_each_container("PidMode", ("",), "host"),
    "5.17": of_each_container("IpcMode", ("private",), "host"),
    "5.18": of_each_container("Devices", (None, []), [{"PathOnHost": "/dev/mmcblk0"}]),
    "5.19": (
        lambda seen: all(own == list(seen.daemon["default-ulimits"].values()) for own in seen.of_hosts("Ulimits")),
        lambda seen: on(seen, "Ulimits", [{"Name": "nofile", "Hard": 10**6, "Soft": 10**6}]),
    ),
    "5.20": (
        lambda seen: not any("Propagation" in (mount.get("BindOptions") or {}) for mount in seen.mounts),
        lambda seen: seen.mounts.append({"BindOptions": {"Propagation": "rshared"}}),
    ),
    "5.21": of_each_container("UTSMode", ("",), "host"),
    "5.22": (
        lambda seen: not any("seccomp" in option for options in seen.of_hosts("SecurityOpt") for option in options),
        lambda seen: on(seen, "SecurityOpt", ["seccomp=unconfined"]),
    ),
    "5.23": (
        lambda seen: not re.search(r"--privileged|privileged=True", seen.code),
        lambda seen: setattr(seen, "code", 'run(["docker", "exec", "--privileged"])'),
    ),
    "5.24": (lambda seen: not {"", "0", "root"} & seen.users, lambda seen: seen.users.add("root")),
    "5.25": of_each_container("CgroupParent", ("",), "/elsewhere"),
    "5.26": (
        lambda seen: all("no-new-privileges" in options for options in seen.of_hosts("SecurityOpt")),
        lambda seen: on(seen, "SecurityOpt", []),
    ),
    "5.27": (
        lambda seen: all(
            container["Config"].get("Healthcheck", {}).get("Test", ["NONE"]) != ["NONE"]
            for container in seen.containers.values()
        ),
        lambda seen: seen.containers[MAP]["Config"].update({"Healthcheck": {"Test": ["NONE"]}}),
    ),
    "5.28": (
        lambda seen: all(
            not container["Config"]["Image"].endswith(":latest") and container["Config"]["Labels"].get(IMAGE_DIGEST)
            for container in seen.containers.values()
        ),
        lambda seen: seen.containers[MAP]["Config"].update({"Image": "poppyfield/lizmap:latest"}),
    ),
    "5.29": of_each_container("PidsLimit", (MOST_PROCESSES,), None),
    "5.30": (
        lambda seen: not {"default", "bridge", ""} & set(seen.of_hosts("NetworkMode")),
        lambda seen: on(seen, "NetworkMode", "default"),
    ),
    "5.31": of_each_container("UsernsMode", ("",), "host"),
    "5.32": (mounts_no_socket, lambda seen: seen.mounts.append({"Source": "/var/run"})),
    "6.1": (lambda seen: seen.pruned != [], lambda seen: seen.pruned.clear()),
    "6.2": (lambda seen: seen.released == [MAP], lambda seen: seen.released.append(f"{MAP}-previous")),
}


def refused(there: Json) -> bool:
    return bool(list(docker_settings.problems(there, docker_settings.of_variables(effective()), "")))


def state_of(path: Path) -> FileState:
    found = path.stat()
    return FileState(pwd.getpwuid(found.st_uid)[0], grp.getgrgid(found.st_gid)[0], stat.S_IMODE(found.st_mode))


def specification(module: str, **given: Any) -> ContainerSpec:
    """Give what a module makes of its options, on a Pi with 1 GB."""
    own = load_module(module)
    params = ArgumentSpecValidator(own.ARGUMENTS).validate({"image": OLD, **given}).validated_parameters
    rest: tuple[Json, ...] = ({},) if module == "lizmap_container" else ()
    spec: ContainerSpec = own.spec_of(params, *rest, 1 << 30)
    return spec


def specifications(data: str) -> list[ContainerSpec]:
    database = {"name": "gis", "user": "gis"}
    secrets = {"postgis_password": f"{data}/password"}
    folders = {"projects_folder": f"{data}/projects", "config_folder": f"{data}/config"}
    return [
        specification("lizmap_container", database=database, secrets=secrets, **folders),
        specification("postgis_container", data_folder=f"{data}/data"),
    ]


def after_two_releases(spec: ContainerSpec) -> list[str]:
    fake = FakeDocker()
    for number, reference in enumerate((OLD, NEW)):
        fake.add_image(reference, str(number), Behaviour(looks_until_healthy=0))
        container_module.converge(
            Engine(fake, errors),
            replace(spec, image=reference),
            DesiredState(),
            healthy_timeout=10,
            sleep=lambda _seconds: None,
        )
    return list(fake.names())


def removed_by_a_delivery() -> list[str]:
    name = image_names.ImageName("poppyfield/lizmap", "trixie-arm64")
    images = [
        {
            "Id": f"sha256:{number}",
            "Created": f"2026-01-0{number}T00:00:00Z",
            "Metadata": {"LastTagTime": f"2026-01-0{number}T00:00:00Z"},
            "RepoTags": [name.reference(str(number) * 64)],
            "Config": {"Labels": image_names.labels("f" * 64)},
        }
        for number in range(1, 5)
    ]
    kept = load_module("delivered_image").ARGUMENTS["keep"]["default"]
    return list(image_names.to_prune(name, images, kept, name.reference("4" * 64)))


def uncommented(path: Path) -> str:
    return "\n".join(line for line in path.read_text("utf-8").splitlines() if not line.startswith("#"))


def tasks_of_roles() -> list[Json]:
    return [task for path in ROOT.glob("roles/*/tasks/*.yml") for task in yaml.safe_load(path.read_text("utf-8"))]


def sources() -> str:
    paths = [*ROOT.glob("library/*.py"), *ROOT.glob("module_utils/**/*.py")]
    return "\n".join(path.read_text("utf-8") for path in paths)


def users_of_commands() -> set[str]:
    (qgis,) = re.findall(
        rf"^LABEL {sandbox.QGIS_USER_LABEL}=(\S+)", uncommented(ROOT / "images/lizmap/Dockerfile"), re.M
    )
    return {postgres.SUPERUSER, services.LIZMAP.user, sandbox.QGIS_USER_BEFORE, qgis}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Return what a real engine with our daemon.json makes of our containers, and the rest."""
    if os.geteuid() != 0:
        pytest.skip("needs root, as Docker does")
    folder = tmp_path_factory.mktemp("cis")
    daemon = folder / "docker" / "daemon.json"
    wanted = docker_settings.of_variables(effective(hardening_engine=True))
    load_module("docker_settings").converge(daemon, wanted, check_mode=False)
    (folder / "engine").mkdir()
    private = PrivateEngine(folder / "engine", "--config-file", str(daemon))
    private.start()
    try:
        yield look(private, folder, daemon)
    finally:
        private.stop()


def look(private: PrivateEngine, folder: Path, daemon: Path) -> Seen:
    api = private.client()
    commands = ['CMD ["true"]', 'HEALTHCHECK CMD ["true"]']
    api.import_image_from_data(bytes(10240), *OLD.split(":"), changes=commands)
    engine = Engine(api, errors)
    engine.create_network(network_body("poppyfield"))
    (folder / "password").touch()
    for name in ("projects", "config", "data"):
        (folder / name).mkdir()
    image = engine.image(OLD)
    assert image is not None
    specs = specifications(str(folder))
    for spec in specs:
        engine.create_container(spec.name, container_body(spec, image))
    vars_of_role = yaml.safe_load((ROOT / "roles/hardening/vars/main.yml").read_text("utf-8"))
    return Seen(
        rules=vars_of_role["__" + "hardening_audit_rules"].splitlines(),
        tasks=tasks_of_roles(),
        daemon=json.loads(daemon.read_text()),
        beside=sorted(path.name for path in daemon.parent.iterdir() if path != daemon),
        info=api.info(),
        default_network=api.inspect_network("bridge"),
        containers={spec.name: engine.container(spec.name) or {} for spec in specs},
        mounts=[
            mount
            for spec in specifications("/srv/poppyfield")
            for mount in container_body(spec, image)["HostConfig"]["Mounts"]
        ],
        files={
            UNIT: state_of(Path("/usr/lib/systemd/system") / UNIT),
            SOCKET_UNIT: state_of(Path("/usr/lib/systemd/system") / SOCKET_UNIT),
            FOLDER: state_of(daemon.parent),
            DAEMON: state_of(daemon),
            DEFAULTS: state_of(Path(DEFAULTS) if Path(DEFAULTS).exists() else daemon),
            SOCKET: state_of(folder / "engine" / "docker.sock"),
            CONTAINERD: state_of(private.file("/run/docker/containerd/containerd.sock")),
        },
        dockerfiles={path.parent.name: uncommented(path) for path in ROOT.glob("images/*/Dockerfile")},
        installer=(ROOT / "images/tools/install-packages").read_text("utf-8"),
        code=sources(),
        users=users_of_commands(),
        released=after_two_releases(specs[0]),
        pruned=removed_by_a_delivery(),
        checks=(ROOT / "Makefile").read_text("utf-8"),
    )


@pytest.mark.parametrize("number", JUDGES)
def test_an_item_holds_and_is_seen_to_fail_when_it_is_spoiled(seen: Seen, number: str) -> None:
    holds, spoil = JUDGES[number]
    assert holds(seen), ITEMS[number]
    spoiled = copy.deepcopy(seen)
    spoil(spoiled)
    assert not holds(spoiled), ITEMS[number]


def test_each_item_is_judged_or_explained_with_its_risk(seen: Seen) -> None:
    explained = {number for number, item in ITEMS.items() if "risk" in item}
    assert set(ITEMS) - explained == set(JUDGES)
    assert all(len(ITEMS[number]["risk"]) > 50 for number in explained)
    assert len(explained) <= EXPLAINED_AT_MOST * len(ITEMS)
    results = {
        number: {
            **item,
            "result": "explained" if number in explained else "passed" if JUDGES[number][0](seen) else "failed",
        }
        for number, item in ITEMS.items()
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    counts = {
        kind: [one["result"] for one in results.values()].count(kind) for kind in ("passed", "explained", "failed")
    }
    report = {**counts, "not_applicable": TABLE["not_applicable"], "items": results}
    REPORT.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
    assert not counts["failed"]
