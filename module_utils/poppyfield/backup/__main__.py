"""The backup's command line on a laptop that has a Pi's backups in a folder: `make prove`. Python runs this folder.

As on a Pi, the package `ansible` holds nothing here but what is ours: none need be installed.
"""

import sys
from pathlib import Path
from types import ModuleType

for name, folders in (("ansible", []), ("ansible.module_utils", [str(Path(__file__).resolve().parents[2])])):
    sys.modules[name] = ModuleType(name)
    sys.modules[name].__path__ = folders

from ansible.module_utils.poppyfield.backup.command_line import main  # noqa: E402

sys.exit(main())
