"""Settings of workers that fetch pictures from the simulator's store."""

from sluice_sim.store import Store

IMPATIENT = {
    "SLUICE_FETCH__TOTAL_TIMEOUT_S": "3",  # a dropped SYN is sent again after one second
    "SLUICE_BATCHING__RETRY_PAUSE_S": "0.5",
}
"""Give up on a store soon, and ask it again soon."""


def fetching(store: Store) -> dict[str, str]:
    """Let workers fetch from this store."""
    return {
        "SLUICE_FETCH__ALLOWED_SCHEMES": "http",
        "SLUICE_FETCH__ALLOWED_HOSTS": store.host,
        "SLUICE_FETCH__ALLOWED_PORTS": str(store.port),
        "SLUICE_FETCH__ALLOW_PRIVATE_ADDRESSES": "true",
    }
