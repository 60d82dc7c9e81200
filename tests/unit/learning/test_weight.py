"""What a verdict loads: own code and msgspec, nothing that training uses; and the page of features
is what is declared."""

import importlib.util
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_a_verdict_loads_nothing_that_training_uses() -> None:
    code = (
        "import sys, layerproof.engine.learned, layerproof.rules.learned_trust\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert loaded & {"numpy", "lightgbm", "scipy", "sklearn", "pickle", "cryptography"} == set()
    assert "msgspec" in loaded


def test_the_page_lists_the_features_that_are_declared() -> None:
    path = ROOT / "scripts/learned_features.py"
    spec = importlib.util.spec_from_file_location("learned_features", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = (ROOT / "docs/learning/how-it-works.md").read_text(encoding="utf-8")
    assert text == module.page(text), "run scripts/learned_features.py"
