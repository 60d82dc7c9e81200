"""Which added paths are listed and not only counted, whatever any policy says.

Chain rows are made once, when a layer is indexed; policies come later and bring path lists of
their own. So every addition is listed that can change how a system behaves without touching a
file of the layers below: configuration that programs read by folder, start-up files of root and of
users, scheduled jobs, service units, PAM and NSS, keys. docs/adr/0004 has the reasons.
"""

import re
from collections.abc import Iterable

# Entries beneath these folders, other than folders.
SENSITIVE_ADDITIONS: tuple[bytes, ...] = (
    b"boot/",
    b"etc/",
    b"lib/security/",
    b"lib/systemd/",
    b"lib/udev/rules.d/",
    b"root/",
    b"usr/lib/dracut/",
    b"usr/lib/environment.d/",
    b"usr/lib/modules-load.d/",
    b"usr/lib/security/",
    b"usr/lib/sysctl.d/",
    b"usr/lib/systemd/",
    b"usr/lib/sysusers.d/",
    b"usr/lib/tmpfiles.d/",
    b"usr/lib/udev/rules.d/",
    b"usr/libexec/",
    b"usr/local/etc/",
    b"usr/share/dbus-1/",
    b"usr/share/polkit-1/",
    b"var/spool/at/",
    b"var/spool/cron/",
)

# Beneath a user's home: keys, and the hidden files and folders that shells and tools read.
_HOME = b"home/"
_IN_HOME = re.compile(rb"home/[^/]+/\.")

_PREFIXES = (*SENSITIVE_ADDITIONS, _HOME)


def sensitive(paths: list[bytes], folders: Iterable[bytes]) -> list[bytes]:
    """Those of `paths` whose addition is listed. `folders`: at least every folder of theirs."""
    if not any((folder + b"/").startswith(_PREFIXES) for folder in folders):
        return []
    found = [path for path in paths if path.startswith(_PREFIXES)]
    return [path for path in found if not path.startswith(_HOME) or _IN_HOME.match(path)]
