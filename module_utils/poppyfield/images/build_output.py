"""What BuildKit writes while it builds, in its plain form: which lines tell the steps, and why a build failed. Pure.

#7 [2/5] RUN make              a step begins, or goes on after lines of another one
#7 0.281 cc -o map map.c       what its command writes, after so many seconds
#7 DONE 12.3s                  it ended; or CACHED, CANCELED, ERROR: and why
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LAST_LINES = 15
LONGEST_STEP = 160
_NUMBERED = re.compile(r"#(\d+) (.*)")
_STEP = re.compile(r"\[[^\]]*\d+/\d+\] |exporting to ")
_ENDED = re.compile(r"(DONE|CACHED|CANCELED|ERROR)\b")
_WRITTEN = re.compile(r"\d+\.\d+ (.*)")
# A step's name holds the command already.
_COMMAND_FAILED = re.compile(r"(?:executor failed running \[.*\]|process \".*\" did not complete successfully): ")
_NEEDED_IMAGE = re.compile(r"(?:\[internal\] load metadata for|resolve image config for) (\S+)")


class StepLines:
    """Picks the lines that tell how far a build is: that a step begins, once, and how it ended."""

    def __init__(self) -> None:
        self._begun: set[str] = set()

    def tells(self, line: str) -> bool:
        """Tell whether the next line of the output is one of those."""
        match = _NUMBERED.match(line)
        if not match:
            return False
        number, text = match.groups()
        if _STEP.match(text):
            begins = number not in self._begun
            self._begun.add(number)
            return begins
        return number in self._begun and bool(_ENDED.match(text))


@dataclass(frozen=True)
class Failure:
    """The step that failed, why, and the lines that its command wrote.

    Step and cause are empty when the build did not come to any step; the lines are then those of the build command.
    """

    step: str
    cause: str
    written: tuple[str, ...]

    @classmethod
    def of(cls, output: str) -> Failure:
        """Find the failure in the whole output of a build."""
        lines = [line.rstrip() for line in output.splitlines() if line.strip()]
        numbered = [match.groups() for line in lines if (match := _NUMBERED.match(line))]
        failed = [(number, text) for number, text in numbered if text.startswith("ERROR: ")]
        if not failed:
            return cls("", "", tuple(line for line in lines if not _NUMBERED.match(line)))
        number, error = failed[-1]
        own = [text for other, text in numbered if other == number]
        written = [match[1] for text in own if (match := _WRITTEN.match(text))]
        return cls(own[0], _COMMAND_FAILED.sub("", error.removeprefix("ERROR: ")), tuple(written))


def explain_failure(output: str, platform: str, native: str) -> str:
    """Say which step of a build for `platform` failed and its last lines; name the remedy where it is known.

    `native` is the platform that the engine runs without emulation.
    """
    failure = Failure.of(output)
    shortened = failure.step if len(failure.step) <= LONGEST_STEP else f"{failure.step[:LONGEST_STEP]}..."
    where = f" at step {shortened}" if failure.step else ""
    lines = "\n".join(failure.written[-LAST_LINES:])
    ended = f" Its last lines:\n{lines}" if lines else ""
    said = "\n".join([failure.cause, *failure.written]).lower()
    if "exec format error" in said and platform != native:
        return (
            f"This machine cannot run programs for {platform}: no emulator is registered for it, so the build "
            f"failed{where}. Register one by `sudo python3 -m workshop.emulator.binfmt register` in Poppyfield's "
            f"folder, or by installing the package qemu-user-static (Debian 13: qemu-user-binfmt), then build again."
        )
    if "exec format error" in said:
        return (
            f"The build failed{where}: a program in it is not for {platform}. The base image and every program that "
            f"is copied in must be for that platform."
        )
    if "no space left on device" in said or "disk quota exceeded" in said:
        return (
            f"The disk of the builder's Docker Engine is full, so the build failed{where}. Free some space "
            f"(`docker system df` shows what takes it), then build again.{ended}"
        )
    if needed := _NEEDED_IMAGE.match(failure.step):
        return (
            f"The build needs the image {needed[1]} for {platform}. It is not on the builder for that platform and "
            f"could not be fetched: {failure.cause}. Build or load it there, or let the builder reach its registry."
        )
    if "buildkit not supported by daemon" in said:
        return "The builder's Docker Engine has no BuildKit: it must be version 18.09 or later."
    cause = f": {failure.cause}" if failure.cause else ""
    return f"The build failed{where}{cause}.{ended}"
