"""Identities: the accounts that events name, and who the policy takes them for."""

from typing import Any

from fastapi import APIRouter

from layerproof.model.identity import Account, Pusher
from layerproof.report.service_documents import account_document, page_document
from layerproof.server.openapi import page
from layerproof.server.routes._common import The, Viewer

router = APIRouter(tags=["identities"])


@router.get("/identities", responses=page("Account"))
def list_identities(service: The, _: Viewer) -> dict[str, Any]:
    """Every account that did something, by registry and name."""
    identities = service.policy().identities

    def named(account: Account) -> list[str]:
        pusher = Pusher(account.registry, account.account, account.first_at)
        return [name for name, identity in identities.items() if identity.is_(pusher)]

    accounts = service.stores.index.accounts()
    return page_document([account_document(found, named(found)) for found in accounts], None)
