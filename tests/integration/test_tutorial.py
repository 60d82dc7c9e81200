"""The tutorial's commands do what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

TUTORIAL = Path(__file__).parents[2] / "docs/tutorial/first-verdict.md"


def script() -> str:
    """Its blocks as one shell script that checks each stated exit code."""
    lines = ["set -u"]
    for block in re.findall(r"^```sh\n(.*?)^```$", TUTORIAL.read_text("utf-8"), re.M | re.S):
        for line in block.splitlines():
            command, mark, code = line.partition("    # exit code ")
            lines.append(command)
            if command.startswith("layerproof"):
                expected = code if mark else "0"
                check = f'[ $? -eq {expected} ] || {{ echo "DIFFERS: {command}"; exit 99; }}'
                lines.append(check)
    return "\n".join(lines) + "\n"


def test_every_command_of_the_tutorial_ends_as_it_says(tmp_path: Path) -> None:
    text = script()
    assert text.count("layerproof ") > 12
    scripts = Path(sys.executable).parent
    environment = {
        "PATH": f"{scripts}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "COLUMNS": "80",
    }
    done = subprocess.run(
        ["bash", "-c", text],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stderr == ""
