"""The tables of what may happen, held to the ladders by reading them and by playing them."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from market_stories import STORIES
from witness import Witness

from marketsim.chain import deployments as deployment
from marketsim.chain import due_work, edge, metering, registry
from marketsim.chain import leasing as market
from marketsim.chain.columns import Quirk, Rules
from marketsim.chain.escrow import accounts, exact, sequential
from marketsim.chain.escrow import messages as escrow
from marketsim.chain.rule_sets import QUIRKS_OF, RULES
from marketsim.chain.status import Status
from marketsim.chain.transitions import (
    ADDRESSED,
    OUTCOMES,
    RULES_OF_MESSAGE,
    TRANSITIONS,
    TableAnswer,
    Transition,
    outcomes,
    statuses,
    transitions,
)

CONFIGURATIONS = [
    (rules, quirks) for rules in RULES for quirks in ("none", "all", *sorted(q.name.lower() for q in QUIRKS_OF[RULES[rules]]))
]


@cache
def played(rules: str, quirks: str) -> tuple[frozenset[TableAnswer], frozenset[Transition], int]:
    """Play every story; the witness fails by itself on what the tables do not allow."""
    chosen: Any = {"none": (), "all": True}.get(quirks, (quirks,))
    answers: set[TableAnswer] = set()
    changes: set[Transition] = set()
    mask = Witness(rules, chosen).quirks

    def make(**arguments: Any) -> Witness:
        return Witness(rules, chosen, **arguments)

    for story in STORIES:
        for witness in story(make):
            answers |= witness.outcomes
            changes |= witness.transitions
    return frozenset(answers), frozenset(changes), mask


@pytest.mark.parametrize(("rules", "quirks"), CONFIGURATIONS)
def test_every_edge_is_taken_and_no_other(rules: str, quirks: str) -> None:
    _, changes, mask = played(rules, quirks)
    assert changes == transitions(RULES[rules], mask)


@pytest.mark.parametrize(("rules", "quirks"), CONFIGURATIONS)
def test_every_answer_is_given_in_every_state_and_no_other(rules: str, quirks: str) -> None:
    answers, _, mask = played(rules, quirks)
    assert answers == outcomes(RULES[rules], mask)


@pytest.mark.parametrize("rules", RULES)
def test_where_a_message_has_no_edge_it_is_refused(rules: str) -> None:
    answers, _, mask = played(rules, "none")
    allowed = outcomes(RULES[rules], mask)
    for message, state in {(row.message, row.state) for row in allowed}:
        if TableAnswer(message, state, Status.Ok) not in allowed:
            tried = {row.status for row in answers if row.message == message and row.state == state}
            assert tried, (message, state)
            assert Status.Ok not in tried


# --- the ladders read --------------------------------------------------------------------------------------

HANDLERS: dict[str, Callable[..., Any]] = {
    "create_deployment": deployment.create_deployment,
    "update_deployment": deployment.update_deployment,
    "close_deployment": deployment.close_deployment,
    "close_group": deployment.close_group,
    "pause_group": deployment.pause_group,
    "start_group": deployment.start_group,
    "create_bid": market.create_bid,
    "close_bid": market.close_bid,
    "create_lease": market.create_lease,
    "close_lease": market.close_lease,
    "withdraw": market.withdraw,
    "start_reclaim": market.start_reclaim,
    "account_deposit": market.account_deposit,
    "activate_lease": market.activate_lease,
    "settle_escrow": due_work.settle_escrow,
    "submit_usage": metering.submit_usage,
    "create_provider": registry.create_provider,
    "update_provider": registry.update_provider,
    "delete_provider": registry.delete_provider,
    "block_provider": registry.block_provider,
    "unblock_provider": registry.unblock_provider,
    "grant": registry.grant,
    "set_params": registry.set_param,
}

# What a callee can answer, but not to this handler: the ladder has refused it before.
UNREACHABLE: dict[str, set[Status]] = {
    # A bid has a price above zero, and its key, order and provider, was never used.
    "create_lease": {Status.PaymentRateZero, Status.PaymentExists},
}

# The escrow of each rule set; `escrow` only chooses among them.
ESCROWS: dict[str, Any] = {"exact": exact, "sequential": sequential}


def answers_of(function: Callable[..., Any], escrow_module: Any) -> set[Status]:
    """Every Status that the source of a function can return, through the functions whose status it passes
    on."""
    plain = getattr(function, "py_func", function)
    body = ast.parse(inspect.getsource(plain)).body[0]
    scope = vars(inspect.getmodule(plain))
    found: set[Status] = set()
    passed: dict[str, Callable[..., Any]] = {}
    for node in ast.walk(body):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and isinstance(node.targets[0], ast.Name):
            called = called_by(node.value, scope)
            if called is not None:
                passed[node.targets[0].id] = called
    for node in ast.walk(body):
        if isinstance(node, ast.Return) and node.value is not None:
            branches = [node.value.body, node.value.orelse] if isinstance(node.value, ast.IfExp) else [node.value]
            for value in branches:
                if isinstance(value, ast.Attribute) and getattr(value.value, "id", "") == "Status":
                    found.add(Status[value.attr])
                elif isinstance(value, ast.Name) and value.id in passed:
                    found |= answers_of(chosen(passed[value.id], escrow_module), escrow_module)
                elif isinstance(value, ast.Call) and (called := called_by(value, scope)) is not None:
                    found |= answers_of(chosen(called, escrow_module), escrow_module)
    return found


def called_by(call: ast.Call, scope: dict[str, Any]) -> Callable[..., Any] | None:
    """The function of the package that `name(…)` or `module.name(…)` calls, None for any other."""
    match call.func:
        case ast.Name(id=name) if inspect.getmodule(scope.get(name)) is not None:
            return scope[name]  # type: ignore[no-any-return]
        case ast.Attribute(value=ast.Name(id=module), attr=name) if inspect.ismodule(scope.get(module)):
            return getattr(scope[module], name)  # type: ignore[no-any-return]
    return None


def chosen(function: Callable[..., Any], escrow_module: Any) -> Callable[..., Any]:
    """Return what `escrow` hands a call on to under one rule."""
    name = getattr(function, "__name__", "")
    if inspect.getmodule(getattr(function, "py_func", function)) is escrow and hasattr(escrow_module, name):
        if name in {"payment_open", "payment_withdraw"}:
            return getattr(escrow_module, name)  # type: ignore[no-any-return]
    return function


def readable(name: str, rules: Rules) -> set[Status]:
    found = answers_of(HANDLERS[name], exact if rules == Rules.SEED else sequential)
    return found - UNREACHABLE.get(name, set())


# Answers that a ladder has for one rule set or one escrow rule only.
ONLY: dict[tuple[str, Status], set[Rules]] = {
    ("create_deployment", Status.InvalidReclamation): {Rules.AKASH},
    ("create_bid", Status.BidOverOrder): {Rules.SEED, Rules.VIRTENGINE},
    ("create_bid", Status.ReclamationRequired): {Rules.AKASH},
    ("create_bid", Status.ReclamationWindowTooShort): {Rules.AKASH},
    ("create_bid", Status.ReclamationWindowInvalid): {Rules.AKASH},
    ("close_bid", Status.ReclamationNotStarted): {Rules.AKASH},
    ("close_bid", Status.ReclamationWindowNotElapsed): {Rules.AKASH},
    ("create_lease", Status.GroupNotOpen): {Rules.SEED, Rules.VIRTENGINE},
    ("start_group", Status.OrderActive): {Rules.SEED, Rules.VIRTENGINE},
    ("delete_provider", Status.NotImplemented): {Rules.AKASH},
    ("delete_provider", Status.ProviderHasActiveLeases): {Rules.SEED, Rules.VIRTENGINE},
    ("delete_provider", Status.Ok): {Rules.SEED, Rules.VIRTENGINE},
}


@pytest.mark.parametrize("name", HANDLERS)
def test_the_table_lists_what_the_ladder_can_return(name: str) -> None:
    for rules in RULES_OF_MESSAGE.get(name, tuple(Rules)):
        expected = {status for status in readable(name, rules) if rules in ONLY.get((name, status), set(Rules))}
        assert statuses(name, (rules,)) == expected, rules


def test_the_table_knows_every_message() -> None:
    assert {row.message for row in OUTCOMES} == set(edge.OPERATIONS)
    assert set(HANDLERS) | {"sign_attributes"} == set(edge.OPERATIONS)
    assert set(ADDRESSED) < set(edge.OPERATIONS)


def test_the_causes_of_changes_are_messages_or_happen_by_themselves() -> None:
    causes = {cause for row in TRANSITIONS for cause in row.causes}
    assert causes - set(edge.OPERATIONS) == {"order_timeout", "end_of_grace", "settlement"}


def test_quirks_take_edges_away_or_add_them() -> None:
    plain = transitions(Rules.VIRTENGINE)
    assert transitions(Rules.VIRTENGINE, Quirk.OPEN_ORDERS_STAY) < plain
    assert outcomes(Rules.VIRTENGINE) < outcomes(Rules.VIRTENGINE, Quirk.SETTLE_SAME_HEIGHT)


def test_a_timeout_is_answered_only_when_it_is_time() -> None:
    witness = Witness("seed")
    witness.deploy()
    state = witness.chain.state
    assert market.timeout_order(state, 199, 0) == Status.OrderTooEarly
    assert market.timeout_order(state, 200, -1) == Status.OrderNotFound
    assert market.timeout_order(state, 200, 0) == Status.Ok
    assert market.timeout_order(state, 200, 0) == Status.OrderNotOpen


def test_collecting_is_what_the_reader_of_ladders_thinks() -> None:
    assert answers_of(accounts.can_collect, exact) == {
        Status.Ok,
        Status.InvalidDeposit,
        Status.InsufficientFunds,
    }
