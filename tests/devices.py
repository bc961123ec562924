"""A second device without a GPU: tensors that say they are elsewhere, are computed on the CPU, and
refuse what CUDA refuses. Nothing is simulated: every number is there, so a whole run goes through.

    with elsewhere():
        torch.arange(3, device=ELSEWHERE) + torch.arange(3)      # RuntimeError

What is moved by `.to(ELSEWHERE)`, or made with `device=ELSEWHERE`, is a `Far` tensor. An operation
on it and on a CPU tensor raises, except where CUDA takes both: a CPU tensor without dimensions
beside others, CPU indices into a far tensor, a copy.
"""

from __future__ import annotations

import contextlib

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

# no machine has it, and what asks for a device's type gets "cpu"
ELSEWHERE = torch.device("cpu", 1)
aten = torch.ops.aten
COPIES = {aten.copy_.default, aten._to_copy.default, aten._copy_from.default}
INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}
INDEXING |= {aten._index_put_impl_.default, aten._unsafe_index.Tensor}
# what does not take even a tensor without dimensions from elsewhere
STRICT = ("cat", "stack", "embedding", "gather", "index_select", "mm", "bmm", "isin", "scatter")


class Far(torch.Tensor):
    """A tensor of ELSEWHERE. Its numbers lie in the CPU's memory."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @property
    def device(self):
        return ELSEWHERE

    @property
    def is_cpu(self):
        return False

    def __repr__(self, *, tensor_contents=None):
        return f"Far({near_of(self)!r})"

    def tolist(self):
        return near_of(self).tolist()

    def numpy(self, *args, **kwargs):
        raise TypeError("can't convert a tensor of another device to numpy: use Tensor.cpu()")

    __array__ = numpy

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            far = far_of(near_of(self).clone()).requires_grad_(self.requires_grad)
            is_parameter = isinstance(self, torch.nn.Parameter)
            memo[id(self)] = torch.nn.Parameter(far, self.requires_grad) if is_parameter else far
        return memo[id(self)]

    def __reduce_ex__(self, protocol):
        return near_of(self).__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        refuse_mixed(func, args, kwargs)
        result = func(*tree_map(near_of, args), **tree_map(near_of, kwargs))
        if func._schema.name.endswith("_") and isinstance(args[0], torch.Tensor):
            return args[0]
        return kwargs["out"] if "out" in kwargs else tree_map(far_of, result)


def near_of(value):
    """The same memory as a tensor of the CPU, without its gradient."""
    if not isinstance(value, Far):
        return value
    with torch._C._DisableTorchDispatch():
        return value.detach()


def far_of(value):
    if not isinstance(value, torch.Tensor) or isinstance(value, Far):
        return value
    return torch.Tensor._make_subclass(Far, value)


def refuse_mixed(func, args, kwargs):
    """Raises RuntimeError where far tensors meet those of the CPU and CUDA would refuse it."""
    if func in COPIES:
        return
    counted = args[:1] + args[2:] if func in INDEXING and isinstance(args[0], Far) else args
    tensors = [x for x in tree_flatten((counted, kwargs))[0] if isinstance(x, torch.Tensor)]
    name = func._schema.name.removeprefix("aten::")
    strict = any(name.startswith(word) for word in STRICT)
    near = [x for x in tensors if not isinstance(x, Far) and (x.dim() or strict)]
    if near and len(near) < len(tensors):
        shapes = ", ".join(f"{'far' if isinstance(x, Far) else 'cpu'}{[*x.shape]}" for x in tensors)
        raise RuntimeError(f"aten::{name}: tensors are on two devices ({shapes})")


class ToFar(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor):
        return far_of(tensor.detach().clone())

    @staticmethod
    def backward(ctx, grad):
        return near_of(grad)


class ToNear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor):
        return near_of(tensor).clone()

    @staticmethod
    def backward(ctx, grad):
        return far_of(grad)


def brought(tensor, far):
    """The tensor there, or here."""
    if isinstance(tensor, Far) == far:
        return tensor
    return (ToFar if far else ToNear).apply(tensor)


def is_far(device):
    return torch.device(device) == ELSEWHERE


class Devices(TorchFunctionMode):
    """What names a device in Python: `.to`, `.cpu`, and everything with `device=`."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.to:
            return self.to(*args, **kwargs)
        if func is torch.Tensor.cpu:
            return brought(args[0], far=False)
        if func is torch.as_tensor and isinstance(args[0], Far):
            return self.to(*args, **kwargs)
        if func == torch.Tensor.data.__get__ and isinstance(args[0], Far):
            return far_of(func(*args))
        if func == torch.Tensor.data.__set__ and isinstance(args[0], Far) != isinstance(
            args[1], Far
        ):
            other = torch.nn.Parameter(args[1], args[0].requires_grad)
            return torch.utils.swap_tensors(args[0], other)
        device = kwargs.get("device")
        if device is None or not (is_far(device) or any(isinstance(x, Far) for x in args)):
            return func(*args, **kwargs)
        result = func(*args, **kwargs | {"device": None})
        return brought(result, is_far(device)) if isinstance(result, torch.Tensor) else result

    def to(self, tensor, *args, **kwargs):
        device, others = kwargs.pop("device", None), []
        for value in args:
            if isinstance(value, torch.Tensor):
                device, others = value.device, [*others, value.dtype]
            elif isinstance(value, (str, torch.device)):
                device = value
            else:
                others.append(value)
        if isinstance(other := kwargs.pop("other", None), torch.Tensor):
            device, others = other.device, [other.dtype]
        kinds = [value for value in others if isinstance(value, torch.dtype)]
        kind = kinds[0] if kinds else kwargs.get("dtype")
        if device is not None:
            tensor = brought(tensor, is_far(device))
        return tensor if kind is None or kind == tensor.dtype else torch.Tensor.to(tensor, kind)


@contextlib.contextmanager
def elsewhere():
    """In here there is the device ELSEWHERE."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)  # weights keep their identity
    try:
        with Devices():
            yield ELSEWHERE
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)
