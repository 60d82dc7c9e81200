"""`layerproof learn`: the model that recognises what a trusted image looks like here."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from layerproof.cli.app import App, offline_option, platform_option, shared, user
from layerproof.errors import UsageError

if TYPE_CHECKING:
    from layerproof.training.options import TrainingOptions


@click.group()
def command() -> None:
    """Train, try, promote and ask the model that recognises what a trusted image looks like here.

    It learns from the index alone: who pushed and pulled what, where, whence, and what layers do.
    A fresh installation has none, and abstains. Nothing promotes itself: no model and no image.
    """


@command.command()
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same model.")
@click.option("--until", metavar="TIME", help="Learn from what was before (UTC); default: now.")
@click.option("--rate", type=float, default=0.01, show_default=True, help="Asked false positives.")
@click.option("--maturity-days", type=click.IntRange(min=1), default=14, show_default=True,
              help="After so many days an undisputed event counts.")  # fmt: skip
@click.option("--card", type=click.Path(path_type=Path), help="Write the model card to this file.")
@shared
def train(
    app: App, seed: int, until: str | None, rate: float, maturity_days: int, card: Path | None
) -> int:
    """Train a model, try it on the newest part of history, and put it forward as challenger.

    \b
    layerproof learn train
    layerproof learn train --until 2026-11-01 --seed 7 --card card.md
    """
    from layerproof.engine.promotion import put_challenger
    from layerproof.training.backtest import backtest
    from layerproof.training.card import card as card_of
    from layerproof.training.card import card_lines
    from layerproof.training.train import train as run
    from layerproof.wiring import open_clock

    index, now = app.index, open_clock().now()
    moment = _time(until) if until else now
    options = _options(rate, maturity_days)
    _say(app, "trying it on what came after …")
    tried = backtest(index, moment, seed=seed, options=options)
    _say(app, "training on everything …")
    model = run(index, moment, seed=seed, options=options)
    if model.model.context is None and model.model.contents is None:
        raise UsageError(
            "there is not enough history to learn from",
            where="learn train",
            remedy="let registries report pushes first: layerproof events import, or the service",
        )
    document = card_of(model, tried)
    scores = model.model.scores
    put_challenger(index, model.data, model.state, document, scores=scores, by=user(), now=now)
    if card is not None:
        card.write_text("\n".join(card_lines(document)) + "\n", encoding="utf-8")
    if app.json:
        from layerproof.report.learned import model_document

        app.emit([model_document(document)])
    elif not app.quiet:
        for line in card_lines(document):
            click.echo(line)
        click.echo("\nit runs in the shadow now; layerproof learn promote puts it into use")
    return 0


@command.command()
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--until", metavar="TIME", help="Only what happened before (UTC); default: now.")
@click.option("--ablations", is_flag=True, help="Without, and with only, each kind of metadata.")
@shared
def evaluate(app: App, seed: int, until: str | None, ablations: bool) -> int:
    """Try what a model would be worth here: trained on the past of the past, tried on what came
    after. Changes nothing.

    \b
    layerproof learn evaluate --ablations
    """
    from layerproof.model.learned import ALL_KINDS
    from layerproof.training.backtest import backtest
    from layerproof.wiring import open_clock

    moment = _time(until) if until else open_clock().now()
    asked = [("everything", ALL_KINDS)]
    if ablations:
        asked += [(f"without {kind}", ALL_KINDS - {kind}) for kind in sorted(ALL_KINDS)]
        asked += [(f"only {kind}", frozenset({kind})) for kind in sorted(ALL_KINDS)]
    for name, kinds in asked:
        _say(app, f"{name} …")
        found = backtest(app.index, moment, seed=seed, kinds=kinds)
        if found is None and name == "everything":
            raise UsageError(
                "there is not enough history to learn from",
                where="learn evaluate",
                remedy="let registries report pushes first: layerproof events import, or the"
                " service",
            )
        if found is None:
            click.echo(f"{name}: nothing to learn from", err=app.json)
            continue
        if app.json:
            from layerproof.report.learned import evaluation_document

            app.emit([evaluation_document({
                "features": name, "pushes": found.pushes, "realisedRate": found.realised,
                "recallOfSwapped": found.swapped, "abstained": found.abstained,
                "scoringMilliseconds": found.milliseconds[1],
            })])  # fmt: skip
        else:
            click.echo(
                f"{name}: {found.pushes} pushes, {found.realised:.2%} called untrusted, "
                f"swapped ones found {found.swapped}, p99 {found.milliseconds[1]} ms"
            )
    return 0


@command.command()
@click.argument("image")
@click.option("--challenger", is_flag=True, help="Ask the challenger instead of the champion.")
@platform_option
@offline_option
@shared
def explain(app: App, image: str, challenger: bool, platform: str | None, offline: bool) -> int:
    """Tell what the model says of IMAGE: every feature's part in it, and what would change it.

    \b
    layerproof learn explain docker://registry.example/app:1.0
    """
    from layerproof.engine.learned import CHALLENGER, CHAMPION, case_of, load
    from layerproof.report.learned import assessment_document, assessment_lines
    from layerproof.wiring import open_clock

    loaded = load(app.index, CHALLENGER if challenger else CHAMPION)
    found = app.image(image, platform, offline=offline)
    if loaded is None:
        click.echo("the model abstains: none is in use; layerproof learn train, then learn promote")
        return 3
    now = open_clock().now()
    said = loaded.assess(case_of(app.index, found, now), now)
    if app.json:
        app.emit([assessment_document(found.reference, said)])
    else:
        for line in assessment_lines(found.reference, said):
            click.echo(line)
    return 0


@command.command()
@click.option("--card", "shows_card", is_flag=True, help="Show the champion's model card.")
@shared
def status(app: App, shows_card: bool) -> int:
    """Tell which model is in use, how it did since it was trained, and what drifts.

    \b
    layerproof learn status
    """
    from layerproof.engine.learned import CHALLENGER, CHAMPION, PREVIOUS, pointer
    from layerproof.engine.promotion import card_of
    from layerproof.engine.shadow import walk_models
    from layerproof.engine.suggestions import suggestions
    from layerproof.report.learned import shadow_lines, shadow_table
    from layerproof.wiring import open_clock

    roles = {role: pointer(app.index, role) for role in (CHAMPION, CHALLENGER, PREVIOUS)}
    shadows = walk_models(app.index, open_clock().now())
    document: dict[str, Any] = {
        role: None if found is None else {"model": found.model, "since": found.at, "by": found.by}
        for role, found in roles.items()
    }
    document["sinceTraining"] = {role: shadow_table(shadow) for role, shadow in shadows.items()}
    waiting = sum(item.state == "waiting" for item in suggestions(app.index))
    document["suggestionsWaiting"] = waiting
    if app.json:
        from layerproof.report.learned import status_document

        app.emit([status_document(document)])
        return 0
    if roles[CHAMPION] is None:
        click.echo("no model is in use: learned trust abstains, whatever is asked")
    for role, found in roles.items():
        if found is not None:
            click.echo(f"{role}: {found.model[:19]} since {found.at[:16]} by {found.by}")
        if role in shadows:
            for line in shadow_lines(shadows[role]):
                click.echo(f"  {line}")
    click.echo(f"suggestions waiting: {waiting}")
    champion = roles[CHAMPION]
    if shows_card and champion is not None:
        from layerproof.training.card import card_lines

        for line in card_lines(card_of(app.index, champion.model)):
            click.echo(line)
    return 0


@command.command()
@shared
def refresh(app: App) -> int:
    """Give the models in use the history of now, without training: run it every day.

    Fills the queue of suggested images, too.
    """
    from layerproof.engine.learned import CHAMPION
    from layerproof.engine.promotion import refresh as keep
    from layerproof.engine.shadow import walk_models
    from layerproof.engine.suggestions import suggest
    from layerproof.learning.snapshot import write_history
    from layerproof.wiring import open_clock

    shadows = walk_models(app.index, open_clock().now())
    if not shadows:
        raise UsageError("there is no model", remedy="train one: layerproof learn train")
    for role, shadow in shadows.items():
        rolling = shadow.rolling
        scores = rolling.assessor.window.scores()
        keep(app.index, role, write_history(rolling.history), scores)
    if CHAMPION in shadows:
        queue = suggest(app.index, shadows[CHAMPION], open_clock().now())
        waiting = sum(item.state == "waiting" for item in queue)
        _say(app, f"{waiting} images are suggested; layerproof learn suggestions lists them")
    _say(app, f"refreshed: {', '.join(shadows)}")
    return 0


@command.command()
@click.option("--by", default="", help="Who; default: the user who runs the command.")
@click.option("--despite", default="", metavar="REASON", help="Although it did not pass.")
@shared
def promote(app: App, by: str, despite: str) -> int:
    """Put the challenger into use; the champion is kept for a rollback.

    \b
    layerproof learn promote
    """
    from layerproof.engine.promotion import promote as run
    from layerproof.wiring import open_clock

    found = run(app.index, by=by or user(), now=open_clock().now(), despite=despite)
    _say(app, f"{found.model[:19]} is in use")
    return 0


@command.command()
@shared
def rollback(app: App) -> int:
    """Put the model that was in use before into use again."""
    from layerproof.engine.promotion import rollback as run

    found = run(app.index)
    _say(app, f"{found.model[:19]} is in use again")
    return 0


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--key", type=click.Path(path_type=Path), required=True, help="Private key, PEM.")
@shared
def export(app: App, file: Path, key: Path) -> int:
    """Write the model in use to FILE, signed with an ed25519 key.

    \b
    layerproof learn export model.signed --key key.pem
    """
    from layerproof.engine.learned import pointer
    from layerproof.training.signing import sign

    found = pointer(app.index)
    data = app.index.cached(f"learned model {found.model}") if found else None
    if data is None:
        raise UsageError("no model is in use", remedy="layerproof learn promote")
    file.write_bytes(sign(data, _read(key)))
    _say(app, f"wrote {file}")
    return 0


@command.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--public-key", type=click.Path(path_type=Path), required=True, help="PEM.")
@shared
def import_(app: App, file: Path, public_key: Path) -> int:
    """Put the model of FILE forward as challenger, with this index's own history.

    The file must be signed by the key, and is checked like any hostile file.

    \b
    layerproof learn import model.signed --public-key key.pub
    """
    from layerproof.engine.promotion import put_challenger
    from layerproof.engine.shadow import walk_beside
    from layerproof.learning.model import MAX_BYTES, model_digest, parse_model
    from layerproof.learning.snapshot import write_history
    from layerproof.training.signing import verified
    from layerproof.wiring import open_clock

    data = verified(_read(file, MAX_BYTES + 1024), _read(public_key), str(file))
    model, digest, now = parse_model(data, str(file)), model_digest(data), open_clock().now()
    shadow = walk_beside(app.index, {"challenger": (model, digest)}, now)["challenger"]
    put_challenger(
        app.index,
        data,
        write_history(shadow.rolling.history),
        {"model": digest, "failed": ["it was trained elsewhere, and not tried here"]},
        scores=shadow.rolling.assessor.window.scores(),
        by=user(),
        now=now,
    )
    _say(app, f"{digest[:19]} runs in the shadow now")
    return 0


@command.command()
@click.option("--all", "everything", is_flag=True, help="Decided ones, too.")
@shared
def suggestions(app: App, everything: bool) -> int:
    """List images that might be declared trusted. Nothing promotes itself: somebody approves.

    `learn refresh` fills the queue.
    """
    from layerproof.engine.suggestions import suggestions as queue

    found = [item for item in queue(app.index) if everything or item.state == "waiting"]
    if app.json:
        import msgspec

        from layerproof.report.learned import suggestion_document

        app.emit(suggestion_document(msgspec.to_builtins(item)) for item in found)
        return 0
    for item in found:
        click.echo(
            f"{item.id}  {item.state:9} trust {item.trust:.0%}  {item.reference}  pushed by "
            f"{item.pushed_by} on {item.pushed_at[:10]}, {item.pullers} others pull from there"
        )
    if not found and not app.quiet:
        click.echo("nothing is suggested; layerproof learn refresh looks for more")
    return 0


@command.command()
@click.argument("suggestion")
@click.option("-r", "--reason", required=True, help="Why; it stands in every verdict.")
@click.option("--by", default="", help="Who; default: the user who runs the command.")
@shared
def approve(app: App, suggestion: str, reason: str, by: str) -> int:
    """Declare a suggested image trusted, as `trust add` does.

    \b
    layerproof learn approve 5f70bf18a086 --reason "read its Dockerfile"
    """
    from layerproof.engine.suggestions import approve as run
    from layerproof.wiring import open_clock

    now = open_clock().now()
    record = run(app.index, suggestion, by=by or user(), reason=reason, now=now)
    _say(app, f"trusted {record.reference} as {record.id}")
    return 0


@command.command()
@click.argument("suggestion")
@click.option("-r", "--reason", required=True, help="Why.")
@click.option("--by", default="", help="Who; default: the user who runs the command.")
@shared
def dismiss(app: App, suggestion: str, reason: str, by: str) -> int:
    """Never suggest this image again."""
    from layerproof.engine.suggestions import dismiss as run

    item = run(app.index, suggestion, by=by or user(), reason=reason)
    _say(app, f"dismissed {item.reference}")
    return 0


# --- pieces --------------------------------------------------------------------------------------


def _options(rate: float, maturity_days: int) -> TrainingOptions:
    from layerproof.training.options import TrainingOptions

    if not 0 < rate < 0.05:
        raise UsageError(f"{rate} is no rate", where="--rate", remedy="above 0 and below 0.05")
    above = max(TrainingOptions.trusted_above, 2 * rate)
    return TrainingOptions(alpha=rate, maturity_days=maturity_days, trusted_above=above)


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{text[:80]!r} is not a time", where="--until", remedy="for example 2026-11-01T12:00"
        ) from error
    return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)


def _read(file: Path, limit: int = 1 << 16) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(limit)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(file)) from error


def _say(app: App, text: str) -> None:
    if not app.quiet and not app.json:
        click.echo(text)
