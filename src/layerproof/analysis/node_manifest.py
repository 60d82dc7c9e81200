"""The part of a `package.json` that is read. Apart from `node`, since it needs msgspec, and the
list of analysers must load without it."""

import msgspec


class Manifest(msgspec.Struct, gc=False):
    """Any JSON value is let in: a wrong type must be told from a file that is no manifest."""

    name: object = None
    version: object = None
    license: object = None
    licenses: object = None


decode = msgspec.json.Decoder(Manifest).decode
DecodeError = msgspec.DecodeError  # ValidationError, for what is not an object, is one of these
