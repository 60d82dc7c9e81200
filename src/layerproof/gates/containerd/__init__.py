"""The containerd gate: an image verifier (docs/how-to/gate-containerd.md)."""
