"""A fault: the lights go out in one building after the other."""


class PowerCut:
    """Takes down the providers that it hits, each with a chance and for a time of its own, and pays the tenants for it when all is over."""

    def begin(self, scene):
        """Let each provider be down for one to four hours."""
        for name in scene.providers:
            if scene.rng.random() < float(scene.options.get("chance", 0.5)):
                yield {"op": "fault", "kind": "outage", "provider": name, "lasts": f"{scene.rng.integers(60, 240)}m", "closes": 0.2}

    def end(self, scene):
        """Give everybody who was meant a little money."""
        for name in scene.tenants:
            yield {"op": "faucet", "wallet": name, "amount": scene.options.get("sorry", 1000)}
