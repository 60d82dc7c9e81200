"""systemd units of gates, and the few things that systemd is told."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence

from layerproof.errors import UsageError

_UNIT = """\
[Unit]
Description={description}
Before={before}
After=network-online.target
Wants=network-online.target

[Service]
ExecStart={command}
{environment}Restart=always
RestartSec=1
# A gate that is gone refuses everything: it is the last to be killed.
OOMScoreAdjust=-900
NoNewPrivileges=yes
ProtectHome=read-only
ProtectKernelTunables=yes
RestrictRealtime=yes

[Install]
WantedBy=multi-user.target
"""


def unit(
    description: str, before: str, command: Sequence[str], environment: Mapping[str, str]
) -> str:
    """The text of a service's unit (systemd.service(5)). Raises UsageError for what cannot stand in
    one."""
    lines = "".join(
        f"Environment={_quoted(f'{name}={value}')}\n" for name, value in sorted(environment.items())
    )
    return _UNIT.format(
        description=description,
        before=before,
        command=" ".join(map(_quoted, command)),
        environment=lines,
    )


def _quoted(text: str) -> str:
    """One word (systemd.syntax(7), "Quoting")."""
    if not text.isprintable():
        raise UsageError("a setting holds characters that do not print", where=repr(text[:60]))
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def has_systemd() -> bool:
    """Whether this machine is run by systemd (sd_booted(3))."""
    import os

    return os.path.isdir("/run/systemd/system") and shutil.which("systemctl") is not None


def systemctl(*arguments: str) -> None:
    """Raises UsageError with what it said."""
    done = subprocess.run(
        ["systemctl", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        raise UsageError(
            f"systemctl {' '.join(arguments)} failed: {done.stderr.strip()[:500]}",
            remedy="see journalctl -u " + arguments[-1],
        )
