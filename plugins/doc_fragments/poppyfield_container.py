"""Documentation that container modules share: options of module_utils/poppyfield/containers/container_module.py."""

from __future__ import annotations


class ModuleDocFragment:
    """What each of these modules has; a module gives the defaults that are its own."""

    DOCUMENTATION = r"""
options:
  image:
    description: Full reference of the image. It must be on the host, see M(delivered_image).
    type: str
    required: true
  name:
    description: Name of the container.
    type: str
  network:
    description: Docker network of the containers. It is made when missing and never removed.
    type: str
    default: poppyfield
  network_alias:
    description: Name of the host by which other containers in O(network) reach it.
    type: str
  health:
    description:
      - When the image's health check runs. Values that are not given are the image's own; but Docker before 26, which
        writes on the card at each check, checks once a minute.
    type: dict
    suboptions:
      interval:
        description: Seconds between two checks.
        type: int
      timeout:
        description: Seconds after which a check counts as failed.
        type: int
      retries:
        description: Failed checks in a row that make the container unhealthy.
        type: int
      start_period:
        description: Seconds after the start in which failed checks do not count.
        type: int
  healthy_timeout:
    description: Seconds that a started container has to become healthy.
    type: int
    default: 300
  stop_timeout:
    description: Seconds that the container has to end by itself.
    type: int
  state:
    description:
      - With V(started) the container runs and is healthy.
      - With V(stopped) it exists and does not run, and does not start with the host either.
      - With V(absent) it does not exist. Its folders on the host and the network stay.
    type: str
    choices: [started, stopped, absent]
    default: started
  recreate:
    description:
      - With V(auto) the container is replaced when that is needed.
      - With V(always) it is replaced in any case.
      - With V(never) what would need a new container is reported as a warning and not done.
    type: str
    choices: [auto, always, never]
    default: auto
  restart:
    description: Stop the container and start it again, also when nothing else is to be done. Needs O(state=started).
    type: bool
    default: false
  memory_limit_share:
    description:
      - Part of the host's memory that the container may use at most, so that the host itself stays reachable.
        V(0) sets no limit.
      - Where the kernel cannot keep a limit, as on a Pi whose memory cgroup is off, none is set, with a warning.
    type: float
    default: 0.75
  compose_folder:
    description:
      - Folder on the host into whose C(docker-compose.yml) the container is written, too, and by whose name it is made
        known to docker-compose, so that its commands there act on the same container. Empty for none.
      - Where there is no docker-compose nothing is written. A container that docker-compose does not know yet, or knows
        otherwise, is replaced.
    type: path
    default: ""
attributes:
  check_mode:
    support: full
    description: Works on a bare host too.
  diff_mode:
    support: full
    description: Shows the settings of the container before and after, never the content of a secret.
  idempotent:
    support: full
    description: With O(recreate=always) it replaces the container every time.
"""
