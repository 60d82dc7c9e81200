"""The plugin in the engine's configuration: put in and taken out without breaking either.

1. `daemon.json` is parsed strictly; what cannot be read is not written. Other settings, and other
   authorization plugins, stay as they are.
2. The gate must answer before the engine is told of it: an engine whose plugin is missing refuses
   every call.
3. `authorization-plugins` may stand in the file or on the engine's command line, never in both: an
   engine with both does not start.
4. What was there is kept in a copy.

Source: Docker Engine, dockerd(8), "DAEMON CONFIGURATION FILE" and "Access authorization".
"""

import json
import socket
from collections.abc import Iterable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NoReturn

from layerproof.errors import UsageError

_KEY = "authorization-plugins"
_OPTION = "--authorization-plugin"


def with_plugin(text: str | None, name: str, where: str) -> str:
    """The file with the plugin in it, the last to be asked. Raises UsageError."""
    document = _document(text, where)
    plugins = _plugins(document, where)
    if name not in plugins:
        document[_KEY] = [*plugins, name]
    return _written(document)


def without_plugin(text: str | None, name: str, where: str) -> str:
    """The file without it. Raises UsageError."""
    document = _document(text, where)
    rest = [plugin for plugin in _plugins(document, where) if plugin != name]
    if rest:
        document[_KEY] = rest
    else:
        document.pop(_KEY, None)
    return _written(document)


def names_plugin(text: str | None, name: str, where: str) -> bool:
    """Whether it stands there. Raises UsageError."""
    return name in _plugins(_document(text, where), where)


def on_command_line(commands: Iterable[list[str]]) -> bool:
    """Whether one of these engines was given its plugins as options."""
    return any(
        word.split("=")[0] == _OPTION
        for command in commands
        if command and Path(command[0]).name == "dockerd"
        for word in command[1:]
    )


def activated(path: Path) -> str:
    """ "" if a plugin answers there as it should, else what is wrong."""
    connection = HTTPConnection("plugin", timeout=5)
    try:
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(5)
        connection.sock.connect(str(path))
        connection.request("POST", "/Plugin.Activate")
        said = json.loads(connection.getresponse().read(4096))
        implements = said.get("Implements") if isinstance(said, dict) else None
        return "" if implements == ["authz"] else "it is no authorization plugin"
    except (OSError, HTTPException, ValueError) as error:
        return f"it does not answer: {error or type(error).__name__}"
    finally:
        connection.close()


def _document(text: str | None, where: str) -> dict[str, Any]:
    if text is None or not text.strip():
        return {}
    try:
        found = json.loads(text, object_pairs_hook=lambda pairs: _object(pairs, where))
    except (ValueError, RecursionError) as error:
        _broken(f"not JSON: {error}", where)
    if not isinstance(found, dict):
        _broken("not a JSON object", where)
    return found


def _object(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        _broken("a key stands twice", where)
    return found


def _plugins(document: dict[str, Any], where: str) -> list[str]:
    found = document.get(_KEY, [])
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        _broken(f"{_KEY} is not a list of names", where)
    return found


def _broken(what: str, where: str) -> NoReturn:
    raise UsageError(what, where=where, remedy="mend it first; it is left as it is")


def _written(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=4, ensure_ascii=False) + "\n"
