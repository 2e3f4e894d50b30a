"""The agents of a scenario: users' own Python functions that act in the market as tenants or providers."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from marketsim.scenario.distributions import Frozen
from marketsim.scenario.literals import Coins, PositiveCount, Text, parse_coins
from marketsim.scenario.own_code import own_reference
from marketsim.scenario.providers import Capacity, ProviderCohort, StrategyChoice
from marketsim.scenario.tenants import Name


class AgentProvider(Frozen):
    """What an agent has that serves as a provider; its bids come from its function."""

    capacity: Capacity = Field(description="what each agent has, drawn once")
    lease_capacity: PositiveCount | None = Field(default=None, description="most leases that an agent holds at a time; none: no limit")
    attributes: dict[Text, Text] = Field(default_factory=dict, description="what the agents claim: orders ask for it")
    regions: tuple[Text, ...] = Field(default=(), description="values of the attribute region, given to the agents in turn")
    signed_by: dict[Text, dict[Text, Text]] = Field(default={}, description="what auditors signed for them: attributes by auditor")


class AgentCohort(Frozen):
    """Agents that one function of a user's plays: each has a name, a wallet, a random stream."""

    name: Name = Field(description="names the agents: name-0, name-1, …; their random streams and their table in the results")
    python: Text = Field(
        description="module:function of your own, a generator function of one argument, or the name of an entry point (docs/agents.md)"
    )
    count: PositiveCount = Field(default=1, description="number of agents, each with a generator of its own")
    wallet: Coins = Field(default=parse_coins("1000VE"), description="what each owns at the start")
    provider: AgentProvider | None = Field(default=None, description="makes providers of them; without it they can order, not bid")
    options: dict[Text, Any] = Field(default_factory=dict, description="what the function finds in me.options: numbers, texts, lists")

    @field_validator("python")
    @classmethod
    def _reference(cls, value: str) -> str | None:
        return own_reference(value, "module:function")

    def desks(self) -> ProviderCohort | None:
        """The providers that these agents are, None for agents that are none."""
        if self.provider is None:
            return None
        fields = {name: getattr(self.provider, name) for name in AgentProvider.model_fields}
        made = ProviderCohort(name=self.name, count=self.count, strategy=StrategyChoice(kind="agent"), **fields)
        return made.model_copy(update={"wallet": self.wallet})


__all__ = ["AgentCohort", "AgentProvider"]
