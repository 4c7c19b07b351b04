"""`sluice topics`: make the topics, find out whether they are as they should be, and who may do what with them."""

import time
from dataclasses import asdict
from typing import Annotated

import typer
import yaml

from sluice.cli.frame import FOUND, AsJson, Check, emit, print_or_compare, settings_of, show
from sluice.kafka.acls import Role, least, script
from sluice_schemas.asyncapi import document

app = typer.Typer(no_args_is_help=True, help="Topics: create what is missing, check what is there, who may do what.")


@app.command()
def create(context: typer.Context, as_json: AsJson = False) -> None:
    """Create the topics that are missing; those that exist stay as they are."""
    from sluice.kafka import topics
    from sluice.kafka.preflight import connect

    settings = settings_of(context)
    wanted = topics.specs(settings.topics, settings.media)
    made = topics.create(connect(settings.kafka, topics.TIMEOUT_S, time.monotonic), wanted)
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
    from sluice.kafka import topics
    from sluice.kafka.preflight import connect

    settings = settings_of(context)
    admin = connect(settings.kafka, topics.TIMEOUT_S, time.monotonic)
    findings = topics.check(admin, topics.specs(settings.topics, settings.media))
    if as_json:
        emit([asdict(finding) for finding in findings])
    else:
        show(
            ("what", "problem", "fix"),
            [(found.what, found.problem or found.unseen or "ok", found.fix) for found in findings],
        )
    if not all(finding.ok for finding in findings):
        raise typer.Exit(FOUND)


@app.command("acls")
def permissions(
    context: typer.Context,
    roles: Annotated[list[Role] | None, typer.Option("--role", help="Only these roles; repeat it.")] = None,
    principal: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE=PRINCIPAL", help="Who has a role, as Kafka names users; repeat it."),
    ] = None,
    prefix: Annotated[
        str, typer.Option("--transactional-ids", metavar="PREFIX", help="What the ids of several replicas begin with.")
    ] = "",
    command_config: Annotated[
        str, typer.Option(metavar="FILE", help="Passed to kafka-acls.sh: how an administrator logs in.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Print the least that every role must be allowed, as commands of Kafka's kafka-acls.sh; nothing is changed.

    Principals are User:ROLE unless told otherwise, the consumer's the user of kafka.sasl_username.
    """
    settings = settings_of(context)
    user = settings.kafka.sasl_username
    who = {role: f"User:{role}" for role in Role} | ({Role.CONSUMER: f"User:{user}"} if user else {})
    who |= dict(map(_principal, principal or []))
    wanted = [acl for acl in least(settings.kafka, settings.topics, prefix) if acl.role in (roles or Role)]
    if as_json:
        emit([{"principal": who[acl.role], **asdict(acl)} for acl in wanted])
        return
    tool = ["kafka-acls.sh", "--bootstrap-server", settings.kafka.bootstrap_servers or "HOST:9093"]
    for line in script(wanted, [*tool, *(["--command-config", command_config] if command_config else [])], who):
        typer.echo(line)


@app.command()
def asyncapi(
    check: Check = None,
) -> None:
    """Print the topics and events as an AsyncAPI 3 document, by the names of the contract."""
    text = yaml.safe_dump(document(), sort_keys=False, default_flow_style=None, allow_unicode=True, width=120)
    print_or_compare(text, check, "the schemas say", "sluice topics asyncapi")


def _principal(text: str) -> tuple[Role, str]:
    """Read ROLE=PRINCIPAL. Raises typer.BadParameter."""
    role, _, principal = text.partition("=")
    if role not in list(Role) or not principal:
        roles = ", ".join(Role)
        raise typer.BadParameter(f"{text}: must be ROLE=PRINCIPAL, ROLE one of {roles}", param_hint="--principal")
    return Role(role), principal
