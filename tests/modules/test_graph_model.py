import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rec_sys.graph.ego_batch import MODEL_INPUTS, NUM_RATING_FEATURES
from rec_sys.modules.graph_model import ProductEncoder
from rec_sys.modules.model_export import random_inputs

VECTOR_DIM = 8


def inputs(users, products, edges, seed=0):
    arrays = random_inputs(VECTOR_DIM, users, products, edges, seed)
    return {name: torch.from_numpy(arrays[name]) for name in MODEL_INPUTS}


@torch.inference_mode()
def embed(model, tensors):
    return model(*(tensors[name] for name in MODEL_INPUTS))


@pytest.mark.parametrize(("users", "products", "edges"), [(1, 1, 0), (1, 1, 1), (3, 5, 20)])
def test_shapes_and_unit_length(model, users, products, edges):
    result = embed(model, inputs(users, products, edges))
    assert result.user_embeddings.shape == (users, model.embedding_dim)
    assert result.product_embeddings.shape == (products, model.embedding_dim)
    assert result.user_queries.shape == (users, model.embedding_dim + 1)
    assert result.product_keys.shape == (products, model.embedding_dim + 1)
    assert result.attention.shape == (edges, model.heads)
    for embeddings in result[:2]:
        torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(len(embeddings)))


def test_attention_sums_to_one_over_the_edges_of_a_user(model):
    tensors = inputs(3, 5, 20)
    sums = torch.zeros(3, model.heads).index_add(
        0, tensors["edge_index"][1], embed(model, tensors).attention
    )
    torch.testing.assert_close(sums, torch.ones_like(sums))


def test_a_review_reaches_its_writer_and_nobody_else(model):
    """Two users, two products, edges 0 -> 0 and 1 -> 1: a product index is no user index."""
    tensors = inputs(2, 2, 2)
    tensors["edge_index"] = torch.tensor([[0, 1], [0, 1]])
    before = embed(model, tensors)
    tensors["edge_attr"] = tensors["edge_attr"].clone()
    tensors["edge_attr"][1] += 1
    tensors["edge_rating"] = torch.tensor([tensors["edge_rating"][0], 1.0])
    after = embed(model, tensors)
    torch.testing.assert_close(before.user_embeddings[0], after.user_embeddings[0])
    torch.testing.assert_close(before.product_embeddings, after.product_embeddings)
    torch.testing.assert_close(before.user_queries[0], after.user_queries[0])
    torch.testing.assert_close(before.product_keys, after.product_keys)


def test_a_reviewed_product_changes_its_reviewer_only(model):
    tensors = inputs(2, 3, 2)
    tensors["edge_index"] = torch.tensor([[2, 0], [0, 1]])
    before = embed(model, tensors)
    tensors["product_name_features"] = tensors["product_name_features"].clone()
    tensors["product_name_features"][2] += 1
    after = embed(model, tensors)
    assert not torch.allclose(before.user_embeddings[0], after.user_embeddings[0])
    torch.testing.assert_close(before.user_embeddings[1], after.user_embeddings[1])
    torch.testing.assert_close(before.product_embeddings[:2], after.product_embeddings[:2])


def test_a_user_is_embedded_alike_alone_and_among_others(model):
    tensors = inputs(4, 6, 15, seed=3)
    together = embed(model, tensors)
    own = tensors["edge_index"][1] == 2
    alone = dict(tensors)
    for name in ("user_features", "user_rating_features"):
        alone[name] = tensors[name][2:3]
    alone["edge_index"] = torch.stack(
        [tensors["edge_index"][0, own], torch.zeros(own.sum()).long()]
    )
    for name in ("edge_attr", "edge_rating", "edge_age", "edge_step"):
        alone[name] = tensors[name][own]
    found = embed(model, alone)
    for one, all_of in (
        (found.user_embeddings, together.user_embeddings),
        (found.user_queries, together.user_queries),
    ):
        torch.testing.assert_close(one[0], all_of[2], rtol=1e-4, atol=1e-5)


def test_the_order_of_edges_does_not_matter(model):
    tensors = inputs(3, 4, 12)
    order = torch.from_numpy(np.random.default_rng(0).permutation(12))
    shuffled = dict(tensors)
    shuffled["edge_index"] = tensors["edge_index"][:, order]
    for name in ("edge_attr", "edge_rating", "edge_age", "edge_step"):
        shuffled[name] = tensors[name][order]
    torch.testing.assert_close(
        embed(model, tensors).user_embeddings, embed(model, shuffled).user_embeddings
    )


def test_the_last_number_of_a_key_counts_alike_for_everybody(model):
    queries = embed(model, inputs(3, 4, 12)).user_queries
    torch.testing.assert_close(queries[:, -1], torch.ones(3))


def test_alike_texts_start_alike():
    """Before training, the same text gives a user and a product nearly the same taste."""
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    from tests.helpers.configs import model_settings

    torch.manual_seed(0)
    model = instantiate(OmegaConf.create(model_settings("model_config")), vector_dim=VECTOR_DIM)
    tensors = inputs(5, 5, 0, seed=1)
    for name in ("product_name_features", "product_info_features", "product_review_features"):
        tensors[name] = tensors["user_features"]
    result = embed(model.eval(), tensors)
    # Ratings decide the first two numbers of an embedding, the texts all others.
    users, products = (F.normalize(each[:, 2:], dim=1) for each in result[:2])
    cosine = users @ products.T
    given = tensors["user_features"].any(dim=1)
    assert (cosine.argmax(dim=1) == torch.arange(5))[given].all()


def test_a_missing_source_is_not_an_average_one():
    torch.manual_seed(0)
    encoder = ProductEncoder(VECTOR_DIM, 16, dropout=0.0, modality_dropout=0.0).eval()
    name, nothing = torch.ones(1, VECTOR_DIM), torch.zeros(1, VECTOR_DIM)
    rest = (nothing, nothing, torch.zeros(1, NUM_RATING_FEATURES))
    missing = encoder(name, *rest)
    # The bias of an encoder must not leak in where there is no text.
    encoder.info[0].bias.data += 5
    torch.testing.assert_close(encoder(name, *rest), missing)
