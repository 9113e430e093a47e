"""The requests of a run, decided before it begins: the same for every column."""

from random import Random

from bench.herd.job import Request
from bench.herd.scenarios import Scenario
from sluicegate_worker.demo.traffic import draw_arrivals, name_agents, write_body

AGENTS = 200
MODEL = "sim-chat"
PROMPT_TOKENS = (20, 200)
ANSWER_TOKENS = (10, 60)
HOG = "hog-"


def draw_requests(scenario: Scenario, rpm: int, seed: int) -> list[Request]:
    crew = name_agents(AGENTS, scenario.hogs)
    shares = [scenario.hogs_share / max(1, len(crew.hogs))] * len(crew.hogs)
    shares += [(1 - scenario.hogs_share) / len(crew.others)] * len(crew.others)
    random = Random(f"{scenario.name} {seed}")
    requests: list[Request] = []
    began_s = 0.0
    for phase in scenario.phases:
        duration_s, per_s = phase.until_s - began_s, rpm / 60 * phase.load
        for arrival in draw_arrivals(crew.everyone, shares, per_s, duration_s, random.getrandbits(32)):
            body = write_body(MODEL, random.randint(*PROMPT_TOKENS), random.randint(*ANSWER_TOKENS))
            offset_s = began_s + arrival.offset_s
            requests.append(Request(len(requests), offset_s, arrival.agent.name, body.decode()))
        began_s = phase.until_s
    return requests


def is_hog(agent: str) -> bool:
    return agent.startswith(HOG)


def deal_requests(requests: list[Request], processes: int) -> list[list[Request]]:
    """To the process in which its agent lives: as many agents to each."""
    agents = sorted({request.agent for request in requests})  # hogs come one after the other, and so are spread
    home = {agent: place % processes for place, agent in enumerate(agents)}
    return [[request for request in requests if home[request.agent] == number] for number in range(processes)]
