"""Choice rules: one compiled, one in Python."""


class Near:
    """Cheapness plus a bonus for the campus's own region, as a compiled score."""

    def __init__(self, bonus=0.25):
        def score(price, lowest, ceiling, value, uptime, audited, home, provider):
            return lowest / price + bonus * home

        self.score = score


class Sticky:
    """Stays with the provider that the tenant took last, while that costs at most so much more than the cheapest."""

    def __init__(self, patience=0.2):
        self.patience = patience
        self.last = {}

    def choose(self, order, bids):
        taken = 0
        for place, bid in enumerate(bids):
            if bid.provider == self.last.get(order.tenant) and bid.price <= bids[0].price * (1 + self.patience):
                taken = place
        self.last[order.tenant] = bids[taken].provider
        return taken
