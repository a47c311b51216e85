"""Makes the ``tokenizer.json`` of a model that is published without one."""
