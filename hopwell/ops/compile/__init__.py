"""Kernels ahead of time: compiled without a GPU, and watched for after the engine is ready."""
