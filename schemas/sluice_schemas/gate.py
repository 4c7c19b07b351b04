"""The display rule: whether these bytes may be shown under this verdict, and which of two verdicts stands.

Both functions are pure. A display service folds every verdict of an image with `latest`, from a `read_committed`
consumer that has replayed its store to the end, and asks `may_show` each time it is about to send bytes.
Whatever is not an explicit yes is a placeholder; there is no "timeout, then show". `standing` does the folding for a
service that restarts.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sluice_schemas.events import Verdict
from sluice_schemas.parts import Mode, Status

_NEVER = datetime.min.replace(tzinfo=UTC)

# INDETERMINATE counts as BLOCK; where both stand, the definite finding is the one to keep.
_RESTRICTIVE = {
    Status.ALLOW: 0,
    Status.BLUR: 1,
    Status.REVIEW: 2,
    Status.INDETERMINATE: 3,
    Status.BLOCK: 4,
}


class Why(StrEnum):
    """Why an image may be shown or not; stable, for logs and metrics."""

    ALLOWED = "allowed"
    NO_VERDICT = "no_verdict"
    SHADOW = "shadow"
    NOT_ALLOWED = "not_allowed"
    INDETERMINATE = "indeterminate"
    BYTES_CHANGED = "bytes_changed"
    POLICY_TOO_OLD = "policy_too_old"
    EXPIRED = "expired"
    NOT_REPLAYED = "not_replayed"
    REVOKED = "revoked"
    UNVERIFIED = "unverified"


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer of the gate; its truth value is `show`."""

    show: bool
    reason: Why

    def __bool__(self) -> bool:
        return self.show

    @property
    def alert(self) -> bool:
        """Whether a person should look at it."""
        return self.reason in {Why.BYTES_CHANGED, Why.INDETERMINATE, Why.UNVERIFIED}


def may_show(verdict: Verdict | None, image_sha256: str, *, minimum_policy_version: int, now: datetime) -> Decision:
    """Decide whether bytes with this SHA-256 (lower-case hex, of exactly what is about to be sent) may be shown.

    `verdict` is the one that stands for the image, None if there is none yet; `now` is an aware datetime.
    """
    reason = _reason(verdict, image_sha256, minimum_policy_version, now)
    return Decision(reason is Why.ALLOWED, reason)


def _reason(verdict: Verdict | None, image_sha256: str, minimum_policy_version: int, now: datetime) -> Why:
    if verdict is None:
        return Why.NO_VERDICT
    refusals = (
        (verdict.mode is not Mode.ENFORCE, Why.SHADOW),
        (verdict.status is Status.INDETERMINATE, Why.INDETERMINATE),
        (verdict.status is not Status.ALLOW, Why.NOT_ALLOWED),
        (not image_sha256 or verdict.image_sha256 != image_sha256, Why.BYTES_CHANGED),
        (verdict.policy.version < minimum_policy_version, Why.POLICY_TOO_OLD),
        (verdict.expires_at is not None and now >= verdict.expires_at, Why.EXPIRED),
    )
    return next((reason for refused, reason in refusals if refused), Why.ALLOWED)


def latest(current: Verdict | None, incoming: Verdict) -> Verdict:
    """Return which of two verdicts on one image stands, in whatever order and however often they arrive.

    A verdict that counts stands above one in SHADOW mode; a person's above the models', the later person's first;
    then the higher policy version; then the more restrictive status. The rest only makes the choice definite.
    """
    return incoming if current is None or _rank(incoming) > _rank(current) else current


def _rank(verdict: Verdict) -> tuple[object, ...]:
    return (
        verdict.mode is Mode.ENFORCE,
        verdict.override.at if verdict.override else _NEVER,
        verdict.policy.version,
        _RESTRICTIVE[verdict.status],
        str(verdict.verdict_id),
        verdict.produced_at,
        verdict.image_sha256 or "",
        verdict.expires_at or _NEVER,
    )
