"""How well retrieval finds what is known to be right: questions with judged answers, and measures of a ranking."""
