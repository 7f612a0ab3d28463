"""The names that other programs give to the parts of a ResNet, and torchvision's for them."""

import re

_AT = r"(?<![^.])"  # where a word of a name begins
# (what only such names have, what stands for what): the same network under other names. Blocks are
# numbered alike, and the stride of a bottleneck is in its 3x3 convolution, as torchvision has it.
_DIALECTS = [
    # weiaicunzai/pytorch-cifar100: conv1 and the body of a block are nn.Sequentials
    ("residual_function.", [
        (rf"{_AT}conv1\.0\.", "conv1."), (rf"{_AT}conv1\.1\.", "bn1."),
        *((rf"{_AT}conv{n + 1}_x\.", f"layer{n}.") for n in range(1, 5)),
        *((rf"{_AT}residual_function\.{3 * n + k}\.", f"{part}{n + 1}.")
          for n in range(3) for k, part in enumerate(("conv", "bn")))]),
    # Hugging Face's transformers
    ("embedder.embedder.", [
        (rf"{_AT}embedder\.embedder\.convolution\.", "conv1."),
        (rf"{_AT}embedder\.embedder\.normalization\.", "bn1."),
        *((rf"{_AT}encoder\.stages\.{n}\.layers\.", f"layer{n + 1}.") for n in range(4)),
        *((rf"{_AT}layer\.{n}\.{word}\.", f"{part}{n + 1}.")
          for n in range(3) for word, part in (("convolution", "conv"), ("normalization", "bn"))),
        (rf"{_AT}shortcut\.convolution\.", "downsample.0."),
        (rf"{_AT}shortcut\.normalization\.", "downsample.1.")]),
]
# What PyTorch puts between the names of a network and of a part that it has wrapped
_WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_PART = re.compile(r"(conv|bn|layer)\d")


def torchvision_names(tensors):
    """The same tensors under torchvision's names, below the prefix that they have.

    Args: tensors: dict by name. Returns: dict by name; as it was where the names are no others.
    """
    for sign, words in _DIALECTS:
        if any(sign in name for name in tensors):
            tensors = {_translated(name, words): value for name, value in tensors.items()}
    return {_unwrapped(name): value for name, value in tensors.items()}


def _translated(name, words):
    for pattern, word in words:
        name = re.sub(pattern, word, name)
    return name


def _unwrapped(name):
    """A name without wrappers around parts of the ResNet; around all of it they are a prefix."""
    parts = name.split(".")
    start = next((k for k, part in enumerate(parts) if _PART.fullmatch(part)), len(parts))
    return ".".join(parts[:start] + [part for part in parts[start:] if part not in _WRAPPERS])
