"""Documentation that modules share which bring about what they need on the host: module_utils/poppyfield/host_files.py."""

from __future__ import annotations


class ModuleDocFragment:
    """The option host_files."""

    DOCUMENTATION = r"""
options:
  host_files:
    description: Folders, files and secrets that are brought about on the host before anything else is done.
    type: dict
    default: {}
    suboptions:
      folders:
        description: Folders. One that is missing is made.
        type: list
        elements: dict
        default: []
        suboptions:
          path:
            description: Path of the folder.
            type: path
            required: true
          owner:
            description: User that it belongs to, by name or number.
            type: str
            default: root
          group:
            description: Group that it belongs to, by name or number.
            type: str
            default: root
          mode:
            description: Its mode.
            type: str
            default: "0755"
      files:
        description: Files with their content, which is shown nowhere.
        type: list
        elements: dict
        default: []
        suboptions:
          path:
            description: Path of the file. Its folder must exist, or be one of O(host_files.folders).
            type: path
            required: true
          owner:
            description: User that it belongs to, by name or number.
            type: str
            default: root
          group:
            description: Group that it belongs to, by name or number.
            type: str
            default: root
          mode:
            description: Its mode.
            type: str
            default: "0644"
          content:
            description: What it holds.
            type: str
            required: true
      secrets:
        description: Secrets, as M(secret_files) keeps them.
        type: list
        elements: dict
        default: []
        suboptions:
          path:
            description: Path of the file.
            type: path
            required: true
          owner:
            description: User who may read it, by name or number.
            type: str
            default: root
          group:
            description: Group of the file, by name or number.
            type: str
            default: root
          value:
            description: The secret, when it is not to be random. One line of printable ASCII characters.
            type: str
      purge:
        description: Patterns of paths. Files like these that are not named above are removed.
        type: list
        elements: path
        default: []
"""
