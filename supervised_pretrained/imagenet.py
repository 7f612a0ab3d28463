"""ImageNet weights through the pretrainedmodels package."""

import hashlib
import os
import re
from pathlib import Path

import torch

from conf import global_settings as settings
from records import checkpoint


def imagenet_weights(arch):
    """Load (downloading once) the ImageNet weights of an architecture that the package names.

    The file lies where the package's own loader looks: torch.hub's folder, as TORCH_HOME says.
    Returns: (what the file holds, dict of the mean, std and image_size that it expects).
    Raises: FileNotFoundError if it can be neither found nor downloaded, ValueError if its hash is
        wrong.
    """
    import pretrainedmodels
    preset = pretrainedmodels.pretrained_settings[arch]["imagenet"]
    path = Path(torch.hub.get_dir()) / "checkpoints" / os.path.basename(preset["url"])
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(preset["url"], str(path), _hash_prefix(path))
        except (OSError, RuntimeError) as error:
            raise FileNotFoundError(f"ImageNet weights are not at {path} and could not be "
                                    f"downloaded from {preset['url']} ({error}); put the file "
                                    "there") from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if not digest.startswith(_hash_prefix(path)):
        raise ValueError(f"{path}: its SHA-256 starts with {digest[:8]}, not with "
                         f"{_hash_prefix(path)} as its name says; delete it to download it again")
    return checkpoint.read(path), {  # the package's own loader would execute what it loads
        "mean": tuple(preset["mean"]), "std": tuple(preset["std"]),
        "image_size": settings.IMAGENET_WEIGHTS_SIZE}


def _hash_prefix(path):
    return re.search(r"-([0-9a-f]{8,})\.", path.name).group(1)
