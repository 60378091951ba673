"""What is proposed next: samplers, and the study as they see it."""

from lossweep.search.sampling.samplers import SamplerSpec, Sampling, check_sampler

__all__ = ["SamplerSpec", "Sampling", "check_sampler"]
