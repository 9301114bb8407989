"""Land-cover maps from satellite and aerial scenes of any size with GLNet."""
