"""rec_sys: recommendations from what people write.

Reviews go in at the bottom, flow upward through the rooms once, and come out as recommendations
with a reason::

    foundation < reviews < text < graph < modules < train, vector_database < inference

Importing the package bounds the threads of the libraries that compute, see
`rec_sys.foundation.distributed.bound_threads`.
"""

from rec_sys.foundation.distributed import bound_threads

__version__ = "0.1.0"

bound_threads()
