"""Asks a host's own Wi-Fi, on the host itself, what a device asks that joins it: for an address, and the map's name.

What is sent by UDP to all of a network comes back to its own host, so dnsmasq answers as it answers a device. Nothing
is taken: an address that is offered, and that nobody requests, is nobody's.
"""

from __future__ import annotations

import secrets
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from ansible.module_utils.poppyfield.hotspot import names

Ask = Callable[[str, str], tuple[bool, bool]]
"""Asks by an interface and the host's address there; gives whether an address is offered, and the name known."""

TRIES = 3
OFFER_SECONDS = 4
"""dnsmasq takes three, in which it sees whether somebody has the address already."""
NAME_SECONDS = 1
DNS, DHCP_SERVER, DHCP_CLIENT = 53, 67, 68
ALL_PROTOCOLS = 3
"""ETH_P_ALL: also what this host sends."""
LARGEST = 4096
DEVICE = bytes.fromhex("02706f707079")
"""The address of a device that is none: its second lowest bit says that no maker has given it."""
MAGIC = bytes.fromhex("63825363")
KIND, DISCOVER, OFFER, END = 53, 1, 2, 255
REQUEST, REPLY, TO_ALL = 1, 2, 0x8000
IPV4_WITH_UDP = (4, 17)
IPV4_AT_LEAST, UDP_SIZE, OPTIONS_AT = 20, 8, 240


def ask(interface: str, address: str) -> tuple[bool, bool]:
    """Ask for both, as an Ask. Raises OSError where it can't be asked."""
    return offers(interface), knows_the_map(address)


def offers(interface: str) -> bool:
    """Tell whether somebody offers an address on an interface. Raises OSError, as without such an interface."""
    number = secrets.randbits(32)
    with (
        # By the packets, not by port 68, which another program may have.
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as seen,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking,
    ):
        seen.bind((interface, ALL_PROTOCOLS))
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for _ in range(TRIES):
            asking.sendto(discover(number), ("255.255.255.255", DHCP_SERVER))
            if any(is_offer(packet, number) for packet in _received(seen, OFFER_SECONDS)):
                return True
    return False


def knows_the_map(address: str) -> bool:
    """Tell whether the server of names at an address leads the map's name there."""
    number = secrets.randbits(16)
    for _ in range(TRIES):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking, suppress(ConnectionRefusedError):
            asking.connect((address, DNS))
            asking.send(question(names.MAP, number))
            if any(is_answer(packet, names.MAP, number, address) for packet in _received(asking, NAME_SECONDS)):
                return True
    return False


def _received(at: socket.socket, seconds: float) -> Iterator[bytes]:
    """Give what comes within a time."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        at.settimeout(left)
        try:
            yield at.recv(LARGEST)
        except TimeoutError:
            return


# What is sent and read ----------------------------------------------------------------------------------------------


def discover(number: int) -> bytes:
    """Give a DHCPDISCOVER (RFC 2131), whose answer is to go to all."""
    begin = struct.pack(">4BI2H16x", REQUEST, 1, len(DEVICE), 0, number, 0, TO_ALL)
    return (begin + DEVICE.ljust(16 + 64 + 128, b"\0") + MAGIC + bytes((KIND, 1, DISCOVER, END))).ljust(300, b"\0")


def is_offer(packet: bytes, number: int) -> bool:
    """Tell whether a packet of IPv4 is the DHCPOFFER that answers this number."""
    if len(packet) < IPV4_AT_LEAST or (packet[0] >> 4, packet[9]) != IPV4_WITH_UDP:
        return False
    datagram = packet[(packet[0] & 15) * 4 :]
    message = datagram[UDP_SIZE:]
    if datagram[:4] != struct.pack(">2H", DHCP_SERVER, DHCP_CLIENT) or message[OPTIONS_AT - 4 : OPTIONS_AT] != MAGIC:
        return False
    return message[0] == REPLY and message[4:8] == struct.pack(">I", number) and _kind(message[OPTIONS_AT:]) == OFFER


def _kind(options: bytes) -> int:
    """Give of which kind a message is, by its options; 0 where they do not say."""
    at = 0
    while at + 2 < len(options) and options[at] != END:
        if options[at] == KIND:
            return options[at + 2]
        at += 1 if options[at] == 0 else 2 + options[at + 1]
    return 0


def question(name: str, number: int) -> bytes:
    """Give a question for the address of a name (RFC 1035)."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack(">6H", number, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)


def is_answer(packet: bytes, name: str, number: int, address: str) -> bool:
    """Tell whether a packet answers that question with this address."""
    asked = question(name, number)
    refused = len(packet) < len(asked) or packet[3] & 15
    is_of_it = packet[:2] == asked[:2] and packet[12 : len(asked)] == asked[12:]
    return not refused and is_of_it and socket.inet_aton(address) in packet[len(asked) :]
