"""`hopwell serve`: what is refused before anything starts."""

from __future__ import annotations

import pytest
from commands import refused


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--served-model-name", ",", "--served-model-name is ',', which has an empty name"),
        ("--name", "a,,b", "which has an empty name"),
        ("--cors-origin", "foo", "--cors-origin is 'foo'; give scheme and host"),
        ("--cors-origin", "https://a.example/", "give scheme and host"),
        ("--cors-origin", "https://A.example", "give scheme and host"),
        ("--allowed-host", "https://a.example", "--allowed-host is 'https://a.example'; give a name without scheme"),
        ("--allowed-host", "", "--allowed-host is ''"),
        ("--api-keys", "/no/such/keys", "/no/such/keys: cannot read: No such file or directory\n"),
    ],
)
def test_what_would_have_no_effect_is_refused_by_name(option: str, value: str, says: str) -> None:
    said = refused("serve", "--port", "0", option, value)
    assert says in said and said.count("/no/such/keys") <= 1
