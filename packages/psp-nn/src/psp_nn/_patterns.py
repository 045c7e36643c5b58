"""Which layers of a network are to be superposed, and whether they can be."""

from fnmatch import fnmatchcase

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from psp_nn.layers.layer import Layer
from psp_nn.layers.registry import superposed_class

Patterns = tuple[str, ...]


def candidates(net: nn.Module, include: Patterns, exclude: Patterns) -> list[str]:
    """The names of the layers that have a superposed form and that the patterns choose.

    Raises:
        ValueError: If there is none, a pattern matches none, or one cannot be superposed.
    """
    forms = {
        name: superposed
        for name, module in net.named_modules()
        if (superposed := superposed_class(type(module))) is not None
    }
    for name, module in net.named_modules():
        if isinstance(module, Layer):
            raise ValueError(
                f"superpose: layer '{name}' of net is superposed already; pass the original one."
            )
    for argument, patterns in (("include", include), ("exclude", exclude)):
        for pattern in patterns:
            if pattern != "*" and not any(fnmatchcase(name, pattern) for name in forms):
                raise ValueError(
                    f"superpose: {argument}={pattern!r} matches no layer that has a superposed "
                    f"form; those are {', '.join(map(repr, forms)) or 'none'}."
                )
    chosen = {
        name: superposed
        for name, superposed in forms.items()
        if _matches(name, include) and not _matches(name, exclude)
    }
    if not chosen:
        raise ValueError(
            f"superpose: nothing in this {type(net).__name__} was turned; layers of net that have "
            f"a superposed form: {', '.join(map(repr, forms)) or 'none'}; include={include}, "
            f"exclude={exclude}."
        )
    for name, superposed in chosen.items():
        _check_parameters(name, net.get_submodule(name), superposed)
    _check_ties(net, chosen)
    return list(chosen)


def _matches(name: str, patterns: Patterns) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _check_parameters(name: str, module: nn.Module, superposed: type[Layer]) -> None:
    for value in module.parameters(recurse=False):
        if isinstance(value, nn.parameter.UninitializedParameter):
            raise ValueError(f"superpose: layer '{name}' has no weights yet; run net once first.")
    weights, biases = superposed.weights_of(module), superposed.biases_of(module)
    for key in (*weights, *superposed.tables, *biases):
        computed = (
            is_parametrized(module, key)
            or isinstance(module.__dict__.get(key), Tensor)  # as older hooks leave it
        )
        if computed:
            raise ValueError(
                f"superpose: '{key}' of layer '{name}' is computed from other parameters, which "
                "cannot be superposed; remove the parametrization from net first, or leave the "
                "layer out with exclude."
            )


def _check_ties(net: nn.Module, chosen: dict[str, type[Layer]]) -> None:
    """Every holder of a superposed parameter must see it as the others do."""
    sights: dict[nn.Parameter, tuple[str, object]] = {}
    for path, superposed in chosen.items():
        module = net.get_submodule(path)
        for key in superposed.weights_of(module):
            weight = module._parameters.get(key)
            if weight is None:
                continue
            full = f"{path}.{key}".lstrip(".")
            # As matrices of which shape, and for which dimension as rows.
            sight = (
                getattr(superposed, "transposed_kernel", False),
                getattr(module, "groups", 1) if weight.dim() > 2 else 1,
            )
            first, same = sights.setdefault(weight, (full, sight))
            if sight != same:
                raise ValueError(
                    f"superpose: '{full}' is tied to '{first}', but its rows are others; untie "
                    "them in net, or leave both layers out with exclude."
                )
    superposed_keys = {
        (module, key)
        for path, kind in chosen.items()
        for module in [net.get_submodule(path)]
        for key in kind.weights_of(module)
    }
    for path, module in net.named_modules():
        for key, value in module._parameters.items():
            if value is None or value not in sights or (module, key) in superposed_keys:
                continue
            raise ValueError(
                f"superpose: '{f'{path}.{key}'.lstrip('.')}' is tied to '{sights[value][0]}', "
                "which is to be superposed, but not to be itself; leave both layers of net "
                "out with exclude, or neither."
            )
