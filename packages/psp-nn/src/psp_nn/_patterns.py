"""Selection of the layers to superpose, by patterns of their names."""

from fnmatch import fnmatchcase

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from psp_nn.layers.layer import Layer
from psp_nn.layers.linear_per_context import LinearPerContext
from psp_nn.layers.registry import superposed_class

Patterns = tuple[str, ...]


def matching_layers(
    net: nn.Module, include: Patterns, exclude: Patterns, owned: list[str]
) -> list[str]:
    """Return the names of the layers that have a superposed form and match the patterns.

    Raises:
        ValueError: If there is none, and none is owned; a pattern matches none; or a layer cannot
            be superposed.
    """
    forms = {
        name: superposed
        for name, module in net.named_modules()
        if (superposed := superposed_class(module)) is not None
    }
    for name, module in net.named_modules():
        if isinstance(module, Layer):
            raise ValueError(
                f"superpose: layer '{name}' of net is superposed already; pass the original one."
            )
    names = ", ".join(map(repr, forms)) or "none"
    others = [name for name, module in net.named_modules() if module._parameters]
    for argument, patterns, known in (("include", include, forms), ("exclude", exclude, others)):
        for pattern in patterns:
            if pattern != "*" and not any(fnmatchcase(name, pattern) for name in (*forms, *known)):
                raise ValueError(
                    f"superpose: {argument}={pattern!r} matches no layer with a superposed form; "
                    f"those are {names}."
                )
    selected = {
        name: superposed
        for name, superposed in forms.items()
        if _matches(name, include) and not _matches(name, exclude)
    }
    if not (selected or owned):
        raise ValueError(
            f"superpose: no layer of this {type(net).__name__} matches include={include} and "
            f"exclude={exclude}; layers with a superposed form: {names}."
        )
    for name, superposed in selected.items():
        _check_parameters(name, net.get_submodule(name), superposed)
    _check_ties(net, selected)
    return list(selected)


def classes_without_form(net: nn.Module, exclude: Patterns) -> dict[str, int]:
    """Count the parameters of each class without a superposed form, but not excluded ones."""
    counts: dict[str, int] = {}
    seen: set[nn.Parameter] = set()
    for name, module in net.named_modules():
        if isinstance(module, Layer) or superposed_class(module) or _is_inside(name, exclude):
            continue
        for value in module._parameters.values():
            if value is not None and value not in seen:
                seen.add(value)
                kind = type(module).__name__
                counts[kind] = counts.get(kind, 0) + value.numel()
    return counts


def matching_weights(names: list[str], patterns: Patterns) -> list[str]:
    """Return the layers with superposed weights that match the patterns of `two_sided`.

    Raises:
        ValueError: If a pattern matches none.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(
                f"superpose: two_sided={pattern!r} matches no layer with superposed weights; those "
                f"are {', '.join(map(repr, names)) or 'none'}."
            )
    return [name for name in names if _matches(name, patterns)]


def matching_linear(net: nn.Module, patterns: Patterns) -> list[str]:
    """Return the linear layers that match the patterns of `own`.

    Raises:
        ValueError: If a pattern matches none, or a layer with a parametrized weight.
    """
    names = [name for name, module in net.named_modules() if type(module) is nn.Linear]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(
                f"superpose: own={pattern!r} matches no layer of the class Linear; those are "
                f"{', '.join(map(repr, names)) or 'none'}."
            )
    owned = [name for name in names if _matches(name, patterns)]
    for name in owned:
        _check_parameters(name, net.get_submodule(name), LinearPerContext)
    return owned


def layers_before_output(net: nn.Module, names: list[str]) -> list[str]:
    """Return the layers among `names` that are not the last one with weights to superpose."""
    forms = [(name, superposed_class(module)) for name, module in net.named_modules()]
    last = [name for name, form in forms if form is not None and form.weights][-1:]
    return [name for name in names if name not in last]


def superposed_parameters(net: nn.Module, names: list[str]) -> list[nn.Parameter]:
    """Return the parameters of the layers `names` to superpose."""
    parameters = []
    for name in names:
        module = net.get_submodule(name)
        form = superposed_class(module)
        assert form is not None
        parameters += [module._parameters.get(key) for key in form.weights_of(module)]
    return [parameter for parameter in parameters if parameter is not None]


def _matches(name: str, patterns: Patterns) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _is_inside(name: str, patterns: Patterns) -> bool:
    """Return True if a module or one that it is part of matches."""
    parts = name.split(".")
    return any(_matches(".".join(parts[: i + 1]), patterns) for i in range(len(parts)))


def _check_parameters(name: str, module: nn.Module, superposed: type[Layer]) -> None:
    for value in module.parameters(recurse=False):
        if isinstance(value, nn.parameter.UninitializedParameter):
            raise ValueError(f"superpose: layer '{name}' has no weights yet; run net once first.")
    weights, biases = superposed.weights_of(module), superposed.biases_of(module)
    for key in (*weights, *superposed.tables, *biases):
        # nn.utils.weight_norm, the deprecated one, leaves a tensor as an attribute.
        if is_parametrized(module, key) or isinstance(module.__dict__.get(key), Tensor):
            raise ValueError(
                f"superpose: '{key}' of layer '{name}' is computed from other parameters; remove "
                "the parametrization first, or leave the layer out with exclude."
            )


def _check_ties(net: nn.Module, selected: dict[str, type[Layer]]) -> None:
    """Check that all modules which share a superposed parameter superpose it in the same way."""
    uses: dict[nn.Parameter, tuple[str, object]] = {}  # name of the first use, layout of its rows
    superposed_keys: set[tuple[nn.Module, str]] = set()
    for path, kind in selected.items():
        module = net.get_submodule(path)
        for key in kind.weights_of(module):
            superposed_keys.add((module, key))
            weight = module._parameters.get(key)
            if weight is None:
                continue
            name = f"{path}.{key}".lstrip(".")
            layout = (
                getattr(kind, "transposed_kernel", False),
                getattr(kind, "in_dim", -1) % weight.dim() if weight.dim() == 2 else -1,
                getattr(module, "groups", 1) if weight.dim() > 2 else 1,
            )
            first, first_layout = uses.setdefault(weight, (name, layout))
            if layout != first_layout:
                raise ValueError(
                    f"superpose: '{name}' is tied to '{first}', but has other rows; untie them."
                )
    for path, module in net.named_modules():
        for key, value in module._parameters.items():
            if value is not None and value in uses and (module, key) not in superposed_keys:
                name = f"{path}.{key}".lstrip(".")
                raise ValueError(
                    f"superpose: '{name}' is not to be superposed, but is tied to "
                    f"'{uses[value][0]}', which is; leave out both layers or neither."
                )
