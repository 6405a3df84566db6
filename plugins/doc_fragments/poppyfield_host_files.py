"""Documentation of the option host_files, which modules share that bring about what they need on the host."""

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
          recurse:
            description:
              - Whether all within it must belong to the same, as data that root has copied back does not. Where one of
                its entries, or of theirs, is another's, everything is given to them, and closed to those to whom
                O(host_files.folders[].mode) closes the folder.
            type: bool
            default: false
          remember_as:
            description:
              - Name of the variable that names this folder. The folder is then marked, and another one, or the same on
                another file system, is refused from then on. What is missing is most likely a disk that is not mounted.
              - A container whose data is in it mounts the mark, so that Docker does not start it without the disk.
            type: str
          may_change:
            description: Whether it may be another folder or file system all the same.
            type: bool
            default: false
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
        description: Files to remove unless they are named above.
        type: list
        elements: dict
        default: []
        suboptions:
          pattern:
            description: A pattern of paths, such as C(/etc/poppyfield/secrets/lizmap_user_*).
            type: path
            required: true
          keep:
            description: Names of files that stay.
            type: list
            elements: str
            default: []
"""
