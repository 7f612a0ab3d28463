"""How many images a second this machine trains on: measured, for a plan that has to fit into some
minutes."""

import itertools
import time

SECONDS = 3  # of measuring
WARM_UP = 2  # steps


def images_per_second(arch, size, stem, batch_size, device, amp):
    """Images by the second of a training step: forward, backward, Adam. Of all steps in so many
    seconds the fastest tells it: other work on the machine may be over a moment later.

    Args: size: px a side. device: torch.device. amp: as in functions.autocast.
    """
    import torch

    from functions import autocast
    from supervised.resnet import resnet

    network = resnet(arch, 100, stem).to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(network.parameters())
    images = torch.rand(batch_size, 3, size, size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(batch_size, device=device) % 100

    def step():
        optimizer.zero_grad()
        with autocast(device, amp):
            loss = torch.nn.functional.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        loss.item()  # waits for the device

    for _ in range(WARM_UP):
        step()
    times = [time.perf_counter()]
    while times[-1] - times[0] < SECONDS:
        step()
        times.append(time.perf_counter())
    return batch_size / min(later - earlier for earlier, later in itertools.pairwise(times))
