"""What the status of a fleet shows."""
