"""SDL manifests: groups, merged units, ceilings, attributes and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from marketsim.errors import InputError
from marketsim.money.units import ATTO
from marketsim.scenario.files import load_sdl
from marketsim.scenario.sdl import Endpoints, Sdl, SdlGroup

SDL = Path(__file__).parents[2] / "scenarios" / "sdl"

TWO_SERVICES = """\
version: "2.0"
services:
  a: {image: x}
  b: {image: y}
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
        storage: [{size: 1k}, {name: data, size: 2Gi, attributes: {persistent: true}}]
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
    assert group.storage == 2 * 2**30 + 1000 + 2 * 2**30
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
    assert [volume.kind for volume in training.resources[0].volumes] == ["ephemeral", "ram", "beta3"]
    assert training.resources[0].volumes[1].attributes == {"class": "ram", "persistent": "false"}
    assert training.ceiling == 25_000 * ATTO + ATTO // 2


def test_services_that_share_a_profile_merge() -> None:
    (group,) = groups("multi-service")
    assert [(unit.profile, unit.count) for unit in group.resources] == [("app", 5), ("small", 3)]
    assert group.resources[1].endpoints == Endpoints(shared=1, random_port=0, leased_ip=0)
    assert group.ceiling == 5 * (60 * ATTO + ATTO // 4) + 3 * 12 * ATTO
    assert group.storage == 5 * 10 * 10**9 + 3 * 512 * 2**20


def test_placements_are_groups_in_the_order_of_their_names() -> None:
    east, west = groups("multi-placement")
    assert (east.name, west.name) == ("east", "west")
    assert (east.ceiling, west.ceiling) == (150 * ATTO, 90 * ATTO)
    assert east.resources[0].endpoints == Endpoints(shared=1, random_port=1, leased_ip=1)
    assert east.resources[0].endpoints.total == 3


@pytest.mark.parametrize("path", sorted(SDL.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_manifests_survive_the_round_trip(path: Path) -> None:
    sdl = load_sdl(path)
    again = Sdl.model_validate(sdl.model_dump(mode="json", by_alias=True))
    assert again == sdl and again.groups() == sdl.groups()
    assert all(group.ceiling > 0 and group.cpu > 0 for group in sdl.groups())


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "amount: 100",
            "amount: 0",
            "m.yaml:23:35: profiles.placement.here.pricing.one.amount: the amount is 0",
        ),
        ("amount: 100", "amount: -1", "pricing.one.amount: '-1uve' is negative"),
        ("amount: 100", "amount: 0.0000000000000000001", "19 decimals"),
        ("amount: 100", "amount: 10000001", "too large"),
        ("amount: 100", "amount: 100uve", "the unit stands in denom"),
        ("denom: uve, amount: 100", "denom: usd, amount: 100", "denom 'usd' is unknown"),
        (
            "denom: uve, amount: 100",
            "denom: uakt, amount: 100",
            "deployment: prices are in uakt and uve, use one denom",
        ),
        ("units: 1}", "units: lots}", "profiles.compute.one.resources.cpu.units: 'lots' is not a number"),
        ("size: 1k", "size: 1Zi", "unknown unit 'Zi'"),
        ("{size: 1k}", "{size: 1k, attributes: {class: beta2}}", "not persistent, set persistent: true"),
        (
            "{size: 1k}",
            "{size: 1k, attributes: {class: tape, persistent: true}}",
            "classes are default, beta1",
        ),
        ("{persistent: true}", "{persistent: true, class: ram}", "class 'ram' on a persistent volume"),
        ("{persistent: true}", "{persistent: maybe}", "'maybe' is neither true nor false"),
        ("attributes: {persistent: true}", "attributes: {}", "several root volumes"),
        (", attributes: {vendor: {nvidia: [{model: a100, ram: 80Gi}, {model: h100}]}}", "", "name a vendor"),
        ("{units: 1, attributes", "{units: 0, attributes", "GPU attributes with 0 units"),
        (
            "a: {here: {profile: one",
            "a: {there: {profile: one",
            "unknown placement 'there', placements are here",
        ),
        ("profile: one", "profile: three", "unknown compute profile 'three', profiles are one, two"),
        ("        one: {denom: uve, amount: 100}\n", "", "has no price for profile 'one'"),
        ("a: {here", "c: {here", "unknown service 'c', services are a, b"),
        ("count: 2", "count: 0", "deployment.a.here.count: '0' is below 1"),
        ("a: {image: x}", "a: {imagee: x}", "services.a.imagee: unknown key, did you mean 'image'?"),
        ("a: {image: x}", "a: {image: x, expose: [{port: 99999}]}", "expose.0.port: '99999' is above 65535"),
        ('version: "2.0"', "version: 3", "version: '3' is not a known SDL version"),
        ("services:", "service:", "service: unknown key, did you mean 'services'?"),
        ("deployment:\n", "deployments:\n", "deployment: is missing"),
    ],
)
def test_manifests_that_are_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in TWO_SERVICES
    with pytest.raises(InputError) as caught:
        read(tmp_path, TWO_SERVICES.replace(old, new, 1))
    lines = [line.replace(f"{tmp_path}/", "") for line in caught.value.lines]
    assert any(words in line for line in lines), lines
    assert all(line.startswith("m.yaml:") and line.count(": ") >= 2 for line in lines)


def test_versions_may_be_written_as_numbers(tmp_path: Path) -> None:
    assert read(tmp_path, TWO_SERVICES.replace('"2.0"', "2.0")).version == "2.0"
    assert read(tmp_path, TWO_SERVICES.replace('"2.0"', "2.1")).version == "2.1"
