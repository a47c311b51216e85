"""How far a quantized model is from fp32: pure arithmetic on scores and vectors."""

import math
from typing import NamedTuple

import torch

#: Added to the curvature of the classifier, so that it has one solution; in units of one text.
_RIDGE = 1.0
#: Newton's method needs about six steps.
_STEPS = 12


class TokenFidelity(NamedTuple):
    """Sums over the tokens of texts that both models read. ``losses`` are −ln of each token's probability."""

    tokens: int = 0
    divergence: float = 0.0
    reference_loss: float = 0.0
    loss: float = 0.0
    same: int = 0

    def plus(self, other: "TokenFidelity") -> "TokenFidelity":
        return TokenFidelity(
            self.tokens + other.tokens,
            self.divergence + other.divergence,
            self.reference_loss + other.reference_loss,
            self.loss + other.loss,
            self.same + other.same,
        )

    @property
    def kl(self) -> float:
        """The Kullback–Leibler divergence from fp32, in nats a token."""
        return self.divergence / self.tokens

    @property
    def perplexity(self) -> float:
        return math.exp(self.loss / self.tokens)

    @property
    def relative_perplexity(self) -> float:
        """How much larger the perplexity is than that of fp32: 0.01 is one per cent."""
        return math.expm1((self.loss - self.reference_loss) / self.tokens)

    @property
    def same_argmax(self) -> float:
        """The share of places at which both find the same token likeliest."""
        return self.same / self.tokens


def token_fidelity(reference: torch.Tensor, scores: torch.Tensor, targets: torch.Tensor) -> TokenFidelity:
    """Compares scores before softmax, ``[tokens, vocabulary]``; ``targets`` ``[tokens]`` are the text's next ids."""
    before, after = (each.float().log_softmax(-1) for each in (reference, scores))
    chosen = targets[:, None]
    return TokenFidelity(
        tokens=len(targets),
        divergence=float((before.exp() * (before - after)).sum(-1).double().sum()),
        reference_loss=-float(before.gather(1, chosen).double().sum()),
        loss=-float(after.gather(1, chosen).double().sum()),
        same=int((before.argmax(-1) == after.argmax(-1)).sum()),
    )


def least_cosine(one: torch.Tensor, two: torch.Tensor) -> float:
    """The least cosine between the vectors of a text, ``[texts, size]`` each."""
    return float(torch.nn.functional.cosine_similarity(one.double(), two.double()).min())


class LinearClassifier(NamedTuple):
    """Flags a vector if its score is at least 0.5."""

    weights: torch.Tensor

    @classmethod
    def trained(cls, vectors: torch.Tensor, is_flagged: torch.Tensor) -> "LinearClassifier":
        """Logistic regression by Newton's method, on ``vectors`` ``[texts, size]`` and ``is_flagged`` ``[texts]``."""
        inputs, wanted = _with_one(vectors), is_flagged.double()
        weights = torch.zeros(inputs.shape[1], dtype=torch.float64)
        ridge = _RIDGE * torch.eye(len(weights), dtype=torch.float64)
        for _ in range(_STEPS):
            found = (inputs @ weights).sigmoid()
            slope = inputs.T @ (found - wanted) + _RIDGE * weights
            curvature = (inputs.T * (found * (1 - found))) @ inputs + ridge
            weights = weights - torch.linalg.solve(curvature, slope)
        return cls(weights)

    def scores(self, vectors: torch.Tensor) -> torch.Tensor:
        """Probabilities, ``[texts]``."""
        return (_with_one(vectors) @ self.weights).sigmoid()


def _with_one(vectors: torch.Tensor) -> torch.Tensor:
    """The vectors with a further component that is always 1, for the constant term."""
    return torch.cat([vectors.double(), torch.ones(len(vectors), 1, dtype=torch.float64)], dim=1)


def flips(before: torch.Tensor, after: torch.Tensor, threshold: float = 0.5) -> int:
    """How many scores are on the other side of the threshold."""
    return int(((before >= threshold) != (after >= threshold)).sum())
