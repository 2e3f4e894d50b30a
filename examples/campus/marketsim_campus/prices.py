"""A pricing strategy: what stands idle is cheap."""

from marketsim import Refusal, RefusalCode


class IdleDiscount:
    """So much a thousandth of a core and block, less a discount while most of the provider's cpu is free."""

    def __init__(self, millicore_nano=6_000_000, discount=0.3):
        self.millicore = int(millicore_nano) * 10**9
        self.discount_ppm = round(1_000_000 * discount)

    def price(self, request):
        price = self.millicore * request.total_cpu()
        if request.utilization < 0.5:
            price = price * (1_000_000 - self.discount_ppm) // 1_000_000
        return price if price <= request.price_ceiling else Refusal(RefusalCode.PRICE_TOO_HIGH)
