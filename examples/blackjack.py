"""Learn Blackjack both ways: plan on a model that was measured by sampling, and learn while stepping.

Gymnasium's Blackjack has no transition table, but its `step` depends on the observed hand alone, so that a model can be
measured: play at random, and count.
"""

from __future__ import annotations

import gymnasium
from matplotlib import pyplot

import cdq
from cdq.envs.spaces import Encoder

SAMPLES, STEPS = 150_000, 250_000
GAMMA = 1.0  # games are short, and all that counts is how they end


def measure(samples: int, seed: int) -> cdq.MDP:
    """Return the model that so many steps of random play show."""
    env = gymnasium.make("Blackjack-v1")
    encoder = Encoder(env.observation_space, env.action_space)
    env.action_space.seed(seed)
    transitions, hand = [], encoder.state_of(env.reset(seed=seed)[0])
    for _ in range(samples):
        action = env.action_space.sample()
        observation, reward, terminated, _, _ = env.step(action)
        next_hand = encoder.state_of(observation)
        transitions.append((hand, action, reward, next_hand, terminated))
        hand = encoder.state_of(env.reset()[0]) if terminated else next_hand
    columns = zip(*transitions, strict=True)
    return cdq.MDP.from_samples(*columns, n_states=encoder.n_states, n_actions=2, name="measured Blackjack")


def learner(seed: int) -> cdq.QLearner:
    return cdq.QLearner(
        "Blackjack-v1",
        gamma=GAMMA,
        step_size=cdq.Polynomial(1.0),  # the mean of all that was seen: rewards are noise, most of all
        exploration=1.0,  # what is best is learnt from games at random too, and these show every hand
        seed=seed,
    )


def draw(agent: cdq.QLearner) -> None:
    figure, axes = pyplot.subplots(1, 2, sharey=True, layout="constrained")
    for ace, ax in enumerate(axes):
        hits = [[agent.predict((own, dealer, ace)) for dealer in range(1, 11)] for own in range(12, 22)]
        ax.imshow(hits, origin="lower", extent=(0.5, 10.5, 11.5, 21.5), cmap="cividis")
        ax.set(xlabel="the dealer shows", title="with an ace" if ace else "without an ace")
    axes[0].set(ylabel="own sum; light: hit")
    figure.savefig("blackjack.svg")


def main() -> None:
    model = measure(SAMPLES, seed=0)
    planned = cdq.solve(model, GAMMA)
    agent = learner(seed=0).learn(STEPS)

    learnt, result = agent.table, agent.evaluate(episodes=10_000)
    played = learnt.visits.min(axis=1) > 0
    same = (planned.values.argmax(axis=1) == learnt.policy())[played].mean()
    print(f"model       {model.n_outcomes:,} outcomes of {played.sum()} hands")
    print(
        f"mean return {result.mean_return:.3f} ± {result.standard_error:.3f} of what was learnt by stepping"
    )
    print(f"both ways play {same:.0%} of the hands alike")
    print(f"with 16 against a 7: {('stick', 'hit')[agent.predict((16, 7, 0))]}")
    draw(agent)


if __name__ == "__main__":
    main()
