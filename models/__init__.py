"""The networks: torch alone, no files and no rasters.

`glnet` holds GLNet and its three forms, step by step as the paper has them; `resnet` and
`efficientnet_lite` the backbones, `fpn` the one decoder, `sharing` the way maps travel between the
global and the local frame, `stages` the losses of the three training stages. `inference` computes
the same function for prediction in less work: with networks from `folding`, branches from
`fused_branch`, whose layers are those of `split_conv` and `enlarging`. Pixels and maps are
N x C x H x W throughout.
"""
