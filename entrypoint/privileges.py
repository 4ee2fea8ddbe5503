"""Privileges: a container started as root goes on as the owner of the folder it works for.

The platform starts images as root with folders that root owns, and the contract wants them written; on a laptop the
folders belong to a user. So the image names no user: whoever owns the model folder decides. Data, requests and
archives are then not read with more rights than needed, and no file that the user can't remove is left behind.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

log = logging.getLogger(__name__)


def drop_privileges(base: Path, variables: Mapping[str, str], *, only_reads: bool) -> None:
    """As root in an image, become the owner of `base`/model, or of `base` when there is none yet.

    variables    ONEPASS_USER, which images set, is the user id for a folder of root's that is only read
    only_reads   a server; training stays root where root owns the folders, since it must write there
    """
    if os.geteuid() != 0 or not variables.get("ONEPASS_USER", "").isdecimal():
        return
    folder = base / "model" if (base / "model").exists() else base
    owner = folder.stat() if folder.exists() else None
    if owner is not None and owner.st_uid != 0:
        user, group = owner.st_uid, owner.st_gid
    elif only_reads and _readable_by_all(base, folder):
        user = group = int(variables["ONEPASS_USER"])
    else:
        return
    try:
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
    except OSError as error:  # a container without these capabilities, or a namespace without that user
        log.warning("Going on as root, since becoming user %d is not allowed: %s", user, error.strerror)


def _readable_by_all(base: Path, folder: Path) -> bool:
    for path in (base, folder, *folder.rglob("*")):
        needed = 0o005 if path.is_dir() else 0o004
        if path.exists() and path.stat().st_mode & needed != needed:
            return False
    return True
