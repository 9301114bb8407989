"""The networks: torch alone, no files and no rasters.

`glnet` holds GLNet and its three forms; `resnet` and `efficientnet_lite` the backbones, `fpn` the
one decoder, `sharing` the way maps travel between the global and the local frame, `stages` the
losses of the three training stages. Pixels and maps are N x C x H x W throughout.
"""
