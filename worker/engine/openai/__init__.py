"""Any server that speaks OpenAI's completions (vLLM, SGLang, llama.cpp, TGI) as an engine."""
