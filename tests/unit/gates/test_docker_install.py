"""The engine's configuration is changed in one place, or not at all."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from layerproof.errors import UsageError
from layerproof.gates import files, units
from layerproof.gates.docker.install import (
    names_plugin,
    on_command_line,
    with_plugin,
    without_plugin,
)

OWN = {"log-driver": "journald", "authorization-plugins": ["other"], "dns": ["1.1.1.1"]}


def test_other_settings_and_plugins_stay() -> None:
    text = with_plugin(json.dumps(OWN), "layerproof", "x")
    assert json.loads(text) == {**OWN, "authorization-plugins": ["other", "layerproof"]}
    assert with_plugin(text, "layerproof", "x") == text
    assert json.loads(without_plugin(text, "layerproof", "x")) == OWN
    assert names_plugin(text, "layerproof", "x")


def test_file_that_is_not_there_begins_empty_and_ends_so() -> None:
    text = with_plugin(None, "layerproof", "x")
    assert json.loads(text) == {"authorization-plugins": ["layerproof"]}
    assert json.loads(without_plugin(text, "layerproof", "x")) == {}


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"a":1,"a":2}', '{"authorization-plugins":"x"}', '{"authorization-plugins":[1]}'],
)
def test_file_that_cannot_be_read_for_certain_is_left_alone(text: str) -> None:
    with pytest.raises(UsageError):
        with_plugin(text, "layerproof", "x")


def test_engine_that_has_the_option_on_its_command_line_is_noticed() -> None:
    assert on_command_line([["/usr/bin/dockerd", "--authorization-plugin=a"]])
    assert on_command_line([["dockerd", "--authorization-plugin", "a"]])
    assert not on_command_line([["/usr/bin/dockerd", "-H", "fd://"], ["sh", "dockerd"]])


def test_copy_is_kept_and_owner_and_mode_stay(tmp_path: Path) -> None:
    file = tmp_path / "daemon.json"
    file.write_text("{}")
    file.chmod(0o640)
    copy = files.keep_copy(file, datetime(2026, 5, 4, tzinfo=UTC))
    assert copy is not None
    files.write_text(file, "{}\n")
    assert (copy.read_text(), file.read_text()) == ("{}", "{}\n")
    assert file.stat().st_mode & 0o777 == copy.stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([file.name, copy.name])


def test_setting_cannot_add_a_line_to_a_unit() -> None:
    with pytest.raises(UsageError):
        units.unit("d", "b", ["x"], {"LAYERPROOF_INDEX": "a\nExecStartPre=evil"})
    text = units.unit("d", "b", ["x y", 'a"b'], {"A": "50% $HOME"})
    assert 'ExecStart="x y" "a\\"b"' in text
    assert 'Environment="A=50%% $$HOME"' in text
