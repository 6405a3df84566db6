"""How the inventory reaches a Pi: the settings of Ansible's own ssh connection, as an ssh command."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.cli import CLI
from ansible.constants import DEFAULT_HOST_LIST, DEFAULT_VAULT_IDENTITY_LIST, config
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import connection_loader, init_plugin_loader
from ansible.template import Templar
from ansible.vars.manager import VariableManager

ASKPASS = Path(__file__).resolve().with_name("askpass")
LOCAL = "local"
ARGUMENTS = ("ssh_args", "ssh_common_args", "ssh_extra_args")
VALUES = {"port": "-p", "remote_user": "-l", "private_key_file": "-i"}


class UnknownPiError(Exception):
    """The inventory does not say how to reach it, in a sentence for the user."""


class Pi:
    """A Pi as the inventory describes it."""

    def __init__(self, name: str) -> None:
        self.name = name
        # Without it no plugin is found by its full name, as in a lookup of the inventory.
        init_plugin_loader()
        loader = DataLoader()
        try:
            # As ansible-playbook does, where the settings name a file with the passphrase.
            secrets = CLI.setup_vault_secrets(loader, vault_ids=DEFAULT_VAULT_IDENTITY_LIST, auto_prompt=False)
            loader.set_vault_secrets(secrets)
            self._read(loader, name)
        except AnsibleError as error:
            raise UnknownPiError(f"The inventory cannot be read: {error}") from error

    def _read(self, loader: DataLoader, name: str) -> None:
        inventory = InventoryManager(loader=loader, sources=DEFAULT_HOST_LIST)
        host = inventory.get_host(name) if name else None
        if host is None:
            known = ", ".join(sorted(found.name for found in inventory.get_hosts("pis"))) or "none"
            raise UnknownPiError(f"Add HOST=, the name of a Pi in the inventory: {known}.")
        self._variables: Mapping[str, Any] = VariableManager(loader=loader, inventory=inventory).get_vars(host=host)
        self._templar = Templar(loader=loader, variables=self._variables)
        plugin = connection_loader.get("ssh", class_only=True)
        self._plugin = plugin._load_name
        names = config.get_plugin_vars("connection", self._plugin)
        self._of_connection = self.values(names)

    def values(self, names: Sequence[str]) -> dict[str, Any]:
        """Give the variables of these names that the Pi has, without templates."""
        return {name: self._templar.template(self._variables[name]) for name in names if name in self._variables}

    @property
    def user(self) -> str:
        """Give the user who logs in, empty where SSH's own settings say so."""
        return str(self._option("remote_user") or "")

    @property
    def password(self) -> str:
        """Give the password that the inventory has for logging in, empty where there is none."""
        return str(self._option("password") or "")

    def environment(self) -> dict[str, str]:
        """Give what ssh needs to ask the inventory for the password, nothing where that has none."""
        if not self.password:
            return {}
        asking = {"SSH_ASKPASS": str(ASKPASS), "SSH_ASKPASS_REQUIRE": "force"}
        told = {"POPPYFIELD_PYTHON": sys.executable, "POPPYFIELD_PI": self.name, "POPPYFIELD_HOST": self._host}
        return {**asking, **told}

    @property
    def _host(self) -> str:
        return str(self._option("host"))

    def command(self, script: str, *, terminal: bool) -> list[str]:
        """Give the command that runs a shell's script on the Pi, on a terminal of its own or not."""
        argv = ["sh", "-c", script]
        if self.values(["ansible_connection"]).get("ansible_connection") == LOCAL:
            return argv
        given = [word for name in ARGUMENTS for word in shlex.split(str(self._option(name) or ""))]
        for name, flag in VALUES.items():
            given += [flag, str(self._option(name))] if self._option(name) else []
        checked = [] if self._option("host_key_checking") else ["-o", "StrictHostKeyChecking=no"]
        given += [*checked, *(["-t"] if terminal else [])]
        return [str(self._option("ssh_executable")), *given, self._host, shlex.join(argv)]

    def _option(self, name: str) -> Any:
        return config.get_config_value(
            name, plugin_type="connection", plugin_name=self._plugin, variables=self._of_connection
        )
