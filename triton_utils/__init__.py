"""The models on a Triton Inference Server, and how the web service asks for them.

``model_repository/`` is what the server serves; the export commands write its version folders.
`TritonGraphBackend` and `TritonTextBackend` stand in for the backends that run in this process.
``compose.yaml`` starts the server and the web service.
"""
