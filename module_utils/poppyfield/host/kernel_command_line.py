"""The line of options that a Raspberry Pi's firmware hands to the kernel. Pure."""

from __future__ import annotations

from collections.abc import Iterable


class CommandLineError(Exception):
    """A file without a line that a kernel could start with."""


def with_options(text: str, options: Iterable[str]) -> str:
    """Give the content of cmdline.txt with these options in its first line; the firmware reads no other one.

    An option that is there, with whatever value another one of the same name has, stays as it is.
    """
    first, newline, rest = text.partition("\n")
    present = first.split()
    if not present:
        raise CommandLineError("its first line is empty, and the firmware reads no other one")
    added = [option for option in options if option not in present]
    line = " ".join([first.rstrip(), *added]) if added else first
    return line + newline + rest
