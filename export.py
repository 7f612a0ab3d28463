"""Hand a trained network to other programs, in a file that is read again before it is kept."""

import contextlib
import json

import torch

import utils
from conf import global_settings as settings
from conf.methods import MODEL_TYPES
from data.datasets import DATASETS, stored_size
from functions import labelled_view
from records import checkpoint
from records.files import protected, whole, writing
from records.names import printable
from records.portable import FORMATS, changes, facts_of, plain_network
from records.trained import check_made_by, find_trained, network_of
from records.weights import find_backbone
from self_supervised_pretrained.registry import PRETRAININGS
from supervised.resnet import resnet

TOLERANCE = 1e-4  # of outputs, or of the largest of them where that is above 1
BATCHES = 5, 1  # images; two sizes, for one may be built into a graph
GRAIN = 6  # px a side of the noise that real-looking pictures are drawn from


def parse(argv):
    """The settings of this program."""
    choices = {"model_type": (*MODEL_TYPES, *PRETRAININGS), "data": tuple(DATASETS)}
    parser = utils.build_parser(__doc__, "X", choices, model_type=None, data=None)
    parser.add_argument("--format", choices=tuple(FORMATS), required=True,
                        help="torchvision: its state dict and a .json beside it; timm: "
                        ".safetensors with its names; onnx: a graph; all say the input and the "
                        "classes")
    parser.add_argument("--what", choices=("classifier", "backbone"), default="classifier",
                        help="the network whole, or without its last layer")
    parser.add_argument("--out", type=utils.path, required=True, metavar="FILE",
                        help="the file to write")
    args = parser.parse_args(argv)
    if not (args.checkpoint or args.model_type):
        parser.error("name --checkpoint, or the --model-type whose newest run is to be exported")
    ending = FORMATS[args.format].ending
    if args.out.suffix != ending:
        parser.error(f"--out {printable(args.out)}: files of --format {args.format} end in "
                     f"{ending}")
    for path in files_of(args):
        reason = protected(path, [args.checkpoint] if args.checkpoint else ())
        if reason:
            parser.error(f"--out {printable(args.out)}: {printable(path)} {reason}; name another")
    return args


def files_of(args):
    """The files to write: torchvision's have no room for facts."""
    return [args.out, *[args.out.with_suffix(".json")] * (args.format == "torchvision")]


def main(argv=None):
    """Parse, load the checkpoint, write, read again, compare."""
    args = parse(argv)
    form = FORMATS[args.format]
    form.check()
    path = args.checkpoint or find_newest(args)
    tensors, facts, forward = load(path, args.what)
    with contextlib.ExitStack() as files:
        with writing(args.out.parent, "network", "--out in another"):
            for beside in files_of(args)[1:]:
                json.dump(facts, files.enter_context(whole(beside, encoding="utf-8")), indent=1)
            file = files.enter_context(whole(args.out, "wb"))
            form.write(plain_network(tensors, facts), facts, file)
            file.flush()
        reader, difference = verify(form, file.name, facts, forward, args.out)
    size = facts["image_size"]
    print(f"{printable(args.out)}: {facts['what']} of {path}, a {facts['arch']} with a "
          f"{facts['stem']} stem for {size} x {size} px; read again by {reader}, outputs differ by "
          f"{difference:.1g} at most")
    print(f"its input: {'; '.join(facts['steps'])}; mean {facts['mean']}, std {facts['std']}")
    if args.format != "onnx" and changes(facts):
        print(f"build {args.format}'s {facts['arch']} and set: {changes(facts)}")


def find_newest(args):
    """The checkpoint of the newest finished run that the settings name."""
    usual = settings.LABELLED_DATA if args.model_type in MODEL_TYPES else settings.PRETRAINING_DATA
    return find_trained(args.output_dir / "checkpoint" / args.model_type, args.data or usual)


def load(path, what):
    """What a checkpoint of ours has to hand on.

    Args: what: "classifier" or "backbone".
    Returns: (state dict, facts as from records.portable.facts_of, the function of images that the
        file must equal). Raises: ValueError for other files, and for want of a classifier.
    """
    state = checkpoint.read(path)
    config = state.get("config")
    maker = config.get("model_type") if isinstance(config, dict) else None
    if maker in PRETRAININGS and what == "classifier" and not PRETRAININGS[maker].labels:
        raise ValueError(f"{path}: {maker} has no classifier; take --what backbone, or a "
                         "checkpoint of train.py")
    if maker not in PRETRAININGS:
        check_made_by(state, path)
    found = find_backbone(state, path)
    trained, classes = found.trained_as, state["classes"] if what == "classifier" else []
    tensors = state["model"] if what == "classifier" else found.tensors
    facts = facts_of(what, trained["arch"], trained, stored_size(config["data"], trained["image_size"]), classes,
                     maker, checkpoint.tensors_digest(tensors))
    if what == "classifier":
        return tensors, facts, network_of(state).eval()
    model = resnet(trained["arch"], 1, trained["stem"])
    model.load_state_dict(tensors, strict=False)  # all but fc: find_backbone has looked
    return tensors, facts, model.eval().features


@torch.no_grad()
def verify(form, path, facts, forward, name):
    """Read a file as another program does, and compare its outputs with ours.

    Args: form: a records.portable.Format. forward: our function of images. name: for messages.
    Returns: (who read it, the largest difference). Raises: ValueError where it is above TOLERANCE.
    """
    try:
        theirs, reader = form.read(path, facts)
    except Exception as error:  # of other programs, in ways beyond counting
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{name}: not kept: it cannot be read again ({reason})") from error
    differences = []
    for images in (make(count, facts) for make in (noise, real_looking) for count in BATCHES):
        ours = forward(images)
        scale = max(1.0, float(ours.abs().max()))
        differences.append(float((theirs(images) - ours).abs().max()) / scale)
    if not max(differences) <= TOLERANCE:  # nan, too
        raise ValueError(f"{name}: not kept: read by {reader} its outputs differ by "
                         f"{max(differences):.2g} from ours; only {TOLERANCE:g} is rounding")
    return reader, max(differences)


def noise(count, facts):
    """Random inputs of a network, float32 (count, 3, size, size)."""
    random = torch.Generator().manual_seed(count)
    return torch.randn(count, 3, *[facts["image_size"]] * 2, generator=random)


def real_looking(count, facts):
    """Inputs made of smooth pictures, as those of a camera are, float32 (count, 3, size, size)."""
    random = torch.Generator().manual_seed(count)
    grain = 255 * torch.rand(count, 3, GRAIN, GRAIN, generator=random)
    smooth = torch.nn.functional.interpolate(grain, [facts["stored_size"]] * 2, mode="bicubic")
    pictures = smooth.clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous()
    return labelled_view(facts["image_size"], facts["mean"], facts["std"])(pictures, None)


if __name__ == "__main__":
    raise SystemExit(utils.run(main))
