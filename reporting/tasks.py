"""Which results may be held against each other: trainings on as many labels of one dataset, judged
by the same test images."""

from typing import NamedTuple

from records.setting import DIGEST_SIGNS, table


class Task(NamedTuple):
    """images: the first signs of the digest of its test images where others of the dataset have
    other ones, else ""."""
    data: str
    labels: float
    images: str = ""

    @property
    def title(self):
        """`cifar100, label ratio 0.1`."""
        labels = f", label ratio {self.labels:.15g}" * (self.labels != 1)
        return self.data + labels + f", test images {self.images}" * bool(self.images)


def by_task(results):
    """{Task: its training Results}, by dataset, the fewest labels first."""
    trained = [result for result in results if not result.setting.pretraining]
    marks, groups = _test_images(trained), {}
    for result, mark in zip(trained, marks):
        several = len({other for each, other in zip(trained, marks)
                       if other and each.setting.data == result.setting.data}) > 1
        images = (mark[:DIGEST_SIGNS] or "not known") * several
        groups.setdefault(Task(result.setting.data, result.setting.labels, images), []).append(result)
    return dict(sorted(groups.items()))


def _test_images(results):
    """Of each Result what tells its test images from others, "" where its YAML files do not: the
    digest of their files, which is the same at any size, wherever some run of the same has it."""
    configs = [result.runs[0].config for result in results]
    digests = [table(config, "data").get("test") for config in configs]
    files = {digest: config["test_files"] for digest, config in zip(digests, configs)
             if isinstance(digest, str) and isinstance(config.get("test_files"), str)}
    return [files.get(digest, digest) if isinstance(digest, str) else "" for digest in digests]
