"""What a Pi writes on its card in a day, measured with its real engine and containers."""

import plugins.project_imports  # noqa: F401
