"""The page of measurements, made of the result files of `benchmarks/`."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"


def page(notice: str) -> str:
    sections = [
        engine(),
        foretold_steps(),
        overhead(),
        endurance(),
        crash(),
        durability(),
        fairness(),
        queue(),
        gateway(),
        decoding(),
    ]
    sections += [loop_lag(), soak(), provenance(), watermark()]
    head = (
        "# What was measured\n\n"
        "On two cores without a GPU; no figure here is of one. Ratios are of the same work in the same run, taken in\n"
        "turns; above 1 Mezzotint is better. Of several rounds: median (least to most). Each section names\n"
        "its script and how busy the machine was when it began (its load: 0 is idle, 2 is full); the files behind it\n"
        "are in `benchmarks/results/`.\n"
    )
    return "\n".join([notice, head, *("\n".join(lines) + "\n" for lines in sections)])


PEERS = {
    "one_by_one": "stock diffusers, one by one",
    "request_batching": "LitServe's request batching",
    "continuous": "LitServe's continuous loop over a step loop written by hand",
    "continuous_tuned": "the same, its convolutions channels-last as the engine's",
}


def engine() -> list[str]:
    found = read("engine")
    pays, does_not = found["starter"], found["attentive"]
    lines = [f"## The step engine ({script('engine')}, {rounds(pays)})\n"]
    lines.append("Jobs of 4, 20, 30 and 50 steps. In the second model wide passes cost as much as separate ones.\n")
    lines += table("against", "throughput, exact", "fast", "p95 at 95 % load, exact", "second model, exact", "fast")
    for base, name in PEERS.items():
        over = [
            pays["throughput_over"]["hub_exact"][base],
            pays["throughput_over"]["hub_fast"][base],
            pays["p95_better_by"]["hub_exact"][base],
            does_not["throughput_over"]["hub_exact"][base],
            does_not["throughput_over"]["hub_fast"][base],
        ]
        lines.append(row(name, *map(ratio, over)))
    lines.append(f"\nExact mode over fast mode: {ratio(pays['exact_over_fast'])}.")
    return lines


def foretold_steps() -> list[str]:
    found = read("engine_forecast")
    of_starter = found["starter"]
    steps, foretold = " and ".join(str(count) for count in found["steps"]), of_starter["forecast"]
    lines = [f"## The step engine with foretold steps ({script('engine_forecast', 'engine')}, {rounds(of_starter)})\n"]
    lines.append(f"The starter model, jobs of {steps} steps, exact mode, the bound {found['forecast_bound']}.\n")
    lines += table("against", "throughput, every pass", "foretold", "p95 at 95 % load, every pass", "foretold")
    for base, name in PEERS.items():
        measures = of_starter["throughput_over"], of_starter["p95_better_by"]
        ways = ("hub_exact", "hub_exact_forecast")
        lines.append(row(name, *(ratio(measure[way][base]) for measure in measures for way in ways)))
    share = foretold["foretold"] / (foretold["foretold"] + foretold["passes"])
    lines.append(
        f"\n{share:.0%} of the denoiser's calls were foretold. To the pictures of every pass:"
        f" {foretold['psnr_db_mean']} dB on average, {foretold['psnr_db_worst']} dB"
        f" in the worst of {foretold['pictures']} pictures."
    )
    return lines


def overhead() -> list[str]:
    found = read("engine_overhead")["figures"]
    lines = [f"## The engine's own cost ({script('engine_overhead')})\n"]
    lines += table("", "1 run", "8 runs")
    one, eight = found["runs_1"], found["runs_8"]
    for key, name in (
        ("hub_ms_per_job_step", "the hub, ms a job-step"),
        ("pipelines_own_ms_per_job_step", "the pipelines' own Python, ms a job-step"),
        ("throughput_over_stock_exact", "throughput over stock, exact"),
        ("throughput_over_stock_fast", "throughput over stock, fast"),
    ):
        lines.append(row(name, f"{one[key]:.2f}", f"{eight[key]:.2f}"))
    share = "hub_share_of_model_time"
    lines.append(row("the hub's share of the model's time", f"{one[share]:.1%}", f"{eight[share]:.1%}"))
    checkpoints = found["checkpoint_overhead"]
    told = ", ".join(f"{checkpoints[f'every_{n}']:.2%} every {n}" for n in (10, 2, 1))
    lines.append(f"\nCheckpoints cost, of the time without them: {told} steps.")
    return lines


def endurance() -> list[str]:
    rows = read("engine_endurance")["rows"]
    first, last = rows[0], rows[-1]
    return [
        f"## Nothing is left of runs that ended ({script('engine_endurance')})\n",
        f"After {last['runs']} runs {last['resident_mib']} MiB are resident, {first['resident_mib']} before; tensors"
        f" alive: {last['tensors']}, and {first['tensors']} before.",
    ]


def crash() -> list[str]:
    lines = [f"## kill -9 at every step ({script('crash')})"]
    for found in (read("crash"), read("crash_every_10")):
        lines.append(f"\nA job of {found['steps']} steps, a checkpoint every {found['checkpoint_every']}.\n")
        lines += table("newest checkpoint", "killed", "same bytes in the end", "damage found")
        for kind, name in (("none", "whole"), ("flip", "one byte flipped"), ("cut", "cut short")):
            one = found[kind]
            lines.append(row(name, one["trials"], one["same_bytes"], f"{one['counted_corrupt']} of {one['damaged']}"))
    return lines


def durability() -> list[str]:
    lines = [f"## Workers killed at random ({script('durability')})\n"]
    lines += table("store", "jobs", "kills", "lost", "pictures twice", "charged twice", "resumed from a checkpoint")
    for name, one in read("durability").items():
        counts = (one["lost"], one["pictures_twice"], one["charged_twice"], one["resumed_from_a_checkpoint"])
        lines.append(row(name.replace("_", " "), one["jobs"], sum(one["kills"]), *counts))
    return lines


def fairness() -> list[str]:
    found = read("fairness")
    idle = found["idle though something waited"]
    return [
        f"## Fairness ({script('fairness')})\n",
        f"{found['decisions']:,} random decisions, {found['pairs checked']:,} checks of the bound between backlogged"
        f" flows: {found['violations']} violations; idle though something waited: {idle}.",
    ]


def queue() -> list[str]:
    found = read("queue")
    lines = [f"## The queue ({script('queue')})\n"]
    lines.append("Over peers on the same PostgreSQL with the same durability, jobs a second:\n")
    over = found["mezzotint_over"]
    names = list(over["pgqueuer"])
    lines += table("over", *(name.replace("_", " ") for name in names))
    lines += [row(peer, *(ratio(over[peer][name]) for name in names)) for peer in over]
    deep = found["deep_queue"]["mezzotint"]
    few, many = (int(key.rsplit("_", 1)[1]) for key in deep if key != "times")
    shares = ", ".join(f"{name} {share:.0%}" for name, share in found["free_share_while_pro_waits"].items())
    kills = sorted(found["from_kill_to_running_elsewhere_s"]["seconds"])
    lines += [
        f"\n- What Free gets while Pro saturates the workers: {shares}.",
        f"- A claim with {many:,} jobs waiting takes {deep['times']:.2f} times one with {few}.",
        f"- From `kill -9` to running elsewhere: {kills[0]:.1f} to {kills[-1]:.1f} s, with leases of"
        f" {found['from_kill_to_running_elsewhere_s']['lease_s']:.0f} s.",
    ]
    return lines


def gateway() -> list[str]:
    found = read("gateway")
    lines = [f"## The gateway ({script('gateway')})\n"]
    lines.append(f"{found['requests_per_s']} requests a second, {found['pictures']:,} pictures in history.\n")
    lines += table("store", "status p50 / p99, ms", "list", "submit", "submits a second")
    names = {
        "sqlite": "SQLite",
        "sqlite_drawing": "SQLite, drawing in the same process",
        "postgresql": "PostgreSQL",
        "postgresql_drawing": "PostgreSQL, drawing in the same process",
    }
    for store, name in names.items():
        if store in found:
            times = [found[store]["latency_ms"][kind] for kind in ("status", "list", "submit")]
            told = [f"{time['p50']:.0f} / {time['p99']:.0f}" for time in times]
            lines.append(row(name, *told, f"{found[store]['submits_per_s']:.0f}"))
    streams = found["sqlite"]["idle_streams"]
    lines.append(f"\n{streams['streams']:,} idle event streams take {streams['kib_each']:.0f} KiB each.")
    return lines


def decoding() -> list[str]:
    found = read("decoding")
    lines = [f"## Uploads that are long work ({script('decoding')})\n"]
    lines.append("What a tenant sends at once, and another tenant's small upload, one after the other meanwhile.\n")
    lines += table("sent", "answers", "until the last, s", "small upload, quiet, s", "worst, s", "memory, MiB")
    for key, name in (("two_jpegs_of_many_scans", "2 JPEGs of 128 KiB full of scans"), ("twenty_photographs", "")):
        for version, one in (("", found[key]), (", before", found["before"][key])):
            title = (name or f"20 photographs of {one['mb_each']} MB") + version
            answers = ", ".join(f"{count} x {status}" for status, count in one["statuses"].items())
            quiet, worst = one["small_upload_quiet_s"], one["small_upload_worst_s"]
            lines.append(row(title, answers, one["until_the_last_answer_s"], quiet, worst, one["peak_mib"]))
    fuzzed = found["fuzzed"]
    lines.append(
        f"\n{fuzzed['pictures']:,} damaged pictures through one decoder process: {fuzzed['taken']:,} taken, the others"
        f" refused, {fuzzed['processes_lost']} processes lost, the longest {fuzzed['worst_s']} s, with"
        f" {fuzzed['peak_mib_with_this_script']} MiB for both processes at most. Before: pictures were"
        " decoded in the server's own threads, as they came."
    )
    return lines


def loop_lag() -> list[str]:
    found = read("loop_lag")
    lines = [f"## What requests hold the event loop for ({script('loop_lag')})\n"]
    lines.append("CPU time of the loop's thread per callback, over fuzzed requests to every route.\n")
    lines += table("requests", "number", "p99, ms", "worst, ms", "answers of 500")
    for key, name in (
        ("fuzzed", "fuzzed, one by one"),
        ("largest_bodies", "bodies of the largest size"),
        ("fuzzed_8_at_once", "fuzzed, eight at once"),
    ):
        one = found[key]
        held = one["held_ms_per_request"]
        lines.append(row(name, f"{one['requests']:,}", held["p99"], held["worst"], one["answers_of_500"]))
    return lines


def soak() -> list[str]:
    found = read("soak")
    lines = [f"## Honest tenants among attackers ({script('soak')})\n"]
    lines.append(
        f"{found['attacked_minutes']:.0f} minutes of attacks in {len(found['rounds'])} rounds, each after a quiet part,"
        " with all clients on the server's own two cores.\n"
    )
    if found.get("is_worker_busy_throughout"):
        lines.append(
            "An honest tenant keeps the worker drawing in both parts alike, and the hostile clients run at nice"
            f" {found['hostile_niceness']}, since attackers do not run on the server's cores.\n"
        )
    if "note" in found:
        lines.append(f"{found['note']}\n")
    lines += table("requests of honest tenants", "quiet p50 / p99, ms", "attacked p50 / p99, ms")
    quiet, attacked = found["latency_ms"]["quiet"], found["latency_ms"]["attacked"]
    for kind in ("status", "list", "picture", "submit"):
        told = [f"{part[kind]['p50']:.0f} / {part[kind]['p99']:.0f}" for part in (quiet, attacked)]
        lines.append(row(kind, *told))
    jobs = found["honest_jobs"]
    last = found["memory"][-1]
    lines.append(
        f"\np99 attacked over quiet: {ratio(found['p99_ratio'])}. Restarts: {found['restarts']}. Honest jobs that"
        f" succeeded: {jobs.get('succeeded', 0)} of {sum(jobs.values())}. Memory after the first attack"
        f" {found['memory'][0]['after_attack_mib']:.0f} MiB, after the last {last['after_attack_mib']:.0f} MiB."
    )
    return lines


def provenance() -> list[str]:
    lines = [f"## Content credentials ({script('provenance')})\n"]
    lines.append("CPU time of one file of noise, with a key in a file.\n")
    lines += table("", "file", "manifest", "to sign", "to read and verify")
    for one in read("provenance")["files"]:
        name, sizes = f"{one['format']}, {one['side_px']} px", (one["bytes"], one["manifest_bytes"])
        lines.append(
            row(name, *(f"{size / 1000:.0f} KB" for size in sizes), f"{one['sign_ms']} ms", f"{one['read_ms']} ms")
        )
    return lines


def watermark() -> list[str]:
    found = read("watermark")
    ours, peer, false = found["mezzotint"], found["rivagan"], found["false"]
    lines = [f"## The invisible mark ({script('watermark')})\n"]
    lines.append(
        f"Of {len(found['pictures'])} photographs, in how many all 32 bits of the payload are read again; in brackets"
        " the share of right bits, where 50 % is chance. RivaGAN's bits (`invisible-watermark` 0.2.0) have no check,"
        " and it refuses pictures below 256 px, as those cut or shrunk to a half are here: a miss.\n"
    )
    lines += table("after", "Mezzotint", "RivaGAN")
    for attack, one in ours["attacks"].items():
        cells = (one, peer["attacks"][attack])
        lines.append(row(attack, *(f"{cell['right']} of {cell['of']} ({cell['bits']:.0%})" for cell in cells)))
    for name, unit in (("psnr_db", "PSNR, dB"), ("write_ms", "to write, CPU ms")):
        lines.append(row(unit, *(spread(scheme[name]) for scheme in (ours, peer))))
    reads = (ours["read_ms"], peer["read_ms"])
    lines.append(row("to read, CPU ms", *(f"{one['least']} to {one['most']}" for one in reads)))
    lines.append(f"\nUnmarked pictures searched with other keys: {false['searches']}, marks found: {false['found']}.")
    return lines


def spread(values: Any) -> str:
    numbers = sorted(values.values() if isinstance(values, dict) else values)
    return f"{numbers[len(numbers) // 2]} ({numbers[0]} to {numbers[-1]})"


def read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def script(name: str, by: str | None = None) -> str:
    """The script of a result file, `by` where its name is another one, and the machine's load when it began."""
    found = read(name)
    hardware = next((one["hardware"] for one in (found, *found.values()) if "hardware" in one), None)
    load = hardware.get("load_average_at_start") if isinstance(hardware, dict) else None
    return f"`benchmarks/{by or name}.py`" + ("" if load is None else f", load {load:.1f}")


def rounds(found: Any) -> str:
    return "1 round" if found["rounds"] == 1 else f"{found['rounds']} rounds"


def ratio(spread: dict[str, float]) -> str:
    if spread["min"] == spread["max"]:
        return f"{spread['median']:.2f}"
    return f"{spread['median']:.2f} ({spread['min']:.2f} to {spread['max']:.2f})"


def table(*names: str) -> list[str]:
    return [row(*names), row(*("---" for _ in names))]


def row(*cells: object) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"
