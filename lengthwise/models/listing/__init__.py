"""What ``lengthwise model list`` shows: facts about models that are known without loading them."""
