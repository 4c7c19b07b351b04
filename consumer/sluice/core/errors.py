"""Errors, named by what the loop does next.

SluiceError
|-- Rejection(stage, reason)   the record cannot be judged: indeterminate verdict + dead letter; go on
|     |-- Undecodable          the bytes on the topic are not an event we know
|     |-- Refused              the event asks for something policy forbids (a reference, a size)
|     |-- Unfetchable          the store answered that the image is not there
|     |-- Unreadable           the bytes are not an image we can decode within the limits
|     |-- Unscorable           a model gave no meaningful answer
|     `-- Poisonous            the process died with it in flight, again and again
|-- DependencyDown             store, registry or device busy: pause and keep polling; never a dead letter
|-- TransactionAborted         nothing was published; flights stay; land again next turn
`-- Fatal(exit_code)           leave with a documented exit code; the supervisor restarts
      |-- Fenced               another process took the transactional id
      |-- BrokerLost           no broker answered within the deadline
      |-- Denied               the brokers do not let us in, or not do what we need
      |-- DeviceLost           the inference worker died or hangs
      |-- TooManyDeadLetters   the fuse is blown
      |-- SelfTestFailed       a known picture got another answer, or none in time
      |-- NoDecoders           decoder processes do not start, however often one tries
      |-- WeightsNotAttested   weights missing, altered, of the wrong shape, or without meaning
      `-- BadSettings          a setting cannot be used
          |-- BadPolicy        a policy cannot be used
          `-- NotInstalled     an extra of the distribution is asked for that is not installed

Retriable errors have no class: the adapter retries under its deadline and they never leave it.
Messages carry no user data: no prompt, no image, no query string, no secret.
"""

from collections.abc import Iterable
from typing import ClassVar


class SluiceError(Exception):
    """Root of every error this package raises on purpose.

    `message` says what is wrong, `settings` are the dotted names of the settings that are wrong or would help, `remedy`
    says what to do. A person reads all of them as one text; commands and `doctor` take the parts.
    """

    def __init__(self, message: str = "", *, setting: str | tuple[str, ...] = (), remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.settings = (setting,) if isinstance(setting, str) else setting
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class Rejection(SluiceError):
    """One record cannot be judged.

    `reason` is a stable snake_case code (it becomes `indeterminate_reason`, a metric label and the dead letter's
    reason); `detail` is for people and carries no user data.
    """

    stage: ClassVar[str] = "unknown"
    attempts: int = 1

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(f"{self.stage}: {reason}" + (f" ({message})" if message else ""))
        self.reason = reason
        self.detail = message


class Undecodable(Rejection):
    """The bytes on the topic are not an event we know."""

    stage = "decode_event"


class Refused(Rejection):
    """The event asks for something that is not allowed: a forbidden reference, a size over the limit."""

    stage = "admit"


class Unfetchable(Rejection):
    """The store answered, and the image is not to be had (403, 404, 410, hash mismatch)."""

    stage = "fetch"


class Unreadable(Rejection):
    """The bytes are not an image that can be decoded within the limits."""

    stage = "decode_image"


class Unscorable(Rejection):
    """A model gave no meaningful answer for this image: a number that is none, an embedding without direction."""

    stage = "score"


class Poisonous(Rejection):
    """The process died with this record in flight, again and again, at last with no other."""

    stage = "poison"

    def __init__(self, deaths: int, alone: int) -> None:
        super().__init__("poison", f"the process died {deaths} times with it in flight, {alone} times with no other")
        self.attempts = deaths


class DependencyDown(SluiceError):
    """A store, registry or device is not available now; the records wait, they are not rejected."""

    def __init__(self, dependency: str, message: str = "", *, setting: str | tuple[str, ...] = ()) -> None:
        super().__init__(f"{dependency} is not available" + (f": {message}" if message else ""), setting=setting)
        self.dependency = dependency


class TransactionAborted(SluiceError):
    """Nothing was published; the same outcomes may be committed again."""


class Fatal(SluiceError):
    """The process must leave; `exit_code` is documented in the README."""

    exit_code: ClassVar[int] = 70


class Fenced(Fatal):
    """A newer producer owns our transactional id, or the transaction's state is beyond repair."""

    exit_code = 71


class BrokerLost(Fatal):
    """No broker answered within the deadline."""

    exit_code = 69


class Denied(Fatal):
    """The brokers do not let us in, or forbid what we need; the message names the setting or the permission."""

    exit_code = 77


class DeviceLost(Fatal):
    """The inference worker died or hangs."""

    exit_code = 72


class TooManyDeadLetters(Fatal):
    """The fuse is blown: too large a share, or too long a run, of records could not be judged."""

    exit_code = 73


class WeightsNotAttested(Fatal):
    """Weights are missing, altered, not of the layout they claim, or degenerate: they give every picture one answer."""

    exit_code = 74


class ImagesExpired(Fatal):
    """Images were deleted before they were read, and `kafka.expired_images` is `stop`."""

    exit_code = 75


class SelfTestFailed(Fatal):
    """A known picture was not judged as it must be, or not in time: verdicts of this process cannot be trusted."""

    exit_code = 76


class NoDecoders(Fatal):
    """No process that decodes pictures can be started; the message says what it says."""

    exit_code = 79


class BadSettings(Fatal):
    """A setting cannot be used; the message names it, its value, what is allowed and its origin."""

    exit_code = 78


class BadPolicy(BadSettings):
    """A policy cannot be used; the message names file, line, key and what is allowed."""


class NotInstalled(BadSettings):
    """What was asked for needs an extra of the distribution; `remedy` is the command that installs it."""

    def __init__(self, extra: str, missing: Iterable[str]) -> None:
        super().__init__(f"not installed: {', '.join(missing)}", remedy=f"run: pip install 'sluice[{extra}]'")
