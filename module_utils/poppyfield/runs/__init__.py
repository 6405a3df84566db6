"""Runs of playbooks: who makes one, its lock on a Pi, and the trail that it leaves there."""
