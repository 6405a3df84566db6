"""The one chore that deletes data, after which there is nothing left to test."""

from __future__ import annotations

from testinfra.host import Host

from emulated_pi import do, serves


def test_the_right_name_deletes_the_data(pi: Host) -> None:
    assert pi.file("/srv/poppyfield/postgis").exists
    do("delete_data", "-e", "delete_data_of=demo-pi")
    assert not pi.file("/srv/poppyfield/postgis/cluster").exists and not serves()
    assert pi.check_output("docker ps --all --quiet") == ""
