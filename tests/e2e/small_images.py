"""Images that run and hold one small program, compiled here: for tests of what starts."""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.e2e.daemons import CannotStartError

SOURCE = """\
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int count, char **words)
{
    printf("%s ran\\n", NAME);
    fflush(stdout);
    while (count > 1 && !strcmp(words[1], "stay"))
        sleep(3600);
    return 0;
}
"""


def root_tar(name: str, folder: Path) -> bytes:
    """A root file system whose /run-me says `NAME ran`. Raises CannotStartError."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise CannotStartError("not installed: a C compiler")
    program = folder / f"program-{name}"
    command = [compiler, "-static", "-O1", f'-DNAME="{name}"', "-x", "c", "-", "-o", str(program)]
    done = subprocess.run(command, input=SOURCE, text=True, capture_output=True, check=False)
    if done.returncode:
        raise CannotStartError(f"cannot compile: {done.stderr[-300:]}")
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        entry = tarfile.TarInfo("run-me")
        entry.size, entry.mode = program.stat().st_size, 0o755
        with program.open("rb") as stream:
            tar.addfile(entry, stream)
    return target.getvalue()


def imported(url: str, name: str, tag: str, folder: Path) -> str:
    """Into an engine as an image; its ID."""
    done = subprocess.run(
        ["docker", "--host", url, "import", "-", tag],
        input=root_tar(name, folder),
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip()
