"""The registry gate: a read-through gateway that serves a manifest only if its verdict admits it.

`requests` reads what clients ask, `documents` has what they are told, `reach` remembers what
admitted manifests reach, `gateway` decides, `app` speaks HTTP; behind it is `interface.Upstream`.
"""
