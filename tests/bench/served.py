"""`python -m tests.bench.served PORT BUNDLE`: LitServe with our own decoding and models behind it, batching by itself.

A request is what its documentation sends, JSON with the picture in base64; the answer is what a client needs of it.
"""

import signal
import sys
from base64 import b64decode
from collections.abc import Mapping, Sequence

import litserve

from sluice.core.errors import Rejection
from sluice.media.decoding.limits import Limits
from sluice.media.decoding.picture import picture
from sluice.models.load import load
from sluice.moderation.values import Job, Scores
from sluice.settings import Batching, Media, Models
from tests.bench.endtoend import CORES

BATCH_TIMEOUT_S = 0.02
REQUEST_TIMEOUT_S = 600  # a full queue on a crowded machine
HOST = "127.0.0.1"


class Judging(litserve.LitAPI):  # type: ignore[misc]
    """Decodes one request after the other, and judges as many as wait together."""

    bundle: str

    def setup(self, device: str) -> None:
        """Load the models that `sluice run` loads, with as many threads."""
        self._limits = Limits.of(Media())
        self._lane = load(Models(bundle=self.bundle, device=device, torch_threads=CORES))

    def decode_request(self, request: Mapping[str, str]) -> Job:
        """Decode the picture as `sluice run` does, without the process around it."""
        return Job(picture(b64decode(request["image"]), self._limits), request["prompt"])

    def predict(self, jobs: Sequence[Job]) -> list[dict[str, object]]:
        """Judge a batch."""
        return [_answer(scores) for scores in self._lane.score(jobs)]


def _answer(scores: Scores | Rejection) -> dict[str, object]:
    if isinstance(scores, Rejection):
        return {"reason": scores.reason}
    return {"nsfw": scores.reference_has_nsfw, "clip_score": 100 * scores.clip.cosine if scores.clip else None}


def main() -> None:
    """Serve until SIGTERM, which LitServe does not know: it would leave its processes behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    api = Judging(max_batch_size=Batching().max_records, batch_timeout=BATCH_TIMEOUT_S)
    api.bundle = sys.argv[2]
    server = litserve.LitServer(api, accelerator="auto", workers_per_device=1, timeout=REQUEST_TIMEOUT_S)
    server.run(host=HOST, port=int(sys.argv[1]), num_api_servers=1, log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    main()
