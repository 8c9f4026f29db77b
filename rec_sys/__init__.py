"""rec_sys: recommendations from what people write.

Reviews go in at the bottom, flow upward through the rooms once, and come out as recommendations
with a reason::

    foundation < reviews < text < graph < modules < train, vector_database < inference
"""
