"""Who gives a command, for the audit."""

import getpass
import os
import socket


def name_person() -> str:
    """A container may run as a user without a name."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
