"""Compiles the native part where a C compiler is at hand; the package works without it."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("src") / "layerproof" / "native"


class Hook(BuildHookInterface):  # type: ignore[type-arg]  # hatchling leaves its parameter open
    """Called by hatchling for wheels and editable installations."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See hatchling."""
        folder = Path(self.root) / FOLDER
        target = folder / "_kernel.so"
        named = [os.environ["CC"]] if os.environ.get("CC") else ["cc", "gcc", "clang"]
        compiler = next((found for name in named if (found := shutil.which(name))), None)
        if compiler is None:
            self.app.display_warning("no C compiler: digests are taken one after the other")
            return
        command = [compiler, "-O3", "-shared", "-fPIC", "-o", f"{target}.new", folder / "kernel.c"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            self.app.display_warning(f"the native part does not compile here: {done.stderr[-500:]}")
            return
        Path(f"{target}.new").replace(target)
        build_data["pure_python"] = False
        build_data["infer_tag"] = False
        build_data["tag"] = f"py3-none-{_platform()}"
        build_data["artifacts"].append(str(FOLDER / "_kernel.so"))


def _platform() -> str:
    import sysconfig

    return sysconfig.get_platform().replace("-", "_").replace(".", "_")
