"""The strategy in its market, by the fixtures that marketsim gives to pytest."""

SEEDS = range(1, 7)


def test_tenants_are_served(marketsim_run, assert_outcome):
    runs = [marketsim_run("../market.yaml", seed=seed) for seed in SEEDS]
    assert_outcome(runs, "fill_rate", at_least=0.85)


def test_money_is_conserved(marketsim_run):
    assert marketsim_run("../market.yaml", seed=1).summary["conserved"]


def test_being_busy_pays(marketsim_run):
    """More room for us means more revenue for us."""
    few = marketsim_run("../market.yaml", seed=1)
    more = marketsim_run("../market.yaml", seed=1, settings={"providers.mine.count": 4})
    assert more["revenue.by_cohort.mine"] > few["revenue.by_cohort.mine"]


def test_prices_stay_where_they_were(outcome_baseline):
    """Held to baselines/test_outcomes-test_prices_stay_where_they_were.json; pytest --marketsim-update writes it anew."""
    outcome_baseline("../market.yaml", "price.mean_won:5%:equivalent")
