"""How the simulator counts tokens: one for each word, and words are what whitespace separates.

No real tokenizer and, on purpose, not the estimate that dispatchers make: what they guess has to be corrected by what a
provider counts, and a provider that counted as they do would hide every error in that.
"""

CHUNK_CHARACTERS = 65_536


def count_tokens(text: str) -> int:
    """Works in chunks, since the list of all words of a body of many megabytes is many times its size."""
    total = 0
    inside_word = False
    for start in range(0, len(text), CHUNK_CHARACTERS):
        chunk = text[start : start + CHUNK_CHARACTERS]
        total += len(chunk.split())
        if inside_word and not chunk[0].isspace():
            total -= 1
        inside_word = not chunk[-1].isspace()
    return total
