"""What a host has and needs."""
