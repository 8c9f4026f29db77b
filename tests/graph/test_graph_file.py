from dataclasses import fields

import numpy as np
import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.graph.graph_file import load_graph, save_graph


def test_a_graph_comes_back_as_it_was(small_graph, tmp_path):
    graph, _ = small_graph
    graph.user_ids[0] = 'any "character",\nand 名'
    save_graph(graph, tmp_path / "graph.safetensors", "encoder")
    again = load_graph(tmp_path / "graph.safetensors", "encoder")
    for field in fields(graph):
        one, two = getattr(graph, field.name), getattr(again, field.name)
        assert one.dtype == two.dtype, field.name
        np.testing.assert_array_equal(one, two)


def test_what_does_not_fit_is_refused(small_graph, tmp_path):
    path = tmp_path / "graph.safetensors"
    save_graph(small_graph[0], path, "encoder")
    with pytest.raises(InputError, match="another text encoder"):
        load_graph(path, "other")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        load_graph(path, "encoder")
    path.write_bytes(b"no graph")
    with pytest.raises(InputError, match="not a readable graph file"):
        load_graph(path, "encoder")
    with pytest.raises(InputError, match="no such file"):
        load_graph(tmp_path / "none", "encoder")
