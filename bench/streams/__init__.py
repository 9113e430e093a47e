"""How late what a provider streams reaches an agent."""
