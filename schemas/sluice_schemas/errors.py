"""What can go wrong between bytes and events."""


class WireError(ValueError):
    """These bytes are not an event we know, or this value cannot be written as one.

    `reason` is a stable snake_case code: `empty`, `too_large`, `wrong_magic`, `unknown_fingerprint`,
    `unknown_schema_id`, `unknown_schema_guid`, `schema_refused`, `schema_unavailable`, `schema_not_asked`,
    `unresolvable_schema`, `wrong_type`, `malformed`, `trailing_bytes`, `repeated_header`, `ambiguous_schema`,
    `bad_image_id`, `unencodable`. The message is for people and never holds anything of the bytes but the schema's id.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class RegistryDown(Exception):
    """The schema registry gave no usable answer now; the same call may succeed later."""


class RegistryUnclear(RegistryDown):
    """Something answered, but not as a schema registry does: a redirect, a page, an answer without what it is about."""


class RegistryRefused(Exception):
    """The schema registry said no: incompatible (409), unauthorised (401, 403), unknown subject (404)...

    `status` is the HTTP status, `code` the registry's own error code (0 if it gave none).
    """

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(f"registry answered {status} (code {code}): {message}")
        self.status = status
        self.code = code
