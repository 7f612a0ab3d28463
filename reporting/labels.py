"""How many labelled images trainings saw."""

from records.setting import is_count, setting_in

# (classes, images of each) of the training sets (Krizhevsky 2009; Coates et al. 2011), before --val-ratio
KNOWN = {"cifar10": (10, 5000), "cifar100": (100, 500), "stl10": (10, 500)}


def labelled_images(result):
    """How many labelled images the runs of a Result trained on: as their YAML files say, or, of older ones, as
    the dataset has them. None where neither tells, or they differ."""
    found = {_of_run(result.setting, run.config) for run in result.runs}
    return found.pop() if len(found) == 1 else None


def images_per_class(results):
    """How many labelled images of each class these Results trained on, where every class has as many; None where
    that is unknown or they differ."""
    found = set()
    for result in results:
        count, (classes, _) = labelled_images(result), KNOWN.get(result.setting.data, (None, None))
        found.add(count / classes if count and classes else None)
    count = found.pop() if len(found) == 1 else None
    return int(count) if count and count == int(count) else None


def _of_run(setting, config):
    count = config.get("labelled_images")
    if is_count(count):
        return count
    classes, each = KNOWN.get(setting.data, (None, None))
    share = setting_in(config, "val_ratio")
    if classes is None or isinstance(share, bool) or not isinstance(share, (int, float)):
        return None
    return classes * _share_of(each - _share_of(each, share), setting.labels)


def _share_of(count, ratio):
    """As data.sampling rounds."""
    return max(1, round(count * ratio)) if ratio else 0
