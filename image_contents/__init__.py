"""What an image holds, read from its archive: nothing of it is run, so it may be for any processor."""

import plugins.project_imports  # noqa: F401
