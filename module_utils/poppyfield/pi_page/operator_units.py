"""The units of systemd by which a Pi has an operator's page: two sockets, what answers at each, and a user."""

from __future__ import annotations

from collections.abc import Mapping

from ansible.module_utils.poppyfield.pi_page import operator_page
from ansible.module_utils.poppyfield.pi_page.program import FOLDER, WORK_FOLDER
from ansible.module_utils.poppyfield.runs import lock

PAGE = "poppyfield-operator"
HELPER = "poppyfield-orders"
SOCKETS = (f"{HELPER}.socket", f"{PAGE}.socket")
PLACE = f"{FOLDER}/operator/page.sock"
"""In the folder that the map server has mounted, where nothing can be written from within."""

USER_TEXT = f"""# Managed by Poppyfield.
u {PAGE} - "Poppyfield's page for the operator"
"""

PAGE_SOCKET_TEXT = f"""# Managed by Poppyfield.
[Unit]
Description=Where the map server hands on what is asked of the operator's page of this Pi

[Socket]
ListenStream={PLACE}
# The map server's nginx, which is in this group, and PHP beside it; nobody else of all that are in that container.
SocketUser=www-data
SocketGroup=www-data
SocketMode=0660
DirectoryMode=0755
Backlog=16
# A flood must not end it.
TriggerLimitIntervalSec=0
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""

SANDBOX = """ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
NoNewPrivileges=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX
SystemCallArchitectures=native
UMask=0077
"""

PAGE_SERVICE_TEXT = f"""# Managed by Poppyfield.
[Unit]
Description=The operator's page of this Pi
# Whatever ends it, the next request starts it again.
StartLimitIntervalSec=0

[Service]
User={PAGE}
# Opened by root. LoadCredential= does not reach a service in every container with a systemd.
StandardInput=file:{{password}}
StandardOutput=journal
StandardError=journal
ExecStart=/usr/bin/python3 -I -B {{program}} operator_page
# It may be asked, and it may give the helper a word.
CapabilityBoundingSet=
PrivateDevices=yes
PrivateNetwork=yes
MemoryMax=192M
TasksMax=16
CPUWeight=20
{SANDBOX}"""

HELPER_SOCKET_TEXT = f"""# Managed by Poppyfield.
[Unit]
Description=Where the operator's page of this Pi gives its fixed words

[Socket]
ListenStream={operator_page.HELPER}
SocketUser={PAGE}
SocketMode=0600
Accept=yes
# One order at a time.
MaxConnections=1
Backlog=4
TriggerLimitIntervalSec=0
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""

HELPER_SERVICE_TEXT = f"""# Managed by Poppyfield.
[Unit]
Description=One order of the operator of this Pi
# A connection that fails is gone, not a unit that failed.
CollectMode=inactive-or-failed
After=docker.service

[Service]
ExecStart=/usr/bin/python3 -I -X pycache_prefix={WORK_FOLDER}/python {{program}} order_helper
StandardInput=socket
StandardOutput=journal
StandardError=journal
# The lock of runs, and when which order was given. Secrets are read to leave them out of what support gets.
ReadWritePaths={WORK_FOLDER} {lock.FOLDER}
CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_SYSLOG
TasksMax=32
{SANDBOX}"""

UNITS: Mapping[str, str] = {
    f"{PAGE}.socket": PAGE_SOCKET_TEXT,
    f"{PAGE}.service": PAGE_SERVICE_TEXT,
    f"{HELPER}.socket": HELPER_SOCKET_TEXT,
    f"{HELPER}@.service": HELPER_SERVICE_TEXT,
}
"""By file name the text, with the program's folder and the password's file to be filled in."""
