"""Lets what runs on the laptop import `ansible.module_utils.poppyfield`, by the one name that modules know it by.

Ansible puts a project's own module_utils into the modules that it sends, but plugins find them only on Ansible's own
path. Plugins run this file, Python programs import it; a second time does nothing.
"""

from pathlib import Path

import ansible.module_utils

FOLDER = str(Path(__file__).resolve().parents[1] / "module_utils")
if FOLDER not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(FOLDER)
