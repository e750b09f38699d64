"""Train a policy on CartPole with TorchRL, collecting through slotbench's SlotTransport.

Eight environments run in threads of TorchRL's AsyncBatchedCollector. Its server runs the policy for
all of them, and SlotTransport carries their observations and actions. PPO trains a copy of that
policy, whose weights go to the server after every batch.

    python docs/examples/cartpole_torchrl.py --frames 20000

Needs ``pip install 'slotbench[torchrl]'``. Threads decide in which order episodes end, so two runs
with one seed are alike, not equal.
"""

import argparse
import copy
from collections.abc import Iterator
from functools import partial

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import TensorDictModule
from torch import nn
from torchrl.collectors import AsyncBatchedCollector
from torchrl.envs import GymEnv
from torchrl.modules import ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

from slotbench.torchrl import SlotTransport

NUM_ENVS = 8
FRAMES_PER_UPDATE = 1000


def make_env(seed: int) -> GymEnv:
    """Return a seeded CartPole, whose actions are 0 and 1."""
    env = GymEnv("CartPole-v1", categorical_action_encoding=True)
    env.set_seed(seed)
    return env


def make_policy() -> ProbabilisticActor:
    """Return a policy that samples an action, and says how probable it was."""
    net = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 2))
    return ProbabilisticActor(
        TensorDictModule(net, in_keys=["observation"], out_keys=["logits"]),
        in_keys=["logits"],
        distribution_class=torch.distributions.Categorical,
        return_log_prob=True,
    )


def in_parts(
    collector: AsyncBatchedCollector, num_frames: int
) -> Iterator[list[TensorDictBase]]:
    """Yield lists of whole episodes, each of so many steps or a few more."""
    episodes: list[TensorDictBase] = []
    for episode in collector:
        episodes.append(episode.contiguous())
        if sum(map(len, episodes)) >= num_frames:
            yield episodes
            episodes = []


def train(num_frames: int, seed: int) -> None:
    """Train for about this many steps, and print how the mean return grows."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    policy = make_policy()
    critic = ValueOperator(
        nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 1)), ["observation"]
    )
    advantage = GAE(gamma=0.99, lmbda=0.95, value_network=critic)
    loss = ClipPPOLoss(policy, critic, entropy_coeff=0.01)
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-3)

    collector = AsyncBatchedCollector(
        [partial(make_env, seed + i) for i in range(NUM_ENVS)],
        policy=copy.deepcopy(policy),  # the one that is served
        transport=SlotTransport(NUM_ENVS),
        env_backend="threading",
        policy_backend="threading",
        max_batch_size=NUM_ENVS,
        frames_per_batch=1,
        total_frames=num_frames,
        yield_completed_trajectories=True,
    )
    num_done = 0
    for episodes in in_parts(collector, min(num_frames, FRAMES_PER_UPDATE)):
        num_done += sum(map(len, episodes))
        returns = [episode["next", "reward"].sum().item() for episode in episodes]
        with collector.pause():  # the loss would change how the server samples
            for _ in range(10):
                with torch.no_grad():
                    data = torch.cat([advantage(episode) for episode in episodes])
                for rows in torch.randperm(len(data)).split(250):
                    terms = loss(data[rows])
                    total = terms["loss_objective"] + terms["loss_critic"]
                    (total + terms["loss_entropy"]).backward()
                    nn.utils.clip_grad_norm_(loss.parameters(), 0.5)
                    optimizer.step()
                    optimizer.zero_grad()
        collector.update_policy_weights_(TensorDict.from_module(policy).data)
        print(  # noqa: T201 - it is what the example shows
            f"{num_done:6} frames, policy {collector.policy_version:2}: "
            f"mean return {sum(returns) / len(returns):5.1f}"
        )
    collector.shutdown()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train on CartPole through SlotTransport.")
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    train(options.frames, options.seed)
