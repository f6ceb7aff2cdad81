"""``neuralstream models ramp``, ``shadow`` and ``guard``: careful releases."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import typer

from neuralstream_client import NeuralStream
from neuralstream_client.answers import GuardAnswer, ShadowAnswer
from neuralstream_client.command.output import moment, table
from neuralstream_client.command.running import Shown, command
from neuralstream_client.command.words import value_of
from neuralstream_client.errors import DataError

__all__ = ["add_to"]

Model = Annotated[str, typer.Argument()]
Reason = Annotated[str | None, typer.Option(help="Recorded in the model's events.")]

_BOUNDS: Final = ("max", "min", "worse_than_baseline")


def add_to(app: typer.Typer) -> None:
    """Add the commands to ``neuralstream models``."""
    for name, function in (("ramp", _ramp), ("shadow", _shadow), ("guard", _guard)):
        command(app, name)(function)


def _ramp(
    ns: NeuralStream,
    model: Model,
    version: Annotated[str, typer.Argument(help="The version that gets more and more traffic.")],
    steps: Annotated[
        list[str], typer.Argument(help="SHARE=DURATION, the last one SHARE: 0.05=1h 0.25=4h 1")
    ],
    reason: Reason = None,
) -> Shown:
    """Move traffic to a version step by step, while the model's guard holds."""
    answer = ns.models.ramp(model, version, [_step(word) for word in steps], reason=reason)
    due = f", next step {moment(answer.next_step_at)}" if answer.next_step_at else ""
    shares = ", ".join(f"{name} {share:g}" for name, share in (answer.split or {}).items())
    return Shown(answer, [f"{model}: {shares}{due}"])


def _shadow(
    ns: NeuralStream,
    model: Model,
    version: Annotated[str | None, typer.Argument(help="None: show the shadow.")] = None,
    sample: Annotated[float, typer.Option(help="Share of the requests it sees.")] = 1.0,
    end: Annotated[bool, typer.Option("--end", help="No shadow any more.")] = False,
    reason: Reason = None,
) -> Shown:
    """Show, set or end the version that sees the traffic and never answers."""
    if end and version:
        raise DataError("give either a version or --end")
    if end:
        answer: ShadowAnswer = ns.models.end_shadow(model)
    elif version:
        answer = ns.models.shadow(model, version, sample=sample, reason=reason)
    else:
        answer = ns.models.get_shadow(model)
    shadow = answer.shadow
    told = f"{shadow.version} sees {shadow.sample:g} of the requests" if shadow else "no shadow"
    return Shown(answer, [f"{model}: {told}"])


def _guard(
    ns: NeuralStream,
    model: Model,
    rules: Annotated[
        list[str] | None,
        typer.Argument(
            help="METRIC:max=NUMBER, also min or worse_than_baseline, and windows, window:"
            " error_rate:max=0.05:windows=3; none: show the guard."
        ),
    ] = None,
    action: Annotated[
        Literal["rollback", "end_split", "announce"],
        typer.Option(help="What happens when a rule is broken."),
    ] = "rollback",
    remove: Annotated[bool, typer.Option("--remove", help="No guard any more.")] = False,
    reason: Reason = None,
) -> Shown:
    """Show, set or remove the bounds that every version with traffic must keep."""
    if remove and rules:
        raise DataError("give either rules or --remove")
    if remove:
        answer: GuardAnswer = ns.models.remove_guard(model)
    elif rules:
        parsed = [_rule(word) for word in rules]
        answer = ns.models.guard(model, parsed, action=action, reason=reason)
    else:
        answer = ns.models.get_guard(model)
    return Shown(answer, _told(model, answer))


def _step(word: str) -> tuple[float, str | None]:
    share, _, duration = word.partition("=")
    try:
        return float(share), duration or None
    except ValueError as error:
        raise DataError(f"{word!r} is not of the form SHARE=DURATION") from error


def _rule(word: str) -> dict[str, Any]:
    metric, *parts = word.split(":")
    rule: dict[str, Any] = {"metric": metric}
    for part in parts:
        name, _, text = part.partition("=")
        rule[name] = text if name == "window" else value_of(text)
    if not any(name in rule for name in _BOUNDS):
        raise DataError(f"{word!r} has no bound; METRIC:max=NUMBER is needed")
    return rule


def _told(model: str, answer: GuardAnswer) -> list[Any]:
    guard = answer.guard
    if guard is None:
        return [f"{model}: no guard"]
    state = "" if guard.armed else ", not armed"
    lines: list[Any] = [f"{model}: {guard.action}{state}"]
    last = guard.last_trip
    if last is not None:
        lines.append(f"{moment(last.at)} {last.done}: {last.found}")
    if answer.evaluated is not None:
        found = answer.evaluated
        rows = ([one.version, one.rule, one.status, one.sentence] for one in found.findings)
        lines += [
            f"evaluated {moment(found.at)}",
            table(("version", "rule", "status", "found"), rows),
        ]
    else:
        lines += [_words(rule) for rule in guard.rules]
    return lines


def _words(rule: Any) -> str:
    bound = next(name for name in _BOUNDS if getattr(rule, name) is not None)
    return (
        f"{rule.metric} {bound} {getattr(rule, bound):g}, {rule.windows} windows of {rule.window}"
    )
