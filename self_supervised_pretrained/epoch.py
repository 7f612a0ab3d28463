"""One epoch of SimCLR."""

import torch

from self_supervised_pretrained.loss import nt_xent


def pretrain_one_epoch(network, batches, optimizer, rate, *, view, temperature, context, seed, epoch, random,
                       scaler, on_step=None):
    """Train one epoch with NT-Xent over each whole batch.

    Args:
        rate: step of this epoch -> learning rate. view: (uint8 images, generator) -> (2B, 3, H, W), rows i and
        B + i two views of image i. context: makes the autocast context of a forward pass.
    Returns: dict of loss (nats), accuracy (contrastive top-1, fraction), learning_rate (of the last step).
    Raises: ValueError for a loss that is not finite.
    """
    network.train()
    loss_sum, correct, seen = 0.0, 0, 0
    for step, (images, _) in enumerate(batches.epoch(seed, epoch)):
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        views = view(images, random)
        with context():
            z = network(views)
        loss, hits = nt_xent(z, temperature)

        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

        loss_sum += loss.detach() * len(z)
        correct += hits
        seen += len(z)
        if on_step:
            on_step(step)
    loss = float(loss_sum / seen)
    if not loss < float("inf"):
        raise ValueError(f"the loss became {loss} in epoch {epoch}: lower --lr (it was {rate(step):g}); "
                         "the last checkpoint is untouched")
    return {"loss": loss, "accuracy": float(correct / seen), "learning_rate": rate(step)}


def scaler_for(device, amp):
    """The gradient scaler that fp16 needs; does nothing for other settings of amp."""
    return torch.amp.GradScaler(torch.device(device).type, enabled=amp == "fp16")
