"""Where a Pi is, and what time it is there, from a GPS receiver."""
