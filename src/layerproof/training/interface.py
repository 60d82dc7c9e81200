"""What training and benchmarks use; everything else of this part is nobody's business.

>>> model = train(index, until=cutoff, seed=1)                    # events before `until` only
>>> stream = Stream(model, index)                                 # knows the history until `until`
>>> for event in later:                                           # oldest first
...     assessment = stream.score(event)                          # causal: before `observe`
...     stream.observe(event)                                     # counts once it has matured

1. `train` reads everything from the index: events, images with their chains and contents, trust
   records (confirmation: an image with active trust), withdrawals (denial). The time of each is
   respected: a record made at or after `until` does not exist. Nothing else is read.
2. `Stream.score` changes nothing, so that an injected event may be scored and thrown away. The
   image is looked up in the index by `event.manifest_digest`. If it is not there, contents are
   unknown, and the interval says so. Train with `kinds` without CONTENTS for streams of events that
   never have images: then nothing is missing.
3. `Stream.observe` feeds the history under the maturity rule of `options`; `Stream.dispute` takes
   the events of a digest out of it from that moment on; `Stream.confirm` lets them count at once.
4. `kinds` restricts the features (ablation: drop one, or only one).
5. Only `trust` need be compared for curves (higher is better; `raw` breaks no ties and is not
   needed); `p_value` and `outcome` are calibrated by a rolling window of matured events.
"""

from layerproof.model.learned import ALL_KINDS, Assessment, Kind, Outcome
from layerproof.training.options import TrainingOptions
from layerproof.training.stream import Stream
from layerproof.training.train import LearnedModel, train

__all__ = [
    "ALL_KINDS",
    "Assessment",
    "Kind",
    "LearnedModel",
    "Outcome",
    "Stream",
    "TrainingOptions",
    "train",
]
