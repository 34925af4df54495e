"""Input shapes of a module without a configuration, from its first submodule that has a fixed input size."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

_SIDE = 32
_LENGTH = 12
_BATCH = 2


def guess_shapes(module: nn.Module) -> Iterator[tuple[tuple[int, ...], int | None]]:
    """Yield likely shapes of a module's inputs, likeliest first, each with the size of a vocabulary or None.

    Nothing where no submodule is of a `torch.nn` class that fixes an input size.
    """
    for leaf in module.modules():
        if isinstance(leaf, (nn.Embedding, nn.EmbeddingBag)):
            yield (_BATCH, _LENGTH), leaf.num_embeddings
        elif isinstance(leaf, nn.Conv3d):
            yield (_BATCH, leaf.in_channels, 8, _SIDE, _SIDE), None
        elif isinstance(leaf, (nn.Conv2d, nn.ConvTranspose2d)):
            yield (_BATCH, leaf.in_channels, _SIDE, _SIDE), None
            yield (_BATCH, leaf.in_channels, 7 * _SIDE, 7 * _SIDE), None
        elif isinstance(leaf, (nn.Conv1d, nn.ConvTranspose1d)):
            yield (_BATCH, leaf.in_channels, 4 * _SIDE), None
        elif isinstance(leaf, nn.RNNBase):
            shape = (_BATCH, _LENGTH) if leaf.batch_first else (_LENGTH, _BATCH)
            yield (*shape, leaf.input_size), None
        elif isinstance(leaf, nn.MultiheadAttention):
            yield (_BATCH, _LENGTH, leaf.embed_dim), None
        elif isinstance(leaf, nn.Linear):
            yield (_BATCH, leaf.in_features), None
            yield (_BATCH, _LENGTH, leaf.in_features), None
        elif isinstance(leaf, (nn.RNNCell, nn.GRUCell, nn.LSTMCell)):
            yield (_BATCH, leaf.input_size), None
        elif isinstance(leaf, (nn.BatchNorm1d, nn.BatchNorm2d)):
            yield ((_BATCH, leaf.num_features, *([_SIDE, _SIDE] if isinstance(leaf, nn.BatchNorm2d) else [])), None)
        elif isinstance(leaf, nn.LayerNorm):
            yield (_BATCH, _LENGTH, *leaf.normalized_shape), None
        elif isinstance(leaf, nn.Bilinear):
            yield (_BATCH, leaf.in1_features), None
        else:
            continue
        return
