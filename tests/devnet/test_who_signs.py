"""Who may send what: every message, signed by every kind of account, is let through exactly where its signer is the one who must sign."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from devnets import order

from marketsim.devnet.api import signing_table
from marketsim.devnet.node import DevnetNode
from marketsim.devnet.node_error import NodeError

EVERYBODY = ("tenant", "provider", "validator", "friend")
OWNER, PROVIDER, GOVERNANCE, ANYBODY = ("tenant",), ("provider",), ("validator",), EVERYBODY
LEASE, DEPLOYMENT = "LEASE", "DEPLOYMENT"
"""Stand for the ids of what is there."""
MAY: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "create_deployment": (OWNER, order("tenant/7777")),
    "update_deployment": (OWNER, {"id": DEPLOYMENT, "hash": "other"}),
    "close_deployment": (OWNER, {"id": DEPLOYMENT}),
    "close_group": (OWNER, {"id": f"{DEPLOYMENT}/1"}),
    "pause_group": (OWNER, {"id": f"{DEPLOYMENT}/1"}),
    "start_group": (OWNER, {"id": f"{DEPLOYMENT}/1"}),
    "create_bid": (PROVIDER, {"id": LEASE, "price": "1", "deposit": "500", "sources": ["balance"]}),
    "close_bid": (PROVIDER, {"id": LEASE, "reason": 10_000}),
    "create_lease": (OWNER, {"id": LEASE}),
    "close_lease": (OWNER, {"id": LEASE}),
    "withdraw": (PROVIDER, {"id": LEASE}),
    "start_reclaim": (PROVIDER, {"id": LEASE, "reason": 10_000}),
    "activate_lease": (PROVIDER, {"id": LEASE}),
    "submit_usage": (PROVIDER, {"id": LEASE, "metrics": {"cpu": 1}}),
    "account_deposit": (ANYBODY, {"id": DEPLOYMENT, "deposit": "1", "sources": ["balance"]}),
    "grant": (OWNER, {"granter": "tenant", "signer": "friend", "limit": "1", "scopes": ["deployment"]}),
    "sign_attributes": (ANYBODY, {"provider": "provider", "attributes": {"a": "b"}}),
    "create_provider": (PROVIDER, {"provider": "provider", "attributes": {}}),
    "update_provider": (PROVIDER, {"provider": "provider", "attributes": {}}),
    "delete_provider": (PROVIDER, {"provider": "provider"}),
    "set_params": (GOVERNANCE, {"params": {"take_percent": 3}}),
    "block_provider": (GOVERNANCE, {"provider": "provider"}),
    "unblock_provider": (GOVERNANCE, {"provider": "provider"}),
    "settle_escrow": (GOVERNANCE, {"id": DEPLOYMENT}),
    "outage": (PROVIDER, {"provider": "provider", "lasts": "1h"}),
    "repair": (("provider", "validator"), {"provider": "provider"}),
    "fault": (("provider", "validator"), {"kind": "connectivity", "provider": "provider", "lasts": "1h"}),
    "configure": (PROVIDER, {"provider": "provider", "changes": {}}),
    "usage": (PROVIDER, {"provider": "provider", "mode": "metered"}),
    "faucet": (GOVERNANCE, {"wallet": "friend", "amount": 1}),
    "send": (OWNER, {"wallet": "tenant", "to": "friend", "amount": 1}),
}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DevnetNode, str]]:
    """A devnet with a lease of `tenant` at `provider`, and its name."""
    node = DevnetNode.open(tmp_path_factory.mktemp("signers"), "tiny", speed=0)
    node.advance(400)
    [made] = node.submit(order(), "tenant")
    node.advance(5)
    lease = f"{made['id']}/1/1/{node.keys['provider'].address}"
    assert node.submit({"op": "create_lease", "id": lease}, "tenant")[0]["result"] == "ok"
    yield node, lease
    node.close()


def test_the_matrix_has_every_message() -> None:
    assert set(MAY) == {row["op"] for row in signing_table()}


@pytest.mark.parametrize("op", MAY)
def test_only_who_must_sign_may(op: str, node: tuple[DevnetNode, str]) -> None:
    devnet, lease = node
    may, arguments = MAY[op]
    deployment = "/".join(lease.split("/")[:2])
    message: dict[str, Any] = {"op": op} | arguments
    if isinstance(message.get("id"), str):
        message["id"] = message["id"].replace(LEASE, lease).replace(DEPLOYMENT, deployment)
    refused = []
    for signer in EVERYBODY:
        try:
            [receipt] = devnet.submit(message, signer, dry_run=True)
        except NodeError as error:
            assert error.code == 403, error
            refused.append(signer)
        else:
            if receipt["result"] == "Unauthorized":
                refused.append(signer)
    assert refused == [signer for signer in EVERYBODY if signer not in may]
