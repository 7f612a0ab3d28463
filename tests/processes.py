"""Threads that play processes."""

import threading

import torch
import torch.distributed as dist


class Processes:
    """Stands for torch.distributed where threads are the processes."""

    def __init__(self, count):
        self.ReduceOp = dist.ReduceOp
        self.count, self.own, self.given = count, threading.local(), [None] * count
        self.barrier, self.sums = threading.Barrier(count, timeout=30), 0

    def get_rank(self):
        return self.own.rank

    def get_world_size(self):
        return self.count

    def all_reduce(self, values, operation=dist.ReduceOp.SUM):
        self.given[self.own.rank] = values.clone()
        self.barrier.wait()
        values.copy_(sum(self.given) if operation == dist.ReduceOp.SUM else torch.stack(self.given).amin(0))
        self.sums += self.own.rank == 0
        self.barrier.wait()

    def all_to_all_single(self, received, values, got, given):
        self.given[self.own.rank] = values.split(given)
        self.barrier.wait()
        parts = [parts[self.own.rank] for parts in self.given]
        assert [len(part) for part in parts] == got
        received.copy_(torch.cat(parts))
        self.barrier.wait()

    def run(self, work):
        """[work(rank)] of all ranks at once. Raises: the first error of one of them."""
        results, errors = [None] * self.count, []

        def of(rank):
            self.own.rank = rank
            try:
                results[rank] = work(rank)
            except Exception as error:
                errors.append(error)
                self.barrier.abort()

        threads = [threading.Thread(target=of, args=(rank,)) for rank in range(self.count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return results
