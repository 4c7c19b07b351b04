"""Try every reference there is, in a process that hears of each connection before it is made, and print them.

`python -m tests.support.socket_audit guarded|unguarded` prints JSON; the latter takes the address guard away, which
shows that the audit has ears. An audit hook cannot be removed, therefore a process. No connection leaves this machine:
the hook ends them all but those to the one server that redirects.
"""

import json
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import product
from typing import Any

from sluice.core.errors import SluiceError
from sluice.media.fetching import fetcher, host_names, references
from sluice.settings import Fetch, Media
from sluice_schemas import Image
from tests.support.references import ALLOWED, FORBIDDEN, PUBLIC, REFUSED
from tests.support.stores import store

PATIENCE_S = 120
TLS = ssl.create_default_context()
ALL = [*ALLOWED, *(uri for uris in REFUSED.values() for uri in uris)]
MIXES = [[PUBLIC[0], address] for address in FORBIDDEN] + [[address, PUBLIC[0]] for address in FORBIDDEN]


class Ears:
    """Every address that a connection was to be made to; all but `ours` are ended before they begin."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.ours: tuple[str, int] | None = None
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Hear an event of the interpreter."""
        if event == "socket.connect" and arguments[1][:2] != self.ours:
            self.heard.append(arguments[1][0])
            raise ConnectionRefusedError


def hosts_of(uris: Sequence[str]) -> tuple[str, ...]:
    """Return whatever stands where a host would, as a list that is wide open would name it."""
    places = {uri.partition("://")[2].partition("/")[0].rpartition("@")[2].lower() for uri in uris}
    return tuple(form for place in places for form in (place, place.rpartition(":")[0]) if form)


def ask(uris: Sequence[str], resolve: host_names.Resolve, **changes: Any) -> None:
    """Fetch all of them, each with fresh eyes."""
    settings: dict[str, Any] = {
        "allowed_schemes": ("https", "http", "file"),
        "allowed_ports": (80, 443, 8443, 22, 8080),
        "allowed_hosts": (*hosts_of(uris), ".test"),
        "threads": 1,
    }
    for uri in uris:
        # Not validated: a list that allows what is no host at all keeps the rest of the guards honest.
        open_wide = Fetch().model_copy(update=settings | changes)
        made = fetcher.Fetcher(open_wide, Media(), resolve=resolve, tls=TLS)
        with made as opened, suppress(SluiceError):
            opened.submit(Image(uri=uri)).result(PATIENCE_S)


def rebinding(answers: Sequence[Sequence[str]]) -> Callable[[str, int], list[str]]:
    """Return a resolver that gives each name these answers, one after the other, and the last for ever."""
    looks: dict[str, int] = {}

    def resolve(host: str, port: int) -> list[str]:
        del port
        looks[host] = looks.get(host, -1) + 1
        return list(answers[min(looks[host], len(answers) - 1)])

    return resolve


def rebound() -> None:
    """Ask for names that are public at the first look and forbidden later, or both at once."""
    for address in FORBIDDEN:
        resolve = rebinding([PUBLIC[:1], [address]])
        ask(["https://a.test/", "https://a.test/", "http://a.test/b"], resolve)
    for mix in [[address] for address in FORBIDDEN] + MIXES:
        ask(["https://a.test/"], rebinding([mix]))


def unhelpful(host: str, port: int) -> list[str]:
    """Read numbers in every spelling the system knows, and say of every name that it is inside."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return ["10.0.0.1"]
    return [str(address[0]) for *_, address in found]


def redirected(ears: Ears) -> None:
    """Follow redirects from a store of ours to every address, by number and by name."""
    with store() as shop:
        ears.ours = ("127.0.0.1", shop.port)
        places = [f"[{address}]" if ":" in address else address for address in FORBIDDEN]
        names = {f"to-{index}.test": address for index, address in enumerate(FORBIDDEN)}

        def resolve(host: str, port: int) -> list[str]:
            return [names[host]] if host in names else unhelpful(host, port)

        uris = [shop.url(f"/to/http:~~{place}:{shop.port}~ok") for place in (*places, *names)]
        lists = {"allowed_hosts": (*places, *names), "allowed_ports": (shop.port,), "max_redirects": 2}
        ask(uris, resolve, allow_private_addresses=True, **lists)


def main(mode: str) -> None:
    """Run all of it and print what was heard."""
    fetcher._BACKOFF_S = 1e6  # one try each
    if mode == "unguarded":
        references.check_addresses = lambda addresses, **_: list(addresses)
    ears = Ears()
    ask([*ALL, *(f"{scheme}://{place}/" for scheme, place in product(("http", "https"), hosts_of(ALL)))], unhelpful)
    named, ears.heard = ears.heard, []
    rebound()
    bound, ears.heard = ears.heard, []
    redirected(ears)
    sys.stdout.write(json.dumps({"named": named, "rebound": bound, "redirected": ears.heard}))


if __name__ == "__main__":
    main(sys.argv[1])
