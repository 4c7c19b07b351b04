"""`sluice topics`: make the topics, and find out whether they are as they should be."""

from dataclasses import asdict

import typer

from sluice.cli.frame import FOUND, AsJson, emit, settings_of, show

app = typer.Typer(no_args_is_help=True, help="Topics: create what is missing, check what is there.")


@app.command()
def create(context: typer.Context, as_json: AsJson = False) -> None:
    """Create the topics that are missing; those that exist stay as they are."""
    from sluice.bus import topics
    from sluice.bus.client import admin_config, open_admin

    settings = settings_of(context)
    wanted = topics.specs(settings.topics, settings.media)
    made = topics.create(open_admin(admin_config(settings.kafka), lambda _: None), wanted)
    rows = [
        {"topic": spec.name, "partitions": spec.partitions, "result": "created" if spec.name in made else "was there"}
        for spec in wanted
    ]
    if as_json:
        emit(rows)
    else:
        show(("topic", "partitions", "result"), [tuple(row.values()) for row in rows])


@app.command()
def check(context: typer.Context, as_json: AsJson = False) -> None:
    """Compare the topics with the settings; exit status 1 when one is not as it should be."""
    from sluice.bus import topics
    from sluice.bus.client import admin_config, open_admin

    settings = settings_of(context)
    admin = open_admin(admin_config(settings.kafka), lambda _: None)
    findings = topics.check(admin, topics.specs(settings.topics, settings.media))
    if as_json:
        emit([asdict(finding) for finding in findings])
    else:
        show(("what", "problem", "fix"), [(found.what, found.problem or "ok", found.fix) for found in findings])
    if not all(finding.ok for finding in findings):
        raise typer.Exit(FOUND)
