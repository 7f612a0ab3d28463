"""Find a ResNet in anybody's file of weights, and account for every tensor beside it."""

import re
from typing import NamedTuple

import torch

from conf import global_settings as settings
from records.dialects import torchvision_names
from records.names import printable
from records.stated import check_said_arch, stated_input
from supervised.resnet import ARCHS, resnet

# A ResNet's parts by the names that a file gives them, "" being the network itself: torchvision's,
# or their places in an nn.Sequential of its children, some of which have no tensors.
_PARTS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
_SPELLINGS = [dict(zip(_PARTS, _PARTS))] + [
    dict(zip(("0", "1", *map(str, range(first, first + 4))), _PARTS)) for first in (2, 3, 4)]
_COUNTER = "num_batches_tracked"  # PyTorch has it since 0.4.1, and fills it in for older files
# Words in the names of networks that follow another one, and of what is neither network nor head
_FOLLOWERS = {"momentum", "ema", "teacher", "target", "key", "k", "m"}
_STORES = {"queue", "ptr", "bank", "center", "prototypes", "criterion", "loss"}
_HEADS = {"fc", "linear", "lincls", "head", "heads", "classifier", "projector", "projection",
          "predictor", "prediction"}
SHOWN = 6  # names in a message


class Found(NamedTuple):
    """A backbone: tensors, torchvision's name -> tensor, without a head; place: the prefix of its
    names in the file; left_out: what else lay there, in words; trained_as: dict of arch, stem,
    mean, std, image_size (px a side, None for any), and what else our own files say; stated:
    whether the file says all of its input."""

    tensors: dict
    place: str
    left_out: tuple
    trained_as: dict
    stated: bool


def find_backbone(state, origin):
    """Find the ResNet in what a file of weights holds.

    It may lie at any depth of dicts and below any prefix (`module.`, `encoder_q.`, ...), with
    torchvision's names, those of a dialect (records.dialects) or in an nn.Sequential. Of several,
    those that follow another one (momentum copies, teachers) are left out, as are heads and queues;
    anything else is an error.

    Args: state: dict, as from checkpoint.read. origin: its name for messages. Returns: Found.
    Raises: ValueError for none or several of them, weights that are not finite, unknown tensors,
        and a network that computes something else with a ResNet's tensors.
    """
    groups = list(_groups_of_tensors(state, origin))
    places = [_Place(where, tensors, *place) for where, tensors in groups
              for place in _places(tensors)]
    if not places:
        raise ValueError(f"{origin}: holds no ResNet as torchvision names it ({_what(groups)}); "
                         "take another file, or rename its tensors (layer1.0.conv1.weight, ...)")
    for place in places:
        _check_plain(_body(place), origin)
    place = _choose(places, origin)
    body = _body(place)
    copies = [other for other in places if other is not place and other.tensors is place.tensors
              and _same(_body(other), body)]
    others = [f"{other.where}{other.prefix}".rstrip(".") + f" ({len(_body(other))})" for other in places
              if other.tensors is not place.tensors]
    left_out = (*_account(place, copies, origin), *map(printable, others))
    arch, stem = _match(body, origin), _stem(body)
    check_said_arch(state, origin)
    _check_steps(place, stem, origin)
    stated = stated_input(state, place.tensors, origin)
    usual = {"mean": settings.IMAGENET_MEAN, "std": settings.IMAGENET_STD,
             # a 3x3 stem is made for small images: those of the task
             "image_size": settings.IMAGENET_WEIGHTS_SIZE if stem == "7x7" else None}
    return Found(body, printable(place.where + place.prefix), left_out,
                 {**usual, **stated, "arch": arch, "stem": stem}, "image_size" in stated)


def without_head(tensors):
    """The state dict of a ResNet of ours less its classifier or projection head."""
    return {name: value for name, value in tensors.items() if not name.startswith("fc.")}


def check_arch(found, origin, arch):
    """Raises: ValueError where a backbone is of another architecture."""
    if found.trained_as["arch"] != arch:
        raise ValueError(f"{origin}: of another architecture: a {found.trained_as['arch']}, not "
                         f"--arch {arch}")


def load_backbone(model, found, origin):
    """Copy a backbone into a model of its architecture.

    Raises: ValueError where it makes nothing of images.
    """
    model.load_state_dict(found.tensors, strict=False)  # all but fc is there: _match has looked
    _check_features(model, origin)


def is_untrained(found):
    """Whether no image has ever gone through a backbone's batch norm in training."""
    return all(bool((value == name.endswith("running_var")).all()) for name, value in found.tensors.items()
               if name.endswith(("running_mean", "running_var")))


class _Place(NamedTuple):
    where: str  # the dicts around it, each with a dot behind
    tensors: dict  # by name, of the innermost dict
    prefix: str
    spelling: dict


def _groups_of_tensors(state, origin):
    """Yield (where, its tensors by name) of each dict in nested dicts that holds some.

    Raises: ValueError for names that would become one.
    """
    pending, seen = [("", state)], set()
    while pending:
        where, found = pending.pop()
        if id(found) in seen:  # a dict may hold itself
            continue
        seen.add(id(found))
        tensors = {str(key): value for key, value in found.items()
                   if isinstance(value, torch.Tensor)}
        named = torchvision_names(tensors)
        if len(named) < len(tensors):
            raise ValueError(f"{origin}: {len(tensors) - len(named)} of its tensors have the name of "
                             "another one, but for what wraps a part; save one network alone")
        if tensors:
            yield where, named
        pending += [(f"{where}{key}.", value) for key, value in reversed(found.items())
                    if isinstance(value, dict)]


def _places(tensors):
    """Yield (prefix, spelling) of each ResNet among the tensors."""
    found = set()
    for spelling in _SPELLINGS:
        first, third = list(spelling)[0], list(spelling)[2]
        for key in tensors:
            prefix = key.removesuffix(f"{first}.weight")
            whole_name = key != prefix and (not prefix or prefix.endswith("."))
            if whole_name and prefix not in found and f"{prefix}{third}.0.conv1.weight" in tensors:
                found.add(prefix)
                yield prefix, spelling


def _choose(places, origin):
    """The one ResNet that does not follow another one. Raises: ValueError where several differ."""
    leading = [place for place in places
               if not _FOLLOWERS & _words(place.where + place.prefix)] or places
    first = leading[0]
    for other in leading[1:]:
        if not _same(_body(first), _body(other)):
            names = ", ".join(repr(place.where + place.prefix) for place in leading[:SHOWN])
            raise ValueError(f"{origin}: holds {len(leading)} different ResNets (names begin with "
                             f"{names}); save the one that is meant in a file of its own")
    return first


def _body(place):
    """The backbone at a place, by torchvision's names."""
    found = {}
    for key, value in place.tensors.items():
        part, _, rest = key.removeprefix(place.prefix).partition(".")
        if key.startswith(place.prefix) and part in place.spelling:
            rest = re.sub(r"(^|\.)shortcut\.", r"\1downsample.", rest)
            found[f"{place.spelling[part]}.{rest}"] = value
    return found


def _same(one, other):
    """Whether two bodies are equal; in float64, since not every kind of number knows."""
    return one.keys() == other.keys() and all(
        torch.equal(*(body[key].double() if body[key].is_floating_point() else body[key]
                      for body in (one, other))) for key in one)


def _account(place, copies, origin):
    """What lies beside a backbone, in words. Raises: ValueError for what is nothing known.

    A part whose tensors are at most matrices is a head, whatever its name; one with convolutions
    can only be a network that follows another one. So are single numbers (a figure, a learned
    temperature) and a batch norm that is not of three channels: it comes behind the ResNet.
    Args: copies: other places with the very same tensors.
    """
    parts = {}
    for key in place.tensors:
        if not _lies_in(key, place):
            parts.setdefault(_branch(key, place.prefix), []).append(key)
    for name, found in parts.items():
        others = {key: place.tensors[key] for key in found
                  if not any(_lies_in(key, copy) for copy in copies)}
        dimensions, words = max((value.ndim for value in others.values()), default=0), _words(name)
        behind = any(key.endswith("running_mean") and value.numel() != 3
                     for key, value in others.items())
        known = words & _STORES or (
            words & _FOLLOWERS if dimensions > 2 else
            dimensions in (0, 2) or behind or words & (_HEADS | _FOLLOWERS))
        if not known:
            at = printable(f"{place.where}{place.prefix}conv1 ...")
            raise ValueError(f"{origin}: beside the ResNet ({at}) lies what is neither its head "
                             f"nor a copy of it: {_some(list(others))}; save the ResNet alone")
    return tuple(printable(f"{name} ({len(found)})") for name, found in parts.items())


def _lies_in(key, place):
    first = key.removeprefix(place.prefix).partition(".")[0]
    return key.startswith(place.prefix) and first in place.spelling


def _branch(key, prefix):
    """The beginning of a name up to where it leaves the prefix: `module.fc` of module.fc.0.bias."""
    parts, before = key.split("."), prefix.split(".")
    same = 0
    while same < len(parts) - 1 and same < len(before) and parts[same] == before[same]:
        same += 1
    return ".".join(parts[:same + 1])


def _match(body, origin):
    """The architecture whose tensors these are. Raises: ValueError if there is none, or for values
    that are no weights."""
    wrong = {}
    for arch in ARCHS:
        with torch.device("meta"):
            own = without_head(resnet(arch, 1, _stem(body)).state_dict())
        missing = [name for name in own if name not in body and not name.endswith(_COUNTER)]
        wrong[arch] = [f"missing {name}" for name in missing] + [
            f"unexpected {name}" for name in body if name not in own] + [
            f"{name} is {tuple(value.shape)} instead of {tuple(own[name].shape)}"
            for name, value in body.items() if name in own and value.shape != own[name].shape]
        if not wrong[arch]:
            break
    else:
        arch = min(wrong, key=lambda name: len(wrong[name]))
        raise ValueError(f"{origin}: of another architecture than {', '.join(ARCHS)}: for {arch}, "
                         f"{len(wrong[arch])} keys do not fit: {_some(wrong[arch])}; take weights "
                         "of one of these")
    for name, value in body.items():
        if not name.endswith(_COUNTER) and not value.is_floating_point():
            raise ValueError(f"{origin}: {name} is {value.dtype}: no weights of floating point; "
                             "save the network as it was before")
        if not torch.isfinite(value.float()).all():  # as float32, as it will be used
            raise ValueError(f"{origin}: {name} is not finite: its training diverged, or the file "
                             "is damaged; take another one")
    return arch


def _check_steps(place, stem, origin):
    """Raises: ValueError for an nn.Sequential without a module for each step between bn1 and layer1, ReLU and
    behind a 7x7 convolution max-pool: one of the children of a network that has functions for them is
    trained without. And for solo-learn's 3x3 convolution, which it pads by 2."""
    at, steps = printable(place.where + place.prefix), "ReLU" if stem == "3x3" else "ReLU or max-pool"
    if place.spelling.get("2") == "layer1" or stem == "7x7" and place.spelling.get("3") == "layer1":
        raise ValueError(f"{origin}: an nn.Sequential ({at}0, ...) without the {steps} that follows the first "
                         "convolution in a ResNet; its features would be others here; take weights of a whole one")
    if stem == "3x3" and place.prefix == "backbone." and "classifier.weight" in place.tensors:
        raise ValueError(f"{origin}: laid out as solo-learn's files ({at} beside classifier), where a 3x3 convolution "
                         "is padded by 2, here by 1; if yours is padded by 1, too, save the ResNet alone")


def _check_plain(body, origin):
    """Raises: ValueError for tensors that have no values, or not one at each place."""
    for name, value in body.items():
        if value.is_meta or value.layout != torch.strided:
            kind = "empty (of the meta device)" if value.is_meta else f"sparse ({value.layout})"
            raise ValueError(f"{origin}: {name} is {kind}; save the network with dense tensors")


@torch.no_grad()
def _check_features(model, origin):
    """Raises: ValueError where two images give features that are not finite, or the same ones."""
    mode, random = model.training, torch.Generator().manual_seed(0)
    one, other = model.eval().features(torch.randn(2, 3, 32, 32, generator=random))
    model.train(mode)
    finite = torch.stack([one, other]).isfinite().all()
    if not finite or torch.equal(one, other):
        kind = "the same features for every image" if finite else "no finite features"
        raise ValueError(f"{origin}: its weights give {kind}: its training collapsed, or the file "
                         "is damaged; take another one")


def _stem(body):
    return "3x3" if body["conv1.weight"].shape[2:] == (3, 3) else "7x7"


def _words(name):
    return set(re.split(r"[._]", name.lower()))


def _what(groups):
    """What a file without a ResNet holds, in words."""
    names = [where + name for where, tensors in groups for name in tensors]
    return f"it holds {len(names)} tensors: {_some(names)}" if names else "it holds no tensors"


def _some(names):
    return printable(", ".join(names[:SHOWN])) + (" ..." if len(names) > SHOWN else "")
