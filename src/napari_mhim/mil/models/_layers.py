"""Layers that several models share."""

from torch import Tensor, nn

from napari_mhim.errors import ConfigError
from napari_mhim.mil.models._dropout import Dropout

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "none": nn.Identity,
}
"""Non-linearities a model can be built with, by name."""


def activation(name: str) -> nn.Module:
    """Make one of ``ACTIVATIONS``.

    Parameters
    ----------
    name : str
        Its name.

    Returns
    -------
    Module
        A new one.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    if name not in ACTIVATIONS:
        raise ConfigError(
            f"no activation named {name!r}; there are: {', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[name]()


def projection(
    in_dim: int, hidden: int, act: str, dropout: float, bias: bool = True
) -> nn.Sequential:
    """Make the layer every published MHIM model starts with: (N, in_dim) -> (N, hidden).

    Parameters
    ----------
    in_dim, hidden : int
        Width before and after.
    act : str
        One of ``ACTIVATIONS``.
    dropout : float
        Share of values set to 0 in train mode, in [0, 1).
    bias : bool
        Whether the linear layer has one.

    Returns
    -------
    Sequential
        Linear, activation, dropout.

    Raises
    ------
    ConfigError
        If a width is not positive, ``act`` is unknown or ``dropout`` out of range.
    """
    if in_dim < 1 or hidden < 1:
        raise ConfigError(
            f"in_dim and hidden must be at least 1, got {in_dim} and {hidden}"
        )
    if not 0 <= dropout < 1:
        raise ConfigError(f"dropout must be in [0, 1), got {dropout}")
    return nn.Sequential(
        nn.Linear(in_dim, hidden, bias), activation(act), Dropout(dropout)
    )


def check_classes(n_classes: int) -> None:
    """Refuse a model that could not decide anything.

    Parameters
    ----------
    n_classes : int
        Number of classes.

    Raises
    ------
    ConfigError
        If there are fewer than 2.
    """
    if n_classes < 2:
        raise ConfigError(f"n_classes must be at least 2, got {n_classes}")


def initialise(model: nn.Module) -> None:
    """Set weights as the authors' code does, in place.

    Linear layers get Xavier-normal weights and zero biases, LayerNorms 1 and 0; what is
    neither keeps torch's default.

    Parameters
    ----------
    model : Module
        What to initialise, its submodules included.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


def linear_evidence(h: Tensor, weight: Tensor) -> Tensor:
    """Judge instances alone by a linear classifier without bias.

    Parameters
    ----------
    h : Tensor, shape (N, D)
        Embedded instances.
    weight : Tensor, shape (C, D)
        The classifier's.

    Returns
    -------
    Tensor, shape (N, C)
        Logits minus their mean over classes.
    """
    # centring the small matrix is centring the result
    return h @ (weight - weight.mean(dim=0)).T
