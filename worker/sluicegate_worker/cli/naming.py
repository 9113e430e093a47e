"""A group of commands that names them where it is given a word that is none."""

from difflib import get_close_matches

import click


class NamingGroup(click.Group):
    """`click.group(cls=NamingGroup)`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        names = self.list_commands(ctx)
        if args[0] not in names and not args[0].startswith("-"):
            near = get_close_matches(args[0], names, n=1)
            cure = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(names)}"
            raise click.UsageError(f"there is no command {args[0]!r:.80}; {cure}")
        return super().resolve_command(ctx, args)
