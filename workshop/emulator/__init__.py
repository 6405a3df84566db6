"""The emulated Raspberry Pi: an arm64 Debian with systemd and SSH, in a container on this machine."""
