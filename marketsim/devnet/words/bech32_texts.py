"""What the real command line says of a text that is no address."""

from __future__ import annotations

from bech32 import CHARSET, bech32_create_checksum

from marketsim.devnet.addresses import PREFIX

_CHECKSUM = 6


def bech32_problem(text: str) -> str:
    """Return what is wrong with a text as an address. Source: github cosmos/btcutil bech32 and cosmos/cosmos-sdk types/address.go."""
    if not text.strip():
        return "empty address string is not allowed"
    return f"decoding bech32 failed: {problem}" if (problem := _decoding(text)) else _of_prefix(text)


def _decoding(text: str) -> str:
    if not 8 <= len(text) <= 1023:
        return f"invalid bech32 string length {len(text)}"
    strange = next((letter for letter in text if not 33 <= ord(letter) <= 126), None)
    if strange is not None:
        return f"invalid character in string: '{strange}'"
    if text not in (text.lower(), text.upper()):
        return "string not all lowercase or all uppercase"
    text = text.lower()
    one = text.rfind("1")
    if one < 1 or one + 1 + _CHECKSUM > len(text):
        return f"invalid separator index {one}"
    prefix, data = text[:one], text[one + 1 :]
    odd = next((letter for letter in data if letter not in CHARSET), None)
    if odd is not None:
        return f"failed converting data to bytes: invalid character not part of charset: {ord(odd)}"
    numbers = [CHARSET.find(letter) for letter in data]
    wanted = "".join(CHARSET[number] for number in bech32_create_checksum(prefix, numbers[:-_CHECKSUM]))
    return "" if data.endswith(wanted) else f"invalid checksum (expected {wanted} got {data[-_CHECKSUM:]})"


def _of_prefix(text: str) -> str:
    prefix = text.lower()[: text.rfind("1")]
    if prefix != PREFIX:
        return f"invalid Bech32 prefix; expected {PREFIX}, got {prefix}"
    return f"{text} is an address of nobody on this devnet"


__all__ = ["bech32_problem"]
