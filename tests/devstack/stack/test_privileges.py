"""Who may look into the data of the embedded servers."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

import pytest

from devstack.embedded import privileges

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_data_folder_cannot_be_listed_by_others(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    privileges.make_data_root(folder)
    privileges.make_data_root(folder)
    assert mode(folder) == (0o711 if privileges.is_root() else 0o700)
    assert mode(privileges.private_folder(folder / "redis")) == 0o700


@as_root
def test_a_link_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RuntimeError, match="not a link"):
        privileges.make_data_root(tmp_path / "data")


@as_root
def test_somebody_elses_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    privileges.own_by_unprivileged(folder)
    with pytest.raises(RuntimeError, match="another user"):
        privileges.make_data_root(folder)


@as_root
def test_a_link_is_given_away_itself_and_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "roots").touch()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "roots")
    privileges.own_by_unprivileged(link)
    assert (tmp_path / "roots").stat().st_uid == 0
    assert link.lstat().st_uid == pwd.getpwnam(privileges.UNPRIVILEGED_USER).pw_uid
