"""Texts before and after a model. Pure, and linear in a text's length; knows nothing of models or jobs.

markup            reads a text as HTML, token by token, without losing a character

of texts to translate:
  normal          the little that is changed in each: Unicode's composed form, no control characters
  formats/        reads plain text, HTML and Markdown: what is translated together, and what is kept
  protection/     finds placeholders, links and messages with branches
  sentence        finds sentences (``stop``), and cuts those that are too long
  part            the parts of a text that these readers give
  layout/         puts all of it together: sentences for the model, translations back in their places
  quality         tells whether a translation is doubtful (``number``, ``script``)

of texts to moderate:
  moderation      what a moderator must read: what a reader sees, and what hides (``markup_view``, ``html_names``)
  fold            characters as a reader sees them (``lookalike``)
  traced          from where in the text each of these characters came
"""
