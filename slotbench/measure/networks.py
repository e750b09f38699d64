"""Real policy networks: a perceptron, and convolutions before one.

Each is called with the leaves of the observation, [n, …] each, and returns [n, width] numbers.

Threads: made by the main thread, called by the server's thread alone.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from slotbench.records import Leaf, Model

_NATURE_HIDDEN = (512,)


def build(model: Model, leaves: Sequence[Leaf], width: int) -> nn.Module:
    """Make the network of ``model.kind``; weights come from torch's global generator.

    Args:
        model: "mlp", "cnn" or "nature_cnn", which is a "cnn" of given sizes: the network of
            Mnih et al. 2015 ("Human-level control…", Nature 518), Methods.
        leaves: that it is called with.
        width: of its last layer.
    """
    ending = [nn.Tanh()] if model.output_activation == "tanh" else []
    if model.kind == "mlp":
        return Perceptron(model, leaves, width, ending)
    if model.kind == "nature_cnn":
        nature = Model(kind="cnn", hidden=_NATURE_HIDDEN)
        return ConvolutionalNetwork(nature, leaves, width, ending)
    return ConvolutionalNetwork(model, leaves, width, ending)


class Perceptron(nn.Module):
    """Linear layers over all leaves, flattened and joined, with tanh between them."""

    def __init__(
        self, model: Model, leaves: Sequence[Leaf], width: int, ending: Sequence[nn.Module]
    ) -> None:
        super().__init__()
        num_inputs = sum(math.prod(leaf.shape) for leaf in leaves)
        layers = _linear((num_inputs, *model.hidden, width), nn.Tanh)
        self.layers = nn.Sequential(*layers, *ending)

    def forward(self, *leaves: torch.Tensor) -> torch.Tensor:
        """Return [n, width] of the observation's leaves."""
        inputs = _flat(leaves[0])
        if len(leaves) > 1:
            inputs = torch.cat([_flat(leaf) for leaf in leaves], -1)
        outputs: torch.Tensor = self.layers(inputs)
        return outputs


class ConvolutionalNetwork(nn.Module):
    """Convolutions over the image, then linear layers over all there is, ReLU between them.

    The one leaf [n, C, H, W] is the image, uint8 (scaled by 1/255) or float; the others are
    flattened and joined to what the convolutions make of it, as torchbeast's network does with
    the reward.
    """

    def __init__(
        self, model: Model, leaves: Sequence[Leaf], width: int, ending: Sequence[nn.Module]
    ) -> None:
        super().__init__()
        self._image = next(i for i, leaf in enumerate(leaves) if len(leaf.shape) == 3)
        shape = leaves[self._image].shape
        sizes = zip(
            pairwise((shape[0], *model.channels)),
            model.kernel_sizes,
            model.strides,
            strict=True,
        )
        convolutions: list[nn.Module] = []
        for channels, kernel, stride in sizes:
            convolutions += [nn.Conv2d(*channels, kernel, stride=stride), nn.ReLU()]
        self.convolutions = nn.Sequential(*convolutions, nn.Flatten())
        with torch.no_grad():
            num_features = self.convolutions(torch.zeros(1, *shape)).shape[1]
        num_others = sum(
            math.prod(leaf.shape) for i, leaf in enumerate(leaves) if i != self._image
        )
        layers = _linear((num_features + num_others, *model.hidden, width), nn.ReLU)
        self.head = nn.Sequential(*layers, *ending)

    def forward(self, *leaves: torch.Tensor) -> torch.Tensor:
        """Return [n, width] of the observation's leaves."""
        pixels = leaves[self._image]
        scaled = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()
        features = self.convolutions(scaled)
        if len(leaves) > 1:
            others = [_flat(leaf) for i, leaf in enumerate(leaves) if i != self._image]
            features = torch.cat([features, *others], -1)
        outputs: torch.Tensor = self.head(features)
        return outputs


def _flat(leaf: torch.Tensor) -> torch.Tensor:
    return leaf.reshape(len(leaf), -1).float()


def _linear(widths: Sequence[int], activation: type[nn.Module]) -> list[nn.Module]:
    """Linear layers of these widths with the activation between them."""
    layers: list[nn.Module] = []
    for width, next_width in pairwise(widths):
        layers += [nn.Linear(width, next_width), activation()]
    return layers[:-1]
