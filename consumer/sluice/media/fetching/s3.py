"""s3: references, through obstore's synchronous API: fixed endpoint, fixed buckets, the event chooses only a key."""

import math
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from sluice.core.errors import BadSettings, Unfetchable
from sluice.media.fetching.circuit_breaker import Transient
from sluice.media.fetching.references import Stored
from sluice.settings import Fetch

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store

_STORES = 64
_NOBODY = "http://127.0.0.1:9"

ReadObject = Callable[[Stored, int, float], bytes]
"""Object, most bytes, seconds left -> its bytes; raises Unfetchable or Transient."""


def reader(settings: Fetch) -> ReadObject:
    """Return what reads objects; BadSettings when buckets are configured and the extra is not installed."""
    try:
        import obstore  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise BadSettings(
            "fetch.s3_buckets is set, but obstore is not installed", remedy="pip install 'sluice[s3]'"
        ) from error
    from obstore import exceptions  # noqa: PLC0415 - an extra

    store_for = lru_cache(_STORES)(lambda bucket, timeout_s: _store(settings, bucket, timeout_s))

    def read(wanted: Stored, max_bytes: int, left_s: float) -> bytes:
        try:
            found = obstore.get(store_for(wanted.bucket, math.ceil(left_s)), wanted.key)
            data = bytearray()
            if found.meta["size"] <= max_bytes:
                for piece in found.stream():
                    data += piece
                    if len(data) > max_bytes:
                        break
        except (FileNotFoundError, exceptions.NotFoundError, exceptions.InvalidPathError) as error:
            raise Unfetchable("not_found", "no such object") from error
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise Unfetchable("forbidden", "the object may not be read") from error
        except (exceptions.BaseError, OSError) as error:
            raise Transient(type(error).__name__) from None  # its message names the object's URL
        if found.meta["size"] > max_bytes or len(data) > max_bytes:
            raise Unfetchable("too_large", f"over {max_bytes} bytes")
        return bytes(data)

    return read


def _store(settings: Fetch, bucket: str, timeout_s: int) -> "S3Store":
    from obstore.store import S3Store  # noqa: PLC0415 - an extra

    config: S3Config = {"region": settings.s3_region}
    if settings.s3_endpoint:
        config["endpoint"] = settings.s3_endpoint
    if settings.s3_access_key_id:
        config["access_key_id"] = settings.s3_access_key_id
        config["secret_access_key"] = settings.s3_secret_access_key.get_secret_value()
    return S3Store(
        bucket,
        config=config,
        client_options={
            "connect_timeout": timedelta(seconds=settings.connect_timeout_s),
            "read_timeout": timedelta(seconds=settings.first_byte_timeout_s),
            "timeout": timedelta(seconds=timeout_s),
            "allow_http": settings.s3_endpoint.startswith("http://"),
            "proxy_url": _NOBODY,  # one that is never used: only then does the client leave the environment's alone
            "proxy_excludes": "*,0.0.0.0/0,::/0",
        },
        retry_config={"max_retries": 0},  # the fetcher retries, under its own deadline
    )
