"""Follows symbolic links inside a set of paths, as a process that is chrooted there would.

Linux path_resolution(7): an absolute target starts at the root, `..` at the root stays there, and
more than 40 links on one way are a loop. A link longer than PATH_MAX cannot exist.

Every path of `nodes` has all its parents in `nodes`, as folders: so a known path has no link on
its way, and a binary search finds where an unknown one leaves what is known. The cost is bounded
whatever the links say: no walk component by component, no recursion.
"""

from collections.abc import Mapping

MAX_LINKS = 40  # MAXSYMLINKS of Linux
MAX_TARGET = 4095  # PATH_MAX without its NUL
MAX_STEPS = 4096  # runs between `..`, over all links of one way


def parent_of(path: bytes) -> bytes:
    """The folder of `path`; the root's is the root."""
    return path.rpartition(b"/")[0]


def join(folder: bytes, name: bytes) -> bytes:
    """`name` (one or more components) inside `folder`."""
    return folder + b"/" + name if folder else name


def deepest(path: bytes, nodes: Mapping[bytes, int]) -> bytes:
    """The longest run of leading components of `path` that is in `nodes`; b"" if there is none."""
    if path in nodes:
        return path
    parts = path.split(b"/")
    low, high = 0, len(parts)  # parts[:low] is known (or empty), parts[:high] is not
    while high - low > 1:
        middle = (low + high) // 2
        if b"/".join(parts[:middle]) in nodes:
            low = middle
        else:
            high = middle
    return b"/".join(parts[:low])


def follow(
    path: bytes,
    nodes: Mapping[bytes, int],
    symlinks: Mapping[int, bytes],
    trail: list[bytes] | None = None,
) -> tuple[bytes, bool] | None:
    """Where `path` leads, and whether something is there. None for a loop.

    `symlinks` maps numbers of `nodes` to targets. What does not exist is taken literally, so that
    the answer for a path that is about to be made is where it would be made. `trail` gets the paths
    that decide the way: as long as none of them changes, comes or goes, neither does the answer.
    """
    here, exists, links = b"", True, 0
    todo = [path]
    for _ in range(MAX_STEPS):
        if not todo:
            return here, exists
        step = todo.pop()
        if step == b"..":
            here = parent_of(here)
            continue
        here = join(here, step)
        known = deepest(here, nodes)
        target = symlinks.get(nodes.get(known, -1))
        if trail is not None:
            trail.append(known if target is not None else _next(known, here))
        if target is None:
            exists = exists and known == here
            continue
        links += 1
        if links > MAX_LINKS or len(target) > MAX_TARGET:
            return None
        if known != here:
            todo.append(here[len(known) + 1 :])
        todo.extend(reversed(_runs(target)))
        here = b"" if target.startswith(b"/") else parent_of(known)
    return None


def nearest(folder: bytes, memo: dict[bytes, bytes | None]) -> bytes | None:
    """What `memo` says of `folder` or the nearest parent that it knows; remembered on the way."""
    climbed = []
    while folder not in memo:
        climbed.append(folder)
        folder = parent_of(folder)
    link = memo[folder]
    memo.update(dict.fromkeys(climbed, link))
    return link


def _next(known: bytes, path: bytes) -> bytes:
    """`known` and the next component of `path`, if there is one."""
    start = len(known) + 1 if known else 0
    end = path.find(b"/", start) if len(path) > len(known) else -1
    return path if end < 0 else path[:end]


def _runs(target: bytes) -> list[bytes]:
    """The components of a link target, with those between two `..` joined to one run."""
    runs: list[bytes] = []
    run: list[bytes] = []
    for part in target.split(b"/"):
        if part == b"..":
            if run:
                runs.append(b"/".join(run))
                run = []
            runs.append(part)
        elif part not in (b"", b"."):
            run.append(part)
    if run:
        runs.append(b"/".join(run))
    return runs
