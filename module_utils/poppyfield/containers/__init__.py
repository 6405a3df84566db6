"""Containers: what is wanted of one, what there is, and the steps in between; the one adapter to Docker."""
