"""rec_sys: recommendations from what people write.

Reviews go in at the bottom, flow upward through the rooms once, and come out as recommendations
with a reason::

    foundation < reviews < text < graph < modules < train, vector_database < inference

From Python it is `rec_sys.inference.recommender.Recommender`, imported when it is asked for. The
import bounds the threads that compute, see `rec_sys.foundation.distributed.bound_threads`.
"""

import signal
import sys
from typing import TYPE_CHECKING, Any

from rec_sys.foundation.distributed import bound_threads
from rec_sys.foundation.errors import end_at_once

if TYPE_CHECKING:
    from rec_sys.inference.recommender import Recommender

__all__ = ["Recommender"]
__version__ = "0.1.0"

bound_threads()
# A command, about to import what it needs; some libraries would make something else of Ctrl-C.
_is_ignored = signal.getsignal(signal.SIGINT) is not signal.default_int_handler
if "".join(sys.argv[:1]).endswith(("-m", "rec-sys")) and not _is_ignored:
    signal.signal(signal.SIGINT, end_at_once)


def __getattr__(name: str) -> Any:
    if name != "Recommender":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rec_sys.inference.recommender import Recommender

    return Recommender
