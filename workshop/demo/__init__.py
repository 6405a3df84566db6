"""The demo: an emulated Pi on this machine, provisioned by the production playbook until its map draws."""

import plugins.project_imports  # noqa: F401
