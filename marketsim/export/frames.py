"""The tables of a record as pandas frames: names in place of codes, amounts as numbers or exact texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from marketsim.errors import InputError
from marketsim.export.words import Words, vocabulary
from marketsim.money.text import format_amount
from marketsim.money.units import ATTO
from marketsim.recording.record import COLUMNS, LongTable, Record, exact

if TYPE_CHECKING:
    import pandas as pd

TABLES: Final = ("orders", "bids", "leases", "declines", "settlements", "events", "tenants", "providers", "timeseries")
"""The tables of a result, in the order of the documentation."""

LEVEL_OF: Final = {
    **dict.fromkeys(("bids", "declines", "events"), "everything"),
    **dict.fromkeys(("orders", "leases", "settlements"), "orders"),
}
"""The least `record:` with which a table is kept."""

_DROPPED: Final = {
    "orders": ("tenant", "dseq", "gseq", "oseq", "account"),
    "leases": ("order", "reason"),
    "bids": ("order",),
    "declines": ("order",),
}
"""Columns that stand under another name in the frame, or number rows of tables that nobody sees."""
_FLAGS: Final = frozenset({"relisted", "decided"})
_NUMBERS_OR_NONE: Final = frozenset({"lease", "closed_at", "active_at", "lease_capacity", "latency_ms"})

_UNITS: Final = {
    **dict.fromkeys(("price", "ceiling", "value"), "uve a block"),
    **dict.fromkeys(("created_at", "closed_at", "active_at", "height", "until"), "block"),
    **dict.fromkeys(("withdrawn", "fees", "fees_before", "net", "take", "revenue_net", "network_fees", "held"), "uve"),
    **dict.fromkeys(("shortfall", "earned", "earned_before", "moved", "amount"), "uve"),
    **{"cpu": "millicores", "memory": "bytes", "storage": "bytes", "gpu": "units", "latency_ms": "milliseconds"},
}


def frame(record: Record, table: str, *, is_exact: bool = False) -> pd.DataFrame:
    """Return one of TABLES as a frame; the row number is the index, by which other tables refer to it.

    Names are categories, heights and counts int64 (Int64 where a value may be missing), flags bool. Amounts are float64 in uve, with
    `is_exact` texts of exact decimals. `attrs["units"]` says the unit of a column. Raises InputError for a table that the run did not keep.
    """
    import pandas as pd

    columns = _columns_of(record, table)
    words = _words(record)
    made: dict[str, Any] = dict(_ids(record, table, columns, words))
    for name in _names(table, columns):
        if (name.endswith("_atto") and f"{name.removesuffix('_atto')}_whole" in columns) or name in _DROPPED.get(table, ()):
            continue
        short = name.removesuffix("_whole")
        if short != name:
            made[short] = _money(columns, short, is_exact=is_exact)
        elif (table, name) in words:
            made[name] = _named(words[table, name], columns[name])
        elif name in _FLAGS:
            made[name] = columns[name] != 0
        elif name in _NUMBERS_OR_NONE:
            made[name] = pd.array(np.asarray(columns[name]), dtype="Int64")
            made[name][np.asarray(columns[name]) < 0] = pd.NA
        elif name not in made:
            made[name] = columns[name]
    if table == "events":
        made["amount"] = _event_amounts(columns, is_exact=is_exact)
        del made["whole"], made["atto"]
    found = pd.DataFrame(made)
    found.attrs["units"] = {name: unit for name, unit in _UNITS.items() if name in found.columns}
    return found


def order_ids(record: Record) -> list[str]:
    """Return the id of each row of orders: `tenant/dseq/gseq/oseq`."""
    orders, names = record.orders, record.tenants["name"]
    parts = zip(*(orders[key].tolist() for key in ("tenant", "dseq", "gseq", "oseq")), strict=True)
    return [f"{names[tenant]}/{dseq}/{gseq}/{oseq}" for tenant, dseq, gseq, oseq in parts]


def _columns_of(record: Record, table: str) -> LongTable:
    if table not in TABLES:
        raise InputError(f"frame: {table!r} is no table, tables are {', '.join(TABLES)}")
    columns: LongTable | None = getattr(record, table)
    level = str(record.meta["record"])
    if columns is None or (level == "summary" and table in LEVEL_OF and not len(record.orders["tenant"])):
        wanted = LEVEL_OF[table]
        raise InputError(f"{table}: were not kept (record: {level}), run again with record={wanted!r}")
    return columns


def _names(table: str, columns: Mapping[str, Any]) -> list[str]:
    """The columns in the order of the files, names first."""
    return [*(["name"] if "name" in columns else []), *COLUMNS[table]]


def _words(record: Record) -> dict[tuple[str, str], Words]:
    names = (record.tenants["name"], record.providers["name"])
    return vocabulary(*names, record.tenant_cohorts, record.provider_cohorts, record.regions)


def _named(words: Words, column: Any) -> Any:
    import pandas as pd

    return pd.Categorical.from_codes(words.places(np.asarray(column)), categories=pd.Index(words.texts, dtype=object))


def _ids(record: Record, table: str, columns: LongTable, words: Mapping[tuple[str, str], Words]) -> dict[str, Any]:
    """Who a row is about, by names: order, tenant and its cohort, provider and its cohort, whichever it has."""
    import pandas as pd

    order: Any = None
    provider: Any = None
    if table == "orders":
        order = np.arange(len(record.orders["tenant"]))
    elif table in ("leases", "bids", "declines"):
        order, provider = np.asarray(columns["order"]), np.asarray(columns["provider"])
    elif table == "settlements":
        lease = np.asarray(columns["lease"])
        order, provider = record.leases["order"][lease], record.leases["provider"][lease]
    made: dict[str, Any] = {}
    if order is not None:
        tenant = record.orders["tenant"][order]
        made["order"] = pd.Categorical.from_codes(order, categories=pd.Index(order_ids(record), dtype=object))
        made["tenant"] = _named(words["orders", "tenant"], tenant)
        made["tenant_cohort"] = _named(words["tenants", "cohort"], record.tenants["cohort"][tenant])
    if provider is not None:
        made["provider"] = _named(words["leases", "provider"], provider)
        made["provider_cohort"] = _named(words["providers", "cohort"], record.providers["cohort"][provider])
    return made


def _money(columns: LongTable, name: str, *, is_exact: bool) -> Any:
    whole = columns[f"{name}_whole"]
    atto = columns.get(f"{name}_atto")
    if is_exact:
        return _texts(whole, np.zeros(len(whole), np.int64) if atto is None else atto)
    return np.asarray(whole, np.float64) if atto is None else whole + atto / ATTO


def _event_amounts(columns: LongTable, *, is_exact: bool) -> Any:
    whole, atto = columns["whole"], columns["atto"]
    return _texts(whole, atto) if is_exact else whole + atto / ATTO


def _texts(whole: Any, atto: Any) -> Any:
    return np.array([format_amount(exact(*pair)) for pair in zip(whole.tolist(), atto.tolist(), strict=True)], object)
