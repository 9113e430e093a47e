"""Who is served when: three schedulers before the same limit, and what each step of ours costs its server."""
