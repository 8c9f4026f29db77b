"""How much the network counts beside the product graph: chosen on validation, not learned."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from rec_sys.foundation.errors import InputError
from rec_sys.modules.metrics import TargetPositions, ndcg

#: Products in a list, the k of NDCG@k.
K = 10
# So many standard errors below make a value significantly lower at 5 % (one-sided).
_SIGNIFICANT = 1.645


class ShareSearch(Metric):
    """Tries some shares of the network's scores on the validation targets.

    The ranking score is ``share * network + graph``. The best share is the one with the highest
    NDCG@10 among all products, the history left out; of those that are not significantly worse
    (paired, 5 %), the smallest is taken, in the way of Breiman et al. ("Classification and
    Regression Trees", 1984) with trees: with few users the highest value is mostly luck, and what
    the network knows of popularity is soon out of date.

    Args:
        shares: Above 0, in any order.

    Raises:
        InputError: There is no share, or one is not above 0.
    """

    def __init__(self, shares: Sequence[float]) -> None:
        if not len(shares) or min(shares) <= 0:
            raise InputError(f"train.ranking_shares={list(shares)}: numbers above 0 are needed")
        super().__init__()
        self.shares = sorted(float(share) for share in shares)
        # Of several processes each measures some users; `compute` sees those of all.
        self.add_state("ndcg", default=[], dist_reduce_fx="cat")

    def update(self, network: Tensor, graph: Tensor, seen: Tensor, target: Tensor) -> None:
        """Adds some users.

        Args:
            network: float32 [U, P], inner products of queries and keys.
            graph: float32 [U, P], what the product graph propagates.
            seen: int64 [2, n], pairs of user and product that are left out.
            target: int64 [2, T], pairs of user and product; users without any are not counted.
        """
        user, product = target
        if not len(user):
            return
        users, place = np.unique(user.cpu().numpy(), return_inverse=True)
        columns = []
        for share in self.shares:
            scores = share * network + graph
            scores[seen[0], seen[1]] = -torch.inf
            others, own = scores[user], scores[user, product][:, None]
            above, tied = (others > own).sum(1), (others == own).sum(1)
            positions = TargetPositions(
                place, above.cpu().numpy(), tied.cpu().numpy(), num_users=len(users)
            )
            columns.append(ndcg(positions, K))
        self.ndcg.append(torch.from_numpy(np.stack(columns, axis=1)).to(self.device))

    def compute(self) -> tuple[float, float]:
        """The chosen share and its NDCG@10; the smallest share and NaN without any target."""
        if not len(self.ndcg):
            return self.shares[0], float("nan")
        values = dim_zero_cat(self.ndcg)
        means = values.mean(dim=0)
        behind = values[:, means.argmax(), None] - values
        error = behind.std(dim=0, unbiased=False) / len(values) ** 0.5
        chosen = int(torch.nonzero(behind.mean(dim=0) <= _SIGNIFICANT * error)[0])
        return self.shares[chosen], float(means[chosen])
