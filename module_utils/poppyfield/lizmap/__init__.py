"""Lizmap Web Client: its accounts, its answers, editing, and its archives."""
