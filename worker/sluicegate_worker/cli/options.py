"""The options that several commands share, so that they are called and explained the same everywhere."""

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
config_option = click.option(
    "--config", "config_path", metavar="FILE", help="The settings file, else $SLUICEGATE_CONFIG, else sluicegate.toml."
)
redis_url_option = click.option(
    "--redis-url", "redis_url", metavar="URL", help="The Redis or Valkey server, before any other place that names one."
)
pool_option = click.option(
    "--pool", metavar="NAME", help="The pool.  [default: $SLUICEGATE_POOL, or the only one there is]"
)
search_option = click.option("--pool", metavar="NAME", help="Look in this pool only.  [default: all]")
body_option = click.option("--body", is_flag=True, help="Print the body too.")
limit_option = click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many to print at most."
)
cursor_option = click.option("--cursor", metavar="TEXT", help="Go on behind a page: its `next`.")
