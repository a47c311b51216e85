"""How many generation workers are wanted, for an autoscaler such as KEDA."""
