"""Variants of one manifest, one thing changed in each: what the chain's parser does with it follows from its source.

Sources: gopkg.in/yaml.v3 (null, merge keys, repeated keys, numbers into integers), Go strconv and net/url, k8s apimachinery,
akash-network/chain-sdk go/sdl and go/manifest. These are reasoned, not recorded; recorded verdicts are replayed by `parity sdl`.
"""

from __future__ import annotations

import pytest

from marketsim.errors import InputError
from marketsim.scenario.sdl import Sdl, manifest_source

BASE = """\
version: "2.0"
services:
  app:
    image: img:1
    expose:
      - port: 80
        to:
          - global: true
profiles:
  compute:
    small:
      resources:
        cpu:
          units: 1
        memory:
          size: 512Mi
        storage:
          size: 1Gi
  placement:
    here:
      pricing:
        small:
          denom: uakt
          amount: 100
deployment:
  app:
    here:
      profile: small
      count: 1
"""

# what is replaced, what stands in its place and is taken, what is refused
VARIANTS: list[tuple[str, list[str], list[str]]] = [
    (
        "units: 1",
        ["units: +1", "units: 1.", "units: 4294967.306", 'units: "1"', "units: !!str 1", "units: 0x1p1", "units: '2'", "units: 384.0001"],
        [
            "units: 1e",
            "units: inf",
            'units: ""',
            "units: [1]",
            "units: {a: 1}",
            "units: ~",
            "units: 1e400",
            "units: 384.001",
            "units: 10mm",
            "units: -0",
            "units: +500m",
            "Units: 1",
            "units: *x",
        ],
    ),
    (
        "size: 512Mi",
        [
            "size: 0.5Gi",
            "size: 1048576",
            "size: 1e6Ki",
            "size: 2199023255552",
            "size: 0.000001E",
            "size: +1Gi",
            "size: 1Gi ",
            "size: 1_000M",
        ],
        [
            "size: 512 Mi",
            "size: 1048575",
            "size: 2.1Ti",
            "size: 1K",
            "size: 16E",
            "size: -1Gi",
            'size: "1Gi "',
            "size: 1__0M",
            "quantity: 1Gi",
        ],
    ),
    (
        "amount: 100",
        ["amount: --5", 'amount: "5"', "amount: 00.10", "amount: 5 "],
        ["amount: -+5", "amount: 1.5.5", "amount: 10000000.000000000000000001", "amount: [1]", "amount: yes", "amount: ٣"],
    ),
    (
        "global: true",
        ["global: y", 'global: "on"', "global: TRUE", "global: !!bool true"],
        ['global: "True"', "global: oN", "global: ~", "global: !!str true", "global: 0"],
    ),
    (
        "count: 1",
        ["count: 1.9", "count: 0x2", "count: 1e1", "count: 0b11", "count: 0o17", "count: 1_0", "count: 07", "count: 08"],
        ["count: -0.5", 'count: "1"', "count: 4294967296", "count: 19201", "count: .5", "count: true", "count: .inf"],
    ),
    (
        "image: img:1",
        [
            "image: true",
            "image: !!binary aGk=",
            "image: !foo x",
            "image: !!int 5",
            "image: |\n      a\n",
            "image: >-\n      a\n",
            "image: img:1\n    env: [A=1, ~]",
            "image: img:1\n    env: [.a=1]",
            "image: img:1\n    env: [-]",
            "image: img:1\n    params: {tee: ~}",
            "image: img:1\n    params: {permissions: ~}",
            "image: img:1\n    dependencies: [{service: nowhere}]",
            "image: img:1\n    Image: x",
            "image: img:1\n    restart: {a: 1, a: 2}",
        ],
        [
            "image: [a]",
            "image: !!int x",
            'image: img:1\n    env: ["A B=1"]',
            "image: img:1\n    env: [..=1]",
            "image: img:1\n    env: [.=1]",
            'image: img:1\n    env: ["=1"]',
            "image: img:1\n    credentials: {}",
            "image: img:1\n    credentials: {host: a, username: b}",
            "image: img:1\n    params: {storage: {x: {mount: /x}}}",
            "image: img:1\n    params: {storage: {default: {mount: x}}}",
            "image: img:1\n    params: {storage: {default: }}",
            "image: img:1\n    params: {storage: {default: {mount: /x, readOnly: 1}}}",
            "image: img:1\n    params: []",
            "image: img:1\n    params: {tee: gpu}",
            "image: img:1\n    params: {tee: [cpu]}",
            "image: img:1\n    params: {permissions: {read: logs}}",
            "image: img:1\n    dependencies: [db]",
            "image: img:1\n    image: x",
            "image: img:1\n    command: [[a]]",
        ],
    ),
    (
        "      - port: 80\n        to:\n          - global: true",
        [
            "      - port: 65535\n        to:\n          - global: true",
            "      - port: 80\n        proto: UDP\n        to:\n          - global: true",
            "      - port: 80\n        proto: Tcp\n        to:\n          - global: true",
            "      - port: 80\n        to:\n          - global: true\n          - service: x",
            "      - port: 80\n        to:\n          - global: true\n            http_options: {max_body_size: 999999999}",
            "      - port: 80\n        to:\n          - global: true\n        accept: [1.2.3.4]",
            '      - port: 80\n        to:\n          - global: true\n        http_options: {next_cases: [429, "404"]}',
            "      - port: 80\n        to:\n          - global: true\n        http_options: {send_timeout: 60000, next_tries: 0}",
            "      - port: 80\n        to:\n          - global: true\n      - null",
        ],
        [
            "      - port: 0\n        to:\n          - global: true",
            "      - port: 65536\n        to:\n          - global: true",
            "      - port: 80\n        proto: http\n        to:\n          - global: true",
            "      - port: 80\n        to:\n          - global: true\n            http_options: {max_body_size: x}",
            "      - port: 80\n        to:\n          - global: true\n        accept: [a.b, a.b]",
            "      - port: 80\n        to:\n          - global: true\n          - global: true\n        accept: [a.b]",
            "      - port: 80\n        to:\n          - global: true\n        accept: [a_b]",
            '      - port: 80\n        to:\n          - global: true\n        accept: [""]',
            '      - port: 80\n        to:\n          - global: true\n        accept: ["*.a.b"]',
            "      - port: 80\n        to:\n          - global: true\n        accept: [a.b.]",
            "      - port: 80\n        to:\n          - global: true\n        accept: [-a]",
            '      - port: 80\n        to:\n          - global: true\n        accept: ["a b"]',
            "      - port: 80\n        to:\n          - global: true\n        accept: a.b",
            "      - port: 80\n        to:\n          - global: true\n        http_options: {next_cases: [400]}",
            "      - port: 80\n        to:\n          - global: true\n        http_options: {next_cases: [off, error]}",
            "      - port: 80\n        to:\n          - global: true\n        http_options: {read_timeout: 60001}",
            "      - port: 80\n        to:\n          - global: true\n        http_options: []",
            "      - port: 80\n        to: []",
            "      {port: 80}",
            "      - port: 80\n        to:\n          - global: true\n            global: true",
        ],
    ),
    (
        "        storage:\n          size: 1Gi",
        [
            "        storage:\n          - size: 1Gi\n            attributes: {}",
            "        storage:\n          - size: 1Gi\n            attributes: {persistent: no, class: beta3}",
            "        storage:\n          - size: 1Gi\n            attributes: {class: ram}",
            '        storage:\n          - name: ""\n            size: 1Gi',
            "        storage:\n          - size: 32Ti",
            "        storage:\n          - size: 1Gi\n            class: ram",
        ],
        [
            "        storage:\n          - size: 1Gi\n            attributes: {persistent: true}",
            "        storage:\n          - size: 1Gi\n            attributes: {persistent: no, class: ram}",
            "        storage:\n          - size: 1Gi\n            attributes: {class: }",
            "        storage:\n          - size: 1Gi\n            attributes: {persistent: }",
            "        storage:\n          - null",
            "        storage:\n          - 1Gi",
            "        storage: []",
            "        storage: ~",
            "        storage:\n          - name: default\n            size: 1Gi\n          - size: 2Gi",
            "        storage:\n          - size: 5242879",
            "        storage:\n          - size: 1Gi\n            attributes: [a]",
        ],
    ),
    (
        'version: "2.0"',
        [
            'version: "v2.1"',
            "version: 2.1.5",
            "version: 20",
            '%YAML 1.1\n---\nversion: "2.0"',
            'include: [a]\nversion: "2.0"',
            'reclamation: {min_window: 1h, foo: 2}\nversion: "2.0"',
            'endpoints: {}\nversion: "2.0"',
            'services: {zz: {image: 1}}\nversion: "2.0"',
            'services:\nversion: "2.0"',
        ],
        [
            'version: "2.0.0-1"',
            "version: 2.0.1",
            "version: 1.0",
            'version: ""',
            "version: ~",
            "version: two",
            "version: 2.0.0.0",
            'Version: "2.0"',
            '%YAML 1.2\n---\nversion: "2.0"',
            '%FOO 1\n---\nversion: "2.0"',
            'include: a\nversion: "2.0"',
            'reclamation:\nversion: "2.0"',
            'reclamation: []\nversion: "2.0"',
            '<<: {a: b}\nversion: "2.0"',
            'endpoints: {a: {kind: ip}}\nversion: "2.0"',
            'endpoints: {ab: {kind: ip}}\nversion: "2.0"',
        ],
    ),
    (
        "          size: 1Gi",
        [
            "          size: 1Gi\n        gpu: {units: 1, attributes: {vendor: {nvidia: [{model: a100*}]}}}",
            "          size: 1Gi\n        gpu: {units: 1, attributes: {vendor: {nvidia: [{}]}}}",
            "          size: 1Gi\n        gpu: {units: 1, attributes: {vendor: {nvidia: [{model: a/b}]}}}",
            "          size: 1Gi\n        gpu: {units: 1, attributes: {vendor: {nvidia: [{model: a100, ram: 80}]}}}",
            "          size: 1Gi\n        gpu: {units: 1, attributes: {vendor: {nvidia: [{model: a100, interface: }]}}}",
            "          size: 1Gi\n        gpu:\n          units: 1\n          attributes:\n            vendor:\n              amd: [x]",
            "          size: 1Gi\n        gpu: 1",
            "          size: 1Gi\n        gpu: {}",
            "          size: 1Gi\n        gpu: {units: 0}",
            "          size: 1Gi\n        gpu: {units: 24, attributes: {vendor: {}}}",
            "          size: 1Gi\n        gpu: {units: 1, units: 1, attributes: {vendor: {}}}",
            "          size: 1Gi\n        gpu: {units: 1, attributes: {vendor: {nvidia: [{model: a100}, {model: a100, ram: 80Gi}]}}}",
        ],
        [
            '          size: 1Gi\n        gpu: {units: 1, attributes: {vendor: {nvidia: [{model: "a b"}]}}}',
            "          size: 1Gi\n        gpu: {units: 1, attributes: {vendor: {nvidia: [{model: a*b}]}}}",
            "          size: 1Gi\n        gpu: {units: 1, attributes: {vendor: {nvidia: [{model: é}]}}}",
            "          size: 1Gi\n        gpu: {units: 1, attributes: {vendor: {nvidia: [{model: a100, ram: 80gi}]}}}",
            '          size: 1Gi\n        gpu: {units: 1, attributes: {vendor: {nvidia: [{model: a100, ram: ""}]}}}',
            "          size: 1Gi\n        gpu: {units: 1, attributes: {vendor: {nvidia: [{model: a100, interface: PCIE}]}}}",
            "          size: 1Gi\n        gpu:\n          units: 1\n          attributes:\n            foo: 1",
            "          size: 1Gi\n        gpu: {units: -1}",
            "          size: 1Gi\n        gpu: {units: 1, attributes: }",
            "          size: 1Gi\n        gpu: {units: 1, attributes: {vendor: }}",
            "          size: 1Gi\n        gpu: {units: 1, attributes: {vendor: {nvidia: {model: a100}}}}",
        ],
    ),
    (
        "      pricing:",
        [
            '      attributes: {"": x}\n      pricing:',
            "      signedBy: {allOf: [a, ~]}\n      pricing:",
            "      signedBy: ~\n      pricing:",
            "      signed_by: {allOf: [a]}\n      pricing:",
            "      pricing: \n        zzz:\n",
            "      attributes: {~: b}\n      pricing:",
        ],
        [
            "      attributes: {a: {b: c}}\n      pricing:",
            "      attributes: [a]\n      pricing:",
            "      attributes: {a: b, a: c}\n      pricing:",
            "      signedBy: {allOf: a}\n      pricing:",
            "      attributes: {? [a] : b}\n      pricing:",
        ],
    ),
]
CASES = [(old, new, taken) for old, good, bad in VARIANTS for new, taken in [*((n, True) for n in good), *((n, False) for n in bad)]]


def is_taken(text: str) -> bool:
    try:
        source = manifest_source(text, "m.yaml")
    except InputError:
        return False
    if source.problems:
        return False
    assert Sdl.of(source.data).groups()
    return True


def test_the_base_is_taken() -> None:
    assert is_taken(BASE)


@pytest.mark.parametrize(("old", "new", "taken"), CASES, ids=[f"{'takes' if taken else 'refuses'} {new!r}" for _, new, taken in CASES])
def test_variant(old: str, new: str, taken: bool) -> None:
    assert BASE.count(old) >= 1
    assert is_taken(BASE.replace(old, new, 1)) is taken
