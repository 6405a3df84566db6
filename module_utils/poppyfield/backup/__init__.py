"""Backup and restore: the program on the Pi, and what installs it."""
