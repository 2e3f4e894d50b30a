"""The compiled market around the chain: desks, tenants' plans, the calendar and the block loop."""
