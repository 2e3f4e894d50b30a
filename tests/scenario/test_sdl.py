"""SDL manifests: groups, merged units, ceilings, attributes and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from marketsim.errors import InputError
from marketsim.money.units import ATTO
from marketsim.scenario.files import load_sdl
from marketsim.scenario.load import load_scenario, scenario_from_mapping
from marketsim.scenario.sdl import Endpoint, Sdl, SdlGroup
from marketsim.scenario.sdl_groups import LEASED_IP, RANDOM_PORT, SHARED_HTTP

SDL = Path(__file__).parents[2] / "scenarios" / "sdl"

TWO_SERVICES = """\
version: "2.0"
services:
  a: {image: x, expose: [{port: 80, to: [{global: true}]}]}
  b: {image: y, params: {storage: {data: {mount: /data}}}}
profiles:
  compute:
    one:
      resources:
        cpu: {units: 1}
        memory: {size: 1Gi}
        storage: {size: 1Gi}
    two:
      resources:
        cpu: {units: 100m}
        memory: {size: 512M}
        storage: [{size: 10M}, {name: data, size: 2Gi, attributes: {persistent: true}}]
        gpu: {units: 1, attributes: {vendor: {nvidia: [{model: a100, ram: 80Gi}, {model: h100}]}}}
  placement:
    here:
      attributes: {region: us-east-1, tier: 1}
      signedBy: {allOf: [auditor-1]}
      pricing:
        one: {denom: uve, amount: 100}
        two: {denom: uve, amount: 250.5}
deployment:
  a: {here: {profile: one, count: 2}}
  b: {here: {profile: two, count: 1}}
"""


def read(tmp_path: Path, text: str) -> Sdl:
    path = tmp_path / "m.yaml"
    path.write_text(text)
    return load_sdl(path)


def groups(name: str) -> tuple[SdlGroup, ...]:
    return load_sdl(SDL / f"{name}.yaml").groups()


def test_ceilings_add_up(tmp_path: Path) -> None:
    (group,) = read(tmp_path, TWO_SERVICES).groups()
    assert group.ceiling == 450 * ATTO + ATTO // 2
    assert (group.cpu, group.memory, group.gpu) == (2_100, 2 * 2**30 + 512 * 10**6, 1)
    assert group.storage == 2 * 2**30 + 10**7 + 2 * 2**30
    assert group.attributes == {"region": "us-east-1", "tier": "1"}
    assert group.all_of == ("auditor-1",) and group.any_of == ()
    # protocol.md §6: 100 × 2 and 250 × 1 make 450 a block
    (whole,) = read(tmp_path, TWO_SERVICES.replace("250.5", "250")).groups()
    assert whole.ceiling == 450 * ATTO


def test_gpus_carry_the_documents_gpu_type(tmp_path: Path) -> None:
    (group,) = read(tmp_path, TWO_SERVICES).groups()
    unit = group.resources[1]
    assert unit.gpu_attributes == {
        "vendor/nvidia/model/a100/ram/80Gi": "true",
        "vendor/nvidia/model/h100": "true",
    }
    assert unit.gpu_types == ("nvidia-a100", "nvidia-h100")
    assert group.requested()["gpu-type"] == {"nvidia-a100", "nvidia-h100"}
    assert group.requested()["region"] == {"us-east-1"}
    wildcard = TWO_SERVICES.replace("nvidia: [{model: a100, ram: 80Gi}, {model: h100}]", "nvidia: ")
    (group,) = read(tmp_path, wildcard).groups()
    assert group.resources[1].gpu_attributes == {"vendor/nvidia/model/*": "true"}
    assert group.resources[1].gpu_types == ()


def test_storage_classes(tmp_path: Path) -> None:
    (group,) = read(tmp_path, TWO_SERVICES).groups()
    assert [volume.kind for volume in group.resources[1].volumes] == ["ephemeral", "default"]
    assert group.resources[1].volumes[1].attributes == {"class": "default", "persistent": "true"}
    (training,) = groups("gpu-training")
    assert [volume.kind for volume in training.resources[0].volumes] == ["ram", "ephemeral", "beta3"]
    assert training.resources[0].volumes[0].attributes == {"class": "ram", "persistent": "false"}
    assert training.ceiling == 25_000 * ATTO + ATTO // 2


def test_services_that_share_a_profile_merge() -> None:
    (group,) = groups("multi-service")
    assert [(unit.profile, unit.count) for unit in group.resources] == [("app", 5), ("small", 3)]
    assert group.resources[1].endpoints == (Endpoint(SHARED_HTTP),)
    assert group.ceiling == 5 * (60 * ATTO + ATTO // 4) + 3 * 12 * ATTO
    assert group.storage == 5 * 10 * 10**9 + 3 * 512 * 2**20


def test_placements_are_groups_in_the_order_of_their_names() -> None:
    east, west = groups("multi-placement")
    assert (east.name, west.name) == ("east", "west")
    assert (east.ceiling, west.ceiling) == (158 * ATTO, 90 * ATTO)
    assert east.resources[0].endpoints == (Endpoint(SHARED_HTTP), Endpoint(RANDOM_PORT))
    assert east.resources[1].endpoints == (Endpoint(RANDOM_PORT), Endpoint(LEASED_IP, 1))
    assert [unit.leased_ips for unit in east.resources] == [0, 1]


@pytest.mark.parametrize("path", sorted(SDL.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_manifests_survive_the_round_trip(path: Path) -> None:
    sdl = load_sdl(path)
    again = Sdl.of(json.loads(json.dumps(sdl.plain())))
    assert again == sdl and again.groups() == sdl.groups()
    assert all(group.ceiling > 0 and group.cpu > 0 for group in sdl.groups())


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("amount: 100", "amount: 0", "m.yaml:23:35: profiles.placement.here.pricing.one.amount: the amount is 0"),
        ("amount: 100", "amount: -1", "pricing.one.amount: '-1' is negative"),
        ("amount: 100", "amount: 0.0000000000000000001", "at most 18 of them after the point"),
        ("amount: 100", "amount: 10000001", "too large"),
        ("amount: 100", "amount: 100uve", "'100uve' is not an amount"),
        ("amount: 100", "amount: 1e2", "'1e2' is not an amount"),
        ("denom: uve, amount: 100", "denom: u, amount: 100", "denom: 'u' is not the name of a coin"),
        ("denom: uve, amount: 100", "denom: uakt, amount: 100", "deployment: prices are in uakt and uve, use one coin"),
        ("units: 1}", "units: lots}", "profiles.compute.one.resources.cpu.units: 'lots' is not a number of cores"),
        ("units: 1}", "units: 0.5m}", "is not a whole number of millicores"),
        ("size: 10M", "size: 1Zi", "'1Zi' is not a size"),
        ("size: 10M", "size: 1k", "resources.storage: volume 'default' of 1000 bytes, the chain takes 5Mi to 32Ti"),
        ("{size: 10M}", "{size: 10M, attributes: {class: beta2}}", "is not persistent, write persistent: true"),
        ("{size: 10M}", "{size: 10M, attributes: {class: tape, persistent: true}}", "classes are default, beta1"),
        ("{persistent: true}", "{persistent: true, class: ram}", "has class ram and is persistent"),
        ("{persistent: true}", "{persistent: maybe}", "'maybe' is neither true nor false"),
        ("{persistent: true}", "{persistent: true, speed: 9}", "attributes are persistent and class"),
        (", attributes: {vendor: {nvidia: [{model: a100, ram: 80Gi}, {model: h100}]}}", "", "name a vendor"),
        ("{units: 1, attributes", "{units: 0, attributes", "GPU attributes with 0 units"),
        ("{model: h100}", "{model: h100, interface: sxm4}", "write pcie or sxm"),
        ("{model: h100}", "{model: a100, ram: 81920Mi}", "stands here twice"),
        ("a: {here: {profile: one", "a: {there: {profile: one", "unknown placement 'there', did you mean 'here'?"),
        ("profile: one", "profile: three", "unknown compute profile 'three', "),
        ("        one: {denom: uve, amount: 100}\n", "", "has no price for profile 'one'"),
        ("a: {here", "c: {here", "unknown service 'c', "),
        ("count: 2", "count: -1", "count: '-1' is not a whole number"),
        ("image: x", "imagee: x", "services.a.image: has no image"),
        ("port: 80", "port: 99999", "expose.0.port: 99999 is not a port"),
        ("port: 80", 'port: "80"', "expose.0.port: '80' is not a whole number"),
        ("global: true", "global: 1", "global: '1' is neither true nor false"),
        ("to: [{global: true}]", "to: []", "services: no deployed service is exposed to the world"),
        ("global: true", "global: true, ip: a1", "no endpoint is named 'a1'"),
        ("image: y", 'image: y, env: ["1A=b"]', "'1A' is not the name of a variable"),
        ("mount: /data", "mount: data", "'data' is not an absolute path"),
        ("{data: {mount: /data}}", "{date: {mount: /data}}", "has no volume 'date', did you mean 'data'?"),
        (", params: {storage: {data: {mount: /data}}}", "", "is persistent, say where the service sees it"),
        ("  a: {image", "  a_b: {image", "unknown service 'a', "),
        ('version: "2.0"', "version: 2.0.1", "version: '2.0.1' is not an SDL version"),
        ('version: "2.0"\n', "", 'has no version, add version: "2.0" or "2.1"'),
        ("services:", "service:", "service: unknown key, keys are version, include, services"),
        ("deployment:\n", "deployment:\n  <<: 1\n", "'<<' merges '1'"),
    ],
)
def test_manifests_that_are_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in TWO_SERVICES
    with pytest.raises(InputError) as caught:
        read(tmp_path, TWO_SERVICES.replace(old, new, 1))
    lines = [line.replace(f"{tmp_path}/", "") for line in caught.value.lines]
    assert any(words in line for line in lines), lines
    assert all(line.startswith("m.yaml:") and line.count(": ") >= 1 for line in lines)


@pytest.mark.parametrize("version", ["2.0", '"2.0 "', "v2.0.0", "2", "2.1", "2.10", "3", "02.01", '"2.1.0+build.7"', "2.2.0-rc.1"])
def test_versions_that_are_read(tmp_path: Path, version: str) -> None:
    text = TWO_SERVICES.replace('"2.0"', version)
    assert read(tmp_path, text).version == version.strip('"')


def test_services_merge_from_2_1_on(tmp_path: Path) -> None:
    """In 2.0 every service is a unit of its own; from 2.1 on those of one profile are one, its endpoints together."""
    text = TWO_SERVICES.replace("b: {here: {profile: two", "b: {here: {profile: one").replace(
        ", params: {storage: {data: {mount: /data}}}", ""
    )
    (apart,) = read(tmp_path, text).groups()
    (together,) = read(tmp_path, text.replace('"2.0"', "2.1")).groups()
    assert [unit.count for unit in apart.resources] == [2, 1]
    assert [(unit.count, unit.endpoints) for unit in together.resources] == [(3, (Endpoint(SHARED_HTTP),))]


def test_what_is_read_past_is_said(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(
        TWO_SERVICES.replace("image: y", "image: y, restart: always, exposed: []").replace("units: 1}", "units: 1, limits: 2}", 1)
    )
    notes: list[str] = []
    load_sdl(path, notes)
    known = "is read past, the chain's parser knows no such key"
    assert [note.replace(f"{tmp_path}/", "") for note in notes] == [
        f"m.yaml:4:17: services.b.restart: {known}",
        f"m.yaml:4:34: services.b.exposed: {known}, did you mean 'expose'?",
        f"m.yaml:9:25: profiles.compute.one.resources.cpu.limits: {known}",
    ]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("00501", "00501"),
        ("12.10", "12.10"),
        ("1e3", "1e3"),
        ("0x1F", "0x1F"),
        ("yes", "yes"),
        ("12:30", "12:30"),
        ("~", ""),
        ("2024-01-01", "2024-01-01"),
    ],
)
def test_texts_keep_their_letters(tmp_path: Path, written: str, text: str) -> None:
    sdl = read(tmp_path, TWO_SERVICES.replace("tier: 1", f"tier: {written}"))
    assert sdl.groups()[0].attributes["tier"] == text
    assert Sdl.of(sdl.plain()).groups() == sdl.groups()


def test_a_manifest_inside_a_scenario_keeps_its_letters_too(tmp_path: Path) -> None:
    manifest = "".join(f"          {line}\n" for line in TWO_SERVICES.replace("tier: 1", "tier: 00501, on: off").splitlines())
    (tmp_path / "s.yaml").write_text(
        "horizon: 1h\ntenants:\n  - name: web\n    demand: {orders: 1}\n    order:\n      sdl:\n        - sdl:\n"
        + "".join(f"    {line}\n" for line in manifest.splitlines())
        + "    duration: 1h\nproviders: [{name: one, capacity: {cpu: 1000, memory: 1Gi, storage: 1Gi}}]\n"
    )
    scenario = load_scenario(tmp_path / "s.yaml")
    shape = scenario.tenants[0].order.sdl
    assert shape is not None and shape[0].sdl.groups()[0].attributes == {"region": "us-east-1", "tier": "00501", "on": "off"}
    assert scenario_from_mapping(scenario.effective()).effective() == scenario.effective()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("", "is empty"),
        ("# only a remark\n", "is empty"),
        ("- a\n", "has no version"),
        ("a: b\n", "has no version"),
        ('version: "2.0"\n\tservices: {}\n', "not valid YAML"),
        ('version: "2.0"\nservices: {a: {image: x}, a: {image: y}}\n', "stands here already in line 2"),
        ('version: "2.0"\nservices: {a: {image: !!int x}}\n', "not what its tag !!int says"),
    ],
)
def test_documents_that_are_refused(tmp_path: Path, document: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(tmp_path, document)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text + "---\nanything: [else\n", id="a second document is not read"),
        pytest.param(lambda text: "---\n" + text + "...\n", id="marks of a document"),
        pytest.param(lambda text: text.replace("image: x", "image:\tx"), id="a tab before a value"),
        pytest.param(lambda text: text.replace("\n", "\r\n"), id="line ends of Windows"),
        pytest.param(lambda text: "services: {z: {image: z}}\n" + text, id="a section that stands twice is added to"),
        pytest.param(lambda text: text.replace("a: {image: x,", "t: &t {image: x}\n  a: {<<: *t,"), id="a merged mapping"),
        pytest.param(lambda text: text.replace("count: 2", "count: 2.9"), id="a fraction of a count is cut off"),
        pytest.param(lambda text: text.replace("units: 1}", "units: 0x1p0}", 1), id="a hexadecimal number of cores"),
        pytest.param(lambda text: text.replace("1Gi", "1_0.24e2Mi"), id="underscores and an exponent in a size"),
        pytest.param(lambda text: text.replace("global: true", "global: On"), id="a truth value of YAML 1.1"),
        pytest.param(lambda text: text.replace("global: true", 'global: "yes"'), id="and in quotes"),
    ],
)
def test_what_the_chains_parser_takes(tmp_path: Path, change: Callable[[str], str]) -> None:
    plain = read(tmp_path, TWO_SERVICES).groups()
    changed = change(TWO_SERVICES)
    assert changed != TWO_SERVICES
    assert read(tmp_path, changed).groups() == plain


def test_a_manifest_in_utf_16(tmp_path: Path) -> None:
    plain = read(tmp_path, TWO_SERVICES).groups()
    (tmp_path / "m.yaml").write_bytes(TWO_SERVICES.encode("utf-16"))
    assert load_sdl(tmp_path / "m.yaml").groups() == plain


@pytest.mark.parametrize(
    ("written", "seen"),
    [("81920Mi", "80Gi"), ("80Gi", "80Gi"), ("85899345920", "80Gi"), ("0.5Gi", "0Gi"), ("1.5Ti", "1536Gi")],
)
def test_memory_of_gpus_is_in_whole_gib(tmp_path: Path, written: str, seen: str) -> None:
    (group,) = read(tmp_path, TWO_SERVICES.replace("ram: 80Gi", f"ram: {written}")).groups()
    assert f"vendor/nvidia/model/a100/ram/{seen}" in group.resources[1].gpu_attributes


def test_other_vendors_are_read_past_and_any_nvidia_will_do(tmp_path: Path) -> None:
    """The chain's parser has one vendor; a manifest for another one asks for any model of that one."""
    text = TWO_SERVICES.replace("nvidia: [{model: a100, ram: 80Gi}, {model: h100}]", "amd: [{model: mi100}]")
    (group,) = read(tmp_path, text).groups()
    assert group.resources[1].gpu_attributes == {"vendor/nvidia/model/*": "true"}


def test_volumes_stand_in_the_chains_order(tmp_path: Path) -> None:
    """By size; of two equal ones that are not persistent the later comes first, as upstream's comparison has it."""
    volumes = "[{name: c, size: 9Mi}, {name: a, size: 8Mi}, {name: b, size: 8Mi}, {name: data, size: 2Gi, attributes: {persistent: true}}]"
    text = TWO_SERVICES.replace("[{size: 10M}, {name: data, size: 2Gi, attributes: {persistent: true}}]", volumes)
    (group,) = read(tmp_path, text).groups()
    assert [volume.name for volume in group.resources[1].volumes] == ["b", "a", "c", "data"]


def test_numbers_of_leased_addresses(tmp_path: Path) -> None:
    """Sorted by name, each use counting, and so does a target inside the deployment, under an empty name."""
    text = TWO_SERVICES.replace(
        "expose: [{port: 80, to: [{global: true}]}]",
        "expose: [{port: 80, to: [{service: b}]}, {port: 81, to: [{global: true, ip: zed}]}, {port: 82, to: [{global: true, ip: abc}]}]",
    )
    (group,) = read(tmp_path, text + "endpoints: {zed: {kind: ip}, abc: {kind: ip}}\n").groups()
    assert group.resources[0].endpoints == (
        Endpoint(RANDOM_PORT), Endpoint(LEASED_IP, 3), Endpoint(RANDOM_PORT), Endpoint(LEASED_IP, 2),
    )  # fmt: skip


@pytest.mark.parametrize(("tee", "words"), [("cpu", None), ("cpu-gpu", "without GPUs"), ("sgx", "is not a kind of confidential computing")])
def test_confidential_computing_is_a_requirement(tmp_path: Path, tee: str, words: str | None) -> None:
    text = TWO_SERVICES.replace("image: x", f"image: x, params: {{tee: {tee}}}")
    if words is None:
        assert read(tmp_path, text).groups()[0].attributes["tee/type"] == "cpu"
        return
    with pytest.raises(InputError, match=words):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("window", "good"),
    [("24h", True), ("1h30m", True), ("1.5h", True), ("7d", False), ("0s", False), ("-1h", False), ("", False), ("10", False)],
)
def test_windows_of_reclamation(tmp_path: Path, window: str, good: bool) -> None:
    text = TWO_SERVICES + f"reclamation: {{min_window: {window}}}\n"
    if good:
        assert read(tmp_path, text).manifest.reclamation is not None
        return
    with pytest.raises(InputError, match="min_window"):
        read(tmp_path, text)


def test_parts_that_nobody_deploys_are_only_read(tmp_path: Path) -> None:
    more = TWO_SERVICES.replace("    two:\n", "    spare: {resources: {cpu: {units: 0}}}\n    two:\n")
    more = more.replace("  b: {image: y", "  idle: {image: z, expose: [{port: 0, proto: sctp}]}\n  b: {image: y")
    more = more.replace("  placement:\n", "  placement:\n    there: {pricing: {one: {denom: uakt, amount: 1}}}\n")
    assert read(tmp_path, more).groups() == read(tmp_path, TWO_SERVICES).groups()
    for old, new, words in (
        ("cpu: {units: 0}", "cpu: {units: no}", "is not a number of cores"),
        ("denom: uakt", "denom: k", "is not the name of a coin"),
        ("port: 0", "port: x", "is not a whole number"),
    ):
        with pytest.raises(InputError, match=words):
            read(tmp_path, more.replace(old, new))


def test_limits_of_a_group_count_replicas(tmp_path: Path) -> None:
    fits = TWO_SERVICES.replace("units: 1}", "units: 384}", 1)
    assert read(tmp_path, fits.replace("count: 2", "count: 49")).groups()[0].cpu == 49 * 384_000 + 100
    with pytest.raises(InputError, match="CPU of all replicas in 'here' is 19200100, the chain takes 1 to 19200000"):
        read(tmp_path, fits.replace("count: 2", "count: 50"))
    with pytest.raises(InputError, match="CPU of all replicas in 'here' is 0"):
        read(tmp_path, TWO_SERVICES.replace("count: 2", "count: 0").replace("  b: {here: {profile: two, count: 1}}\n", ""))
