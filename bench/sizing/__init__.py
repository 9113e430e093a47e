"""How much memory and disk requests take, and how long a server needs to read its file again."""
