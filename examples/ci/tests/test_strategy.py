"""The strategy by itself: the contract of pricing classes, and prices by hand."""

from night_owl import BUSY_PERCENT, NightOwl


class Own:
    """What a provider knows of itself, as far as the strategy looks."""

    margin_ppm = 100_000

    @property
    def prices(self):
        return self

    def base_cost(self, request):
        return 1_000

    def __init__(self, utilization: float) -> None:
        self.utilization = utilization


class Order:
    price_ceiling = 1_200


def priced(utilization: float):
    owl = NightOwl()
    owl.observe(Own(utilization))
    return owl.price(Order)


def test_a_quiet_provider_asks_cost_and_margin():
    assert priced(0.2) == 1_100


def test_a_busy_provider_asks_more_up_to_the_ceiling():
    assert Order.price_ceiling < 1_100 * (100 + BUSY_PERCENT) // 100
    assert not isinstance(priced(0.9), int)
