"""Draws what bench-calls measured. Usage: plot.py calls-plot.json calls.png"""

import json
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

with open(sys.argv[1]) as file:
    data = json.load(file)
steps = data["steps"]
calls = [row["step"]["calls"] for row in steps]


def of(name):
    return [row[name] for row in steps]


figure, (time, cost) = plt.subplots(1, 2, figsize=(11, 4))
time.plot(calls, of("added_p50_ms"), "o-", label="added, median")
time.plot(calls, of("added_p95_ms"), "o-", label="added, 95 %")
time.plot(calls, of("barge_p50_ms"), "s--", label="voice to clear, median")
time.plot(calls, of("barge_p99_ms"), "s--", label="voice to clear, 99 %")
time.axhline(data["limit_ms"], color="grey", linewidth=0.8)
time.set(xlabel="calls at once", ylabel="ms", title="What the mesh adds to the providers' own time")
time.set_ylim(bottom=0)
time.legend()
services = [name for name, _ in steps[0]["step"]["cpu_ms_each"]]
each = [[dict(row["step"]["cpu_ms_each"])[name] for row in steps] for name in services]
cost.stackplot(calls, each, labels=services)
cost.plot(calls, [row["step"]["cpu_ms_beside"] for row in steps], "k:", label="callers and simulators")
cost.set(xlabel="calls at once", ylabel="ms of CPU per call and second", title="What it costs")
cost.legend()
figure.tight_layout()
figure.savefig(sys.argv[2], dpi=110)
