"""The training document's own commands, which the real chain does not have: the tree with both, and how the real ones are written."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace

from marketsim.devnet.words.command_line import Command, Flag, Invocation
from marketsim.devnet.words.commands import (
    BID_FILTER,
    BID_ID,
    DSEQ,
    GSEQ,
    NEEDS_BID,
    NEEDS_OWNER,
    ORDER_FILTER,
    ORDER_ID,
    OSEQ,
    OWNER,
    PAGE_FLAGS,
    PROVIDER,
    QUERY_FLAGS,
    REAL,
    TX_FLAGS,
)

_ANY = {"gseq": replace(GSEQ, default=0), "oseq": replace(OSEQ, default=0)}
"""A list in the document's form has every group's and every order's; the real one those of number 1 where nobody says otherwise."""


def _all_of(flags: tuple[Flag, ...]) -> tuple[Flag, ...]:
    return tuple(_ANY.get(flag.name, flag) for flag in flags)


def _list(name: str, filters: tuple[Flag, ...]) -> Command:
    return Command(
        name, f"The document's form of `{name[:-1]} list`", f"list_{name}", (*QUERY_FLAGS, *PAGE_FLAGS, *_all_of(filters)), (0, 0)
    )


def _one(command: Command, key: tuple[Flag, ...], needed: tuple[str, ...]) -> Command:
    return replace(command, does=f"get_{command.name}", flags=(*QUERY_FLAGS, *key), args=(0, 0), required=needed)


def _changed(command: Command, changes: Mapping[str, Callable[[Command], Command]], *more: Command) -> Command:
    below = tuple(changes[each.name](each) if each.name in changes else each for each in command.below)
    return replace(command, below=(*below, *more))


def _market_query(command: Command) -> Command:
    return _changed(
        command,
        {
            "order": lambda each: _one(each, ORDER_ID, NEEDS_OWNER),
            "bid": lambda each: _one(each, BID_ID, NEEDS_BID),
            "lease": lambda each: _one(each, BID_ID, NEEDS_BID),
        },
        _list("orders", ORDER_FILTER),
        _list("bids", BID_FILTER),
        _list("leases", BID_FILTER),
    )


def _escrow_query(command: Command) -> Command:
    account = Command(
        "account",
        "The document's: one account",
        "get_account",
        (*QUERY_FLAGS, Flag("account-id", about="owner/dseq, or that of a bid")),
        (0, 0),
        ("account-id",),
    )
    return _changed(command, {"accounts": lambda each: replace(each, flags=(*each.flags, PROVIDER))}, account)


def _market_tx(command: Command) -> Command:
    sequences = (OWNER, DSEQ, replace(GSEQ, default=0), replace(OSEQ, default=0), PROVIDER, Flag("reason", "int32", 10002))
    close = Command("lease-close", "The document's: close a lease", "lease_close", (*TX_FLAGS, *sequences), (0, 0), ("dseq",))
    return _changed(command, {}, close)


def _escrow_tx(command: Command) -> Command:
    used = tuple(Flag(name, "int64", 0) for name in ("cpu-milliseconds", "memory-byte-seconds", "storage-byte-seconds", "gpu-seconds"))
    lease = Flag("lease-id", about="owner/dseq/gseq/oseq/provider")
    usage = Command("submit-usage", "The document's: report use", "submit_usage", (*TX_FLAGS, lease, *used), (0, 0), ("lease-id",))
    return _changed(command, {}, usage)


def _gov_tx(command: Command) -> Command:
    escrow = Flag("escrow-id", about="owner/dseq")
    settle = Command("escrow-settlement", "The document's: settle now", "settle_escrow", (*TX_FLAGS, escrow), (0, 0), ("escrow-id",))
    return _changed(command, {"submit-proposal": lambda each: replace(each, below=(settle,))})


BOTH = _changed(
    REAL,
    {
        "query": lambda query: _changed(query, {"market": _market_query, "escrow": _escrow_query}),
        "tx": lambda tx: _changed(tx, {"market": _market_tx, "escrow": _escrow_tx, "gov": _gov_tx}),
    },
)
"""The real command line with the document's commands in it."""

_LISTS = {("query", "market", f"{name}s"): ("query", "market", name, "list") for name in ("order", "bid", "lease")}
_ONES = {("query", "market", name): ("query", "market", name, "get") for name in ("order", "bid", "lease")}


def real_form(invocation: Invocation) -> str | None:
    """Return how the real command line writes what was asked for in the document's form, None where it was the real form.

    What stands in angle brackets only the chain can say.
    """
    path, flags = invocation.path[1:], invocation.flags
    if path in _LISTS:
        every = [f"--{name}=0" for name in ("gseq", "oseq") if name not in invocation.given]
        return _written(_LISTS[path], invocation, *every)
    if path in _ONES:
        return _written(_ONES[path], invocation)
    if path == ("query", "escrow", "account"):
        name = str(flags["account-id"]).strip("/")
        if name.isdigit():
            return "virtengine query escrow accounts, without numbers"
        scope = "" if name.startswith(("deployment/", "bid/")) else "bid/" if name.count("/") == 4 else "deployment/"
        return f"virtengine query escrow accounts open {scope}{name}"
    if path == ("query", "escrow", "accounts") and "provider" in invocation.given:
        return "virtengine query escrow accounts open deployment/<owner>/<dseq>, for each of the provider's leases"
    return _OTHERS.get(path)


_OTHERS = {
    ("tx", "market", "lease-close"): (
        "virtengine tx market bid close --owner --dseq --gseq --oseq as the provider, "
        "virtengine tx market lease close --dseq --gseq --oseq --provider as the tenant"
    ),
    ("tx", "escrow", "submit-usage"): "no such command: the provider daemon submits use",
    ("tx", "gov", "submit-proposal", "escrow-settlement"): "no such proposal: a withdrawal settles, virtengine tx market lease withdraw",
}


def _written(path: tuple[str, ...], invocation: Invocation, *more: str) -> str:
    """The command with the options that were given."""
    words = ["virtengine", *path]
    for name in (flag.name for flag in invocation.command.flags if flag.name in invocation.given):
        value = invocation.flags[name]
        words += [f"--{name}"] if value is True else [f"--{name}", shlex.quote(str(value))]
    return " ".join((*words, *more))


__all__ = ["BOTH", "real_form"]
