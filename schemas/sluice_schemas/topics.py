"""The topics of the contract: what each carries, how it is keyed, how it is cleaned up. Names are only defaults."""

from dataclasses import dataclass
from typing import Literal

from sluice_schemas.events import Control, DeadLetter, Event, Feedback, ImageGenerated, Quality, Verdict


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `direction` is seen from Sluice; `key` names the record key, UTF-8 text."""

    name: str
    event: type[Event]
    key: str
    direction: Literal["in", "out"]
    cleanup: Literal["delete", "compact"]
    carries: str

    @property
    def subject(self) -> str:
        """The registry subject of the value, by TopicNameStrategy."""
        return subject_of(self.name)


def subject_of(topic: str) -> str:
    """Return the registry subject of a topic's values, by TopicNameStrategy."""
    return f"{topic}-value"


IMAGES = Topic("images.generated.v1", ImageGenerated, "image_id", "in", "delete", "an image was generated")
VERDICTS = Topic("images.verdicts.v1", Verdict, "image_id", "out", "delete", "may it be shown, and why")
QUALITY = Topic("images.quality.v1", Quality, "image_id", "out", "delete", "how good it is, for monitoring")
DEAD_LETTERS = Topic(
    "images.deadletter.v1", DeadLetter, "image_id or source key", "out", "delete", "records that could not be judged"
)
FEEDBACK = Topic("images.feedback.v1", Feedback, "image_id", "in", "delete", "what people said of it")
CONTROL = Topic("images.control.v1", Control, "kind/key", "in", "compact", "policies, concept packs and bans as data")

TOPICS: tuple[Topic, ...] = (IMAGES, VERDICTS, QUALITY, DEAD_LETTERS, FEEDBACK, CONTROL)
