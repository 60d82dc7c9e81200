"""What the commands that look after an index print for programs."""

from dataclasses import asdict

from layerproof.engine.transfer import Copied
from layerproof.model.retention import Pruned
from layerproof.report.documents import API_VERSION, Document


def copied_document(file: str, copied: Copied) -> Document:
    """What `index export` and `index import` print: how much was new in the target."""
    return {"apiVersion": API_VERSION, "kind": "IndexCopied", "file": file, **asdict(copied)}


def pruned_document(pruned: Pruned) -> Document:
    """What `index prune` prints: how much went."""
    return {"apiVersion": API_VERSION, "kind": "IndexPruned", **asdict(pruned)}


def backup_document(file: str, size: int) -> Document:
    """What `index backup` prints; `size` in bytes."""
    return {"apiVersion": API_VERSION, "kind": "IndexBackup", "file": file, "size": size}


def ready_document(index: str, schema: str) -> Document:
    """What `index migrate` prints: where the index is (without a password), and its revision."""
    return {"apiVersion": API_VERSION, "kind": "IndexReady", "index": index, "schema": schema}


def serving_document(url: str, token_file: str | None) -> Document:
    """What `serve` prints when it listens; `token_file` at the first start on SQLite only."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Serving",
        "url": url,
        "adminTokenFile": token_file,
    }
