"""An agent: it computes at night, if that is cheap."""


def night_owl(me):
    """Order four cores at two o'clock each night, take the cheapest bid if it is below a limit, and stop after three hours."""
    limit = int(me.options.get("limit", 30) * 10**18)
    yield me.sleep("2h")
    while True:
        asked = yield me.outcome(me.create_deployment({"cpu": 4000, "memory": "8Gi", "storage": "20Gi", "price": "60uve"}, deposit="2VE"))
        yield me.sleep("2m")
        bids = [bid for bid in me.view().bids(state="open") if bid.order.startswith(f"{asked.reason}/")]
        cheapest = min((bid.price for bid in bids), default=None)
        taken = cheapest is not None and cheapest <= limit
        if taken:
            yield me.outcome(me.accept(min(bids, key=lambda bid: bid.price).id))
            yield me.sleep("3h")
        me.log(bids=len(bids), taken=taken)
        yield me.outcome(me.close(asked.reason))
        yield me.sleep(24 * 3_600_000 - (me.now - 2 * 3_600_000) % (24 * 3_600_000))
