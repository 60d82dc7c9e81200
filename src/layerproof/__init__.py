"""Layerproof keeps the container images of an organisation honest, layer by layer."""

__version__ = "0.1.0"
