"""The real chain's commands that a devnet carries out, with their options as they are there, and the names of those that it does not.

Source: virtengine/virtengine sdk/go/cli (market, deployment, escrow, provider, audit, bank, auth, keys) and sdk/go/cli/flags.
"""

from __future__ import annotations

from marketsim.devnet.words.command_line import NOT_SIMULATED, Command, Flag

NODE = "tcp://localhost:26657"

QUERY_FLAGS = (
    Flag("node", default=NODE, about="where a real node listens (a devnet is found by its folder)"),
    Flag("grpc-addr"),
    Flag("grpc-insecure", "bool", False),
    Flag("height", "int64", 0, about="state at another height; a devnet keeps the newest only"),
    Flag("output", default="text", short="o", about="text or json"),
)
TX_FLAGS = (
    Flag("output", default="json", short="o", about="text or json"),
    Flag("from", about="name or address of the key that signs"),
    Flag("account-number", "uint64", 0, "a"),
    Flag("sequence", "uint64", 0, "s"),
    Flag("note"),
    Flag("fees", about="read and not used: the devnet charges the gas that it measures"),
    Flag("gas-prices", default="0.025uve", about="read and not used"),
    Flag("node", default=NODE, about="where a real node listens (a devnet is found by its folder)"),
    Flag("ledger", "bool", False),
    Flag("gas-adjustment", "float", 1.5, about="what the estimate of a dry run is multiplied by"),
    Flag("broadcast-mode", default="sync", short="b", about="a devnet always waits for the block"),
    Flag("dry-run", "bool", False, about="estimate the gas, change nothing"),
    Flag("generate-only", "bool", False, about="print the transaction, do not sign it"),
    Flag("offline", "bool", False),
    Flag("yes", "bool", False, "y", about="do not ask"),
    Flag("sign-mode", default="direct"),
    Flag("timeout-height", "uint64", 0),
    Flag("timeout-duration", "duration"),
    Flag("unordered", "bool", False),
    Flag("fee-payer"),
    Flag("fee-granter"),
    Flag("tip"),
    Flag("aux", "bool", False),
    Flag("gas", default="auto", about="auto: try first, send what will do; a number: send it as it is"),
    Flag("keyring-dir"),
    Flag("keyring-backend", default="os", about="read and not used: keys of a devnet are in its folder"),
)
PAGE_FLAGS = (
    Flag("page", "uint64", 1),
    Flag("page-key"),
    Flag("offset", "uint64", 0),
    Flag("limit", "uint64", 100),
    Flag("count-total", "bool", False),
    Flag("reverse", "bool", False),
)
CHAIN_ID = Flag("chain-id", about="read and not used")
ROOT_FLAGS = (
    Flag("home", about="read and not used: --dir before the command names the devnet"),
    Flag("log_level", default="info"),
    Flag("log_format", default="plain"),
    Flag("log_color", "bool", False),
    Flag("log_timestamp"),
    Flag("trace", "bool", False),
)
OWNER, DSEQ = Flag("owner", about="address of the deployment's owner"), Flag("dseq", "uint64", 0, about="deployment sequence")
GSEQ, OSEQ = Flag("gseq", "uint32", 1, about="group sequence"), Flag("oseq", "uint32", 1, about="order sequence")
PROVIDER, STATE = Flag("provider", about="address of the provider"), Flag("state", about="state to filter")
SOURCES = Flag("deposit-sources", "strings", ("grant", "balance"), about="in which order deposits are taken: grant, balance")
DEPOSIT = (Flag("deposit", about="such as 5000000uve; the least that is accepted without it"), SOURCES)
DEPLOYMENT_ID = (OWNER, DSEQ)
GROUP_ID = (*DEPLOYMENT_ID, GSEQ)
ORDER_ID = (*GROUP_ID, OSEQ)
BID_ID = (*ORDER_ID, PROVIDER)
ORDER_FILTER = (OWNER, STATE, DSEQ, GSEQ, OSEQ)
BID_FILTER = (*ORDER_FILTER, PROVIDER)
NEEDS_OWNER, NEEDS_DSEQ = ("owner", "dseq"), ("dseq",)
NEEDS_BID, NEEDS_LEASE = ("owner", "dseq", "provider"), ("dseq", "provider")
REASON = Flag("reason", "int32", 10002, about="10000 unstable, 10001 decommission, 10002 unspecified, 10003 manifest timeout")


def _query(name: str, about: str, does: str, flags: tuple[Flag, ...] = (), **others: object) -> Command:
    return Command(name, about, does, (*QUERY_FLAGS, *flags), **others)  # type: ignore[arg-type]


def _listing(name: str, about: str, does: str, flags: tuple[Flag, ...] = (), **others: object) -> Command:
    return _query(name, about, does, (*PAGE_FLAGS, *flags), **others)


def _tx(name: str, about: str, does: str, flags: tuple[Flag, ...] = (), args: tuple[int, int | None] = (0, 0), **others: object) -> Command:
    return Command(name, about, does, (*TX_FLAGS, *flags), args, **others)  # type: ignore[arg-type]


def _group(name: str, about: str, *below: Command, **others: object) -> Command:
    return Command(name, about, below=below, **others)  # type: ignore[arg-type]


def _market_query() -> Command:
    def of(name: str, filters: tuple[Flag, ...], key: tuple[Flag, ...], needed: tuple[str, ...]) -> Command:
        return _group(
            name,
            f"{name.capitalize()}s by filter, or one",
            _listing("list", f"All {name}s", f"list_{name}s", filters),
            _query("get", f"One {name}", f"get_{name}", key, args=(0, 0), required=needed),
        )

    return _group(
        "market",
        "Orders, bids and leases",
        of("order", ORDER_FILTER, ORDER_ID, NEEDS_OWNER),
        of("bid", BID_FILTER, BID_ID, NEEDS_BID),
        of("lease", BID_FILTER, BID_ID, NEEDS_BID),
    )


def _deployment_query() -> Command:
    return _group(
        "deployment",
        "Deployments and their groups",
        _listing("list", "All deployments", "list_deployments", (OWNER, STATE, DSEQ), args=(0, 0)),
        _query("get", "One deployment", "get_deployment", DEPLOYMENT_ID, args=(0, 0), required=NEEDS_OWNER),
        _group("group", "Groups", _query("get", "One group", "get_group", GROUP_ID, args=(0, 0), required=NEEDS_OWNER)),
    )


def _escrow_query() -> Command:
    takes = "<state> <xid>"
    return _group(
        "escrow",
        "Escrow accounts and payments",
        _listing("accounts", "Escrow accounts", "list_accounts", args=(0, 2), takes=takes),
        _listing("payments", "Payments of leases", "list_payments", args=(0, 2), takes=takes),
        _query("blocks-remaining", "How long an account lasts", "blocks_remaining", DEPLOYMENT_ID, args=(0, 0), required=NEEDS_OWNER),
    )


def _bank_query() -> Command:
    denom = (Flag("denom", about="of one coin only"),)
    return _group(
        "bank",
        "What wallets hold",
        _listing("balances", "All balances of an address", "balances", denom, args=(1, 1), takes="[address]"),
        _listing("spendable-balances", "What an address can spend", "spendable", denom, args=(1, 1), takes="[address]"),
        _listing("total", "All coins there are", "supply", denom, args=(0, 0)),
        reads_no_flags=True,
    )


def _query_tree() -> Command:
    kind = Flag("type", default="hash", about="hash")
    return Command(
        "query",
        "Ask the chain",
        silent_group=True,
        aliases=("q",),
        persistent=(CHAIN_ID,),
        below=(
            _bank_query(),
            _deployment_query(),
            _escrow_query(),
            _market_query(),
            _group(
                "provider",
                "Registered providers",
                _listing("list", "All providers", "list_providers"),
                _query("get", "One provider", "get_provider", args=(1, 1), takes="[address]"),
            ),
            _query("tx", "A transaction by its hash", "get_tx", (kind,), args=(1, 1), takes="[hash]"),
            *(Command(name, "not simulated", NOT_SIMULATED) for name in NOT_SIMULATED_QUERIES),
        ),
    )


def _deployment_tx() -> Command:
    return _group(
        "deployment",
        "Deployments",
        _tx("create", "Create a deployment", "create_deployment", (*DEPLOYMENT_ID, *DEPOSIT), (1, 1), takes="[sdl-file]"),
        _tx("update", "Update a deployment's manifest", "update_deployment", DEPLOYMENT_ID, (1, 1), takes="[sdl-file]"),
        _tx("close", "Close a deployment", "close_deployment", DEPLOYMENT_ID),
        _group(
            "group",
            "Groups of a deployment",
            _tx("close", "Close a group", "close_group", GROUP_ID, required=NEEDS_OWNER),
            _tx("pause", "Pause a group", "pause_group", GROUP_ID, required=NEEDS_OWNER),
            _tx("start", "Start a paused group", "start_group", GROUP_ID, required=NEEDS_OWNER),
            silent_group=True,
        ),
    )


def _market_tx() -> Command:
    price = Flag("price", about="such as 40uve, per block")
    return _group(
        "market",
        "Bids and leases",
        _group(
            "bid",
            "Bids",
            _tx("create", "Bid on an order", "create_bid", (*ORDER_ID, price, *DEPOSIT)),
            _tx("close", "Close a bid, and its lease", "close_bid", (*BID_ID, REASON)),
        ),
        _group(
            "lease",
            "Leases",
            _tx("create", "Accept a bid", "create_lease", BID_ID, required=NEEDS_LEASE),
            _tx("withdraw", "Settle, and pay the provider out", "withdraw", BID_ID, required=NEEDS_LEASE),
            _tx("close", "Close a lease", "close_lease", BID_ID, required=NEEDS_LEASE),
        ),
    )


def _audit_tx() -> Command:
    return _group(
        "audit",
        "What auditors sign",
        _group(
            "attr",
            "Attributes of a provider",
            _tx("create", "Sign attributes", "sign_attributes", (), (1, None), required=("from",), takes="[provider] [key value]..."),
            _tx("delete", "Withdraw what was signed", "unsign_attributes", (), (1, None), required=("from",), takes="[provider] [key]..."),
            silent_group=True,
        ),
    )


def _tx_tree() -> Command:
    proposal = "[path/to/proposal.json]"
    return Command(
        "tx",
        "Send a transaction",
        silent_group=True,
        persistent=(CHAIN_ID,),
        below=(
            _audit_tx(),
            _group(
                "authz",
                "Grants",
                _tx(
                    "grant",
                    "Let another account take deposits out of this one",
                    "grant",
                    (
                        Flag("spend-limit", about="most that it takes, such as 5000000uve"),
                        Flag("scope", "strings", (), about="deployment, bid"),
                        Flag("msg-type"),
                        Flag("allowed-validators", "strings", ()),
                        Flag("deny-validators", "strings", ()),
                        Flag("allow-list", "strings", ()),
                        Flag("expiration", "int64", 0),
                    ),
                    (2, 2),
                    takes="<grantee> deposit",
                ),
                reads_no_flags=True,
            ),
            _group(
                "bank",
                "Coins",
                _tx("send", "Send coins", "send", (), (2, 3), takes="<from_key_or_address> [to_address] [amount]"),
                reads_no_flags=True,
            ),
            _deployment_tx(),
            _group(
                "escrow",
                "Escrow accounts",
                _tx(
                    "deposit",
                    "Add to a deployment's account",
                    "account_deposit",
                    (*DEPLOYMENT_ID, SOURCES),
                    (2, 2),
                    takes="[deployment] [amount]",
                ),
            ),
            _group(
                "gov",
                "Governance",
                _tx("submit-proposal", "Submit a proposal", NOT_SIMULATED, (), (1, 1), takes=proposal),
                reads_no_flags=True,
            ),
            _market_tx(),
            _group(
                "provider",
                "Registration",
                _tx("create", "Register", "create_provider", (), (1, 1), takes="[config-file]"),
                _tx("update", "Change what is registered", "update_provider", (), (1, 1), takes="[config-file]"),
            ),
            *(Command(name, "not simulated", NOT_SIMULATED) for name in NOT_SIMULATED_TXS),
        ),
    )


def _keys_tree() -> Command:
    return _group(
        "keys",
        "Keys of the devnet's accounts",
        Command(
            "add",
            "Make a key",
            "add_key",
            (
                Flag("recover", "bool", False),
                Flag("dry-run", "bool", False),
                Flag("no-backup", "bool", False),
                Flag("interactive", "bool", False, "i"),
                Flag("account", "uint32", 0),
                Flag("index", "uint32", 0),
                Flag("key-type", default="secp256k1"),
                Flag("algo", default="secp256k1"),
            ),
            (1, 1),
            takes="<name>",
        ),
        Command("list", "All keys", "list_keys", (Flag("list-names", "bool", False, "n"),)),
        Command(
            "show",
            "One key",
            "show_key",
            (
                Flag("bech", default="acc"),
                Flag("address", "bool", False, "a", "the address only"),
                Flag("pubkey", "bool", False, "p", "the public key only"),
                Flag("device", "bool", False, "d"),
                Flag("multisig-threshold", "int", 1),
                Flag("qrcode", "bool", False),
            ),
            (1, None),
            takes="[name_or_address]",
        ),
        persistent=(
            Flag("output", default="text", short="o", about="text or json"),
            Flag("keyring-dir"),
            Flag("keyring-backend", default="os", about="read and not used: keys of a devnet are in its folder"),
        ),
    )


NOT_SIMULATED_QUERIES = (
    "audit", "auth", "authz", "block", "block-results", "blocks", "bme", "cert", "distribution", "enclave", "evidence", "feegrant", "gov",
    "hpc", "mfa", "mint", "module-name-to-address", "oracle", "params", "slashing", "staking", "txs", "veid", "wasm",
)  # fmt: skip
NOT_SIMULATED_TXS = (
    "bme", "broadcast", "cert", "crisis", "decode", "distribution", "enclave", "encode", "evidence", "feegrant", "hpc", "mfa",
    "multi-sign", "oracle", "sign", "sign-batch", "slashing", "staking", "upgrade", "validate-signatures", "veid", "vesting", "wasm",
)  # fmt: skip

REAL = Command(
    "virtengine",
    "The real chain's command line against a devnet.",
    below=(
        _keys_tree(),
        _query_tree(),
        Command(
            "status", "Where the chain stands", "status", (Flag("node", short="n", default=NODE), Flag("output", default="json", short="o"))
        ),
        _tx_tree(),
        Command("version", "The version", "version", (Flag("long", "bool", False), Flag("output", default="text", short="o"))),
    ),
    persistent=ROOT_FLAGS,
)
"""The real command line, as far as a devnet has it."""

__all__ = ["REAL"]
