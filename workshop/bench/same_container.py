"""The same container on each side, so that like is compared with like."""

from __future__ import annotations

import json
from collections.abc import Mapping

from workshop.bench.contenders import DATABASE, DEFAULTS, MAP, OURS, STRICT, Json, Request, ours, twin, unequal
from workshop.bench.host import Host, free_port
from workshop.bench.playbook import BenchError, Task, apply

Requests = dict[str, dict[str, Request]]
"""Subject -> contender -> what it is asked for at first."""


def prepare(host: Host) -> Requests:
    """Let each contender make its containers, and refuse to compare unless they are the same."""
    requests: Requests = {}
    for subject in (DATABASE, MAP):
        own = ours(subject, host.folder(OURS), free_port())
        apply([Task(own)])
        model = existing(host, OURS.container(subject))
        requests[subject] = {OURS.key: own}
        for contender in (DEFAULTS, STRICT):
            host.folder(contender)
            folders = (host.top(OURS), host.top(contender))
            asked = twin(model, contender, subject, folders, free_port())
            apply([Task(asked)])
            if different := unequal(model, existing(host, contender.container(subject)), folders):
                raise BenchError(f"{contender.title} made another container: {json.dumps(different, indent=2)}")
            requests[subject][contender.key] = asked
    return requests


def existing(host: Host, name: str) -> Json:
    """Inspect a container that must exist."""
    if found := host.inspect(name):
        return found
    raise BenchError(f"The container {name} was not made.")


def renew(host: Host, subject: str, requests: Mapping[str, Request]) -> None:
    """Begin again: every contender's container of a subject as asked for at first, and answering."""
    host.remove_containers(subject)
    apply([Task(request) for request in requests.values()])
    for request in requests.values():
        if host.look(request.arguments["name"]).answer != "a":
            raise BenchError(f"The container {request.arguments['name']} does not answer.")
