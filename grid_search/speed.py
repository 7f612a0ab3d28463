"""How many images a second this machine trains on: measured, for a plan that has to fit into some
minutes."""

import time

SECONDS = 2  # of measuring
WARM_UP = 2  # steps


def images_per_second(arch, size, stem, batch_size, device, amp):
    """Images by the second of a training step: forward, backward, Adam.

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
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        step()
        steps += 1
    return steps * batch_size / (time.perf_counter() - started)
