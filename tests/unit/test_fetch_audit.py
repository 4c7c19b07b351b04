"""No connection to a forbidden address is ever begun, as the interpreter itself reports them."""

import json
import subprocess
import sys
from typing import cast

import pytest

from tests.support.references import FORBIDDEN, NEVER, PRIVATE, PUBLIC

Heard = dict[str, list[str]]


def audit(mode: str) -> Heard:
    command = [sys.executable, "-m", "tests.support.socket_audit", mode]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=280)
    return cast(Heard, json.loads(done.stdout))


@pytest.fixture(scope="module")
def heard() -> Heard:
    return audit("guarded")


def test_what_a_reference_names_is_asked_for_only_at_public_addresses(heard: Heard) -> None:
    """With every host of the table in the list, and names that all lead inside."""
    assert {"8.8.8.8", "8.8.8.9"} <= set(heard["named"])
    assert set(heard["named"]) <= {"8.8.8.8", "8.8.8.9", "2606:4700::1111", "2606:4700::1112"}


def test_names_that_turn_inward_after_the_first_look_are_followed_only_outward(heard: Heard) -> None:
    """Each name was public once, so there were as many connections as names, and each to the public address."""
    assert heard["rebound"] == [PUBLIC[0]] * len(FORBIDDEN)


def test_redirects_lead_to_no_address_that_no_setting_allows(heard: Heard) -> None:
    assert heard["redirected"]
    assert set(heard["redirected"]) <= set(PRIVATE)


def test_the_audit_hears_what_the_guard_prevents() -> None:
    """By version 4 alone: not every machine speaks version 6."""
    heard = audit("unguarded")
    private, never = ({address for address in addresses if ":" not in address} for addresses in (PRIVATE, NEVER))
    assert private | never <= set(heard["rebound"])
    assert {"127.0.0.1", "169.254.169.254", "168.63.129.16"} <= set(heard["named"])
    assert never <= set(heard["redirected"])
