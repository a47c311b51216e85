"""From messages to a prompt's tokens: texts that know who wrote them, templates' sandbox, and the encoding."""
