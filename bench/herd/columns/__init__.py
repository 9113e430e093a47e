"""The columns of the table, one file each: a way in which agents get at the provider.

`open_column(job)` yields the coroutine that asks for one answer. It returns when there is one; whatever it raises means
that there will be none. It is cancelled at the request's deadline.
"""
