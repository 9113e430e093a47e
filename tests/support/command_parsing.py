"""A command line through the real parser, up to where its command would run."""

import click

from sluicegate_worker.cli import group


def parse(arguments: list[str]) -> click.Context:
    """Raises UsageError."""
    context: click.Context = group.make_context("sluicegate", list(arguments))
    command: click.Command = group
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]  # noqa: SLF001  # click keeps the rest of the words there
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
        context = command.make_context(name, rest, parent=context)
    return context
