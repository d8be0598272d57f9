"""Seconds to temporal tokens and back for both presets, and clock text: plain float64 arithmetic."""

import common

SEED = 4505
FAMILY = "time_tokens"
PRESETS = {
    "strefer": {
        "count": 32, "intervals": 31,
        "rule": "round_half_even(31*(t/duration)) evaluated as intervals*(t/duration) in f64",
        "inverse": "round_half_even(duration*(k/31)) whole seconds, evaluated as duration*(k/intervals)",
    },
    "gvl": {
        "count": 301, "intervals": 300,
        "rule": "min(trunc(300*t/duration),300), evaluated as (300*t)/duration in f64",
        "inference_rule": "gvl_infer column: trunc(t/duration*300), no clamp",
        "inverse": "text with two decimals of (duration*k)/300 (printf %.2f)",
    },
}


def to_token(seconds, duration):
    """Python's `round` is half to even, as the rule asks."""
    strefer = round(31 * (seconds / duration))
    return {
        "seconds": seconds, "duration": duration,
        "strefer": strefer, "strefer_in_vocab": 0 <= strefer <= 31, "strefer_clamped": min(max(strefer, 0), 31),
        "gvl": min(int((300 * seconds) / duration), 300), "gvl_infer": int(seconds / duration * 300),
    }


def to_seconds(preset, token, duration):
    if preset == "strefer":
        return {"preset": preset, "token": token, "duration": duration, "seconds": round(duration * (token / 31))}
    return {"preset": preset, "token": token, "duration": duration, "seconds": "%.2f" % ((duration * token) / 300)}


def clock(text):
    hours, minutes, seconds = text.split(":")
    total = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return {"text": text, "seconds": total, "frame_at_29_97": int(total * 29.97), "frame_at_25": int(total * 25)}


def check(folder):
    cases = common.read_json(folder / "cases.json")
    for row in cases["to_token"]:
        assert row == to_token(row["seconds"], row["duration"]), row
    for row in cases["to_seconds"]:
        assert row == to_seconds(row["preset"], row["token"], row["duration"]), row
    for row in cases["clock_text"]:
        assert row == clock(row["text"]), row
    print(f"{FAMILY}: our arithmetic agrees with {sum(map(len, (cases['to_token'], cases['to_seconds'], cases['clock_text'])))} rows")


def main():
    rng = common.seeded(SEED)
    reference = common.fixtures(FAMILY)
    if reference:
        check(reference)
    folder = common.out_dir(FAMILY)
    tokens, seconds = [], []
    for duration in (0.5, 7.75, 15.5, 31.0, 93.0, 125.125, 3600.0):
        times = [duration * k / 31 for k in (0, 1, 8, 15, 30, 31)]
        times += [duration * (k + 0.5) / 31 for k in (0, 1, 6, 15, 30)]
        times += [round(float(t), 3) for t in rng.uniform(0, duration, 8)]
        times += [duration + 0.25, 2 * duration]
        tokens += [to_token(t, duration) for t in times]
        seconds += [to_seconds("strefer", k, duration) for k in (0, 1, 2, 9, 15, 16, 30, 31)]
        seconds += [to_seconds("gvl", int(k), duration) for k in (0, 1, 300, *rng.integers(2, 300, 6))]
    texts = ["00:00:01.5", "00:02:07.333", "02:00:00", "00:59:59.99", "0:1:2", "00:00:30.03", "11:22:33.444"]
    common.write_json(folder / "cases.json", {
        "presets": PRESETS, "to_token": tokens, "to_seconds": seconds, "clock_text": [clock(text) for text in texts],
    }, indent=None)
    common.readme(
        folder, "Time tokens",
        "`to_token`: seconds and duration to the token of each preset; `strefer` is what the rule gives, beyond the vocabulary\n"
        "for times past the end, `strefer_clamped` is what we use. `to_seconds`: the inverse (`gvl` as text with two decimals).\n"
        "`clock_text`: `HH:MM:SS.fff` to seconds and to a truncated frame number.",
        SEED, "Python float64", "Our own arithmetic, which agrees with the reference's recorded rows.", "everything equal.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()
