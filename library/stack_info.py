#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: what runs on a Pi and how it fares."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: stack_info
short_description: What runs on a map server and how it fares
version_added: "0.1.0"
description:
  - Tells of Poppyfield's containers and images, of Docker, and of the host with its disks, temperature and power.
  - It reads only. Nothing runs inside a container, and Docker is not asked to add up its disk space, which is slow.
  - Containers and images that Poppyfield did not make are counted and not described.
  - A value that Docker or the host does not tell is null.
  - Without Docker the host is described all the same.
options:
  stats:
    description:
      - Whether to measure what each container uses. Docker takes up to two seconds for that, for all containers at
        once.
    type: bool
    default: true
  updates:
    description:
      - Whether to count the security updates that wait, by what the host's lists of packages say. The lists are not
        fetched again. It takes a Pi some seconds.
    type: bool
    default: false
  laptop_clock:
    description:
      - The time where the run is started, in seconds since 1970, to compare the host's clock with. 0 compares with
        nothing.
    type: int
    default: 0
  hotspot:
    description:
      - Whether the host is to have a Wi-Fi of its own, see M(hotspot_service). Without one that is told as wrong, and
        one that is open is asked for an address and for its map's name, as by a device that joins. Nobody's address is
        taken by that.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: It never changes anything.
  diff_mode:
    support: none
    description: There is no difference to show.
  idempotent:
    support: full
    description: It never changes anything.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Inspect the Pi
  stack_info: {}
  register: stack

- name: Fail when a container is not healthy or was restarted
  stack_info:
    stats: false
  register: stack
  failed_when: >-
    stack.containers | rejectattr('health', 'eq', 'healthy') | length > 0
    or stack.containers | map(attribute='restarts') | sum > 0
"""

RETURN = r"""
host:
  description: The host itself.
  returned: always
  type: dict
  contains:
    model:
      description: Model of the Raspberry Pi, null on another machine.
      type: str
      sample: Raspberry Pi 4 Model B Rev 1.4
    os:
      description: Name of the operating system.
      type: str
      sample: Debian GNU/Linux 13 (trixie)
    kernel:
      description: Version of the kernel.
      type: str
    architecture:
      description: Debian's name of the architecture, as dpkg tells it.
      type: str
      sample: arm64
    platform:
      description: Docker's name of the platform, null for an architecture that Poppyfield has no images for.
      type: str
      sample: linux/arm64
    temperature_celsius:
      description: Temperature of the processor.
      type: float
    throttling:
      description:
        - What the Pi's firmware says of power and heat, null where nobody tells.
        - Where C(vcgencmd) is missing only C(under_voltage) is known, from the kernel's sensor, and the rest is null.
      type: dict
      contains:
        under_voltage:
          description: Whether the voltage is too low now.
          type: bool
        frequency_capped:
          description: Whether the processor's frequency is limited now.
          type: bool
        throttled:
          description: Whether the processor is slowed down now.
          type: bool
        soft_temperature_limit:
          description: Whether the temperature is so high now that the processor is slowed down a little.
          type: bool
        under_voltage_occurred:
          description: Whether the voltage was too low at some time since the Pi started.
          type: bool
        frequency_capped_occurred:
          description: Whether the processor's frequency was limited since the Pi started.
          type: bool
        throttled_occurred:
          description: Whether the processor was slowed down since the Pi started.
          type: bool
        soft_temperature_limit_occurred:
          description: Whether the soft limit of the temperature was reached since the Pi started.
          type: bool
    uptime_seconds:
      description: For how long the host has been running.
      type: int
    cores:
      description: How many processor cores it has.
      type: int
    load:
      description: Processes that ran or waited for a disk, on average of one, five and fifteen minutes.
      type: list
      elements: float
    cpu_percent:
      description:
        - How busy all cores together were while the rest was looked at, null where that took no time, as without
          O(stats).
      type: float
    memory_total_mb:
      description: Its memory in MB.
      type: int
    memory_available_mb:
      description: What of it programs could still have, the file cache that the kernel can take back included.
      type: int
    clock_ahead_seconds:
      description:
        - How many seconds its clock is ahead of O(laptop_clock), negative when it is behind. Bringing the module to a
          slow Pi takes a few of them. Null without O(laptop_clock).
      type: int
    security_updates:
      description: Number of packages with a security update that is not installed; null without O(updates).
      type: int
    security_updates_as_of:
      description: When the lists that say so were made, null where the host has none of security updates.
      type: str
      sample: "2026-01-01T08:00:00+00:00"
docker:
  description: Docker Engine.
  returned: always
  type: dict
  contains:
    running:
      description: Whether it answers. When it does not, the lists of containers and images are empty.
      type: bool
    why:
      description: Why it does not answer, null when it does.
      type: str
    version:
      description: Version of Docker Engine.
      type: str
    api_version:
      description: Version of the Engine API.
      type: str
    sdk_version:
      description: Version of Docker's Python SDK, null when it is not installed.
      type: str
    root_folder:
      description: Folder that holds images, containers and volumes.
      type: str
      sample: /var/lib/docker
    storage_driver:
      description: How images are stored.
      type: str
      sample: overlay2
    cgroup_version:
      description: Version of the kernel's control groups.
      type: str
      sample: "2"
containers:
  description: Poppyfield's containers, running or not.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Its id.
      type: str
    name:
      description: Its name.
      type: str
    resource:
      description: What it is, V(postgis) or V(lizmap).
      type: str
    image:
      description: Reference of its image.
      type: str
    digest:
      description: Digest of its image, as M(arm_image) returns it; null for an image that Poppyfield did not build.
      type: str
    state:
      description: Docker's word for its state, such as V(running), V(restarting) or V(exited).
      type: str
    health:
      description: What its health check says, V(healthy), V(unhealthy), V(starting), or V(none) when it has none.
      type: str
    health_output:
      description: The end of what its last health check printed, null when it is healthy.
      type: str
    found_earlier:
      description:
        - What the health check of the map server found since the container was healthy for the first time, the latest
          three. Null when it found nothing, and while it is unhealthy.
      type: str
    left_out:
      description:
        - Layers that the map server cannot open any more, in brackets after the project that it shows without them.
          Null when there are none.
      type: str
      sample: fields/map.qgs (rivers_5f0c1a2b)
    created:
      description: When it was made, which a deployment that changes something does.
      type: str
      sample: "2026-01-01T08:00:00.123456789Z"
    versions:
      description: Which versions of others' programs its image has, by the name of the program, as its labels say.
      type: dict
      sample: {"postgresql": "17"}
    restarts:
      description: How often Docker restarted it because its process ended.
      type: int
    started_at:
      description: When it was last started, null when it never was.
      type: str
      sample: "2026-01-01T08:00:00.123456789Z"
    uptime_seconds:
      description: For how long it has been running, null when it is not.
      type: int
    exit_code:
      description: Exit code of its process, null while it runs.
      type: int
    out_of_memory:
      description: Whether its process ended because it had no memory left, null while it runs.
      type: bool
    error:
      description: Why Docker could not start it.
      type: str
    stats:
      description: What it uses, null when it does not run or was not measured.
      type: dict
      contains:
        cpu_percent:
          description: Processor time during one second. One busy core is 100, so that a Pi with four has 400.
          type: float
        memory_bytes:
          description:
            - Memory without the file cache that the kernel can take back at once, as C(docker stats) shows it.
            - It is null where the kernel does not account memory, as with Raspberry Pi OS as it is flashed.
          type: int
        memory_limit_bytes:
          description: The most memory that it may use; the host's memory when it has no limit of its own.
          type: int
        block_read_bytes:
          description:
            - Bytes read from disks since the start.
            - It is null when Docker names no disk, because nothing was read or written yet or nobody counts it.
          type: int
        block_written_bytes:
          description: Bytes written to disks since the start. Null as with C(block_read_bytes).
          type: int
        network_received_bytes:
          description: Bytes received since the start, null when it has no network of its own.
          type: int
        network_sent_bytes:
          description: Bytes sent since the start, null when it has no network of its own.
          type: int
images:
  description: Poppyfield's images, one entry for each name.
  returned: always
  type: list
  elements: dict
  contains:
    reference:
      description: Full reference, null for one that lost its name.
      type: str
      sample: poppyfield/postgis:trixie-arm64-3f1c0a9be2d4
    platform:
      description: Platform that it is for.
      type: str
      sample: linux/arm64
    bytes:
      description: Its size on the disk. Images share layers, so that together they take less.
      type: int
    digest:
      description: Its digest, as M(arm_image) returns it.
      type: str
    created:
      description: When it was built.
      type: str
      sample: "2026-01-01T08:00:00.123456789Z"
    postgresql:
      description: Major version of the PostgreSQL in it, null for another image.
      type: str
      sample: "17"
    in_use:
      description: Whether a container was made of it, running or not.
      type: bool
others:
  description: How many containers and images Poppyfield did not make, null without Docker.
  returned: always
  type: dict
  contains:
    containers:
      description: Number of other containers.
      type: int
    images:
      description: Number of other images.
      type: int
disks:
  description:
    - The file systems that hold Docker's folder and the folders of the host that the containers mount.
    - Without Docker, the one that holds the system.
  returned: always
  type: list
  elements: dict
  contains:
    folders:
      description: Which of these folders it holds.
      type: list
      elements: str
    total_mb:
      description: Its size in MB.
      type: int
    free_mb:
      description: Free space in MB.
      type: int
    inodes:
      description: How many files it can hold, null when it has no fixed number.
      type: int
    free_inodes:
      description: How many more files it can hold.
      type: int
    nearly_full:
      description: Whether less than a tenth of it is free, or less than 1 GB on a large one, or of its files a tenth.
      type: bool
card:
  description:
    - What is wrong with the card or disk of the system, as the kernel tells it, nothing where it tells nothing.
    - V(read_only) where nothing can be written any more, also for a disk with data; V(io_errors) after errors of
      reading or writing; V(worn) for a card that tells that it is near its end.
  returned: always
  type: list
  elements: str
backups:
  description: How the backups on each target fare; nothing where the host makes none.
  returned: always
  type: list
  elements: dict
  contains:
    target:
      description: What the target is called.
      type: str
      sample: stick
    saved:
      description: When the newest backup was made, null where there is none.
      type: str
      sample: "2026-01-01T08:00:00+00:00"
    said:
      description: What the program said of it last.
      type: str
    failed:
      description: Whether the last one failed.
      type: bool
    proven:
      description: When one that was restored for trial was last found to be equal, null where none was.
      type: str
      sample: "2026-01-01T08:00:00+00:00"
    proof:
      description: What came of the last trial, V(equal), V(different), V(failed) or V(not tried); null where none was.
      type: str
    proof_said:
      description: The same in a sentence.
      type: str
    committed:
      description: Until when what was committed in the database is on the target, null where no WAL is saved there.
      type: str
      sample: "2026-01-01T08:00:30+00:00"
    committed_said:
      description: What the program said of that last, null where no WAL is saved there.
      type: str
    wrong:
      description: What is wrong with them, in words.
      type: list
      elements: str
    too_old:
      description: Whether the newest is older than C(backup_max_age_days).
      type: bool
    unproven:
      description: Whether none was proven for C(backup_max_unproven_days).
      type: bool
    different:
      description: Whether the last one that was restored for trial was not what was saved.
      type: bool
    too_small:
      description: Whether the newest has less than half of what there was when one was last proven.
      type: bool
    behind:
      description: Whether what is committed was not saved for an hour, although the target is there and it should be.
      type: bool
data_check:
  description: What the weekly look at each page of the databases found last, null where there was none.
  returned: always
  type: dict
  contains:
    at:
      description: When that was.
      type: str
      sample: "2026-01-01T02:00:00+00:00"
    result:
      description: V(whole), V(damaged) or V(not checked).
      type: str
    said:
      description: Why it was not checked.
      type: str
    pages:
      description: How many pages of 8192 bytes were read.
      type: int
    damaged:
      description: What is damaged on the disk.
      type: list
      elements: dict
      contains:
        database:
          description: The database, null for what all of them share.
          type: str
        table:
          description: The table, null where PostgreSQL did not answer.
          type: str
        index:
          description: The index of that table, null where it is the table itself.
          type: str
        file:
          description: The file in the folder of the cluster.
          type: str
          sample: base/16384/16397
        pages:
          description: How many of its pages are damaged.
          type: int
hotspot:
  description: How the host's own Wi-Fi fares, null where it has none.
  returned: always
  type: dict
  contains:
    codes:
      description:
        - What is wrong with it. V(hotspot_absent) where it is not set up although O(hotspot) asks for it;
          V(hotspot_closed) where the adapter is no access point by its profile; V(hotspot_silent) where its dnsmasq
          does not run; V(hotspot_full) where all addresses are taken.
        - With O(hotspot) also V(hotspot_no_address) and V(hotspot_no_name), where it runs and does not answer.
      type: list
      elements: str
    wrong:
      description: The same in sentences, each with what helps.
      type: list
      elements: str
last_deployment:
  description: The newest entry of the host's trail, as M(deployment_trail) gives it; nothing where there is none.
  returned: always
  type: dict
summary:
  description: The most important in sentences.
  returned: always
  type: list
  elements: str
  sample:
    - Raspberry Pi 4 Model B Rev 1.4 with Debian GNU/Linux 13 (trixie) and Docker 26.1.5+dfsg1.
    - "websig-postgis: healthy, up for 3 days, uses 2.1 % of a processor core, 210 MB of memory."
    - "Disk with /var/lib/docker and 5 more of the folders in use: 21.3 of 29.0 GB free."
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.backup import state as backup_state
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError
from ansible.module_utils.poppyfield.host import stack_status
from ansible.module_utils.poppyfield.host.stack_host import HostOfStack
from ansible.module_utils.poppyfield.host.stack_status import DockerAnswers
from ansible.module_utils.poppyfield.hotspot import look as hotspot_look
from ansible.module_utils.poppyfield.hotspot import probe
from ansible.module_utils.poppyfield.postgis import data_pages
from ansible.module_utils.poppyfield.runs import trail

ARGUMENTS: dict[str, Any] = {
    "stats": {"type": "bool", "default": True},
    "updates": {"type": "bool", "default": False},
    "laptop_clock": {"type": "int", "default": 0},
    "hotspot": {"type": "bool", "default": False},
}


def look_at_docker(engine: Engine, *, measure: bool) -> DockerAnswers:
    """Ask the engine. While it measures the containers, all of them at once, it is asked the rest."""
    listed = engine.all_containers()
    looked = [engine.container(entry["Id"]) for entry in listed if stack_status.is_own_container(entry)]
    own = [container for container in looked if container]
    running = [container["Id"] for container in own if measure and stack_status.is_up(container)]
    with ThreadPoolExecutor(max_workers=len(running) or 1) as pool:
        samples = pool.map(engine.stats, running)
        images = engine.all_images()
        inspected = [engine.image(entry["Id"]) for entry in images if stack_status.is_own_image(entry)]
        info = engine.about()
        return DockerAnswers(
            info=info,
            containers=listed,
            own_containers=own,
            images=images,
            own_images=[image for image in inspected if image],
            samples=dict(zip(running, samples, strict=True)),
        )


def speaker(module: AnsibleModule) -> Callable[..., str]:
    """Give what tells what a command prints, nothing where it is missing or fails."""

    def said_by(command: str, *arguments: str) -> str:
        path = module.get_bin_path(command)
        if path is None:
            return ""
        code, output, _ = module.run_command([path, *arguments])
        return str(output) if code == 0 else ""

    return said_by


def sdk_version() -> str | None:
    """Give the version of Docker's Python SDK."""
    try:
        return metadata.version("docker")
    except metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    host = HostOfStack(speaker(module))
    now = datetime.now(tz=UTC)  # before measuring, which takes as long as some containers live
    try:
        docker = look_at_docker(Engine.connect(), measure=module.params["stats"])
    except EngineError as error:
        docker = DockerAnswers(why=str(error))
    folders = host.folders(stack_status.folders_in_use(docker))
    seen = host.look(updates=module.params["updates"])
    clock = module.params["laptop_clock"]
    backups = backup_state.look(now)
    expected = module.params["hotspot"]
    of_hotspot = hotspot_look.told(host.said_by, host.root, expected=expected, ask=probe.ask if expected else None)
    found = stack_status.describe(
        seen,
        docker,
        folders,
        sdk_version(),
        now,
        laptop_clock=clock,
        backups=backups,
        data_check=data_pages.look(),
        card=host.card(stack_status.folders_written_to(docker)),
        hotspot=of_hotspot,
    )
    last = next(iter(trail.newest(1)), {})
    module.exit_json(changed=False, last_deployment=last, **found)


if __name__ == "__main__":
    main()
